//! Whose the members of packages are that name their users and groups.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;

use anyhow::{Context, Result};

use crate::digest::Sha256;
use crate::package::{Member, MemberKind, Record};
use crate::store::{Attributes, Content, Directory, ObjectReader, ObjectWriter};

/// The bits by which a file lends its owner's and its group's rights, inode(7).
const SET_ID: [u32; 2] = [0o4000, 0o2000];

/// The names of a root's users and groups, as they were when they were last asked for.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Table,
    groups: Table,
}

/// A file of names and numbers, passwd(5) or group(5).
#[derive(Debug, Default)]
struct Table {
    object: Option<Sha256>,
    numbers: HashMap<String, u32>,
}

impl Table {
    /// The number of a name by the file at `path`.
    fn number(&mut self, name: &str, path: &str, root: &Directory, reader: &ObjectReader) -> Result<Option<u32>> {
        if name.is_empty() || name == "root" {
            return Ok(Some(0));
        }
        let object = root.file(path);
        if object != self.object {
            let text = object.map(|object| reader.read(object)).transpose()?.unwrap_or_default();
            let row = |line: &str| {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            };
            // Of several lines of one name the first counts.
            self.numbers = String::from_utf8_lossy(&text).lines().rev().filter_map(row).collect();
            self.object = object;
        }
        Ok(self.numbers.get(name).copied())
    }
}

impl Owners {
    /// A package's record with the numbers that its owners have in the root. What is owned by a name that the root does not know
    /// is root's, and lends no rights.
    pub fn own<'r>(
        &mut self,
        record: &'r Record,
        root: &Directory,
        reader: &ObjectReader,
        writer: &ObjectWriter,
    ) -> Result<Cow<'r, Record>> {
        let member = &record.member;
        let uid = self.users.number(&member.user, "etc/passwd", root, reader)?;
        let gid = self.groups.number(&member.group, "etc/group", root, reader)?;
        let lost = [uid, gid].into_iter().zip(SET_ID).filter(|(number, _)| number.is_none());
        let mode = lost.fold(member.mode, |mode, (_, bit)| mode & !bit);
        let (uid, gid) = (uid.unwrap_or_default(), gid.unwrap_or_default());
        if (uid, gid, mode) == (member.uid, member.gid, member.mode) {
            return Ok(Cow::Borrowed(record));
        }
        let mut owned = record.clone();
        (owned.member.uid, owned.member.gid, owned.member.mode) = (uid, gid, mode);
        if let Some(object) = record.object {
            let changed = change(object, &owned.member, reader, writer);
            owned.object = Some(changed.with_context(|| format!("cannot give /{} to its owner", member.path))?);
        }
        Ok(Cow::Owned(owned))
    }
}

/// An object with a member's owner and mode.
fn change(object: Sha256, member: &Member, reader: &ObjectReader, writer: &ObjectWriter) -> Result<Sha256> {
    let old = reader.attributes(object)?;
    if matches!(member.kind, MemberKind::Symlink(_)) {
        let target = fs::read_link(reader.path(object))?;
        let target = target.to_str().context("its target is not UTF-8")?;
        let attributes = Attributes { uid: member.uid, gid: member.gid, mode: old.mode, xattrs: BTreeMap::new() };
        return writer.write(&attributes, Content::Symlink(target));
    }
    let mode = old.mode & !0o7777 | member.mode;
    let attributes = Attributes { uid: member.uid, gid: member.gid, mode, xattrs: old.xattrs };
    let mut file = reader.open(object)?;
    let size = file.metadata()?.len();
    writer.write(&attributes, Content::File(&mut file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_their_first_lines() {
        let store = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(&store.path().join("store")).unwrap();
        let writer = store.writer();
        let mut root = Directory::new(0o755);
        let passwd = b"root:x:0:0::/root:/bin/sh\neel:x:7:8::/:/bin/sh\neel:x:9:9::/:/bin/sh\nodd\n";
        let object = writer.write_bytes(&super::super::merge::root_file(0o644), passwd).unwrap();
        super::super::merge::make_directory(&mut root, "etc").files.insert("passwd".to_owned(), object);
        let mut table = Table::default();
        let mut number = |name: &str| table.number(name, "etc/passwd", &root, &store.reader()).unwrap();
        assert_eq!((number("root"), number("eel"), number("odd"), number("")), (Some(0), Some(7), None, Some(0)));
    }
}
