//! Many package trees into one, by directory entries alone: no content is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;

use anyhow::{Result, bail};

use super::origins;
use super::owners::Owners;
use crate::digest::Sha256;
use crate::package::{DatabaseContent, Diversion, Installation, MemberKind, Part, Record, Round, Sharing};
use crate::store::{Attributes, Content, Directory, Node, ObjectReader, ObjectWriter, Store, Tree, split};

/// The most links that a path may lead through, as in `path_resolution(7)`.
const MAX_LINKS: usize = 40;

/// Packages in one tree.
#[derive(Debug)]
pub struct Merged {
    /// The tree.
    pub tree: Tree,
    /// Which package, by its index among those merged, each path of theirs is from; a directory's is the one whose mode it has.
    pub owners: HashMap<String, usize>,
}

/// Root's regular file with these permission bits.
pub fn root_file(permissions: u32) -> Attributes {
    Attributes { uid: 0, gid: 0, mode: 0o100_000 | permissions, xattrs: BTreeMap::new() }
}

/// The directory at a path without links, made with mode 0755 where it is missing.
pub fn make_directory<'a>(root: &'a mut Directory, path: &str) -> &'a mut Directory {
    path.split('/')
        .filter(|p| !p.is_empty())
        .fold(root, |dir, name| dir.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755)))
}

/// What of a root is neither as packages ship it nor made by scripts.
#[derive(Debug, Default)]
pub struct Books {
    /// The files of the package database, and links that there are before packages.
    pub paths: BTreeSet<String>,
    /// Members that were given to the users and groups that they name: by path the package, and the value that records of
    /// origins have for it.
    pub owned: BTreeMap<String, (usize, Sha256)>,
}

/// A root in the making: packages are merged into it round by round, and between rounds scripts change it.
///
/// How packages share paths is for their format to say: a file in two packages needs a rule that allows it.
/// Links are followed within the root only, so no member can land outside.
pub struct Merger<'a> {
    /// The root so far.
    pub tree: Tree,
    installation: &'a dyn Installation,
    reader: ObjectReader,
    writer: &'a ObjectWriter,
    sharing: Sharing,
    /// Users and groups by name.
    names: Owners,
    /// Who put the file, link or node at a path, or a directory there.
    owners: HashMap<String, usize>,
    /// Directories that this round made for what is below them, and no package has listed yet.
    implied: HashSet<String>,
    /// Paths each package lost to another.
    lost: Vec<BTreeSet<String>>,
    /// Links at the top of the root that came before what is below them.
    aliases: BTreeSet<String>,
    /// Targets of the packages' symbolic links by object.
    targets: HashMap<Sha256, String>,
    /// Where the folder of a member turned out to be.
    folders: HashMap<String, String>,
    /// Where other packages' files are put, and whose stay, by path.
    diversions: HashMap<String, (String, String)>,
    /// The database's files, and the links of [`Self::add_alias`].
    pub books: Books,
}

impl<'a> Merger<'a> {
    /// An empty root.
    pub fn new(installation: &'a dyn Installation, store: &Store, writer: &'a ObjectWriter) -> Self {
        let (mut root, sharing) = (Directory::new(0o755), installation.sharing());
        for place in sharing.places {
            make_directory(&mut root, place);
        }
        Self {
            aliases: BTreeSet::new(),
            targets: HashMap::new(),
            lost: vec![BTreeSet::new(); installation.packages().len()],
            tree: Tree { root, extras: crate::store::Extras::default() },
            sharing,
            names: Owners::default(),
            owners: HashMap::new(),
            implied: HashSet::new(),
            folders: HashMap::new(),
            diversions: HashMap::new(),
            books: Books::default(),
            reader: store.reader(),
            installation,
            writer,
        }
    }

    /// Merges the packages of a round, with what the database says then.
    pub fn merge(&mut self, round: &Round) -> Result<()> {
        self.folders.clear();
        self.implied.clear();
        self.diversions.clear();
        let packages = self.installation.packages();
        let records = round.unpack.iter().flat_map(|i| packages[*i].records());
        self.targets.extend(records.filter_map(|r| match (&r.member.kind, r.object) {
            (MemberKind::Symlink(target), Some(object)) => Some((object, target.clone())),
            _ => None,
        }));
        for (name, target) in self.installation.aliases(&round.unpack) {
            self.add_alias(&name, &target)?;
        }
        let diversions = self.installation.diversions(&|path| self.read(path))?;
        for Diversion { from, to, by } in diversions {
            let from = self.resolve_folder(from.trim_start_matches('/'))?;
            let to = self.resolve_folder(to.trim_start_matches('/'))?;
            self.diversions.insert(from, (to, by));
        }
        for package in &round.unpack {
            for record in self.installation.packages()[*package].records() {
                if record.member.part == Part::Data {
                    let owned = if self.sharing.named_owners {
                        self.names.own(record, &self.tree.root, &self.reader, self.writer)?
                    } else {
                        Cow::Borrowed(record)
                    };
                    if let Cow::Owned(record) = &owned
                        && let Some(value) = origins::value_of(record)
                    {
                        self.books.owned.insert(record.member.path.clone(), (*package, value));
                    }
                    self.add(*package, &owned, round.in_place)?;
                }
            }
        }
        for file in self.installation.database(&round.register, &self.lost, &|path| self.read(path))? {
            let path = self.resolve_folder(&file.path)?;
            self.books.paths.insert(path.clone());
            let (folder, name) = split(&path);
            let dir = make_directory(&mut self.tree.root, folder);
            let object = match file.content {
                DatabaseContent::Object(object) => object,
                DatabaseContent::Bytes(bytes) => self.writer.write_bytes(&root_file(0o644), &bytes)?,
                DatabaseContent::Directory => {
                    dir.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755));
                    continue;
                }
            };
            dir.files.insert(name.to_owned(), object);
        }
        self.drop_stale_links();
        Ok(())
    }

    /// A file of the root, as text.
    fn read(&self, path: &str) -> Result<Option<String>> {
        let object = self.tree.root.file(path);
        object.map(|object| Ok(String::from_utf8_lossy(&self.reader.read(object)?).into_owned())).transpose()
    }

    /// Where a symbolic link leads that a package brought or a script made; none for a file.
    fn target(&self, object: Sha256) -> Option<String> {
        let read = || fs::read_link(self.reader.path(object)).ok()?.into_os_string().into_string().ok();
        self.targets.get(&object).cloned().or_else(read)
    }

    /// Makes a link at the top of the root, unless something is there, or was and a script took it away.
    fn add_alias(&mut self, name: &str, target: &str) -> Result<()> {
        if !self.aliases.insert(name.to_owned()) || self.tree.root.directories.contains_key(name) {
            return Ok(());
        }
        let attributes = Attributes { uid: 0, gid: 0, mode: 0o120_777, xattrs: BTreeMap::new() };
        let object = self.writer.write(&attributes, Content::Symlink(target))?;
        self.targets.insert(object, target.to_owned());
        self.tree.root.files.insert(name.to_owned(), object);
        self.books.paths.insert(name.to_owned());
        make_directory(&mut self.tree.root, target);
        Ok(())
    }

    fn add(&mut self, package: usize, record: &Record, in_place: bool) -> Result<()> {
        let member = &record.member;
        let real = self.resolve_folder(&member.path)?;
        if member.kind == MemberKind::Directory {
            return self.add_directory(package, record, &real);
        }
        let real = self.divert(package, real);
        match self.installation.place(package, &real) {
            None => self.add_file(package, record, real),
            Some(place) => {
                if in_place {
                    self.add_file(package, record, real)?;
                }
                self.add_file(package, record, place)
            }
        }
    }

    /// Where the package's file at a path is put.
    fn divert(&self, package: usize, path: String) -> String {
        match self.diversions.get(&path) {
            Some((to, by)) if by != self.name(package) => to.clone(),
            _ => path,
        }
    }

    fn add_file(&mut self, package: usize, record: &Record, path: String) -> Result<()> {
        let member = &record.member;
        let (folder, name) = split(&path);
        let exists_as_directory = self.tree.root.find(&path).is_some();
        if exists_as_directory {
            // What the link would name stays where it is.
            if self.sharing.directory_stays && matches!(member.kind, MemberKind::Symlink(_)) {
                return Ok(());
            }
            bail!("{} has the file /{path}, which is a directory", self.name(package));
        }
        if !self.take_over(package, record, &path)? {
            return Ok(());
        }
        let extras = &mut self.tree.extras;
        let node = |mode: u32, device| Node { mode: mode | member.mode, uid: member.uid, gid: member.gid, device };
        match &member.kind {
            MemberKind::CharDevice(major, minor) => {
                extras.nodes.insert(path.clone(), node(0o020_000, (*major, *minor)));
            }
            MemberKind::BlockDevice(major, minor) => {
                extras.nodes.insert(path.clone(), node(0o060_000, (*major, *minor)));
            }
            MemberKind::Fifo => drop(extras.nodes.insert(path.clone(), node(0o010_000, (0, 0)))),
            MemberKind::Hardlink(target) => {
                let target = self.resolve_folder(target)?;
                let target = self.divert(package, target);
                let target = self.installation.place(package, &target).unwrap_or(target);
                self.tree.extras.links.insert(path.clone(), target);
            }
            MemberKind::Directory | MemberKind::File(_) | MemberKind::Symlink(_) => {}
        }
        let parent = self.make_parent(folder);
        if let Some(object) = record.object {
            parent.files.insert(name.to_owned(), object);
        }
        self.owners.insert(path, package);
        Ok(())
    }

    fn add_directory(&mut self, package: usize, record: &Record, path: &str) -> Result<()> {
        let member = &record.member;
        let attributes =
            Attributes { uid: member.uid, gid: member.gid, mode: 0o040_000 | member.mode, xattrs: BTreeMap::new() };
        if path.is_empty() {
            if self.owners.insert(String::new(), package).is_none() || self.sharing.last_directory {
                self.tree.root.attributes = attributes;
            }
            return Ok(());
        }
        let (folder, name) = split(path);
        if let Some(object) = self.make_parent(folder).files.get(name).copied() {
            // A link to a directory serves as one (Policy 6.6, step 4).
            if self.target(object).is_some() {
                return Ok(());
            }
            bail!("{} has the directory /{path}, which is a file", self.name(package));
        }
        let mut made = false;
        let dir = make_directory(&mut self.tree.root, folder).directories.entry(name.to_owned()).or_insert_with(|| {
            made = true;
            Directory::new(0o755)
        });
        // Of one that the first package decides on, it does not where a script made it before.
        if made || self.implied.remove(path) || self.sharing.last_directory {
            dir.attributes = attributes;
            self.owners.insert(path.to_owned(), package);
        }
        Ok(())
    }

    /// The directory of a member, made where no package listed it yet.
    fn make_parent(&mut self, folder: &str) -> &mut Directory {
        let mut path = String::new();
        let mut at = &mut self.tree.root;
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            at = at.directories.entry(part.to_owned()).or_insert_with(|| {
                self.implied.insert(path.clone());
                Directory::new(0o755)
            });
        }
        at
    }

    /// Whether `package` may put its member at `path`; notes what another package loses by it.
    fn take_over(&mut self, package: usize, record: &Record, path: &str) -> Result<bool> {
        let (folder, name) = split(path);
        let present = self.tree.root.find(folder).and_then(|d| d.files.get(name)).copied();
        // What a script took away, as a diversion does, stands in nobody's way.
        let free = present.is_none() && !self.tree.extras.nodes.contains_key(path);
        let Some(owner) = self.owners.get(path).copied().filter(|_| !free) else {
            return Ok(true);
        };
        let shared = present.is_some() && present == record.object;
        if owner == package || shared && self.installation.may_share(package, owner) {
            return Ok(true);
        }
        if self.installation.may_replace(package, owner, &record.member.path) {
            self.lost[owner].insert(record.member.path.clone());
            self.tree.extras.nodes.remove(path);
            self.tree.extras.links.retain(|link, first| link != path && first != path);
            return Ok(true);
        }
        if self.installation.may_replace(owner, package, &record.member.path) {
            self.lost[package].insert(record.member.path.clone());
            return Ok(false);
        }
        bail!("/{path} is in both {} and {}, and neither replaces the other", self.name(owner), self.name(package))
    }

    fn name(&self, package: usize) -> &str {
        &self.installation.packages()[package].name
    }

    /// A path whose folder has no links in it, however the links of the root lead.
    fn resolve_folder(&mut self, path: &str) -> Result<String> {
        let (folder, name) = split(path);
        if folder.is_empty() {
            return Ok(name.to_owned());
        }
        let real = if let Some(real) = self.folders.get(folder) {
            real.clone()
        } else {
            let real = self.follow(folder)?;
            self.folders.insert(folder.to_owned(), real.clone());
            real
        };
        Ok(if real.is_empty() { name.to_owned() } else { format!("{real}/{name}") })
    }

    fn follow(&self, folder: &str) -> Result<String> {
        let mut todo: Vec<String> = folder.split('/').rev().map(str::to_owned).collect();
        let mut real: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => {}
                // As in a real root, `..` stops at the top.
                ".." => drop(real.pop()),
                _ => match self.tree.root.find(&real.join("/")).and_then(|d| d.files.get(&part)) {
                    None => real.push(part),
                    Some(object) => {
                        let Some(target) = self.target(*object) else {
                            bail!("/{folder} leads through /{}/{part}, which is a file", real.join("/"));
                        };
                        links += 1;
                        if links > MAX_LINKS {
                            bail!("/{folder} leads through more than {MAX_LINKS} links");
                        }
                        if target.starts_with('/') {
                            real.clear();
                        }
                        todo.extend(target.split('/').rev().map(str::to_owned));
                    }
                },
            }
        }
        Ok(real.join("/"))
    }

    /// The result.
    pub fn into_merged(self) -> Merged {
        Merged { tree: self.tree, owners: self.owners }
    }

    /// Keeps those hard links whose names still have the same content.
    fn drop_stale_links(&mut self) {
        let root = &self.tree.root;
        self.tree.extras.links.retain(|link, first| {
            let object = root.file(link);
            object.is_some() && object == root.file(first)
        });
    }
}
