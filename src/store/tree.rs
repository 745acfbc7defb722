//! Directory trees in memory, and their objects (`dirtree`, `dirmeta`) in the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use glib::variant::Variant;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::gvariant;
use super::object::{self, Attributes, ObjectWriter};
use crate::digest::Sha256;

/// A whole root, with what ostree's directories cannot say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// The root directory.
    pub root: Directory,
    /// Devices, pipes and hard links.
    pub extras: Extras,
}

/// What a root holds besides files, links and directories. Paths are relative to the root.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Extras {
    /// Device nodes and pipes.
    pub nodes: BTreeMap<String, Node>,
    /// For each further name of a file with several names, the name that comes first in order.
    pub links: BTreeMap<String, String>,
}

/// A device node or named pipe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// File type and permission bits, as in stat(2).
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Major and minor device number.
    pub device: (u32, u32),
}

/// A directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Owner, mode (with its type bits) and attributes.
    pub attributes: Attributes,
    /// Files and symbolic links by name.
    pub files: BTreeMap<String, Leaf>,
    /// Directories by name.
    pub directories: BTreeMap<String, Directory>,
}

/// A file or symbolic link: its content object, which also knows its owner and mode.
pub type Leaf = Sha256;

impl Directory {
    /// An empty directory of root's with these permission bits.
    pub fn new(permissions: u32) -> Self {
        let attributes = Attributes { uid: 0, gid: 0, mode: 0o040_000 | permissions, xattrs: BTreeMap::new() };
        Self { attributes, files: BTreeMap::new(), directories: BTreeMap::new() }
    }

    /// The directory at a relative path, if there is one.
    pub fn find(&self, path: &str) -> Option<&Self> {
        path.split('/').filter(|p| !p.is_empty()).try_fold(self, |dir, name| dir.directories.get(name))
    }

    /// The directory at a relative path, if there is one.
    pub fn find_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('/').filter(|p| !p.is_empty()).try_fold(self, |dir, name| dir.directories.get_mut(name))
    }

    /// The file at a relative path, if there is one.
    pub fn file(&self, path: &str) -> Option<Leaf> {
        let (folder, name) = split(path);
        self.find(folder)?.files.get(name).copied()
    }

    /// Calls `visit` for every file with its path, in order of names.
    pub fn for_each_file(&self, visit: &mut impl FnMut(&str, Leaf)) {
        fn walk(dir: &Directory, path: &mut String, visit: &mut impl FnMut(&str, Leaf)) {
            let length = path.len();
            for (name, leaf) in &dir.files {
                path.push_str(name);
                visit(path, *leaf);
                path.truncate(length);
            }
            for (name, child) in &dir.directories {
                path.push_str(name);
                path.push('/');
                walk(child, path, visit);
                path.truncate(length);
            }
        }
        walk(self, &mut String::new(), visit);
    }
}

/// A tree in a repository, by its objects: what of it is needed is read when it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTree {
    /// The root directory's tree and meta objects.
    pub root: (Sha256, Sha256),
    /// Devices, pipes and hard links.
    pub extras: Extras,
}

/// What a directory object lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entries {
    /// Files and symbolic links by name.
    pub files: BTreeMap<String, Leaf>,
    /// The tree and meta objects of directories by name.
    pub directories: BTreeMap<String, (Sha256, Sha256)>,
}

/// A path's folder and last component.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes a directory and all below it; gives its tree and meta objects.
pub(super) fn write_directory(writer: &ObjectWriter, dir: &Directory) -> Result<(Sha256, Sha256)> {
    let children: Vec<(&String, (Sha256, Sha256))> = dir
        .directories
        .par_iter()
        .map(|(name, child)| Ok((name, write_directory(writer, child)?)))
        .collect::<Result<_>>()?;
    let tree = gvariant::dirtree(
        dir.files.iter().map(|(name, leaf)| (name.as_str(), leaf.as_bytes())),
        children.iter().map(|(name, (tree, meta))| (name.as_str(), tree.as_bytes(), meta.as_bytes())),
    );
    let Attributes { uid, gid, mode, xattrs } = &dir.attributes;
    let meta = gvariant::dirmeta(*uid, *gid, *mode, xattrs);
    Ok((writer.write_metadata(&tree, "dirtree")?, writer.write_metadata(&meta, "dirmeta")?))
}

/// Reads a directory and all below it.
pub(super) fn read_directory(objects: &Path, tree: Sha256, meta: Sha256) -> Result<Directory> {
    let Entries { files, directories } = read_tree_object(objects, tree)?;
    Ok(Directory {
        attributes: read_meta_object(objects, meta)?,
        files,
        directories: directories
            .into_par_iter()
            .map(|(name, (tree, meta))| Ok((name, read_directory(objects, tree, meta)?)))
            .collect::<Result<_>>()?,
    })
}

pub(super) fn read_tree_object(objects: &Path, checksum: Sha256) -> Result<Entries> {
    let entries = read_object(objects, checksum, "dirtree", gvariant::read_dirtree)?;
    for name in entries.files.keys().chain(entries.directories.keys()) {
        if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
            bail!("the directory object {checksum} is damaged: `{name}` is no file name");
        }
    }
    Ok(entries)
}

pub(super) fn read_meta_object(objects: &Path, checksum: Sha256) -> Result<Attributes> {
    read_object(objects, checksum, "dirmeta", gvariant::read_dirmeta)
}

fn read_object<T>(objects: &Path, checksum: Sha256, kind: &str, read: fn(&[u8]) -> Result<T>) -> Result<T> {
    let path = object::path(objects, checksum, kind);
    let bytes = fs::read(&path).with_context(|| format!("cannot read the object {}", path.display()))?;
    let damaged = || format!("the object {} is damaged", path.display());
    if Sha256::of(&bytes) != checksum {
        bail!(damaged());
    }
    read(&bytes).with_context(damaged)
}

/// A checksum held as `ay`.
pub(super) fn checksum_of(variant: &Variant) -> Result<Sha256> {
    let bytes: &[u8] = variant.fixed_array().ok().context("expected a checksum")?;
    Ok(Sha256::from_bytes(bytes.try_into().context("expected a checksum of 32 bytes")?))
}

/// The object of a file below a directory object.
pub(super) fn find_file(objects: &Path, root: Sha256, path: &str) -> Result<Option<Sha256>> {
    let (folder, name) = split(path);
    let mut tree = root;
    for part in folder.split('/').filter(|p| !p.is_empty()) {
        match read_tree_object(objects, tree)?.directories.get(part) {
            Some((child, _)) => tree = *child,
            None => return Ok(None),
        }
    }
    Ok(read_tree_object(objects, tree)?.files.get(name).copied())
}

/// The key of [`Extras`] in a commit's metadata.
const EXTRAS: &str = "extras";

impl Tree {
    /// The part of a commit's metadata that belongs to the tree.
    pub fn metadata(&self) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::from([(EXTRAS.to_owned(), serde_json::to_string(&self.extras)?)]))
    }
}

pub(super) fn extras_from(facts: &BTreeMap<String, String>) -> Result<Extras> {
    match facts.get(EXTRAS) {
        Some(text) => serde_json::from_str(text).context("the tree's list of devices and links is damaged"),
        None => Ok(Extras::default()),
    }
}
