//! What is at each path of a root while scripts run: the tree that it was, and what changed since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2};

use crate::digest::{Hasher, Sha256};
use crate::package::Asked;
use crate::sandbox::Need;
use crate::store::{
    self, Attributes, Directory, Entry, FileTime, Inode, Node, ObjectReader, ObjectWriter, Tree, split,
};

use super::agree;
use super::books::{Books, object};
use super::witness::Ground;

/// Folders that are empty when scripts begin, whatever the tree has there: the sandbox mounts something on them.
const MOUNTED: &[&str] = &["run", "tmp", "dev"];

/// The bits of a mode that tell the type, and those of a folder (stat(2)).
const TYPE: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;

/// The bit of a folder's mode that lets all pass (stat(2)).
const PASSABLE: u32 = 0o001;

/// A root in the making.
pub(super) struct State<'a> {
    base: &'a Directory,
    /// The devices and pipes of the tree.
    nodes: BTreeMap<String, Node>,
    writer: &'a ObjectWriter,
    reader: &'a ObjectReader,
    root: OwnedFd,
    /// What is at paths that changed; none where it has to be looked at.
    changed: HashMap<String, Option<Entry>>,
    /// The names of these by folder.
    names: HashMap<String, BTreeSet<String>>,
    /// What is known of the attributes of files, and their types as stat(2) has them.
    attributes: HashMap<Sha256, (Sha256, u32)>,
    /// Files that exist only while scripts run.
    temporary: HashSet<String>,
    /// The package database.
    books: Option<Books>,
}

impl<'a> State<'a> {
    /// The state of an open root in which nothing has run.
    pub fn new(ground: &Ground<'a>, root: OwnedFd) -> Self {
        let mut state = Self {
            base: ground.base,
            nodes: ground.nodes.clone(),
            writer: ground.writer,
            reader: ground.reader,
            root,
            changed: HashMap::new(),
            names: HashMap::new(),
            attributes: HashMap::new(),
            temporary: HashSet::new(),
            books: ground.ledger.map(Books::new),
        };
        for path in ground.temporary.iter().filter_map(|path| path.strip_prefix("/").ok()?.to_str()) {
            state.distrust(path);
            state.temporary.insert(path.to_owned());
        }
        state
    }

    /// The path may have changed.
    pub fn distrust(&mut self, path: &str) {
        self.note(path, None);
    }

    /// The path has this now.
    pub fn set(&mut self, path: &str, entry: Entry) {
        self.note(path, Some(entry));
    }

    fn note(&mut self, path: &str, entry: Option<Entry>) {
        let (folder, name) = split(path);
        if !self.names.get(folder).is_some_and(|names| names.contains(name)) {
            self.names.entry(folder.to_owned()).or_default().insert(name.to_owned());
        }
        self.changed.insert(path.to_owned(), entry);
    }

    /// What is at a path.
    pub fn entry(&mut self, path: &str) -> Result<Entry> {
        for (cut, _) in path.match_indices('/') {
            if self.changed.contains_key(&path[..cut]) && !matches!(self.settled(&path[..cut])?, Entry::Directory(_)) {
                return Ok(Entry::Absent);
            }
        }
        if self.changed.contains_key(path) { self.settled(path) } else { Ok(self.before(path)) }
    }

    /// What is at a path that changed.
    fn settled(&mut self, path: &str) -> Result<Entry> {
        if let Some(Some(entry)) = self.changed.get(path) {
            return Ok(entry.clone());
        }
        let entry = self.read(path)?.0;
        self.changed.insert(path.to_owned(), Some(entry.clone()));
        Ok(entry)
    }

    /// What was at a path.
    fn before(&self, path: &str) -> Entry {
        let (folder, name) = split(path);
        let directory = (!MOUNTED.contains(&top(path))).then(|| self.base.find(folder)).flatten();
        let directory = if MOUNTED.contains(&path) || path.is_empty() { Some(self.base) } else { directory };
        let Some(directory) = directory else { return Entry::Absent };
        if path.is_empty() {
            return Entry::Directory(directory.attributes.clone());
        }
        let node = || self.nodes.get(path).cloned().map(Entry::Node);
        let child = || directory.directories.get(name).map(|child| Entry::Directory(child.attributes.clone()));
        let leaf = directory.files.get(name).copied().map(Entry::Leaf);
        leaf.or_else(child).or_else(node).unwrap_or(Entry::Absent)
    }

    /// What is at a path in the root itself, and which file or link it is.
    pub fn read(&self, path: &str) -> Result<(Entry, Option<Inode>)> {
        match self.locate(path)? {
            Some((folder, name)) => {
                let place = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
                Entry::read(self.writer, &place).with_context(|| format!("cannot read /{path}"))
            }
            None => Ok((Entry::Absent, None)),
        }
    }

    /// Whether there is a folder at a path now.
    pub fn is_folder(&self, path: &str) -> Result<bool> {
        let Some((folder, name)) = self.locate(path)? else { return Ok(false) };
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// Puts something at a path; in the place of a folder only when nothing is in it, or `with_content`.
    pub fn put(&mut self, path: &str, entry: &Entry, with_content: bool) -> Result<()> {
        match self.locate(path)? {
            Some((folder, name)) => {
                let put = store::put(self.reader, entry, &folder, name, with_content);
                put.with_context(|| format!("cannot write /{path}"))?;
            }
            None if *entry == Entry::Absent => {}
            None => anyhow::bail!("cannot write /{path}: there is no such folder"),
        }
        self.set(path, entry.clone());
        Ok(())
    }

    /// Gives the file at a path, which has this content, a further name.
    pub fn link(&mut self, from: &str, path: &str) -> Result<()> {
        let (Some(first), Some((folder, name))) = (self.locate(from)?, self.locate(path)?) else {
            anyhow::bail!("cannot link /{path} to /{from}: there is no such folder");
        };
        let linked = store::link((&first.0, first.1), &folder, name);
        linked.with_context(|| format!("cannot link /{path} to /{from}"))?;
        let entry = self.entry(from)?;
        self.set(path, entry);
        Ok(())
    }

    /// Gives the file at a path, which is this, another name.
    pub fn rename(&mut self, from: &str, to: &str, entry: Entry) -> Result<()> {
        let (Some(old), Some(new)) = (self.locate(from)?, self.locate(to)?) else {
            anyhow::bail!("cannot rename /{from} to /{to}: there is no such folder");
        };
        rustix::fs::renameat(&old.0, old.1, &new.0, new.1)
            .with_context(|| format!("cannot rename /{from} to /{to}"))?;
        self.set(to, entry);
        self.set(from, Entry::Absent);
        Ok(())
    }

    /// When what is at a path says that it was modified.
    pub fn modified(&self, path: &str) -> Result<Option<FileTime>> {
        let Some((folder, name)) = self.locate(path)? else { return Ok(None) };
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((stat.st_mtime, stat.st_mtime_nsec.cast_signed()))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot look at /{path}")),
        }
    }

    /// Sets when what is at a path says that it was modified.
    pub fn set_modified(&self, path: &str, time: FileTime) -> Result<()> {
        let Some((folder, name)) = self.locate(path)? else { return Ok(()) };
        store::set_modified(&folder, name, time).with_context(|| format!("cannot set the time of /{path}"))
    }

    /// The folder of a path, open, and the name in it; none when that folder is not there. Whatever scripts made of the root,
    /// it is no other one.
    fn locate<'p>(&self, path: &'p str) -> Result<Option<(OwnedFd, &'p str)>> {
        let (folder, name) = split(path);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let folder = if folder.is_empty() { "." } else { folder };
        let name = if name.is_empty() { "." } else { name };
        match openat2(&self.root, folder, flags, Mode::empty(), resolve) {
            Ok(folder) => Ok(Some((folder, name))),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot open /{folder}")),
        }
    }

    /// What there is of a path that a script needs: equal where the script cannot tell the difference.
    pub fn identity(&mut self, path: &str, need: Need) -> Result<Sha256> {
        let entry = self.entry(path)?;
        let mut hasher = Hasher::default();
        match &entry {
            Entry::Absent => return Ok(nothing()),
            Entry::Directory(attributes) if need == Need::Passage && attributes.mode & PASSABLE != 0 => {
                return Ok(nothing());
            }
            Entry::Leaf(leaf) => {
                hasher.update(b"leaf");
                match need {
                    Need::Passage | Need::Kind => {}
                    Need::Attributes => hasher.update(self.attributes_of(*leaf)?.0.as_bytes()),
                    Need::Content | Need::Entries => hasher.update(leaf.as_bytes()),
                }
            }
            Entry::Directory(attributes) => {
                hasher.update(b"directory");
                if need > Need::Kind {
                    hasher.update(digest(attributes).as_bytes());
                }
                if need == Need::Entries {
                    for (name, kind) in self.entries(path)? {
                        hasher.update(name.as_bytes());
                        hasher.update(&[0]);
                        hasher.update(&kind.to_be_bytes());
                    }
                }
            }
            Entry::Node(node) => hasher.update(format!("node {node:?}").as_bytes()),
        }
        Ok(hasher.finish())
    }

    /// The digest of what the package database says to one who asks for this; of nothing where it is not there.
    pub fn said(&mut self, asked: &Asked) -> Result<Sha256> {
        let Some(ledger) = self.books.as_ref().map(|books| books.ledger) else { return Ok(nothing()) };
        let Some(file) = object(&self.entry(ledger.file)?) else { return Ok(nothing()) };
        let mut files = vec![file];
        let numbers = self.entries(ledger.corrections)?.into_keys();
        for name in numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            files.extend(object(&self.entry(&format!("{}/{name}", ledger.corrections))?));
        }
        self.books.as_mut().map_or(Ok(nothing()), |books| books.identity(&files, asked, self.reader))
    }

    fn attributes_of(&mut self, leaf: Sha256) -> Result<(Sha256, u32)> {
        if let Some(known) = self.attributes.get(&leaf) {
            return Ok(*known);
        }
        let attributes = self.reader.attributes(leaf)?;
        let found = (digest(&attributes), attributes.mode & TYPE);
        self.attributes.insert(leaf, found);
        Ok(found)
    }

    /// The names in a folder, and the type of each.
    fn entries(&mut self, path: &str) -> Result<BTreeMap<String, u32>> {
        let mut entries = BTreeMap::new();
        if !MOUNTED.contains(&top(path))
            && let Some(directory) = self.base.find(path)
        {
            for (name, leaf) in &directory.files {
                entries.insert(name.clone(), self.attributes_of(*leaf)?.1);
            }
            entries.extend(directory.directories.keys().map(|name| (name.clone(), FOLDER)));
            let nodes = self.nodes.iter().map(|(node, it)| (split(node), it.mode & TYPE));
            entries
                .extend(nodes.filter(|((folder, _), _)| *folder == path).map(|((_, name), of)| (name.to_owned(), of)));
        }
        for name in self.names.get(path).cloned().unwrap_or_default() {
            let child = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match self.settled(&child)? {
                Entry::Absent => drop(entries.remove(&name)),
                Entry::Directory(_) => drop(entries.insert(name, FOLDER)),
                Entry::Leaf(leaf) => drop(entries.insert(name, self.attributes_of(leaf)?.1)),
                Entry::Node(node) => drop(entries.insert(name, node.mode & TYPE)),
            }
        }
        Ok(entries)
    }

    /// The first path at which a tree that was made of the root is not what is known here.
    pub fn disagreement(&self, after: &Tree) -> Option<String> {
        let stays = |path: &str| !MOUNTED.contains(&top(path)) && !self.temporary.contains(path);
        agree::disagreement(&self.changed, &stays, self.base, &self.nodes, after)
    }
}

/// The first folder of a path.
fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// The identity of nothing.
pub(super) fn nothing() -> Sha256 {
    Sha256::from_bytes([0; 32])
}

fn digest(attributes: &Attributes) -> Sha256 {
    let Attributes { uid, gid, mode, xattrs } = attributes;
    Sha256::of(format!("{uid} {gid} {mode} {xattrs:?}").as_bytes())
}
