//! What scripts changed: an overlay's upper layer, applied to the tree that was its lower layer.
//!
//! The form is that of overlayfs mounted with `userxattr` (Documentation/filesystems/overlayfs.rst in Linux): a
//! character device 0:0 hides a name, a directory with `user.overlay.opaque` hides all that was below it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Mode, OFlags, UTIME_NOW};
use serde::{Deserialize, Serialize};

use super::object::{Attributes, Content, ObjectWriter, Xattrs, is_kept_xattr};
use super::tree::{Directory, Extras, Leaf, Node, Tree};

const OPAQUE: &str = "user.overlay.opaque";

/// Applies the upper layer at `upper` to `tree`, adding what is new to the store.
/// Sockets are dropped: they mean nothing without the process that made them.
pub fn apply_upper(writer: &ObjectWriter, tree: &mut Tree, upper: &Path) -> Result<()> {
    let mut links = BTreeMap::new();
    let Tree { root, extras } = tree;
    let mut change = Change { writer, extras, links: &mut links };
    change.directory(root, upper, "").with_context(|| format!("cannot read the changes in {}", upper.display()))
}

/// What is known of a file or symbolic link beyond what is kept of it, stat(2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Inode {
    /// Device and number.
    pub id: (u64, u64),
    /// How many names it has.
    pub names: u64,
}

/// Seconds since 1970, and nanoseconds.
pub type FileTime = (i64, i64);

/// To be set as a time: the present, by the clock of files (utimensat(2)).
pub const NOW: FileTime = (0, UTIME_NOW);

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A file or symbolic link.
    Leaf(Leaf),
    /// A directory, whatever is in it.
    Directory(Attributes),
    /// A device or pipe.
    Node(Node),
}

impl Entry {
    /// What is at a path of the host's, whose last component is not followed, as an object where it is one; a socket, which
    /// means nothing without the process that made it, is nothing. Tells too which file or link it is, if any.
    pub fn read(writer: &ObjectWriter, path: &Path) -> Result<(Self, Option<Inode>)> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => Ok((Self::Absent, None)),
            Ok(metadata) => {
                let entry = read_entry(writer, path, &metadata)?;
                let inode = Inode { id: (metadata.dev(), metadata.ino()), names: metadata.nlink() };
                let inode = matches!(entry, Self::Leaf(_)).then_some(inode);
                Ok((entry, inode))
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok((Self::Absent, None)),
            Err(e) => Err(e.into()),
        }
    }
}

fn read_entry(writer: &ObjectWriter, path: &Path, metadata: &Metadata) -> Result<Entry> {
    let attributes = attributes_of(path, metadata)?;
    if metadata.is_file() {
        // What others have made of it since is not followed, nor waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let leaf = writer.write(&attributes, Content::File(&mut file, metadata.len()))?;
        return Ok(Entry::Leaf(leaf));
    }
    if metadata.is_symlink() {
        let target = fs::read_link(path)?;
        let target = target.to_str().context("the link's target is not UTF-8")?;
        return Ok(Entry::Leaf(writer.write(&attributes, Content::Symlink(target))?));
    }
    if metadata.is_dir() {
        return Ok(Entry::Directory(attributes));
    }
    let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let Attributes { mode, uid, gid, .. } = attributes;
    Ok(Entry::Node(Node { mode, uid, gid, device }))
}

struct Change<'a> {
    writer: &'a ObjectWriter,
    extras: &'a mut Extras,
    /// First path of each inode that has several.
    links: &'a mut BTreeMap<u64, String>,
}

impl Change<'_> {
    fn directory(&mut self, dir: &mut Directory, upper: &Path, path: &str) -> Result<()> {
        dir.attributes = attributes_of(upper, &fs::symlink_metadata(upper)?)?;
        let mut entries: Vec<_> = fs::read_dir(upper)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry
                .file_name()
                .into_string()
                .map_err(|n| anyhow!("the name {} in /{path} is not UTF-8", n.display()))?;
            let child = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.entry(dir, name, &entry.path(), &child)
                .with_context(|| format!("cannot read the changed /{child}"))?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &mut Directory, name: String, upper: &Path, path: &str) -> Result<()> {
        let metadata = fs::symlink_metadata(upper)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            if dir.files.remove(&name).is_some() || is_opaque(upper)? {
                dir.directories.remove(&name);
                self.forget(path);
            }
            let child = dir.directories.entry(name).or_insert_with(|| Directory::new(0o755));
            return self.directory(child, upper, path);
        }
        dir.files.remove(&name);
        dir.directories.remove(&name);
        self.forget(path);
        if kind.is_char_device() && metadata.rdev() == 0 || kind.is_socket() {
            return Ok(());
        }
        match read_entry(self.writer, upper, &metadata)? {
            Entry::Leaf(leaf) => {
                dir.files.insert(name, leaf);
                if kind.is_file() && metadata.nlink() > 1 {
                    match self.links.get(&metadata.ino()) {
                        Some(first) => drop(self.extras.links.insert(path.to_owned(), first.clone())),
                        None => drop(self.links.insert(metadata.ino(), path.to_owned())),
                    }
                }
            }
            Entry::Node(node) => drop(self.extras.nodes.insert(path.to_owned(), node)),
            Entry::Directory(_) | Entry::Absent => {}
        }
        Ok(())
    }

    /// Drops what was known of a path and of everything below it.
    fn forget(&mut self, path: &str) {
        let below = |p: &str| p == path || p.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.extras.nodes.retain(|p, _| !below(p));
        self.extras.links.retain(|p, first| !below(p) && !below(first));
    }
}

fn is_opaque(path: &Path) -> Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::lgetxattr(path, OPAQUE, &mut value[..]) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn attributes_of(path: &Path, metadata: &Metadata) -> Result<Attributes> {
    let xattrs = if metadata.is_symlink() { Xattrs::new() } else { read_xattrs(path)? };
    Ok(Attributes { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode(), xattrs })
}

/// The extended attributes of a file that are part of it.
pub(super) fn read_xattrs(path: &Path) -> Result<Xattrs> {
    let list = |buffer: &mut [u8]| rustix::fs::llistxattr(path, buffer);
    xattrs(&list, &|name, buffer| rustix::fs::lgetxattr(path, name, buffer))
}

/// Those of an open file.
pub(super) fn read_open_xattrs(file: &OwnedFd) -> Result<Xattrs> {
    let list = |buffer: &mut [u8]| rustix::fs::flistxattr(file, buffer);
    xattrs(&list, &|name, buffer| rustix::fs::fgetxattr(file, name, buffer))
}

fn xattrs(
    list: &dyn Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: &dyn Fn(&str, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    let names = match read_whole(list) {
        Ok(names) => names,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(xattrs),
        Err(e) => return Err(e.into()),
    };
    for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = std::str::from_utf8(name).context("an extended attribute's name is not UTF-8")?;
        if is_kept_xattr(name) {
            let value = read_whole(|buffer| get(name, buffer))?;
            xattrs.insert(name.to_owned(), value);
        }
    }
    Ok(xattrs)
}

/// What a call fills a buffer with that is large enough: mostly a small one is, and none is larger than 64 KiB (xattr(7)).
fn read_whole(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(rustix::io::Errno::RANGE) => {
            let mut large = vec![0; 1 << 16];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(e) => Err(e),
    }
}
