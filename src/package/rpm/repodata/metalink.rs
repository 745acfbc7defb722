//! Lists of a repository's mirrors: metalinks (Metalink 3.0, with the older states that `MirrorManager` adds) and mirrorlists (the
//! option `mirrorlist` of dnf.conf(5)).

use std::io::BufRead;

use anyhow::{Context, Result, bail};

use super::super::xml::{self, Part};
use crate::digest::Sha256;

/// The file that a metalink is about.
const FILE: &str = "repomd.xml";
/// Its path below a mirror's folder.
const PATH: &str = "repodata/repomd.xml";

/// Mirrors, and what they may serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metalink {
    /// The folders that have `repodata/`, those to prefer first.
    pub mirrors: Vec<String>,
    /// The present `repomd.xml`.
    pub present: Sha256,
    /// Those before it, which mirrors may still have.
    pub older: Vec<Sha256>,
}

impl Metalink {
    /// Reads a metalink.
    pub fn parse(document: impl BufRead) -> Result<Self> {
        let (mut within, mut older_ones, mut strong, mut preference) = (false, false, false, 0_u32);
        let (mut mirrors, mut present, mut older) = (Vec::new(), None, Vec::new());
        xml::read(document, &mut |part| {
            match part {
                Part::Open(element) => match element.name() {
                    "file" => within = element.attribute("name")?.as_deref() == Some(FILE),
                    "alternates" => older_ones = true,
                    "hash" => strong = element.attribute("type")?.as_deref() == Some("sha256"),
                    "url" => {
                        preference =
                            element.attribute("preference")?.and_then(|text| text.parse().ok()).unwrap_or_default();
                    }
                    _ => {}
                },
                Part::Close("file", _) => within = false,
                Part::Close("alternates", _) => older_ones = false,
                Part::Close("hash", text) if within && strong => {
                    let digest: Sha256 =
                        text.parse().ok().with_context(|| format!("`{}` is no SHA-256", text.escape_debug()))?;
                    if older_ones {
                        older.push(digest);
                    } else if present.replace(digest).is_some_and(|other| other != digest) {
                        bail!("it has two digests of {FILE}");
                    }
                }
                Part::Close("url", text) if within => {
                    mirrors.extend(text.strip_suffix(PATH).and_then(folder).map(|uri| (preference, uri)));
                }
                Part::Close(..) => {}
            }
            Ok(())
        })?;
        let present = present.with_context(|| format!("it has no SHA-256 of {FILE}"))?;
        // Among equals in the metalink's own order.
        mirrors.sort_by_key(|(preference, _)| std::cmp::Reverse(*preference));
        Ok(Self { mirrors: mirrors.into_iter().map(|(_, uri)| uri).collect(), present, older })
    }

    /// Whether a mirror may serve such a `repomd.xml`.
    pub fn accepts(&self, found: Sha256) -> bool {
        found == self.present || self.older.contains(&found)
    }
}

/// The mirrors of a mirrorlist: a URI on each line but comments.
pub fn mirrorlist(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| folder(line.trim())).collect()
}

/// A URI that can be fetched from; metalinks also name those of rsync and ftp.
fn folder(uri: &str) -> Option<String> {
    let is_plain = !uri.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_usable = ["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme));
    (is_plain && is_usable).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGESTS: [&str; 3] = ["11", "22", "33"];

    fn digest(at: usize) -> Sha256 {
        DIGESTS[at].repeat(32).parse().unwrap()
    }

    fn sample() -> String {
        let [present, old, other] = [0, 1, 2].map(digest);
        format!(
            "<?xml version='1.0'?><metalink version='3.0' xmlns='http://www.metalinker.org/' xmlns:mm0='x'><files>\
             <file name='other.xml'><verification><hash type='sha256'>{other}</hash></verification>\
             <resources><url preference='100'>https://c.invalid/repodata/repomd.xml</url></resources></file>\
             <file name='repomd.xml'><mm0:timestamp>7</mm0:timestamp><size>1</size>\
             <verification><hash type='md5'>0</hash><hash type='sha256'>{present}</hash></verification>\
             <mm0:alternates><mm0:alternate><verification><hash type='sha256'>{old}</hash></verification></mm0:alternate>\
             </mm0:alternates><resources maxconnections='1'>\
             <url protocol='rsync' preference='100'>rsync://a.invalid/x/repodata/repomd.xml</url>\
             <url protocol='https' preference='90'>https://a.invalid/x/repodata/repomd.xml</url>\
             <url protocol='https' preference='95'>https://b.invalid/x/repodata/repomd.xml</url>\
             <url protocol='http' preference='90'>http://a.invalid/y/repodata/repomd.xml</url>\
             <url protocol='http' preference='99'>http://a.invalid/y/another.xml</url>\
             </resources></file></files></metalink>"
        )
    }

    #[test]
    fn mirrors_come_by_preference_and_digests_with_their_age() {
        let metalink = Metalink::parse(sample().as_bytes()).unwrap();
        assert_eq!(metalink.mirrors, ["https://b.invalid/x/", "https://a.invalid/x/", "http://a.invalid/y/"]);
        assert_eq!((metalink.present, metalink.older.as_slice()), (digest(0), &[digest(1)][..]));
        assert_eq!([0, 1, 2].map(|at| metalink.accepts(digest(at))), [true, true, false]);
    }

    #[test]
    fn one_that_vouches_for_nothing_is_refused() {
        let told = |text: &str| format!("{:#}", Metalink::parse(text.as_bytes()).unwrap_err());
        assert_eq!(told(&sample().replace("sha256", "sha1")), "it has no SHA-256 of repomd.xml");
        assert_eq!(told(&sample().replace("'repomd.xml'", "'x'")), "it has no SHA-256 of repomd.xml");
        assert_eq!(told(&sample().replace("<hash type='md5'>0", "<hash type='sha256'>0")), "`0` is no SHA-256");
        let two = sample().replace("<hash type='md5'>0", &format!("<hash type='sha256'>{}", digest(2)));
        assert_eq!(told(&two), "it has two digests of repomd.xml");
        assert_eq!(told("<html>"), "it ends within an element");
    }

    #[test]
    fn mirrorlists_are_lines() {
        let text = "# a comment\nhttps://a.invalid/x/\r\n\nftp://b.invalid/\nfile:///srv/x\nhttp://c.invalid/a b\n";
        assert_eq!(mirrorlist(text), ["https://a.invalid/x/", "file:///srv/x"]);
    }
}
