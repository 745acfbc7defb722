//! `repomd.xml`: the list of a repository's metadata files, each with its size and checksum, packed and unpacked.

use std::collections::BTreeMap;
use std::io::BufRead;

use anyhow::{Context, Result, bail};

use super::super::xml::{self, Part};
use super::check_location;
use crate::digest::Sha256;

/// The list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repomd {
    /// The files by kind: `primary`, `filelists`, `group`, `modules`, `updateinfo` and others.
    pub files: BTreeMap<String, File>,
    /// The newest time of a file, in seconds since 1970.
    pub time: i64,
}

/// A metadata file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Path below the repository's root.
    pub location: String,
    /// Bytes as it is there; missing where the list does not say.
    pub size: Option<u64>,
    /// Its digest as it is there.
    pub sha256: Sha256,
    /// Bytes once unpacked, where the list says it.
    pub open_size: Option<u64>,
    /// Digest once unpacked, where the list says it.
    pub open_sha256: Option<Sha256>,
}

/// The kinds of files that are read. Others are not looked at.
const KINDS: [&str; 8] =
    ["primary", "filelists", "group", "group_gz", "group_xz", "group_zst", "modules", "updateinfo"];

#[derive(Default)]
struct Begun {
    kind: String,
    location: Option<String>,
    checksum_type: String,
    size: Option<u64>,
    sha256: Option<Sha256>,
    open_size: Option<u64>,
    open_sha256: Option<Sha256>,
}

impl Repomd {
    /// Reads the list.
    pub fn parse(document: impl BufRead) -> Result<Self> {
        let mut list = Self::default();
        let (mut is_one, mut open) = (false, Begun::default());
        xml::read(document, &mut |part| {
            match part {
                Part::Open(element) => match element.name() {
                    "repomd" => is_one = true,
                    "data" => {
                        let kind = element.attribute("type")?.context("a file has no `type`")?.into_owned();
                        open = Begun { kind, ..Begun::default() };
                    }
                    "location" => {
                        if element.attribute("xml:base")?.is_some() {
                            bail!("the file `{}` is in another place than the repository", open.kind);
                        }
                        open.location = element.attribute("href")?.map(std::borrow::Cow::into_owned);
                    }
                    "checksum" | "open-checksum" => {
                        open.checksum_type = element.attribute("type")?.unwrap_or_default().into_owned();
                    }
                    _ => {}
                },
                Part::Close(name, text) if KINDS.contains(&open.kind.as_str()) => match name {
                    "checksum" => open.sha256 = Some(checksum(&open, text)?),
                    "open-checksum" => open.open_sha256 = Some(checksum(&open, text)?),
                    "size" => open.size = Some(number(&open, text)?),
                    "open-size" => open.open_size = Some(number(&open, text)?),
                    "timestamp" => {
                        let seconds = text.split('.').next().unwrap_or_default();
                        list.time = list.time.max(number(&open, seconds)?.cast_signed());
                    }
                    "data" => {
                        let Begun { kind, location, size, sha256, open_size, open_sha256, .. } =
                            std::mem::take(&mut open);
                        let location = location.with_context(|| format!("the file `{kind}` has no location"))?;
                        check_location(&location)?;
                        let sha256 = sha256.with_context(|| format!("the file `{kind}` has no checksum"))?;
                        let file = File { location, size, sha256, open_size, open_sha256 };
                        if list.files.insert(kind.clone(), file).is_some() {
                            bail!("the file `{kind}` is listed twice");
                        }
                    }
                    _ => {}
                },
                Part::Close(..) => {}
            }
            Ok(())
        })?;
        if !is_one {
            bail!("it has no element `repomd`");
        }
        Ok(list)
    }

    /// The file of groups; packed, where there is such a one.
    pub fn group(&self) -> Option<&File> {
        ["group_gz", "group_xz", "group_zst", "group"].iter().find_map(|kind| self.files.get(*kind))
    }
}

/// Weaker checksums than SHA-256 prove nothing.
fn checksum(open: &Begun, text: &str) -> Result<Sha256> {
    let kind = &open.kind;
    if open.checksum_type != "sha256" {
        bail!("the file `{kind}` has a checksum of the type `{}`: sha256 is expected", open.checksum_type);
    }
    text.parse().ok().with_context(|| format!("`{text}` is no SHA-256 of the file `{kind}`"))
}

fn number(open: &Begun, text: &str) -> Result<u64> {
    text.parse().ok().with_context(|| format!("`{text}` is no number of the file `{}`", open.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c";

    fn document(location: &str, kind: &str) -> String {
        format!(
            "<repomd><revision>7</revision><data type='primary'><checksum type='{kind}'>{DIGEST}</checksum>\
             <location href='{location}'/><timestamp>12.5</timestamp><size>3</size><open-size>9</open-size></data>\
             <data type='other'><checksum type='sha'>x</checksum></data></repomd>"
        )
    }

    #[test]
    fn files_are_listed() {
        let list = Repomd::parse(document("repodata/p.xml.gz", "sha256").as_bytes()).unwrap();
        assert_eq!((list.time, list.files.len()), (12, 1));
        let file = &list.files["primary"];
        assert_eq!((file.size, file.open_size, file.sha256.to_hex().as_str()), (Some(3), Some(9), DIGEST));
    }

    #[test]
    fn what_proves_or_means_nothing_is_refused() {
        for (document, message) in [
            (document("../p.xml", "sha256"), "the location `../p.xml` is not a path below the repository"),
            (document("p.xml", "sha"), "the file `primary` has a checksum of the type `sha`: sha256 is expected"),
            ("<x/>".to_owned(), "it has no element `repomd`"),
            (
                document("p", "sha256").replace("'other'", "'primary'"),
                "the file `primary` has a checksum of the type `sha`: sha256 is expected",
            ),
            (document("p", "sha256").replace(">3<", ">-3<"), "`-3` is no number of the file `primary`"),
        ] {
            assert_eq!(Repomd::parse(document.as_bytes()).unwrap_err().to_string(), message);
        }
    }
}
