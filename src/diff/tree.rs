//! Two trees to the paths in which they differ. What has the same checksum is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};

use super::bytes;
use crate::digest::Sha256;
use crate::store::{Attributes, Entries, Extras, Leaf, Node, ObjectReader, StoredTree, Xattrs, split};

/// The bits of a mode that tell what a path is, inode(7).
const TYPE: u32 = 0o170_000;
/// Those of a regular file.
const FILE: u32 = 0o100_000;

/// A tree and where its objects are.
#[derive(Clone, Debug)]
pub struct Side {
    /// Reads its objects.
    pub reader: ObjectReader,
    /// The tree.
    pub tree: StoredTree,
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Owner, type and mode, and extended attributes.
    pub attributes: Attributes,
    /// What it holds.
    pub content: Content,
    /// The path that this is only a further name of.
    pub link: Option<String>,
    /// The object of a file or symbolic link.
    pub leaf: Option<Leaf>,
}

/// What a path holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Other paths.
    Directory,
    /// Bytes: the object that has them, and how many.
    File(Sha256, u64),
    /// A symbolic link's target.
    Target(String),
    /// A device's major and minor number; 0 and 0 for a pipe.
    Device(u32, u32),
}

/// A path that is not the same in both trees. At least one of them has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The path, relative to the root; empty for the root itself.
    pub path: String,
    /// What the first tree has there.
    pub first: Option<Entry>,
    /// What the second has.
    pub second: Option<Entry>,
    /// In what they differ; empty when only one has the path.
    pub aspects: BTreeSet<Aspect>,
}

/// Something in which two entries can differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aspect {
    /// Directory, file, symbolic link, device or pipe.
    Type,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Extended attributes.
    Xattrs,
    /// A symbolic link's target.
    Target,
    /// Device numbers.
    Device,
    /// Which path it is a further name of.
    Link,
    /// A file's bytes.
    Content,
}

impl Entry {
    /// The bits of its mode that tell its type, inode(7).
    pub fn file_type(&self) -> u32 {
        self.attributes.mode & TYPE
    }

    /// Permission bits.
    pub fn permissions(&self) -> u32 {
        self.attributes.mode & !TYPE
    }
}

/// The paths in which two trees differ, sorted.
pub fn compare(first: &Side, second: &Side) -> Result<Vec<Difference>> {
    let mut walk = Walk { sides: [first, second], found: BTreeMap::new() };
    walk.directory("", [first.tree.root, second.tree.root])?;
    walk.nodes();
    walk.links()?;
    let different = walk.found.into_iter().map(|(path, [one, other])| {
        let aspects = match (&one, &other) {
            (Some(a), Some(b)) => aspects(a, b, [&first.reader, &second.reader])
                .with_context(|| format!("cannot compare the content of /{path}"))?,
            _ => BTreeSet::new(),
        };
        Ok(Difference { path, first: one, second: other, aspects })
    });
    different.collect()
}

struct Walk<'a> {
    sides: [&'a Side; 2],
    found: BTreeMap<String, [Option<Entry>; 2]>,
}

impl Walk<'_> {
    /// Compares two directories, given by their tree and meta objects.
    fn directory(&mut self, path: &str, objects: [(Sha256, Sha256); 2]) -> Result<()> {
        let [(first, first_meta), (second, second_meta)] = objects;
        if first_meta != second_meta {
            self.put_directory(0, path, first_meta)?;
            self.put_directory(1, path, second_meta)?;
        }
        if first == second {
            return Ok(());
        }
        let [one, other] = [self.sides[0].reader.entries(first)?, self.sides[1].reader.entries(second)?];
        for name in names(&one.files, &other.files) {
            let leaves = [one.files.get(name), other.files.get(name)];
            if leaves[0] != leaves[1] {
                for (side, leaf) in leaves.into_iter().enumerate() {
                    leaf.map_or(Ok(()), |leaf| self.put_leaf(side, &join(path, name), *leaf))?;
                }
            }
        }
        for name in names(&one.directories, &other.directories) {
            let child = join(path, name);
            match (one.directories.get(name), other.directories.get(name)) {
                (Some(a), Some(b)) => self.directory(&child, [*a, *b])?,
                (Some(a), None) => self.put_all(0, &child, *a)?,
                (None, Some(b)) => self.put_all(1, &child, *b)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Notes a directory of one side with all that is in it.
    fn put_all(&mut self, side: usize, path: &str, (tree, meta): (Sha256, Sha256)) -> Result<()> {
        self.put_directory(side, path, meta)?;
        let entries = self.sides[side].reader.entries(tree)?;
        for (name, leaf) in entries.files {
            self.put_leaf(side, &join(path, &name), leaf)?;
        }
        entries.directories.into_iter().try_for_each(|(name, child)| self.put_all(side, &join(path, &name), child))
    }

    fn put_directory(&mut self, side: usize, path: &str, meta: Sha256) -> Result<()> {
        let attributes = self.sides[side].reader.directory_attributes(meta)?;
        self.put(side, path, Entry { attributes, content: Content::Directory, link: None, leaf: None });
        Ok(())
    }

    fn put_leaf(&mut self, side: usize, path: &str, leaf: Leaf) -> Result<()> {
        let Side { reader, tree } = self.sides[side];
        let object = reader.path(leaf);
        let attributes = reader.attributes(leaf)?;
        let content = if attributes.mode & TYPE == 0o120_000 {
            let target = fs::read_link(&object).with_context(|| format!("cannot read {}", object.display()))?;
            Content::Target(target.to_string_lossy().into_owned())
        } else {
            let metadata = fs::metadata(&object).with_context(|| format!("cannot read {}", object.display()))?;
            Content::File(leaf, metadata.len())
        };
        let link = tree.extras.links.get(path).cloned();
        self.put(side, path, Entry { attributes, content, link, leaf: Some(leaf) });
        Ok(())
    }

    fn put(&mut self, side: usize, path: &str, entry: Entry) {
        self.found.entry(path.to_owned()).or_default()[side] = Some(entry);
    }

    fn extras(&self) -> [&Extras; 2] {
        let [first, second] = self.sides;
        [&first.tree.extras, &second.tree.extras]
    }

    fn nodes(&mut self) {
        let [first, second] = self.extras().map(|extras| &extras.nodes);
        let different: Vec<(String, [Option<Node>; 2])> = names(first, second)
            .into_iter()
            .map(|path| (path.clone(), [first.get(path).cloned(), second.get(path).cloned()]))
            .filter(|(_, [first, second])| first != second)
            .collect();
        for (path, nodes) in different {
            for (side, node) in nodes.into_iter().enumerate() {
                if let Some(Node { mode, uid, gid, device: (major, minor) }) = node {
                    let attributes = Attributes { uid, gid, mode, xattrs: Xattrs::new() };
                    let content = Content::Device(major, minor);
                    self.put(side, &path, Entry { attributes, content, link: None, leaf: None });
                }
            }
        }
    }

    /// Files that are the same but for which names they have in common with others.
    fn links(&mut self) -> Result<()> {
        let [first, second] = self.extras().map(|extras| &extras.links);
        let different: Vec<String> =
            names(first, second).into_iter().filter(|path| first.get(*path) != second.get(*path)).cloned().collect();
        for path in different.into_iter().filter(|path| !self.found.contains_key(path)).collect::<Vec<_>>() {
            for side in 0..2 {
                if let Some(leaf) = find_leaf(self.sides[side], &path)? {
                    self.put_leaf(side, &path, leaf)?;
                }
            }
        }
        Ok(())
    }
}

/// The file or symbolic link at a path of a tree, if there is one.
pub fn find_leaf(side: &Side, path: &str) -> Result<Option<Leaf>> {
    let (folder, name) = split(path);
    Ok(directory(side, folder)?.and_then(|entries| entries.files.get(name).copied()))
}

/// What is in the directory at a path of a tree, if there is one.
pub fn directory(side: &Side, path: &str) -> Result<Option<Entries>> {
    let mut entries = side.reader.entries(side.tree.root.0)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let Some((tree, _)) = entries.directories.get(part) else { return Ok(None) };
        entries = side.reader.entries(*tree)?;
    }
    Ok(Some(entries))
}

/// The content of the regular file at a path of a tree, if there is one.
pub fn read_file(side: &Side, path: &str) -> Result<Option<Vec<u8>>> {
    let leaf = find_leaf(side, path)?.map(|leaf| anyhow::Ok((leaf, side.reader.attributes(leaf)?))).transpose()?;
    match leaf {
        Some((leaf, attributes)) if attributes.mode & TYPE == FILE => side.reader.read(leaf).map(Some),
        None | Some(_) => Ok(None),
    }
}

fn names<'a, A, B>(first: &'a BTreeMap<String, A>, second: &'a BTreeMap<String, B>) -> BTreeSet<&'a String> {
    first.keys().chain(second.keys()).collect()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn aspects(first: &Entry, second: &Entry, readers: [&ObjectReader; 2]) -> Result<BTreeSet<Aspect>> {
    let (a, b) = (&first.attributes, &second.attributes);
    let mut different = vec![
        (first.file_type() != second.file_type(), Aspect::Type),
        (first.permissions() != second.permissions(), Aspect::Mode),
        ((a.uid, a.gid) != (b.uid, b.gid), Aspect::Owner),
        (a.xattrs != b.xattrs, Aspect::Xattrs),
        (first.link != second.link, Aspect::Link),
    ];
    match (&first.content, &second.content) {
        (Content::File(one, size), Content::File(other, other_size)) if one != other => {
            // The same attributes with another checksum: then it is the content.
            let content = a == b
                || size != other_size
                || bytes::first_difference(&readers[0].path(*one), &readers[1].path(*other))?.is_some();
            different.push((content, Aspect::Content));
        }
        (Content::Target(one), Content::Target(other)) => different.push((one != other, Aspect::Target)),
        (Content::Device(..), Content::Device(..)) => {
            different.push((first.content != second.content, Aspect::Device));
        }
        _ => {}
    }
    Ok(different.into_iter().filter(|(differs, _)| *differs).map(|(_, aspect)| aspect).collect())
}
