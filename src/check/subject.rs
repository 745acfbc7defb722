//! What checks look at: a tree, in the words of paths in a root that runs.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::Shipped;
use crate::arch::Architecture;
use crate::manifest::Manifest;
use crate::store::{Directory, Leaf, ObjectReader, Tree, split};

/// How many links a path may lead over, as for Linux.
const MOST_LINKS: usize = 40;

/// A tree and what it was made of.
pub struct Subject<'a> {
    /// Reads the tree's objects.
    pub reader: &'a ObjectReader,
    /// The tree.
    pub tree: &'a Tree,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// What it is for.
    pub architecture: &'a Architecture,
    /// What its packages ship.
    pub shipped: Shipped<'a>,
    files: Vec<RegularFile>,
}

/// A regular file of the tree.
pub(super) struct RegularFile {
    pub(super) path: String,
    pub(super) object: Leaf,
    pub(super) metadata: Metadata,
}

impl<'a> Subject<'a> {
    /// Looks at all objects of a tree.
    pub(super) fn new(
        reader: &'a ObjectReader,
        tree: &'a Tree,
        manifest: &'a Manifest,
        architecture: &'a Architecture,
        shipped: Shipped<'a>,
    ) -> Result<Self> {
        let mut objects = Vec::new();
        tree.root.for_each_file(&mut |path, object| objects.push((path.to_owned(), object)));
        let look = |(path, object): (String, Leaf)| match reader.metadata(object) {
            Ok(metadata) => metadata.is_file().then_some(Ok(RegularFile { path, object, metadata })),
            Err(e) => Some(Err(e).with_context(|| format!("cannot read /{path}"))),
        };
        let files = objects.into_par_iter().filter_map(look).collect::<Result<_>>()?;
        Ok(Self { reader, tree, manifest, architecture, shipped, files })
    }

    /// All regular files, in order of names.
    pub(super) fn files(&self) -> &[RegularFile] {
        &self.files
    }

    /// The path without links on the way, and at its end unless `keep_last`; as far as there is something.
    pub fn follow(&self, path: &str, keep_last: bool) -> Option<String> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut done, mut links) = (Vec::<String>::new(), 0);
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let folder = self.tree.root.find(&done.join("/"))?;
            let target = folder.files.get(&name).and_then(|leaf| fs::read_link(self.reader.path(*leaf)).ok());
            match target.filter(|_| !(keep_last && rest.is_empty())) {
                Some(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    let target = target.to_str()?;
                    if target.starts_with('/') {
                        done.clear();
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                None => done.push(name),
            }
        }
        Some(done.join("/"))
    }

    /// The directory that a path leads to.
    pub fn directory(&self, path: &str) -> Option<&Directory> {
        self.tree.root.find(&self.follow(path, false)?)
    }

    /// Type, mode and size of the regular file that a path leads to.
    pub fn file(&self, path: &str) -> Option<Metadata> {
        let leaf = self.tree.root.file(&self.follow(path, false)?)?;
        fs::symlink_metadata(self.reader.path(leaf)).ok().filter(Metadata::is_file)
    }

    /// The text of the regular file that a path leads to.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        let Some(leaf) = self.follow(path, false).and_then(|path| self.tree.root.file(&path)) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&self.reader.read(leaf)?).into_owned()))
    }

    /// Whether a file has capabilities of its own (`security.capability`).
    pub(super) fn has_capabilities(&self, file: &RegularFile) -> Result<bool> {
        self.reader.has_xattr(file.object, "security.capability")
    }

    /// Whether something is at a path, be it a link that leads nowhere.
    pub fn exists(&self, path: &str) -> bool {
        self.follow(path, true).is_some_and(|path| {
            let (folder, name) = split(&path);
            let there = |dir: &Directory| dir.files.contains_key(name) || dir.directories.contains_key(name);
            self.tree.root.find(folder).is_some_and(there) || self.tree.extras.nodes.contains_key(&path)
        })
    }

    /// Whether a unit of systemd's is masked.
    pub fn is_masked(&self, unit: &str) -> bool {
        let path = format!("etc/systemd/system/{unit}");
        self.tree.root.file(&path).is_some_and(|leaf| {
            let object = self.reader.path(leaf);
            fs::read_link(&object).is_ok_and(|target| target.as_os_str() == "/dev/null")
                || fs::symlink_metadata(&object).is_ok_and(|m| m.is_file() && m.size() == 0)
        })
    }
}
