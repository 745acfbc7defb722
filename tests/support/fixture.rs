//! A store with packages in it, for tests of the stages after fetching.

use std::path::PathBuf;

use compose::digest::Sha256;
use compose::durable;
use compose::import::{self, Commits};
use compose::lock::Package;
use compose::package::{Format, Record};
use compose::progress::Silent;
use compose::store::Store;

use super::lock::locked_file;
use super::needs::{needs, root};

/// A store of its own, and the package files that are imported into it.
pub struct Fixture {
    folder: tempfile::TempDir,
    pub store: Store,
    pub format: Format,
}

impl Fixture {
    /// `None`, with the reason told, where the test cannot run.
    pub fn new() -> Option<Self> {
        needs(root())?;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Some(Self { folder, store, format: Format::Deb })
    }

    pub fn file(&self, sha256: Sha256) -> PathBuf {
        self.files()(sha256)
    }

    /// Tells threads where packages' files are.
    pub fn files(&self) -> impl Fn(Sha256) -> PathBuf + Sync + use<> {
        let folder = self.folder.path().to_owned();
        move |sha256| folder.join(sha256.to_hex())
    }

    /// Puts a package's file where the importer finds it; gives its entry in a lock.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Package {
        let package = locked_file(name, "1", bytes);
        durable::write(&self.file(package.sha256), bytes).unwrap();
        package
    }

    pub fn import(&self, packages: &[&Package]) -> anyhow::Result<Commits> {
        let (commits, pending) = import::run(&self.store, self.format, packages, &self.files(), &Silent)?;
        self.store.set_refs(pending)?;
        Ok(commits)
    }

    pub fn import_one(&self, bytes: &[u8]) -> anyhow::Result<Sha256> {
        let package = self.add("sample", bytes);
        self.import(&[&package]).map(|commits| commits[&package.sha256])
    }

    /// The whole text of the error that importing gives.
    pub fn refusal(&self, bytes: &[u8]) -> String {
        let error = self.import_one(bytes).expect_err("the package is refused");
        assert_eq!(self.store.refs("package").unwrap().len(), 0, "nothing is half-written");
        format!("{error:#}")
    }

    pub fn index(&self, commit: Sha256) -> Vec<Record> {
        let object = import::index_object(&self.store, commit).unwrap();
        import::read_index(&self.store.reader(), object).unwrap()
    }

    pub fn content(&self, commit: Sha256, path: &str) -> Vec<u8> {
        let object = self.store.find_file(commit, path).unwrap().expect("the file is in the commit");
        self.store.reader().read(object).unwrap()
    }

    /// libostree's own opinion of the repository.
    pub fn fsck(&self) {
        let output = std::process::Command::new("ostree")
            .arg("fsck")
            .arg(format!("--repo={}", self.store.root().join("repo").display()))
            .output()
            .expect("ostree is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
