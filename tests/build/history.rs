//! Builds one after another, as a template's history.

use compose::fetch;

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::needs;
use crate::support::program::run;

fn eels(version: &str) -> Deb {
    Deb::new("eels", version).file("usr/share/eels/version", version.repeat(9999))
}

/// Builds with this version of a package, whose archive has no other one.
fn build(scene: &Scene, version: &str, options: &[&str]) -> String {
    scene.publish(&[eels(version)]);
    scene.update_lock(REQUIRED);
    scene.build(REQUIRED, options).result()
}

#[test]
fn builds_are_a_history_and_a_kept_lock_needs_no_work() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.add_packages(&[eels("1")]);
    scene.build(REQUIRED, &["--template-version", "13.1"]).result();
    let old = scene.lock(REQUIRED);
    build(&scene, "2", &[]);
    let result = build(&scene, "3", &["--template-version", "13.3"]);
    let kept = scene.lock(REQUIRED);

    let log = run(&mut scene.compose(["log", "required"])).result();
    let lines = |start: &str| log.lines().filter_map(|line| line.strip_prefix(start)).collect::<Vec<_>>();
    assert_eq!(lines("version: "), ["13.3", "2", "13.1"]);
    assert_eq!(lines("changes: "), ["1 upgraded", "1 upgraded"]);
    run(&mut scene.compose(["tag", "required", "13.1", "first"])).result();

    let store = scene.path("store");
    let eels_of = |lock: &compose::lock::Lock| {
        lock.packages.iter().find(|package| package.name == "eels").map(|package| package.sha256).unwrap()
    };
    run(&mut scene.compose(["store", "gc", "--keep", "1"])).result();
    assert!(fetch::file_path(&store, &eels_of(&old)).exists(), "the tag's lock needs it");
    run(&mut scene.compose(["tag", "required", "--delete", "first"])).result();
    let told = run(&mut scene.compose(["store", "gc", "--keep", "1"])).result();
    assert!(told.contains("refs of package: 1\n"), "{told}");
    assert!(!fetch::file_path(&store, &eels_of(&old)).exists());
    assert!(fetch::file_path(&store, &eels_of(&kept)).exists());
    run(&mut scene.compose(["store", "verify"])).result();

    let again = scene.build(REQUIRED, &[]);
    assert!(again.stderr.contains("\nnothing to do: everything is as the lock says\n"), "{}", again.stderr);
    assert_eq!(again.result(), result);
    // Scripts need not run again after the next change either.
    let next = scene.publish(&[eels("4")]);
    assert!(next.exists());
    scene.update_lock(REQUIRED);
    let verbose = scene.build(REQUIRED, &["--verbose"]);
    let spared = verbose.stderr.lines().find(|line| line.ends_with(" scripts need not run again")).unwrap_or_default();
    assert!(!spared.trim_start().starts_with("0 of"), "{spared}");
}
