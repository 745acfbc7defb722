//! Builds after a build: what is there is not made again.

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::needs::needs;
use crate::support::program::run;

/// What a build says that it fetched, imported and reused.
fn work_of(stderr: &str) -> &str {
    stderr.lines().find(|line| line.contains(" imported, ")).unwrap_or("nothing is said")
}

/// What a store keeps between runs.
fn kept(scene: &Scene) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    ["files", "repo", "stages"].iter().flat_map(|name| scene.listing(&format!("store/{name}"))).collect()
}

#[test]
fn an_unchanged_build_does_nothing() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let count = scene.lock(REQUIRED).packages.len();
    let first = scene.build(REQUIRED, &[]);
    assert_eq!(work_of(&first.stderr), format!("0 packages fetched, {count} imported, 0 reused"));
    let line = first.result();

    let before = (kept(&scene), scene.listing("out"));
    let second = scene.build(REQUIRED, &[]);
    assert!(second.stderr.contains("\nnothing to do: everything is as the lock says\n"), "{}", second.stderr);
    assert_eq!(second.result(), line);
    assert_eq!((kept(&scene), scene.listing("out")), before);

    // An output that was changed or removed is written again, from the tree that is there.
    std::fs::remove_file(scene.output(REQUIRED, "root.img")).unwrap();
    let third = scene.build(REQUIRED, &[]);
    assert_eq!(work_of(&third.stderr), "nothing is said");
    assert_eq!(third.result(), line);
}

#[test]
fn a_change_redoes_only_what_it_reaches() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let count = scene.lock(REQUIRED).packages.len();
    let plain = scene.build(REQUIRED, &["--format", "tar"]).result();

    let base = "base: required\n";
    let file = "files:\n  - {path: /etc/motd, content: 'hello'}\n";
    scene.edit("manifests/required.yaml", base, &format!("{base}{file}"));
    scene.update_lock(REQUIRED);
    let with_file = scene.build(REQUIRED, &["--format", "tar"]);
    assert_eq!(work_of(&with_file.stderr), format!("0 packages fetched, 0 imported, {count} reused"));
    assert_ne!(with_file.result(), plain);

    scene.edit("manifests/required.yaml", file, "packages: [hello]\n");
    scene.update_lock(REQUIRED);
    assert_eq!(scene.lock(REQUIRED).packages.len(), count + 1, "hello needs nothing that the base lacks");
    let with_package = scene.build(REQUIRED, &["--format", "tar"]);
    assert_eq!(work_of(&with_package.stderr), format!("1 packages fetched, 1 imported, {count} reused"));

    // Back to the first manifest: its tree is still there.
    scene.edit("manifests/required.yaml", "packages: [hello]\n", "");
    scene.update_lock(REQUIRED);
    let back = scene.build(REQUIRED, &["--format", "tar"]);
    assert_eq!(work_of(&back.stderr), "nothing is said");
    assert_eq!(back.result(), plain);
    run(&mut scene.compose(["store", "verify"])).result();
}
