//! Fetching the files that a lock names, from mirrors on loopback.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compose::digest::Sha256;
use compose::durable;
use compose::fetch::{self, Context, Report};
use compose::lock::Package;
use compose::package::Format;
use compose::progress::{Progress, Silent, Task, Unit};
use compose::source::http::{Client, Options};
use compose::source::mirrors::{MirrorMap, Mirrors};

use support::http_server::{Fault, HttpServer};
use support::lock::locked_file;
use support::told;

/// Two mirrors of one archive, a store, and what a run is told.
struct Scene {
    folder: tempfile::TempDir,
    server: HttpServer,
    mirrors: Vec<String>,
    offline: bool,
    stored: Vec<Sha256>,
}

impl Scene {
    /// The mirrors are `one` and `two`, empty.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = HttpServer::serve(&folder.path().join("mirrors"));
        let mirrors = ["one", "two"].map(|name| format!("{}/{name}", server.uri())).to_vec();
        Self { folder, server, mirrors, offline: false, stored: Vec::new() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A locked package of these bytes, served by these mirrors.
    fn package(&self, name: &str, bytes: &[u8], mirrors: &[&str]) -> Package {
        let path = format!("pool/{name}_1.0_amd64.deb");
        for mirror in mirrors {
            durable::write(&self.folder.path().join("mirrors").join(mirror).join(&path), bytes).unwrap();
        }
        Package { path, ..locked_file(name, "1.0", bytes) }
    }

    fn run_with(&self, packages: &[&Package], progress: &dyn Progress) -> anyhow::Result<Report> {
        let options =
            Options { attempts: 3, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
        let arguments = MirrorMap::from([("debian".to_owned(), self.mirrors.clone())]);
        let context = Context {
            client: &Client::new(options),
            mirrors: &Mirrors { arguments, ..Mirrors::default() },
            format: Format::Deb,
            archives: &[],
            architectures: &[],
            store: &self.store(),
            manifest: Path::new("m.yaml"),
            offline: self.offline,
            connections: 4,
            already_have: &|sha256| self.stored.contains(sha256),
            progress,
        };
        fetch::run(packages, &context)
    }

    fn run(&self, packages: &[&Package]) -> anyhow::Result<Report> {
        self.run_with(packages, &Silent)
    }

    /// The error of a run, with what differs from run to run replaced by words.
    fn refusal(&self, packages: &[&Package]) -> String {
        told(&self.run(packages).unwrap_err())
            .replace(&self.server.uri(), "SERVER")
            .replace(&self.folder.path().display().to_string(), "DIR")
    }

    fn file(&self, package: &Package) -> PathBuf {
        fetch::file_path(&self.store(), &package.sha256)
    }

    /// Everything in the store's folder of files.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let Ok(folders) = std::fs::read_dir(self.store().join("files")) else { return found };
        for folder in folders {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                found.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
        found
    }
}

fn bytes(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8 ^ seed).collect()
}

#[test]
fn files_are_fetched_once_and_not_for_packages_in_the_store() {
    let mut scene = Scene::new();
    let packages: Vec<Package> =
        (0..20u8).map(|i| scene.package(&format!("p{i}"), &bytes(i, 1000 + usize::from(i)), &["one"])).collect();
    let all: Vec<&Package> = packages.iter().collect();
    scene.stored.push(packages[0].sha256);
    let report = scene.run(&all).unwrap();
    let size: u64 = packages[1..].iter().map(|p| p.size).sum();
    assert_eq!(report, Report { fetched: 19, fetched_bytes: size, present: 1 });
    for package in &packages[1..] {
        assert_eq!(Sha256::of(&std::fs::read(scene.file(package)).unwrap()), package.sha256);
    }
    assert_eq!(scene.files().len(), 19);
    scene.server.take_requests();
    assert_eq!(scene.run(&all).unwrap(), Report { fetched: 0, fetched_bytes: 0, present: 20 });
    assert_eq!(scene.server.take_requests(), []);
}

#[test]
fn the_path_of_a_file_is_fixed() {
    let path = fetch::file_path(Path::new("/s"), &Sha256::of(b""));
    let expected = "/s/files/e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(path, Path::new(expected));
}

#[test]
fn a_partial_file_is_continued() {
    let scene = Scene::new();
    let package = scene.package("hello", &bytes(1, 10_000), &["one"]);
    let part = scene.file(&package).with_extension("part");
    durable::write(&part, &bytes(1, 4000)).unwrap();
    let report = scene.run(&[&package]).unwrap();
    assert_eq!(report.fetched_bytes, 6000);
    assert_eq!(scene.server.take_requests()[0].range.as_deref(), Some("bytes=4000-"));
    assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), [package.sha256.to_hex()]);
}

#[test]
fn a_partial_file_of_other_bytes_or_a_server_without_ranges_costs_only_time() {
    for (part_bytes, fault) in
        [(bytes(2, 4000), None), (bytes(2, 20_000), None), (bytes(1, 4000), Some(Fault::NoRanges))]
    {
        let scene = Scene::new();
        let package = scene.package("hello", &bytes(1, 10_000), &["one"]);
        durable::write(&scene.file(&package).with_extension("part"), &part_bytes).unwrap();
        if let Some(fault) = fault {
            scene.server.fault("/one/pool/hello_1.0_amd64.deb", fault);
        }
        scene.run(&[&package]).unwrap();
        assert_eq!(scene.files().into_values().collect::<Vec<_>>(), [bytes(1, 10_000)]);
    }
}

#[test]
fn a_complete_partial_file_needs_no_request() {
    let scene = Scene::new();
    let package = scene.package("hello", &bytes(1, 10_000), &[]);
    durable::write(&scene.file(&package).with_extension("part"), &bytes(1, 10_000)).unwrap();
    assert_eq!(scene.run(&[&package]).unwrap().fetched_bytes, 0);
    assert_eq!(scene.server.take_requests(), []);
}

#[test]
fn short_failures_are_waited_out_and_broken_transfers_continued() {
    let scene = Scene::new();
    let package = scene.package("hello", &bytes(1, 1_000_000), &["one"]);
    scene.server.fault("/one/pool/hello_1.0_amd64.deb", Fault::Truncated(4));
    let other = scene.package("other", b"other", &["one"]);
    scene.server.fault("/one/pool/other_1.0_amd64.deb", Fault::Unavailable(2));
    let report = scene.run(&[&package, &other]).unwrap();
    assert_eq!(report, Report { fetched: 2, fetched_bytes: 1_000_005, present: 0 });
}

#[test]
fn the_next_mirror_helps() {
    for fault in [None, Some(Fault::Corrupt), Some(Fault::Unavailable(99)), Some(Fault::Truncated(99))] {
        let scene = Scene::new();
        let package = scene.package("hello", &bytes(1, 10_000), &["two"]);
        if let Some(fault) = fault {
            scene.package("hello", &bytes(1, 10_000), &["one"]);
            scene.server.fault("/one/pool/hello_1.0_amd64.deb", fault);
        }
        scene.run(&[&package]).unwrap();
        assert_eq!(scene.files().into_values().collect::<Vec<_>>(), [bytes(1, 10_000)], "{fault:?}");
    }
}

#[test]
fn a_file_with_a_wrong_hash_is_not_kept() {
    let mut scene = Scene::new();
    scene.mirrors.truncate(1);
    let package = scene.package("hello", b"hello", &[]);
    scene.package("hello", b"jello", &["one"]);
    assert_eq!(
        scene.refusal(&[&package]),
        format!(
            "1 of 1 package files could not be fetched:\n  \
             hello 1.0 amd64: SERVER/one/pool/hello_1.0_amd64.deb is not the locked file: expected 5 bytes with SHA-256 {}, \
             found 5 bytes with SHA-256 {}\n\
             hint: --mirror debian=URI, to try another mirror",
            Sha256::of(b"hello"),
            Sha256::of(b"jello")
        )
    );
    assert_eq!(scene.files(), BTreeMap::new());
    scene.package("hello", b"hello, world", &["one"]);
    assert_eq!(
        scene.refusal(&[&package]),
        format!(
            "1 of 1 package files could not be fetched:\n  \
             hello 1.0 amd64: SERVER/one/pool/hello_1.0_amd64.deb is not the locked file: expected 5 bytes with SHA-256 {}, \
             found more bytes\n\
             hint: --mirror debian=URI, to try another mirror",
            Sha256::of(b"hello"),
        )
    );
    assert_eq!(scene.files(), BTreeMap::new());
}

#[test]
fn a_truncated_file_is_refused() {
    let mut scene = Scene::new();
    scene.mirrors.truncate(1);
    let package = scene.package("hello", &bytes(1, 100), &[]);
    scene.package("hello", &bytes(1, 50), &["one"]);
    let text = scene.refusal(&[&package]);
    let found = Sha256::of(&bytes(1, 50));
    assert_eq!(
        text,
        format!(
            "1 of 1 package files could not be fetched:\n  \
             hello 1.0 amd64: SERVER/one/pool/hello_1.0_amd64.deb is not the locked file: expected 100 bytes with SHA-256 {}, \
             found 50 bytes with SHA-256 {found}\n\
             hint: --mirror debian=URI, to try another mirror",
            package.sha256
        )
    );
    assert_eq!(scene.files(), BTreeMap::new());
}

#[test]
fn a_connection_that_always_breaks_is_given_up_and_what_came_is_kept() {
    let mut scene = Scene::new();
    scene.mirrors.truncate(1);
    let package = scene.package("hello", &bytes(1, 100), &["one"]);
    scene.server.fault("/one/pool/hello_1.0_amd64.deb", Fault::Truncated(u32::MAX));
    let text = scene.refusal(&[&package]);
    assert!(
        text.starts_with(
            "1 of 1 package files could not be fetched:\n  \
             hello 1.0 amd64: SERVER/one/pool/hello_1.0_amd64.deb could not be fetched: the connection broke after 0 bytes: "
        ),
        "{text}"
    );
    assert_eq!(scene.files(), BTreeMap::from([(format!("{}.part", package.sha256), bytes(1, 99))]));
}

#[test]
fn a_version_that_every_mirror_has_dropped_is_told_with_the_ways_out() {
    let scene = Scene::new();
    let gone = scene.package("gone", b"gone", &[]);
    let here = scene.package("here", b"here", &["one"]);
    assert_eq!(
        scene.refusal(&[&gone, &here]),
        "1 of 2 package files could not be fetched:\n  \
         gone 1.0 amd64: the archive `debian` has dropped this version: SERVER/one/pool/gone_1.0_amd64.deb does not exist; \
         SERVER/two/pool/gone_1.0_amd64.deb does not exist\n\
         hint: compose update-lock m.yaml, to lock the versions that the archive has now\n\
         hint: --mirror debian=URI, with a snapshot of the archive that still has the locked versions\n\
         hint: --store DIR, with a store that has these packages already"
    );
    assert!(scene.file(&here).exists(), "the others are fetched all the same");
}

#[test]
fn all_failures_are_told_together_the_first_in_full() {
    let mut scene = Scene::new();
    scene.mirrors = vec!["http://127.0.0.1:1/debian".to_owned()];
    let packages: Vec<Package> = (0..12u8).map(|i| scene.package(&format!("p{i:02}"), &bytes(i, 10), &[])).collect();
    let text = scene.refusal(&packages.iter().collect::<Vec<_>>());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "12 of 12 package files could not be fetched:");
    assert_eq!(
        lines[1],
        "  p00 1.0 amd64: http://127.0.0.1:1/debian/pool/p00_1.0_amd64.deb could not be fetched: Connection refused (os error 111)"
    );
    assert_eq!(lines[11..], ["  and 2 more: p10, p11", "hint: --mirror debian=URI, to try another mirror"]);
}

#[test]
fn offline_names_all_that_is_missing() {
    let mut scene = Scene::new();
    let (a, b, c) =
        (scene.package("a", b"a", &["one"]), scene.package("b", b"b", &["one"]), scene.package("c", b"c", &["one"]));
    scene.run(&[&a]).unwrap();
    scene.server.take_requests();
    scene.offline = true;
    assert_eq!(
        scene.refusal(&[&c, &a, &b]),
        "2 of 3 package files are not here, and offline nothing is fetched:\n  \
         b 1.0 amd64: debian/pool/b_1.0_amd64.deb\n  \
         c 1.0 amd64: debian/pool/c_1.0_amd64.deb\n\
         hint: compose fetch m.yaml, without --offline"
    );
    assert_eq!(scene.server.take_requests(), []);
    assert_eq!(scene.run(&[&a]).unwrap().present, 1);
}

#[test]
fn without_a_mirror_the_ways_to_name_one_are_told() {
    let mut scene = Scene::new();
    let package = scene.package("a", b"a", &["one"]);
    scene.mirrors.clear();
    assert_eq!(
        scene.refusal(&[&package]),
        "1 of 1 package files could not be fetched:\n  \
         a 1.0 amd64: no mirror is known for the archive `debian`: neither `--mirror`, the manifest's `uris`, COMPOSE_MIRROR, \
         the configuration file nor the host's apt sources (a URI that ends in `/debian`) names one\n\
         hint: --mirror debian=URI"
    );
}

#[test]
fn local_pools_serve() {
    let mut scene = Scene::new();
    let package = scene.package("a", &bytes(1, 10_000), &["one"]);
    scene.mirrors = vec![format!("file://{}", scene.folder.path().join("mirrors/one").display())];
    durable::write(&scene.file(&package).with_extension("part"), &bytes(1, 4000)).unwrap();
    assert_eq!(scene.run(&[&package]).unwrap().fetched_bytes, 6000);
    assert_eq!(scene.server.take_requests(), []);
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let scene = Scene::new();
    let packages: Vec<Package> =
        (0..10u8).map(|i| scene.package(&format!("p{i}"), &bytes(i, 200_000), &["one"])).collect();
    let all: Vec<&Package> = packages.iter().collect();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| scene.run(&all).unwrap())).collect();
        for run in runs {
            run.join().unwrap();
        }
    });
    let names: Vec<String> = scene.files().into_keys().collect();
    let mut expected: Vec<String> = packages.iter().map(|p| p.sha256.to_hex()).collect();
    expected.sort();
    assert_eq!(names, expected);
}

/// Adds up what a run reports.
#[derive(Debug, Default)]
struct Counted {
    total: AtomicU64,
    done: std::sync::Arc<AtomicU64>,
}

struct Count(std::sync::Arc<AtomicU64>);

impl Progress for Counted {
    fn task(&self, _: &str, unit: Unit, total: u64) -> Box<dyn Task> {
        assert_eq!(unit, Unit::Bytes);
        self.total.fetch_add(total, Ordering::SeqCst);
        Box::new(Count(std::sync::Arc::clone(&self.done)))
    }
    fn detail(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Task for Count {
    fn advance(&self, by: u64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

#[test]
fn progress_adds_up_whatever_goes_wrong() {
    let scene = Scene::new();
    let package = scene.package("hello", &bytes(1, 10_000), &["one", "two"]);
    scene.server.fault("/one/pool/hello_1.0_amd64.deb", Fault::Corrupt);
    scene.server.fault("/two/pool/hello_1.0_amd64.deb", Fault::Truncated(3));
    durable::write(&scene.file(&package).with_extension("part"), &bytes(2, 4000)).unwrap();
    let counted = Counted::default();
    scene.run_with(&[&package], &counted).unwrap();
    assert_eq!(counted.total.load(Ordering::SeqCst), 10_000);
    assert_eq!(counted.done.load(Ordering::SeqCst), 10_000);
}
