//! Loading package indexes from archives served on loopback, and once from the host's own mirror.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use compose::manifest::Archive;
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::{MirrorMap, Mirrors, load_host};
use compose::source::{self, Context, Index};

use support::archive::{DATE, NOW, SignedAs, SigningKey, Suite, at};
use support::http_server::{Fault, HttpServer};
use support::told;

const STANZA: &str = "Package: hello\nVersion: 1.0\nArchitecture: amd64\n";

fn client() -> Client {
    let options = Options { attempts: 3, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
    Client::new(options).unwrap()
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
            suites: vec!["trixie".to_owned()],
            components: vec!["main".to_owned()],
            signed_by: Some(keyring),
            uris: vec![format!("{}/debian", server.uri())],
            priority: None,
            check_valid_until: true,
            trusted: false,
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
        let context = Context {
            client: &client(),
            mirrors: &Mirrors::default(),
            cache: &self.folder.path().join("cache"),
            offline: self.offline,
            now: self.now,
            progress: &Silent,
        };
        source::load_indexes(std::slice::from_ref(&self.archive), &"amd64".parse().unwrap(), &context)
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

#[test]
fn an_index_is_loaded_with_what_its_release_says() {
    let mut scene = Scene::new();
    scene.archive.priority = Some(500);
    let mut suite = scene.suite();
    suite.fields = "NotAutomatic: yes\nButAutomaticUpgrades: yes\n".to_owned();
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    let indexes = scene.load().unwrap();
    let file = std::fs::read(scene.file("main/binary-amd64/Packages.xz")).unwrap();
    let expected = Index {
        archive: "debian/trixie/main".to_owned(),
        suite: "trixie".to_owned(),
        codename: "trixie".to_owned(),
        priority: Some(500),
        not_automatic: true,
        but_automatic_upgrades: true,
        architecture: "amd64".parse().unwrap(),
        date: at(DATE),
        sha256: Sha256::of(&file),
        text: suite.index_text("main/binary-amd64").into_bytes(),
    };
    assert_eq!(indexes, [expected]);
}

#[test]
fn an_unchanged_suite_costs_one_conditional_request() {
    for form in [SignedAs::Inline, SignedAs::Detached] {
        let scene = Scene::new();
        scene.suite().write(&scene.root(), &scene.key, form);
        let first = scene.load().unwrap();
        scene.requests();
        assert_eq!(scene.load().unwrap(), first);
        let name = if form == SignedAs::Inline { "InRelease" } else { "Release" };
        assert_eq!(scene.requests(), [(format!("/debian/dists/trixie/{name}"), 304)]);
    }
}

#[test]
fn a_changed_suite_replaces_the_old_indexes() {
    let scene = Scene::new();
    let mut suite = scene.publish();
    let old = scene.load().unwrap();
    suite.add_package(&scene.root(), "main/binary-amd64", "Package: more\nVersion: 1\nArchitecture: all\n", b"more");
    suite.date = at("2026-11-14T10:00:00Z");
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    let new = scene.load().unwrap();
    assert!(String::from_utf8_lossy(&new[0].text).contains("Package: more"));
    let kept = scene.folder.path().join("cache/debian/trixie");
    assert!(kept.join(new[0].sha256.to_hex()).exists());
    assert!(!kept.join(old[0].sha256.to_hex()).exists());
}

#[test]
fn detached_signatures_armored_keyrings_and_flat_repositories_serve() {
    let mut scene = Scene::new();
    let keyring = scene.folder.path().join("keyring.asc");
    scene.key.write_keyring(&keyring);
    // A second key in the same text file.
    let other = scene.folder.path().join("other.asc");
    SigningKey::generate("other").write_keyring(&other);
    let other = std::fs::read_to_string(other).unwrap();
    edit(&keyring, |text| other + &text);
    scene.archive.signed_by = Some(keyring);
    scene.archive.suites = vec!["./".to_owned(), "extra/".to_owned()];
    scene.archive.components.clear();
    for name in ["./", "extra/"] {
        let mut suite = Suite::new(name);
        suite.add_package(&scene.root(), "", STANZA, b"hello");
        suite.write(&scene.root(), &scene.key, SignedAs::Detached);
    }
    let archives: Vec<_> = scene.load().unwrap().into_iter().map(|index| index.archive).collect();
    assert_eq!(archives, ["debian", "debian/extra"]);
}

#[test]
fn every_compression_is_read_and_the_best_is_preferred() {
    let rows: [(&[&str], &str); 5] = [
        (&["", ".gz", ".zst", ".xz"], ".xz"),
        (&["", ".gz", ".zst"], ".zst"),
        (&["", ".gz"], ".gz"),
        (&[""], ""),
        (&[".bz2", ".gz"], ".gz"),
    ];
    for (suffixes, best) in rows {
        let scene = Scene::new();
        let mut suite = scene.suite();
        suite.suffixes = suffixes.to_vec();
        suite.write(&scene.root(), &scene.key, SignedAs::Inline);
        assert_eq!(scene.load().unwrap()[0].text, suite.index_text("main/binary-amd64").into_bytes());
        let last = scene.requests().pop().unwrap();
        assert_eq!(last, (format!("/debian/dists/trixie/main/binary-amd64/Packages{best}"), 200));
    }
}

#[test]
fn by_hash_is_used_and_its_failure_falls_back_to_the_name() {
    let scene = Scene::new();
    let mut suite = scene.suite();
    suite.by_hash = true;
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    let sha256 = scene.load().unwrap()[0].sha256;
    let by_hash = format!("/debian/dists/trixie/main/binary-amd64/by-hash/SHA256/{sha256}");
    assert_eq!(scene.requests().pop().unwrap(), (by_hash.clone(), 200));
    for missing in [true, false] {
        std::fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
        if missing {
            std::fs::remove_dir_all(scene.file("main/binary-amd64/by-hash")).unwrap();
        } else {
            suite.write(&scene.root(), &scene.key, SignedAs::Inline);
            scene.server.fault(&by_hash, Fault::Corrupt);
        }
        scene.load().unwrap();
        let paths: Vec<_> = scene.requests().into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            ["/debian/dists/trixie/InRelease", &by_hash, "/debian/dists/trixie/main/binary-amd64/Packages.xz"]
        );
    }
}

#[test]
fn packages_for_all_architectures_are_loaded_where_they_stand_apart() {
    let all = "Package: docs\nVersion: 1\nArchitecture: all\n";
    let rows = [
        ("Architectures: all amd64\n", 2),
        ("Architectures: amd64\n", 1),
        ("Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n", 1),
    ];
    for (fields, loaded) in rows {
        let scene = Scene::new();
        let mut suite = scene.suite();
        suite.add_package(&scene.root(), "main/binary-all", all, b"docs");
        let text = suite.write_indexes(&scene.root()).replace("Architectures: all amd64\n", fields);
        suite.write_release(&scene.root(), &text, &scene.key, SignedAs::Inline);
        assert_eq!(scene.load().unwrap().len(), loaded, "{fields}");
    }
}

#[test]
fn an_archive_trusted_by_the_user_needs_no_signature() {
    for form in [SignedAs::Unsigned, SignedAs::Detached, SignedAs::Inline] {
        let mut scene = Scene::new();
        scene.archive.trusted = true;
        scene.archive.signed_by = None;
        scene.suite().write(&scene.root(), &SigningKey::generate("stranger"), form);
        assert_eq!(scene.load().unwrap().len(), 1, "{form:?}");
    }
}

#[test]
fn local_mirrors_serve() {
    let mut scene = Scene::new();
    scene.publish();
    scene.archive.uris = vec![format!("file://{}", scene.root().display())];
    scene.load().unwrap();
    assert_eq!(scene.load().unwrap().len(), 1);
    assert_eq!(scene.requests(), []);
}

#[test]
fn the_next_mirror_helps_and_short_failures_are_waited_out() {
    let mut scene = Scene::new();
    scene.publish();
    scene.archive.uris.insert(0, format!("{}/elsewhere", scene.server.uri()));
    scene.server.fault("/debian/dists/trixie/InRelease", Fault::Unavailable(2));
    scene.server.fault("/debian/dists/trixie/main/binary-amd64/Packages.xz", Fault::Truncated(2));
    assert_eq!(scene.load().unwrap().len(), 1);
}

#[test]
fn a_tampered_release_is_refused() {
    let scene = Scene::new();
    scene.publish();
    edit(&scene.file("InRelease"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: it has no good signature: \
         the signature of key ARCHIVE-KEY does not fit the text"
    );
    scene.suite().write(&scene.root(), &scene.key, SignedAs::Detached);
    edit(&scene.file("Release"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/Release: it has no good signature: \
         the signature of key ARCHIVE-KEY does not fit the text"
    );
    assert!(!scene.folder.path().join("cache").exists());
}

#[test]
fn text_outside_the_signature_is_refused() {
    let scene = Scene::new();
    scene.publish();
    edit(&scene.file("InRelease"), |text| format!("Suite: evil\n{text}"));
    let expected = "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: there is text \
                    outside the signature (line 1)";
    assert_eq!(scene.refusal(), expected);
    scene.publish();
    let lines = std::fs::read_to_string(scene.file("InRelease")).unwrap().lines().count();
    edit(&scene.file("InRelease"), |text| format!("{text}\nSuite: evil\n"));
    assert_eq!(scene.refusal(), expected.replace("line 1", &format!("line {}", lines + 2)));
}

#[test]
fn a_release_signed_by_a_stranger_is_refused() {
    let scene = Scene::new();
    let stranger = SigningKey::generate("stranger");
    for (form, name) in [(SignedAs::Inline, "InRelease"), (SignedAs::Detached, "Release")] {
        scene.suite().write(&scene.root(), &stranger, form);
        assert_eq!(
            scene.refusal().replace(&stranger.id(), "OTHER-KEY"),
            format!(
                "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/{name}: it is signed by key \
                 OTHER-KEY, and the keyring DIR/keyring.gpg has only key ARCHIVE-KEY\n\
                 hint: `signed-by:` in the manifest names the keyring with the archive's keys"
            )
        );
    }
}

#[test]
fn an_unsigned_release_is_refused() {
    let scene = Scene::new();
    scene.suite().write(&scene.root(), &scene.key, SignedAs::Unsigned);
    let expected = "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/Release: it is not signed\n\
                    hint: `signed-by:` in the manifest names the keyring with the archive's keys";
    assert_eq!(scene.refusal(), expected);
    std::fs::rename(scene.file("Release"), scene.file("InRelease")).unwrap();
    assert_eq!(scene.refusal(), expected.replace("trixie/Release", "trixie/InRelease"));
}

#[test]
fn without_a_keyring_nothing_is_believed() {
    let mut scene = Scene::new();
    scene.publish();
    scene.archive.signed_by = Some(scene.folder.path().join("none.gpg"));
    assert_eq!(
        scene.refusal(),
        "cannot verify the archive `debian`: cannot read the keyring DIR/none.gpg: No such file or directory (os error 2)\n\
         hint: `signed-by:` in the manifest names the keyring with the archive's keys"
    );
    scene.archive.signed_by = None;
    assert_eq!(
        scene.refusal(),
        "cannot verify the archive `debian`: it has no keyring\n\
         hint: add `signed-by: KEYRING` to the archive in the manifest"
    );
}

#[test]
fn an_expired_release_is_refused_unless_the_manifest_says_otherwise() {
    let mut scene = Scene::new();
    let mut suite = scene.suite();
    suite.valid_until = Some(at("2026-11-14T11:00:00Z"));
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: it has expired: valid \
         until 2026-11-14T11:00:00Z, and now is 2026-11-14T12:00:00Z\n\
         hint: `check-valid-until: false` in the manifest takes an archive that is kept past its date"
    );
    scene.archive.check_valid_until = false;
    scene.load().unwrap();
}

#[test]
fn a_release_that_expires_in_the_cache_is_refused_too() {
    let mut scene = Scene::new();
    let mut suite = scene.suite();
    suite.valid_until = Some(at("2026-11-14T13:00:00Z"));
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    scene.load().unwrap();
    scene.now = at("2026-11-14T14:00:00Z");
    assert!(scene.refusal().contains("it has expired"), "{}", scene.refusal());
    scene.offline = true;
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: the kept Release file: it has expired: valid until \
         2026-11-14T13:00:00Z, and now is 2026-11-14T14:00:00Z\n\
         hint: `check-valid-until: false` in the manifest takes an archive that is kept past its date"
    );
}

#[test]
fn a_release_from_the_future_is_refused() {
    let scene = Scene::new();
    let mut suite = scene.suite();
    suite.date = at("2026-11-14T12:00:11Z");
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: it is from the future: \
         dated 2026-11-14T12:00:11Z, and now is 2026-11-14T12:00:00Z\n\
         hint: check this host's clock"
    );
    suite.date = at("2026-11-14T12:00:10Z");
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    scene.load().unwrap();
}

#[test]
fn an_older_release_is_not_taken_after_a_newer_one() {
    let scene = Scene::new();
    let mut suite = scene.publish();
    scene.load().unwrap();
    suite.date = at("2026-11-13T09:00:00Z");
    suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: it is older than one seen \
         before: dated 2026-11-13T09:00:00Z, after one of 2026-11-14T09:00:00Z\n\
         hint: if the archive was set back on purpose, forget the newer one: rm DIR/cache/debian/trixie/state.json"
    );
    std::fs::remove_file(scene.folder.path().join("cache/debian/trixie/state.json")).unwrap();
    scene.load().unwrap();
}

#[test]
fn another_suites_release_is_refused() {
    let mut scene = Scene::new();
    scene.publish();
    std::fs::rename(scene.root().join("dists/trixie"), scene.root().join("dists/sid")).unwrap();
    scene.archive.suites = vec!["sid".to_owned()];
    assert_eq!(
        scene.refusal(),
        "cannot use suite `sid` of the archive `debian`: MIRROR/debian/dists/sid/InRelease: it is for another suite: expected \
         `sid`, found `trixie`"
    );
}

#[test]
fn an_index_with_a_wrong_hash_is_not_kept() {
    let scene = Scene::new();
    scene.publish();
    let path = scene.file("main/binary-amd64/Packages.xz");
    let expected = std::fs::read(&path).unwrap();
    let found: Vec<u8> = expected.iter().rev().copied().collect();
    durable::write(&path, &found).unwrap();
    assert_eq!(
        scene.refusal(),
        format!(
            "cannot fetch the index debian/trixie/main: MIRROR/debian/dists/trixie/main/binary-amd64/Packages.xz is not the \
             file that the Release file names: expected {0} bytes with SHA-256 {1}, found {0} bytes with SHA-256 {2}\n\
             hint: the mirror may be in the middle of an update: try again later, or give another --mirror",
            expected.len(),
            Sha256::of(&expected),
            Sha256::of(&found)
        )
    );
    let kept: Vec<_> = std::fs::read_dir(scene.folder.path().join("cache/debian/trixie")).unwrap().collect();
    assert_eq!(kept.len(), 2, "InRelease and state.json");
    durable::write(&path, &[&expected[..], b"more"].concat()).unwrap();
    assert!(scene.refusal().contains(&format!("it has more than {} bytes", expected.len())), "{}", scene.refusal());
}

#[test]
fn a_damaged_cache_is_fetched_again() {
    let scene = Scene::new();
    scene.publish();
    let first = scene.load().unwrap();
    let cache = scene.folder.path().join("cache/debian/trixie");
    durable::write(&cache.join(first[0].sha256.to_hex()), b"damage").unwrap();
    edit(&cache.join("InRelease"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(scene.load().unwrap(), first);
}

#[test]
fn offline_uses_the_cache_and_names_all_that_it_lacks() {
    let mut scene = Scene::new();
    scene.publish();
    let first = scene.load().unwrap();
    scene.requests();
    scene.offline = true;
    assert_eq!(scene.load().unwrap(), first);
    assert_eq!(scene.requests(), []);
    let cache = scene.folder.path().join("cache/debian/trixie");
    std::fs::remove_file(cache.join(first[0].sha256.to_hex())).unwrap();
    scene.archive.suites = vec!["trixie-updates".to_owned(), "trixie".to_owned()];
    assert_eq!(
        scene.refusal(),
        "not in the cache, and offline nothing is fetched: debian/trixie-updates, debian/trixie/main \
         (dists/trixie/main/binary-amd64/Packages.xz)\n\
         hint: run the same command without --offline"
    );
}

#[test]
fn a_missing_suite_component_or_mirror_is_named() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease does not exist\n\
         hint: check `suites:` of the archive `debian` in the manifest, or give another --mirror"
    );
    scene.publish();
    scene.archive.components = vec!["contrib".to_owned()];
    assert_eq!(
        scene.refusal(),
        "suite `trixie` of the archive `debian` has no component `contrib` for amd64: its components are main, its \
         architectures amd64\n\
         hint: check `components:` of the archive `debian` and `architectures:` in the manifest"
    );
    scene.archive.uris = vec!["http://127.0.0.1:1/debian".to_owned()];
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: http://127.0.0.1:1/debian/dists/trixie/InRelease could not be \
         fetched: Connection refused (os error 111)\n\
         hint: give another mirror with --mirror debian=URI"
    );
}

/// The real thing: the host's own mirror and Debian's keyring.
#[test]
fn the_hosts_own_archive_is_loaded() {
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    let host: MirrorMap = load_host(Path::new("/etc/apt"));
    if !host.contains_key("debian") || !keyring.exists() {
        println!("skipped: this host has no apt sources of an archive `debian`, or no keyring of it");
        return;
    }
    let archive = Archive {
        id: "debian".to_owned(),
        suites: vec!["trixie".to_owned()],
        components: vec!["main".to_owned()],
        signed_by: Some(keyring.to_owned()),
        uris: Vec::new(),
        priority: None,
        check_valid_until: true,
        trusted: false,
    };
    let mirrors = Mirrors { host, ..Mirrors::default() };
    let cache = tempfile::tempdir().unwrap();
    let client = Client::new(Options::default()).unwrap();
    let now = Timestamp::now();
    let mut context =
        Context { client: &client, mirrors: &mirrors, cache: cache.path(), offline: false, now, progress: &Silent };
    let archives = [archive];
    let architecture = "amd64".parse().unwrap();
    let indexes = source::load_indexes(&archives, &architecture, &context).unwrap();
    assert_eq!(indexes.len(), 1);
    assert_eq!((indexes[0].archive.as_str(), indexes[0].codename.as_str()), ("debian/trixie/main", "trixie"));
    assert!(indexes[0].text.starts_with(b"Package: "));
    assert_eq!(source::load_indexes(&archives, &architecture, &context).unwrap(), indexes);
    context.offline = true;
    assert_eq!(source::load_indexes(&archives, &architecture, &context).unwrap(), indexes);
}
