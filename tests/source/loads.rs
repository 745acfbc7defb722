//! What is loaded, and how little is asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::support::needs::needs;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use compose::manifest::Archive;
use compose::package;
use compose::package::deb::table::Table;
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::{MirrorMap, Mirrors, load_host};
use compose::source::{self, Asked, Context, Index};

use crate::support::archive::{DATE, SignedAs, SigningKey, Suite, at};
use crate::support::http_server::Fault;
use crate::{STANZA, Scene, edit};

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
        table: Arc::new(package::Table::Deb(Table::of(&suite.index_text("main/binary-amd64")).unwrap())),
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
    let view = new[0].table.deb().unwrap().view();
    assert!(view.rows.iter().any(|row| view.name(row.name) == "more"));
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
        assert_eq!(
            *scene.load().unwrap()[0].table.deb().unwrap(),
            Table::of(&suite.index_text("main/binary-amd64")).unwrap()
        );
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
fn a_damaged_cache_is_fetched_again() {
    let scene = Scene::new();
    scene.publish();
    let first = scene.load().unwrap();
    let cache = scene.folder.path().join("cache/debian/trixie");
    let index = cache.join(first[0].sha256.to_hex());
    let table = index.with_extension("table");
    durable::write(&table, b"damage").unwrap();
    assert_eq!(scene.load().unwrap(), first, "from the index");
    durable::write(&table, b"damage").unwrap();
    durable::write(&index, b"damage").unwrap();
    edit(&cache.join("InRelease"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(scene.load().unwrap(), first);
}

#[test]
fn each_suite_keeps_its_own_indexes() {
    let mut scene = Scene::new();
    for name in ["trixie", "trixie-updates"] {
        let mut suite = Suite::new(name);
        suite.add_package(&scene.root(), "main/binary-amd64", STANZA, b"hello");
        suite.write(&scene.root(), &scene.key, SignedAs::Inline);
    }
    scene.archive.suites = vec!["trixie".to_owned(), "trixie-updates".to_owned()];
    let both = scene.load().unwrap();
    assert_eq!(both[0].sha256, both[1].sha256);
    assert!(Arc::ptr_eq(&both[0].table, &both[1].table));
    scene.offline = true;
    for (name, index) in ["trixie", "trixie-updates"].into_iter().zip(both) {
        scene.archive.suites = vec![name.to_owned()];
        assert_eq!(scene.load().unwrap(), [index]);
    }
}

#[test]
fn an_archive_may_lack_a_foreign_architecture() {
    let scene = Scene::new();
    scene.publish();
    assert_eq!(scene.load_for("i386", true).unwrap(), []);
    assert!(scene.load_for("i386", false).is_err());
}

/// The real thing: the host's own mirror and Debian's keyring.
#[test]
fn the_hosts_own_archive_is_loaded() {
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    let host: MirrorMap = load_host(Path::new("/etc/apt"));
    let found = host.contains_key("debian") && keyring.exists();
    let missing = || "this host has no apt sources of an archive `debian`, or no keyring of it".to_owned();
    if needs(found.then_some(()).ok_or_else(missing)).is_none() {
        return;
    }
    let archive = Archive {
        id: "debian".to_owned(),
        pool: None,
        suites: vec!["trixie".to_owned()],
        components: vec!["main".to_owned()],
        signed_by: Some(keyring.to_owned()),
        uris: Vec::new(),
        priority: None,
        check_valid_until: true,
        trusted: false,
        repository: None,
    };
    let mirrors = Mirrors { host, ..Mirrors::default() };
    let cache = tempfile::tempdir().unwrap();
    let client = Client::new(Options::default());
    let now = Timestamp::now();
    let mut context =
        Context { client: &client, mirrors: &mirrors, cache: cache.path(), offline: false, now, progress: &Silent };
    let architecture = "amd64".parse().unwrap();
    let archives = [Asked { archive: &archive, architecture: &architecture, optional: false }];
    let mut loaded = source::load_archives(&archives, &BTreeSet::new(), &context).unwrap();
    let indexes = loaded.remove(0);
    assert_eq!(indexes.len(), 1);
    assert_eq!((indexes[0].archive.as_str(), indexes[0].codename.as_str()), ("debian/trixie/main", "trixie"));
    assert!(indexes[0].table.deb().unwrap().view().rows.len() > 10_000);
    assert_eq!(source::load_archives(&archives, &BTreeSet::new(), &context).unwrap(), std::slice::from_ref(&indexes));
    context.offline = true;
    assert_eq!(source::load_archives(&archives, &BTreeSet::new(), &context).unwrap(), std::slice::from_ref(&indexes));
}
