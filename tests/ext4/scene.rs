//! A store with a tree in it, outputs of that tree, and what is in them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use compose::artifact::Artifact;
use compose::digest::Sha256;
use compose::durable;
use compose::finalize::{self, KnownTree, Request};
use compose::lock::Lock;
use compose::manifest::{self, OutputFormat};
use compose::progress::Silent;
use compose::sandbox::Program;
use compose::store::{Attributes, Content, Directory, Extras, NewCommit, Node, Store, Tree, Xattrs};

use crate::support::lock::{MANIFEST, lock_of};
use crate::support::needs::{needs, root};
use crate::support::program::{Outcome, PROGRAM, run, sbin};

const DATE: &str = "2026-11-14T09:12:44Z";
/// [`DATE`] in seconds since 1970.
pub const SECONDS: i64 = 1_794_647_564;

/// A store, and a tree in it.
pub struct Scene {
    folder: tempfile::TempDir,
    store: Store,
}

impl Scene {
    pub fn new() -> Option<Self> {
        needs(root())?;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Some(Self { folder, store })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a folder of the host into the store.
    pub fn put(&self, folder: &Path) -> (Sha256, Tree) {
        let mut extras = Extras::default();
        let root = self.put_folder(folder, "", &mut extras, &mut BTreeMap::new());
        let tree = Tree { root, extras };
        let commit = NewCommit {
            name: "cache/test/tree".to_owned(),
            parent: None,
            subject: "a tree".to_owned(),
            metadata: tree.metadata().unwrap(),
            version: None,
            root: self.store.writer().write_tree(&tree).unwrap(),
            date: DATE.parse().unwrap(),
        };
        (self.store.commit(&[commit]).unwrap()[0], tree)
    }

    fn put_folder(
        &self,
        folder: &Path,
        prefix: &str,
        extras: &mut Extras,
        seen: &mut BTreeMap<u64, String>,
    ) -> Directory {
        let mut directory = Directory::new(0o755);
        directory.attributes = attributes(folder);
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for name in names {
            let (path, whole) = (folder.join(&name), format!("{prefix}{name}"));
            let metadata = fs::symlink_metadata(&path).unwrap();
            let (kind, writer) = (metadata.file_type(), self.store.writer());
            if kind.is_dir() {
                let child = self.put_folder(&path, &format!("{whole}/"), extras, seen);
                directory.directories.insert(name, child);
                continue;
            }
            if kind.is_file() && metadata.nlink() > 1 {
                match seen.get(&metadata.ino()) {
                    Some(first) => drop(extras.links.insert(whole.clone(), first.clone())),
                    None => drop(seen.insert(metadata.ino(), whole.clone())),
                }
            }
            let object = if kind.is_file() {
                let mut file = File::open(&path).unwrap();
                writer.write(&attributes(&path), Content::File(&mut file, metadata.size()))
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                writer.write(&attributes(&path), Content::Symlink(target.to_str().unwrap()))
            } else {
                let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
                let node = Node { mode: metadata.mode(), uid: metadata.uid(), gid: metadata.gid(), device };
                extras.nodes.insert(whole, node);
                continue;
            };
            directory.files.insert(name, object.unwrap());
        }
        directory
    }

    /// Writes an output of a tree below a folder, with so many threads.
    pub fn write(
        &self,
        commit: Sha256,
        image: &str,
        format: OutputFormat,
        (folder, threads): (&str, usize),
    ) -> anyhow::Result<Artifact> {
        let (manifest, lock, folder, root) = (self.manifest(image), lock(), self.path(folder), self.path("store"));
        // A store is one thread's, and a thread is in one pool.
        let write = || {
            let _pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build().unwrap();
            let store = &Store::open(&root)?;
            let program = Program { file: PROGRAM.into(), emulations: Vec::new() };
            let (manifest, lock, folder) = (&manifest, &lock, folder.as_path());
            let request = Request { store, program: &program, manifest, lock, commit, folder };
            finalize::run(&request, format, &KnownTree::default(), &Silent)?.unwrap().put()
        };
        std::thread::scope(|scope| scope.spawn(write).join().unwrap())
    }

    fn manifest(&self, image: &str) -> manifest::Manifest {
        let path = self.path("small.yaml");
        durable::write(&path, format!("{MANIFEST}image: {image}\n").as_bytes()).unwrap();
        manifest::load(&path).unwrap()
    }

    /// Mounts an image for as long as the value lives.
    pub fn mount(&self, image: &Path, options: &str) -> Mount {
        let place = tempfile::tempdir_in(self.folder.path()).unwrap();
        run(sbin("mount").args(["-o", options]).arg(image).arg(place.path())).result();
        Mount(place)
    }
}

pub struct Mount(tempfile::TempDir);

impl Mount {
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(sbin("umount").arg(self.0.path())).result();
    }
}

fn lock() -> Lock {
    Lock { manifest_sha256: Sha256::of(b""), date: DATE.parse().unwrap(), ..lock_of("small", Vec::new()) }
}

/// What e2fsck(8) says of a file system that it finds no fault with.
pub fn check(image: &Path) -> Outcome {
    let said = run(sbin("e2fsck").arg("-fn").arg(image));
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

fn attributes(path: &Path) -> Attributes {
    let metadata = fs::symlink_metadata(path).unwrap();
    Attributes { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode(), xattrs: xattrs(path) }
}

fn xattrs(path: &Path) -> Xattrs {
    if path.is_symlink() {
        return Xattrs::new();
    }
    let mut list = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (String::from_utf8(name.to_vec()).unwrap(), value)
        })
        .collect()
}

/// Everything below a folder: all that can be seen of it but times.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let content = if kind.is_file() {
            format!("{} {:?}", metadata.nlink(), Sha256::of_reader(File::open(&path).unwrap()).unwrap())
        } else if kind.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if kind.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else {
            assert!(kind.is_char_device() || kind.is_block_device() || kind.is_fifo());
            metadata.rdev().to_string()
        };
        let attributes = attributes(&path);
        found.insert(path.strip_prefix(folder).unwrap().to_owned(), format!("{attributes:?} {content}"));
    }
    found
}
