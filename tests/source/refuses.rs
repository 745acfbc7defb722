//! What is refused, in the words the user sees.

use compose::digest::Sha256;
use compose::durable;

use crate::support::archive::{SignedAs, SigningKey, at};
use crate::{Scene, edit};

#[test]
fn a_tampered_release_is_refused() {
    let scene = Scene::new();
    scene.publish();
    edit(&scene.file("InRelease"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/InRelease: it has no good signature: \
         the signature of key ARCHIVE-KEY does not fit what is signed"
    );
    scene.suite().write(&scene.root(), &scene.key, SignedAs::Detached);
    edit(&scene.file("Release"), |text| text.replace("Origin: Test", "Origin: Best"));
    assert_eq!(
        scene.refusal(),
        "cannot use suite `trixie` of the archive `debian`: MIRROR/debian/dists/trixie/Release: it has no good signature: \
         the signature of key ARCHIVE-KEY does not fit what is signed"
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
fn offline_uses_the_cache_and_names_all_that_it_lacks() {
    let mut scene = Scene::new();
    scene.publish();
    let first = scene.load().unwrap();
    scene.requests();
    scene.offline = true;
    assert_eq!(scene.load().unwrap(), first);
    assert_eq!(scene.requests(), []);
    let cache = scene.folder.path().join("cache/debian/trixie");
    let index = cache.join(first[0].sha256.to_hex());
    std::fs::remove_file(&index).unwrap();
    assert_eq!(scene.load().unwrap(), first, "from the table");
    std::fs::remove_file(index.with_extension("table")).unwrap();
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

#[test]
fn what_stands_among_the_signatures_headers_is_not_read() {
    let scene = Scene::new();
    scene.publish();
    edit(&scene.file("InRelease"), |text| text.replacen("\nHash:", "\nSuite: evil\nNotAutomatic: yes\nHash:", 1));
    let index = scene.load().unwrap().remove(0);
    assert_eq!((index.suite.as_str(), index.not_automatic), ("trixie", false));
}
