//! What packages ship at which path of a root, and what a path has there as one number.

use std::collections::{BTreeMap, HashMap};

use crate::digest::Sha256;
use crate::package::{MemberKind, Part, Record};
use crate::store::{Attributes, Directory, Node, ObjectReader};

/// The bits of a mode that tell a directory, inode(7).
const DIRECTORY: u32 = 0o040_000;

/// What packages ship: for each path of the root, each package, by a number of the caller's, with the value it has there.
#[derive(Debug, Default)]
pub struct Shipped {
    paths: HashMap<String, Vec<(u32, Sha256)>>,
}

/// The links at the top of a root, such as `lib`, and where they lead, without a slash ahead.
pub type Aliases = BTreeMap<String, String>;

impl Shipped {
    /// Adds what a package ships. A folder that it does not list is root's with mode 0755.
    pub fn add<'a>(&mut self, package: u32, records: impl Iterator<Item = &'a Record>, aliases: &Aliases) {
        for record in records.filter(|record| record.member.part == Part::Data) {
            let path = real_path(&record.member.path, aliases);
            for (cut, _) in path.match_indices('/') {
                self.put(&path[..cut], package, implied_directory());
            }
            if let Some(value) = value_of(record) {
                self.put(&path, package, value);
            }
        }
    }

    fn put(&mut self, path: &str, package: u32, value: Sha256) {
        match self.paths.get_mut(path) {
            Some(known) if known.contains(&(package, value)) => {}
            Some(known) => known.push((package, value)),
            None => drop(self.paths.insert(path.to_owned(), vec![(package, value)])),
        }
    }

    /// Who ships something at a path, and which value.
    pub fn at(&self, path: &str) -> &[(u32, Sha256)] {
        self.paths.get(path).map_or(&[], Vec::as_slice)
    }

    /// The package that ships this value at a path; of several the last, since what is shipped ahead may be replaced.
    pub fn by(&self, path: &str, value: Sha256) -> Option<u32> {
        self.at(path).iter().rev().find(|(_, shipped)| *shipped == value).map(|(package, _)| *package)
    }

    /// Whether any path has this value in a package.
    pub(super) fn anywhere(&self, value: Sha256) -> bool {
        self.paths.values().flatten().any(|(_, shipped)| *shipped == value)
    }

    /// All paths, in no order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.paths.keys()
    }
}

/// A path of a package as the root has it, whose links at the top lead into other folders.
pub fn real_path(path: &str, aliases: &Aliases) -> String {
    match path.split_once('/') {
        Some((top, rest)) => match aliases.get(top) {
            Some(target) => format!("{target}/{rest}"),
            None => path.to_owned(),
        },
        None => path.to_owned(),
    }
}

/// The links among the files at the top of a root.
pub fn aliases<'a>(reader: &ObjectReader, files: impl Iterator<Item = (&'a String, &'a Sha256)>) -> Aliases {
    let target = |object: Sha256| std::fs::read_link(reader.path(object)).ok()?.into_os_string().into_string().ok();
    let links = files.filter_map(|(name, object)| Some((name.clone(), target(*object)?)));
    links.map(|(name, target)| (name, target.trim_matches('/').to_owned())).collect()
}

/// The value of a package's member.
pub fn value_of(record: &Record) -> Option<Sha256> {
    let member = &record.member;
    let node = |kind: u32, device| Node { mode: kind | member.mode, uid: member.uid, gid: member.gid, device };
    Some(match &member.kind {
        MemberKind::Directory => directory_value(&Attributes {
            uid: member.uid,
            gid: member.gid,
            mode: DIRECTORY | member.mode,
            xattrs: BTreeMap::new(),
        }),
        MemberKind::File(_) | MemberKind::Symlink(_) | MemberKind::Hardlink(_) => return record.object,
        MemberKind::CharDevice(major, minor) => node_value(&node(0o020_000, (*major, *minor))),
        MemberKind::BlockDevice(major, minor) => node_value(&node(0o060_000, (*major, *minor))),
        MemberKind::Fifo => node_value(&node(0o010_000, (0, 0))),
    })
}

/// The value of a directory, whatever is in it.
pub fn directory_value(attributes: &Attributes) -> Sha256 {
    let Attributes { uid, gid, mode, xattrs } = attributes;
    Sha256::of(format!("directory {uid} {gid} {mode:o} {xattrs:?}").as_bytes())
}

/// The value of a device or pipe.
pub fn node_value(node: &Node) -> Sha256 {
    let Node { mode, uid, gid, device: (major, minor) } = node;
    Sha256::of(format!("node {uid} {gid} {mode:o} {major} {minor}").as_bytes())
}

/// The value of a directory that nothing lists.
pub fn implied_directory() -> Sha256 {
    directory_value(&Directory::new(0o755).attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Member;

    fn record(path: &str, kind: MemberKind, mode: u32) -> Record {
        let object = matches!(kind, MemberKind::File(_)).then(|| Sha256::of(path.as_bytes()));
        let (user, group, xattrs) = (String::new(), String::new(), BTreeMap::new());
        let member = Member {
            part: Part::Data,
            path: path.to_owned(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            user,
            group,
            mtime: 0,
            xattrs,
        };
        Record { member, object }
    }

    #[test]
    fn paths_are_where_the_links_at_the_top_lead() {
        let aliases = Aliases::from([("lib".to_owned(), "usr/lib".to_owned())]);
        let records = [record("lib/x/y", MemberKind::File(1), 0o644), record("lib/z", MemberKind::Directory, 0o700)];
        let mut shipped = Shipped::default();
        shipped.add(3, records.iter(), &aliases);
        assert_eq!(shipped.by("usr/lib/x/y", Sha256::of(b"lib/x/y")), Some(3));
        assert_eq!(shipped.by("usr/lib/x", implied_directory()), Some(3));
        assert_eq!(shipped.by("usr/lib/z", implied_directory()), None);
        assert_eq!((shipped.at("usr/lib/z").len(), shipped.at("lib/z").len()), (1, 0));
    }
}
