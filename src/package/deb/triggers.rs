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

/// What unpacking `new` adds to `triggers/Unincorp`: the triggers that they activate and `old` are interested in, by name or
/// because a path lies at or below theirs.
pub(super) fn activated<'a>(
    new: impl Iterator<Item = &'a Unpacked>,
    old: impl Iterator<Item = &'a Unpacked>,
) -> String {
    let known: BTreeSet<&str> = old.flat_map(interests).map(|(trigger, _)| trigger).collect();
    let mut activated = BTreeSet::new();
    for package in new {
        let named = directives(package).filter(|(directive, _)| directive.starts_with("activate"));
        activated.extend(named.map(|(_, trigger)| trigger).filter(|trigger| known.contains(trigger)));
        for record in package.records().iter().filter(|r| r.member.part == Part::Data) {
            activated.extend(known.iter().filter(|trigger| {
                let rest = trigger.strip_prefix('/').and_then(|path| record.member.path.strip_prefix(path));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }));
        }
    }
    activated.into_iter().flat_map(|trigger| [trigger, " -\n"]).collect()
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
    let text = package.text("triggers");
    text.lines().map(|line| line.split('#').next().unwrap_or_default()).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::install::tests::package;
    use crate::package::{Member, MemberKind, Record};

    fn file(path: &str) -> Record {
        let member = Member {
            part: Part::Data,
            path: path.to_owned(),
            kind: MemberKind::File(0),
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            mtime: 0,
            xattrs: BTreeMap::new(),
        };
        Record { member, object: None }
    }

    #[test]
    fn what_others_are_interested_in_is_activated() {
        let read = |path: &str| -> Result<Option<String>> {
            Ok(match path {
                "triggers/File" => Some("/usr/share/man man-db/noawait\n/etc/x x\n".to_owned()),
                "triggers/ldconfig" => Some("libc-bin\n".to_owned()),
                _ => None,
            })
        };
        let mut new = package("new", "all", "");
        new.members = vec![file("usr/share/man/man1"), file("etc/xy"), file("usr/share/manual")].into();
        let text = "activate-noawait ldconfig # new libraries\nactivate other\ninterest /usr/share/new\ninterest-noawait ldconfig\n";
        new.control.insert("triggers".to_owned(), text.as_bytes().to_vec());
        let known = Interests::read(&read).unwrap();
        let mut old = package("old", "all", "");
        let text = "interest-noawait /usr/share/man\ninterest /etc/x\ninterest ldconfig\n";
        old.control.insert("triggers".to_owned(), text.as_bytes().to_vec());
        assert_eq!(activated([&new].into_iter(), [&old].into_iter()), "/usr/share/man -\nldconfig -\n");
        assert_eq!(activated([&old].into_iter(), [&new].into_iter()), "");
        let files = known.with([&new].into_iter(), &read).unwrap();
        assert_eq!(files["File"], "/usr/share/man man-db/noawait\n/etc/x x\n/usr/share/new new\n");
        assert_eq!(files["ldconfig"], "libc-bin\nnew/noawait\n");
        assert_eq!(files.len(), 2);
    }
}
