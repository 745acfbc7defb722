//! A folder with a store, and templates in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::digest::Sha256;
use compose::durable;
use compose::history::{self, Recorded, Template};
use compose::lock::{self, Lock, Package};
use compose::package::Format;
use compose::progress::Silent;
use compose::store::{self, NewCommit, Store};
use compose::{assemble, fetch, import};

use crate::support::archive::at;
use crate::support::deb::Deb;
use crate::support::needs::{needs, root};
use crate::support::program::{Outcome, compose, run};

pub struct Scene {
    pub folder: tempfile::TempDir,
}

/// The template of every scene.
pub fn template() -> Template {
    Template { name: "m".to_owned(), architecture: "amd64".parse().unwrap() }
}

/// A package with a file that is its version, one that is always the same, and what ostree's objects cannot hold.
fn deb(name: &str, version: &str) -> Deb {
    Deb::new(name, version)
        .arch("amd64")
        .file(&format!("usr/share/{name}/version"), version.repeat(5000))
        .owner(7, 8)
        .mode(0o640)
        .file(&format!("usr/share/{name}/same"), name)
        .hardlink(&format!("usr/share/{name}/again"), &format!("usr/share/{name}/same"))
        .fifo(&format!("var/{name}.pipe"))
        .char_device(&format!("var/{name}.device"), 1, 3)
}

impl Scene {
    /// `None`, with the reason told, where the test cannot run.
    pub fn new() -> Option<Self> {
        needs(root())?;
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    /// A scene whose template has four builds of two packages, of which the second has a tag: a changes, b changes, then
    /// a is as it first was.
    pub fn with_history() -> Option<(Self, [Sha256; 4])> {
        let scene = Self::new()?;
        let builds = [
            ([("a", "1"), ("b", "1")], "2026-01-01T00:00:00Z"),
            ([("a", "2"), ("b", "1")], "2026-02-01T00:00:00Z"),
            ([("a", "2"), ("b", "2")], "2026-03-01T00:00:00Z"),
            ([("a", "1"), ("b", "2")], "2026-04-01T00:00:00Z"),
        ];
        let commits = builds.map(|(packages, date)| scene.build(&packages, date, None).unwrap().commit);
        scene.compose(["tag", "m", "2", "good"]).result();
        Some((scene, commits))
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    /// The program with the scene's store.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = compose(self.folder.path(), ["--store", "store"]);
        command.args(arguments);
        command
    }

    pub fn compose<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        run(&mut self.command(arguments))
    }

    /// The lock of packages, each a name and version, whose files are downloaded.
    pub fn lock(&self, packages: &[(&str, &str)], date: &str) -> Lock {
        let locked = packages.iter().map(|(name, version)| {
            let bytes = deb(name, version).build();
            let sha256 = Sha256::of(&bytes);
            durable::write(&fetch::file_path(&self.path("store"), &sha256), &bytes).unwrap();
            Package {
                name: (*name).to_owned(),
                architecture: "amd64".to_owned(),
                version: (*version).to_owned(),
                archive: "own/own/main".to_owned(),
                path: format!("{name}_{version}.deb"),
                size: bytes.len() as u64,
                sha256,
                source: None,
                installed_size: 0,
                asked: None,
                depends: Vec::new(),
                security_fix: None,
                recommends: Vec::new(),
            }
        });
        Lock {
            version: lock::VERSION,
            manifest: "m".to_owned(),
            manifest_sha256: Sha256::of(b"m"),
            format: Format::Deb,
            architecture: "amd64".parse().unwrap(),
            date: at(date),
            packages: locked.collect(),
            tools: Vec::new(),
            interpreters: Vec::new(),
        }
    }

    /// Builds the template of these packages, but for scripts.
    pub fn build(&self, packages: &[(&str, &str)], date: &str, version: Option<&str>) -> anyhow::Result<Recorded> {
        let lock = self.lock(packages, date);
        let store = self.store();
        let root = store.root();
        let file_of = |sha256| fetch::file_path(root, &sha256);
        let wanted: Vec<&Package> = lock.packages.iter().collect();
        let (_, pending) = import::run(&store, lock.format, &wanted, &file_of, &Silent)?;
        store.set_refs(pending)?;
        let tree = assemble::merged(&store, lock.format, &lock.packages)?.tree;
        let commits = store.commit(&[NewCommit {
            name: store::cache_ref("root", Sha256::of(lock.render()?.as_bytes())),
            parent: None,
            subject: "m amd64".to_owned(),
            metadata: tree.metadata()?,
            version: None,
            root: store.writer().write_tree(&tree)?,
            date: lock.date,
        }])?;
        history::record(&store, &template(), &lock, commits[0], version.map(str::parse).transpose()?.as_ref())
    }

    /// libostree's own opinion of the repository, and this program's.
    pub fn verify(&self) {
        let repo = self.path("store/repo");
        run(Command::new("ostree").args(["fsck", "--quiet"]).arg("--repo").arg(repo)).result();
        self.compose(["store", "verify"]).result();
    }

    /// The bytes that files below a folder take on disk, each once.
    pub fn disk_usage(&self, path: &str) -> u64 {
        fn walk(folder: &Path, found: &mut std::collections::BTreeMap<u64, u64>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.insert(metadata.ino(), metadata.blocks() * 512);
                }
            }
        }
        let mut found = std::collections::BTreeMap::new();
        walk(&self.path(path), &mut found);
        found.values().sum()
    }

    /// The refs of a kind.
    pub fn refs(&self, kind: &str) -> Vec<String> {
        self.store().refs(kind).unwrap().into_keys().collect()
    }
}
