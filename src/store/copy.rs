//! Trees as folders of their own, to be changed at will: every file is a copy.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};

use super::checkout::{copy_file, set_directory_attributes};
use super::tree::{Directory, Node, Tree, split};
use super::{ObjectReader, Store, object};

/// Copies a tree to `target`, which must not exist, with owners, modes, attributes and hard links; all times are 0. Gives the
/// paths of the devices that were left out: no unprivileged user can make them.
pub fn copy_out(store: &Store, tree: &Tree, target: &Path) -> Result<Vec<String>> {
    tree.check()?;
    let copy = Copy { reader: store.reader(), tree };
    let make = || -> Result<Vec<String>> {
        copy.directory(&tree.root, "", target)?;
        for (name, first) in &tree.extras.links {
            std::fs::hard_link(target.join(first), target.join(name))
                .with_context(|| format!("cannot link /{name} to /{first}"))?;
        }
        let mut left_out = Vec::new();
        for (path, node) in &tree.extras.nodes {
            if !make_node(node, &target.join(path)).with_context(|| format!("cannot make /{path}"))? {
                left_out.push(path.clone());
            }
        }
        set_attributes(&tree.root, target)?;
        Ok(left_out)
    };
    make().with_context(|| format!("cannot copy a tree to {}", target.display()))
}

struct Copy<'a> {
    reader: ObjectReader,
    tree: &'a Tree,
}

impl Copy<'_> {
    fn directory(&self, dir: &Directory, path: &str, target: &Path) -> Result<()> {
        rustix::fs::mkdirat(CWD, target, Mode::from_raw_mode(0o700))?;
        dir.files.par_iter().try_for_each(|(name, leaf)| {
            if self.tree.extras.links.contains_key(&format!("{path}{name}")) {
                return Ok(());
            }
            copy_file(&self.reader.path(*leaf), &target.join(name))
                .with_context(|| format!("cannot write /{path}{name}"))
        })?;
        let children = dir.directories.par_iter();
        children.try_for_each(|(name, child)| self.directory(child, &format!("{path}{name}/"), &target.join(name)))
    }
}

/// Makes a device or pipe; tells whether that is allowed here.
fn make_node(node: &Node, target: &Path) -> Result<bool> {
    let Node { mode, uid, gid, device: (major, minor) } = *node;
    let device = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(CWD, target, FileType::from_raw_mode(mode), Mode::from_raw_mode(0o600), device) {
        Err(rustix::io::Errno::PERM) => return Ok(false),
        made => made?,
    }
    rustix::fs::chownat(CWD, target, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::chmod(target, Mode::from_raw_mode(mode & 0o7777))?;
    let epoch = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: epoch, last_modification: epoch };
    rustix::fs::utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(true)
}

/// Of each directory once all is in it.
fn set_attributes(dir: &Directory, target: &Path) -> Result<()> {
    dir.directories.par_iter().try_for_each(|(name, child)| set_attributes(child, &target.join(name)))?;
    set_directory_attributes(target, &dir.attributes)
}

impl Tree {
    /// That its devices, pipes and hard links stand where its directories have room for them. Trees of other stores could
    /// say anything.
    pub fn check(&self) -> Result<()> {
        for (path, node) in &self.extras.nodes {
            let (folder, name) = split(path);
            let parent = self.root.find(folder).filter(|_| is_plain(path));
            let free = parent.is_some_and(|dir| !dir.files.contains_key(name) && !dir.directories.contains_key(name));
            ensure!(free, "the device `{}` has no place in the tree", path.escape_debug());
            let kind = FileType::from_raw_mode(node.mode);
            let known = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo);
            ensure!(known, "the device /{path} is of no known type (mode {:o})", node.mode);
        }
        for (name, first) in &self.extras.links {
            let leaf = |path: &str| self.root.file(path).filter(|_| is_plain(path));
            let sound = leaf(name).is_some() && leaf(name) == leaf(first) && !self.extras.links.contains_key(first);
            ensure!(sound, "the hard link `{}` is no further name of a file", name.escape_debug());
        }
        Ok(())
    }
}

/// Whether a path has components only that are names.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl Store {
    /// The number of files, links, devices and directories of a tree, and the bytes of its files, each name of a file
    /// counted once for all that it has.
    pub fn size_of(&self, tree: &Tree) -> Result<(usize, u64)> {
        fn entries(dir: &Directory) -> usize {
            dir.files.len() + dir.directories.values().map(|child| 1 + entries(child)).sum::<usize>()
        }
        let mut leaves = Vec::new();
        tree.root.for_each_file(&mut |path, leaf| {
            if !tree.extras.links.contains_key(path) {
                leaves.push(leaf);
            }
        });
        let objects = &self.objects;
        let size = |leaf| {
            let path = object::path(objects, leaf, "file");
            let metadata = std::fs::symlink_metadata(&path);
            let metadata = metadata.with_context(|| format!("cannot read the object {}", path.display()))?;
            Ok(if metadata.is_file() { metadata.len() } else { 0 })
        };
        let bytes: Vec<u64> = leaves.into_par_iter().map(size).collect::<Result<_>>()?;
        Ok((entries(&tree.root) + tree.extras.nodes.len(), bytes.into_iter().sum()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Extras, Leaf};
    use super::*;

    fn leaf(text: &str) -> Leaf {
        Leaf::of(text.as_bytes())
    }

    /// A tree with the folder `d`, in which `a` and `b` are the same and `c` is another file.
    fn tree() -> Tree {
        let mut root = Directory::new(0o755);
        let mut d = Directory::new(0o755);
        d.files =
            [("a", "same"), ("b", "same"), ("c", "other")].map(|(name, text)| (name.to_owned(), leaf(text))).into();
        root.directories.insert("d".to_owned(), d);
        Tree { root, extras: Extras::default() }
    }

    #[test]
    fn devices_stand_in_folders_of_the_tree() {
        let node = |mode| Node { mode, uid: 0, gid: 0, device: (1, 3) };
        let check = |path: &str, mode| {
            let nodes = BTreeMap::from([(path.to_owned(), node(mode))]);
            Tree { extras: Extras { nodes, links: BTreeMap::new() }, ..tree() }.check()
        };
        for good in ["n", "d/n"] {
            check(good, 0o020_666).unwrap();
        }
        for bad in ["", "d", "d/a", "../n", "d/..", "d/../n", "/n", "d//n", "e/n", "d/a/n", "d/."] {
            assert!(check(bad, 0o020_666).is_err(), "{bad}");
        }
        for mode in [0o100_644, 0o040_755, 0o140_755, 0o120_777, 0o644] {
            assert!(check("n", mode).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn hard_links_are_of_one_file() {
        let check = |links: &[(&str, &str)]| {
            let links = links.iter().map(|(name, first)| ((*name).to_owned(), (*first).to_owned())).collect();
            Tree { extras: Extras { nodes: BTreeMap::new(), links }, ..tree() }.check()
        };
        check(&[("d/b", "d/a")]).unwrap();
        let bad = [
            ("d/c", "d/a"),
            ("d/x", "d/a"),
            ("d/b", "d/x"),
            ("d/b", "d/b"),
            ("d/b", "d//a"),
            ("d/b", "../etc/passwd"),
            ("d", "d"),
        ];
        for link in bad {
            assert!(check(&[link]).is_err(), "{link:?}");
        }
        assert!(check(&[("d/b", "d/a"), ("d/a", "d/b")]).is_err());
    }
}
