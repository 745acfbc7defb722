//! Advisories: which versions of packages mend a security hole.

use std::collections::BTreeMap;
use std::io::BufRead;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::super::version;
use super::super::xml::{self, Part};

/// By package name, the versions that advisories of the type `security` name, in their order, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fixes(BTreeMap<String, Vec<String>>);

impl Fixes {
    /// Reads advisories.
    pub fn parse(document: impl BufRead) -> Result<Self> {
        let mut fixes = Self::default();
        let mut security = false;
        xml::read(document, &mut |part| {
            if let Part::Open(element) = part {
                match element.name() {
                    "update" => security = element.attribute("type")?.as_deref() == Some("security"),
                    "package" if security => {
                        let part = |name: &str| element.attribute(name).map(Option::unwrap_or_default);
                        let (epoch, version, release) = (part("epoch")?, part("version")?, part("release")?);
                        let evr = match &*epoch {
                            "" | "0" => format!("{version}-{release}"),
                            epoch => format!("{epoch}:{version}-{release}"),
                        };
                        fixes.0.entry(part("name")?.into_owned()).or_default().push(evr);
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
        for versions in fixes.0.values_mut() {
            versions.sort_by(|a, b| version::compare(a, b));
            versions.dedup();
        }
        Ok(fixes)
    }

    /// The newest version of a package that mends a hole, up to a version.
    pub fn newest(&self, name: &str, up_to: &str) -> Option<&str> {
        let versions = self.0.get(name)?.iter().rev();
        versions.map(String::as_str).find(|fix| version::compare(fix, up_to).is_le())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_fix_up_to_a_version_is_found() {
        let package = |version: &str| {
            format!(
                "<package name='a' epoch='0' version='{version}' release='1' arch='noarch'><filename>x</filename></package>"
            )
        };
        let update = |kind: &str, version: &str| {
            format!("<update type='{kind}'><pkglist><collection>{}</collection></pkglist></update>", package(version))
        };
        let document = format!(
            "<updates>{}{}{}</updates>",
            update("security", "10"),
            update("security", "9"),
            update("bugfix", "11")
        );
        let fixes = Fixes::parse(document.as_bytes()).unwrap();
        assert_eq!(fixes.newest("a", "12-1"), Some("10-1"));
        assert_eq!(fixes.newest("a", "9-5"), Some("9-1"));
        assert_eq!((fixes.newest("a", "8-1"), fixes.newest("b", "8-1")), (None, None));
    }
}
