//! What checks look at: a tree, in the words of paths in a root that runs.

use anyhow::Result;

use super::Shipped;
use crate::arch::Architecture;
use crate::manifest::Manifest;
use crate::store::{Directory, Leaf, Object, ObjectReader, Objects, Tree, split};

/// How many links a path may lead over, as for Linux.
const MOST_LINKS: usize = 40;

/// A tree and what it was made of.
pub struct Subject<'a> {
    /// Reads the tree's objects.
    pub reader: &'a ObjectReader,
    /// The tree.
    pub tree: &'a Tree,
    /// Its objects.
    pub objects: &'a Objects,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// What it is for.
    pub architecture: &'a Architecture,
    /// What its packages ship.
    pub shipped: Shipped<'a>,
    files: Vec<RegularFile<'a>>,
}

/// A regular file of the tree.
pub(super) struct RegularFile<'a> {
    pub(super) path: String,
    pub(super) leaf: Leaf,
    pub(super) object: &'a Object,
}

impl<'a> Subject<'a> {
    /// Finds the regular files of a tree.
    pub(super) fn new(
        reader: &'a ObjectReader,
        (tree, objects): (&'a Tree, &'a Objects),
        manifest: &'a Manifest,
        architecture: &'a Architecture,
        shipped: Shipped<'a>,
    ) -> Result<Self> {
        let (mut files, mut unknown) = (Vec::new(), None);
        tree.root.for_each_file(&mut |path, leaf| match objects.get(leaf) {
            Ok(object) if object.target.is_none() => files.push(RegularFile { path: path.to_owned(), leaf, object }),
            Ok(_) => {}
            Err(error) => unknown = Some(error),
        });
        match unknown {
            Some(error) => Err(error),
            None => Ok(Self { reader, tree, objects, manifest, architecture, shipped, files }),
        }
    }

    /// All regular files, in order of names.
    pub(super) fn files(&self) -> &[RegularFile<'a>] {
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
            let target = folder.files.get(&name).and_then(|leaf| self.target(*leaf));
            match target.filter(|_| !(keep_last && rest.is_empty())) {
                Some(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    let target = std::str::from_utf8(target).ok()?;
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

    /// Where a link leads to.
    fn target(&self, leaf: Leaf) -> Option<&'a [u8]> {
        self.objects.get(leaf).ok()?.target.as_deref()
    }

    /// The directory that a path leads to.
    pub fn directory(&self, path: &str) -> Option<&Directory> {
        self.tree.root.find(&self.follow(path, false)?)
    }

    /// The regular file that a path leads to.
    pub fn file(&self, path: &str) -> Option<&'a Object> {
        let leaf = self.tree.root.file(&self.follow(path, false)?)?;
        self.objects.get(leaf).ok().filter(|object| object.target.is_none())
    }

    /// The text of the regular file that a path leads to.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        let Some(leaf) = self.follow(path, false).and_then(|path| self.tree.root.file(&path)) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&self.reader.read(leaf)?).into_owned()))
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
        let object = self.tree.root.file(&path).and_then(|leaf| self.objects.get(leaf).ok());
        object.is_some_and(|object| object.target.as_ref().map_or(object.size == 0, |target| target == b"/dev/null"))
    }
}
