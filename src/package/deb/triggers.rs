//! Who is interested in which triggers, and what unpacking packages activates (deb-triggers(5); `trigdeferred` and
//! `triglib` in dpkg's sources).

use std::collections::{BTreeMap, BTreeSet};

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

    /// `triggers/Unincorp` after unpacking packages: the triggers that they activate and somebody is interested in, by
    /// name or because a path lies at or below theirs.
    pub(super) fn activated_by<'a>(
        &self,
        packages: impl Iterator<Item = &'a Unpacked>,
        read: ReadFile<'_>,
    ) -> Result<String> {
        let paths: Vec<&str> = self.text.lines().filter_map(|line| line.split(' ').next()).collect();
        let mut activated = BTreeSet::new();
        for package in packages {
            for (_, trigger) in directives(package).filter(|(directive, _)| directive.starts_with("activate")) {
                if !trigger.contains('/') && read(&format!("triggers/{trigger}"))?.is_some() {
                    activated.insert(trigger);
                }
            }
            for record in package.records.iter().filter(|r| r.member.part == Part::Data) {
                activated.extend(paths.iter().filter(|interest| {
                    let rest = record.member.path.strip_prefix(interest.trim_start_matches('/'));
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }));
            }
        }
        Ok(activated.into_iter().map(|trigger| format!("{trigger} -\n")).collect())
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
    directives(package).filter_map(|(directive, trigger)| match directive {
        "interest" | "interest-await" => Some((trigger, "")),
        "interest-noawait" => Some((trigger, "/noawait")),
        _ => None,
    })
}

/// The lines of a package's `triggers` file.
fn directives(package: &Unpacked) -> impl Iterator<Item = (&str, &str)> {
    let text = package.control.get("triggers").map_or("", String::as_str);
    text.lines().map(|line| line.split('#').next().unwrap_or_default()).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    })
}
