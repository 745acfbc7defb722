//! Who is interested in which triggers, and what unpacking packages activates (deb-triggers(5); `trigdeferred` and
//! `triglib` in dpkg's sources).

use std::collections::BTreeMap;

use anyhow::Result;

use super::install::database_name;
use crate::package::{Part, ReadFile, Unpacked};

/// The file of the interests in paths, beside a file for each named trigger.
const FILE: &str = "File";

/// The interests in paths that the root has.
pub(super) struct Interests {
    text: String,
}

impl Interests {
    /// `read` reads a file of dpkg's database.
    pub(super) fn read(read: ReadFile<'_>) -> Result<Self> {
        Ok(Self { text: read("triggers/File")?.unwrap_or_default() })
    }

    /// `triggers/Unincorp` after unpacking packages: the paths that lie at or below one that somebody is interested in.
    pub(super) fn activated_by<'a>(&self, packages: impl Iterator<Item = &'a Unpacked>) -> String {
        let paths: Vec<&str> = self.text.lines().filter_map(|line| line.split(' ').next()).collect();
        let mut activated = BTreeMap::new();
        for record in packages.flat_map(|p| &p.records).filter(|r| r.member.part == Part::Data && !paths.is_empty()) {
            let path = &record.member.path;
            for interest in &paths {
                let below = path.strip_prefix(interest.trim_start_matches('/'));
                if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                    activated.insert(*interest, ());
                }
            }
        }
        activated.keys().map(|path| format!("{path} -\n")).collect()
    }

    /// `triggers/File` and the file of each named trigger that packages are interested in, with those who were before.
    pub(super) fn with<'a>(
        &self,
        packages: impl Iterator<Item = &'a Unpacked>,
        read: ReadFile<'_>,
    ) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::from([(FILE.to_owned(), self.text.clone())]);
        for package in packages {
            for (trigger, option) in interests(package) {
                let interested = format!("{}{option}\n", database_name(package));
                if trigger.starts_with('/') {
                    let file = files.entry(FILE.to_owned()).or_default();
                    file.extend([trigger, " ", &interested]);
                } else if trigger.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
                    && !matches!(trigger, "." | ".." | FILE)
                {
                    if !files.contains_key(trigger) {
                        files.insert(trigger.to_owned(), read(&format!("triggers/{trigger}"))?.unwrap_or_default());
                    }
                    files.entry(trigger.to_owned()).or_default().push_str(&interested);
                }
            }
        }
        Ok(files)
    }
}

/// The triggers that a package is interested in, each with what its line has after the package's name.
fn interests(package: &Unpacked) -> impl Iterator<Item = (&str, &'static str)> {
    let text = package.control.get("triggers").map_or("", String::as_str);
    text.lines().map(|line| line.split('#').next().unwrap_or_default()).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (directive, trigger) = (words.next()?, words.next()?);
        match directive {
            "interest" | "interest-await" => Some((trigger, "")),
            "interest-noawait" => Some((trigger, "/noawait")),
            _ => None,
        }
    })
}
