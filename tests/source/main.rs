//! Loading package indexes from archives served on loopback, and once from the host's own mirror.

mod loads;
mod refuses;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compose::clock::Timestamp;
use compose::durable;
use compose::manifest::Archive;
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::Mirrors;
use compose::source::{self, Asked, Context, Index};

use support::archive::{NOW, SignedAs, SigningKey, Suite, at};
use support::http_server::HttpServer;
use support::told;

const STANZA: &str = "Package: hello\nVersion: 1.0\nArchitecture: amd64\n";

fn client() -> Client {
    let options = Options { attempts: 3, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
    Client::new(options)
}

/// An archive `debian` with a mirror on loopback, and a cache.
struct Scene {
    folder: tempfile::TempDir,
    server: HttpServer,
    key: SigningKey,
    archive: Archive,
    now: Timestamp,
    offline: bool,
}

impl Scene {
    /// The archive has the suite `trixie`, as yet unwritten, and a keyring.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("archive");
        assert!(key.is_sound());
        let keyring = folder.path().join("keyring.gpg");
        key.write_keyring(&keyring);
        let server = HttpServer::serve(&folder.path().join("mirror"));
        let archive = Archive {
            id: "debian".to_owned(),
            pool: None,
            suites: vec!["trixie".to_owned()],
            components: vec!["main".to_owned()],
            signed_by: Some(keyring),
            uris: vec![format!("{}/debian", server.uri())],
            priority: None,
            check_valid_until: true,
            trusted: false,
            repository: None,
        };
        Self { folder, server, key, archive, now: at(NOW), offline: false }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("mirror/debian")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root().join("dists/trixie").join(path)
    }

    /// A suite with the package `hello`.
    fn suite(&self) -> Suite {
        let mut suite = Suite::new("trixie");
        suite.add_package(&self.root(), "main/binary-amd64", STANZA, b"hello");
        suite
    }

    /// Writes the suite as [`Scene::suite`] has it, signed inline.
    fn publish(&self) -> Suite {
        let suite = self.suite();
        suite.write(&self.root(), &self.key, SignedAs::Inline);
        suite
    }

    fn load(&self) -> anyhow::Result<Vec<Index>> {
        self.load_for("amd64", false)
    }

    fn load_for(&self, architecture: &str, optional: bool) -> anyhow::Result<Vec<Index>> {
        let context = Context {
            client: &client(),
            mirrors: &Mirrors::default(),
            cache: &self.folder.path().join("cache"),
            offline: self.offline,
            now: self.now,
            progress: &Silent,
        };
        let asked = Asked { archive: &self.archive, architecture: &architecture.parse().unwrap(), optional };
        let mut loaded = source::load_archives(&[asked], &BTreeSet::new(), &context)?;
        Ok(loaded.remove(0))
    }

    /// The error of loading, with what differs from run to run replaced by words.
    fn refusal(&self) -> String {
        told(&self.load().unwrap_err())
            .replace(&self.server.uri(), "MIRROR")
            .replace(&self.folder.path().display().to_string(), "DIR")
            .replace(&self.key.id(), "ARCHIVE-KEY")
    }

    fn requests(&self) -> Vec<(String, u16)> {
        self.server.take_requests().into_iter().map(|r| (r.path, r.status)).collect()
    }
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    durable::write(path, change(text).as_bytes()).unwrap();
}
