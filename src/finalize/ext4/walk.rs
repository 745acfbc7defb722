//! The order in which the entries of a tree get inodes: those of a directory side by side, then those of the directories in it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};

use super::directory::Name;
use crate::store::{Attributes, Directory, Extras, Leaf, Node, Tree, Xattrs};

/// The name of the directory into which e2fsck(8) puts what it finds.
pub(super) const FOUND_NAME: &str = "lost+found";
/// It, where the tree has none.
static EMPTY: Directory = Directory {
    attributes: Attributes { uid: 0, gid: 0, mode: 0o040_700, xattrs: Xattrs::new() },
    files: BTreeMap::new(),
    directories: BTreeMap::new(),
};

/// What is behind a name.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Directory(&'a Directory),
    Leaf(Leaf),
    Node(&'a Node),
}

/// An inode to be.
pub(super) struct Place<'a> {
    /// The directory in which it was found first, and its name there.
    pub(super) parent: usize,
    pub(super) name: &'a str,
    pub(super) links: u32,
    pub(super) found: Found<'a>,
}

/// All inodes to be of a tree.
pub(super) struct Walk<'a> {
    /// The root, `lost+found`, and others in the order of their inodes.
    pub(super) places: Vec<Place<'a>>,
    /// The names that each has, where it is a directory.
    pub(super) names: Vec<Vec<Name<'a>>>,
    /// The place of each file with several names, by the name that stands for them all, once it has one.
    groups: HashMap<&'a str, Option<usize>>,
}

impl<'a> Walk<'a> {
    /// Walks a tree.
    pub(super) fn over(tree: &'a Tree) -> Result<Self> {
        if tree.root.files.contains_key(FOUND_NAME) || tree.extras.nodes.contains_key(FOUND_NAME) {
            bail!("/{FOUND_NAME} must be a directory, since e2fsck(8) puts into it what it finds");
        }
        let groups = tree.extras.links.values().map(|name| (name.as_str(), None)).collect();
        let mut walk = Self { places: Vec::new(), names: Vec::new(), groups };
        walk.add(0, "", Found::Directory(&tree.root));
        let found = tree.root.directories.get(FOUND_NAME).unwrap_or(&EMPTY);
        walk.add(0, FOUND_NAME, Found::Directory(found));
        // Not by recursion: how deep a tree is goes by the packages.
        let mut waiting = vec![(0, String::new(), &tree.root)];
        while let Some((index, path, dir)) = waiting.pop() {
            let below = walk.enter(index, &path, dir, &tree.extras)?;
            waiting.extend(below.into_iter().rev());
        }
        Ok(walk)
    }

    fn add(&mut self, parent: usize, name: &'a str, found: Found<'a>) -> usize {
        // A directory has its own `.`, and its name above.
        let links = if matches!(found, Found::Directory(_)) { 2 } else { 0 };
        self.places.push(Place { parent, name, links, found });
        self.names.push(Vec::new());
        self.places.len() - 1
    }

    /// Gives all entries of a directory their places; gives the directories among them.
    fn enter(
        &mut self,
        index: usize,
        path: &str,
        dir: &'a Directory,
        extras: &'a Extras,
    ) -> Result<Vec<(usize, String, &'a Directory)>> {
        let mut entries: BTreeMap<&'a str, Found<'a>> = BTreeMap::new();
        entries.extend(dir.files.iter().map(|(name, leaf)| (name.as_str(), Found::Leaf(*leaf))));
        entries.extend(dir.directories.iter().map(|(name, child)| (name.as_str(), Found::Directory(child))));
        for (node_path, node) in extras.nodes.range(path.to_owned()..) {
            let Some(name) = node_path.strip_prefix(path) else { break };
            if !name.contains('/') {
                entries.insert(name, Found::Node(node));
            }
        }
        if index == 0 {
            entries.entry(FOUND_NAME).or_insert(Found::Directory(&EMPTY));
        }
        let mut below = Vec::new();
        for (name, found) in entries {
            if name.is_empty() || name.len() > 255 {
                bail!("/{path}{name} cannot be in an ext4 file system: its name has {} bytes", name.len());
            }
            let item = match found {
                Found::Directory(_) if index == 0 && name == FOUND_NAME => 1,
                Found::Leaf(_) if !self.groups.is_empty() => self.one_of_several(index, name, found, path, extras),
                _ => self.add(index, name, found),
            };
            match found {
                Found::Directory(child) => {
                    self.places[index].links += 1;
                    below.push((item, format!("{path}{name}/"), child));
                }
                _ => self.places[item].links += 1,
            }
            self.names[index].push(Name { text: name, item, kind: 0 });
        }
        Ok(below)
    }

    /// The place of a name of a file that may have others.
    fn one_of_several(
        &mut self,
        parent: usize,
        name: &'a str,
        found: Found<'a>,
        path: &str,
        extras: &'a Extras,
    ) -> usize {
        let path = format!("{path}{name}");
        let group = extras.links.get(&path).map_or(path.as_str(), String::as_str);
        if let Some(Some(item)) = self.groups.get(group) {
            return *item;
        }
        let item = self.add(parent, name, found);
        if let Some(of_group) = self.groups.get_mut(group) {
            *of_group = Some(item);
        }
        item
    }
}
