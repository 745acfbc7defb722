//! Package files to refs: each package becomes one commit `package/<format>/<sha256>`, in parallel.
//!
//! The commit's tree holds `control/`, `data/` and `index`, and depends on the package's bytes alone. `index` has one
//! JSON line per member in the package's order, with all that ostree's objects cannot hold: modification times, owner
//! names, hard links, devices. No policy is applied here.

mod queue;
mod single;

pub use queue::{FileOf, Imports};
pub use single::one_file;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::lock;
use crate::package::{Format, Member, MemberKind, MemberSink, Part, Record};
use crate::progress::Progress;
use crate::store::{
    self, Attributes, Content, Directory, NewCommit, ObjectReader, ObjectWriter, PendingRefs, Store, Tree,
};
use crate::timing::{self, Timings};

/// The only value of the commit metadata `import` that [`look_up`] takes as done. To be raised when the tree's form changes.
const VERSION: &str = "1";

/// Which packages the store has.
#[derive(Debug)]
pub struct LookUp<'a> {
    /// The commit of each package that is there, by the package's SHA-256.
    pub commits: Commits,
    /// The packages that are not.
    pub missing: Vec<&'a lock::Package>,
}

/// The commits of imported packages, by the packages' SHA-256.
pub type Commits = BTreeMap<Sha256, Sha256>;

/// Looks for the refs of packages.
pub fn look_up<'a>(store: &Store, format: Format, packages: &[&'a lock::Package]) -> Result<LookUp<'a>> {
    let mut found = LookUp { commits: Commits::new(), missing: Vec::new() };
    for package in packages {
        match store.resolve(&store::package_ref(format, package.sha256))? {
            Some(commit) if store.read_commit(commit)?.1.get("import").is_some_and(|v| v == VERSION) => {
                found.commits.insert(package.sha256, commit);
            }
            _ => found.missing.push(*package),
        }
    }
    Ok(found)
}

/// Imports packages in parallel; see [`Imports`]. The commits can be used at once; their refs are the caller's to set.
pub fn run(
    store: &Store,
    format: Format,
    packages: &[&lock::Package],
    file_of: FileOf<'_>,
    progress: &dyn Progress,
) -> Result<(Commits, PendingRefs)> {
    let imports = Imports::new(store, format, LookUp { commits: Commits::new(), missing: packages.to_vec() }, file_of)?;
    imports.run(progress)
}

/// The object that holds the index of an imported package.
pub fn index_object(store: &Store, commit: Sha256) -> Result<Sha256> {
    store.find_file(commit, "index")?.with_context(|| format!("the package's commit {commit} is damaged"))
}

/// The paths of what packages install, by their indexes, without links followed.
pub fn shipped_paths(reader: &ObjectReader, indexes: &[Sha256]) -> Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    for index in indexes {
        let data = read_index(reader, *index)?.into_iter().filter(|record| record.member.part == Part::Data);
        paths.extend(data.map(|record| record.member.path));
    }
    Ok(paths)
}

/// Reads a package's index.
pub fn read_index(reader: &ObjectReader, index: Sha256) -> Result<Vec<Record>> {
    records(&reader.read(index)?).collect()
}

/// The records of an index, each read when it is asked for.
fn records(index: &[u8]) -> impl Iterator<Item = Result<Record>> {
    let lines = index.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("a package's index is damaged"))
}

fn new_commit(format: Format, sha256: Sha256, root: (Sha256, Sha256)) -> NewCommit {
    NewCommit {
        name: store::package_ref(format, sha256),
        parent: None,
        subject: sha256.to_hex(),
        metadata: BTreeMap::from([("import".to_owned(), VERSION.to_owned())]),
        version: None,
        root,
        date: Timestamp::from_seconds(0).expect("1970 is a date"),
    }
}

/// Opens a package's file once it is the one that the lock names.
fn open_verified(timings: &Timings, path: &Path, sha256: Sha256) -> Result<File> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (found, size) = timings
        .within(timing::Part::Hash, || Sha256::of_reader(&mut file))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if found != sha256 {
        fs::remove_file(path)?;
        bail!(
            "{} ({size} bytes) has SHA-256 {found}, the lock expects {sha256}; the file has been removed",
            path.display()
        );
    }
    Ok(file)
}

/// Gives the package's tree and the object of its index.
fn import_file(writer: &ObjectWriter, format: Format, path: &Path, sha256: Sha256) -> Result<(Tree, Sha256)> {
    let mut importer = Importer::new(writer);
    format.unpack(&mut open_verified(writer.timings(), path, sha256)?, &mut importer)?;
    importer.finish()
}

/// Builds the package's tree while its members stream by.
struct Importer<'a> {
    writer: &'a ObjectWriter,
    root: Directory,
    objects: BTreeMap<(Part, String), Sha256>,
    index: Vec<u8>,
}

impl<'a> Importer<'a> {
    fn new(writer: &'a ObjectWriter) -> Self {
        let mut root = Directory::new(0o755);
        for part in ["control", "data"] {
            root.directories.insert(part.to_owned(), Directory::new(0o755));
        }
        Self { writer, root, objects: BTreeMap::new(), index: Vec::new() }
    }

    /// Adds the index; gives the whole tree and the index's object.
    fn finish(mut self) -> Result<(Tree, Sha256)> {
        let attributes = Attributes { uid: 0, gid: 0, mode: 0o100_644, xattrs: BTreeMap::new() };
        let index = self.writer.write_bytes(&attributes, &self.index)?;
        self.root.files.insert("index".to_owned(), index);
        Ok((Tree { root: self.root, extras: store::Extras::default() }, index))
    }

    fn store_object(&mut self, member: &Member, content: &mut dyn Read) -> Result<Option<Sha256>> {
        let mut attributes =
            Attributes { uid: member.uid, gid: member.gid, mode: member.mode, xattrs: BTreeMap::new() };
        let settable = member.xattrs.iter().filter(|(name, _)| store::is_kept_xattr(name));
        attributes.xattrs = settable.map(|(name, value)| (name.clone(), value.clone())).collect();
        match &member.kind {
            MemberKind::File(size) => {
                attributes.mode |= 0o100_000;
                self.writer.write(&attributes, Content::File(content, *size)).map(Some)
            }
            MemberKind::Symlink(target) => {
                attributes.mode = 0o120_777;
                attributes.xattrs.clear();
                self.writer.write(&attributes, Content::Symlink(target)).map(Some)
            }
            MemberKind::Hardlink(target) => {
                let earlier = self.objects.get(&(member.part, target.clone())).copied();
                earlier.with_context(|| format!("`{target}` is no earlier file")).map(Some)
            }
            MemberKind::Directory => {
                attributes.mode |= 0o040_000;
                let dir = make_directory(&mut self.root, &tree_path(member));
                dir.attributes = attributes;
                Ok(None)
            }
            MemberKind::CharDevice(..) | MemberKind::BlockDevice(..) | MemberKind::Fifo => Ok(None),
        }
    }
}

impl MemberSink for Importer<'_> {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        let object = self.store_object(&member, content)?;
        if let Some(object) = object {
            let path = tree_path(&member);
            let (folder, name) = store::split(&path);
            make_directory(&mut self.root, folder).files.insert(name.to_owned(), object);
            self.objects.insert((member.part, member.path.clone()), object);
        }
        serde_json::to_writer(&mut self.index, &Record { member, object })?;
        self.index.push(b'\n');
        Ok(())
    }
}

fn tree_path(member: &Member) -> String {
    let part = match member.part {
        Part::Control => "control",
        Part::Data => "data",
    };
    if member.path.is_empty() { part.to_owned() } else { format!("{part}/{}", member.path) }
}

/// The directory at a path, made with mode 0755 where the package does not list it.
fn make_directory<'a>(root: &'a mut Directory, path: &str) -> &'a mut Directory {
    path.split('/')
        .filter(|p| !p.is_empty())
        .fold(root, |dir, name| dir.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755)))
}
