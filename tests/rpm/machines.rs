//! The interpreters of locks for other architectures, from repositories with a folder for each.

use std::path::Path;

use compose::arch::Architecture;
use compose::{durable, manifest};

use crate::support::program::{Outcome, compose, run};
use crate::{primary, publish_unsigned};

const MANIFEST: &str = "\
name: m
format: rpm
architectures: [ARCHITECTURES]
base: none
packages: [a]
outputs: [ostree]
archives:
  - {id: own, baseurl: ['file://FOLDER/$basearch'], repo_gpgcheck: false, gpgcheck: false}
";

const QEMU: &str = "qemu-user-static-aarch64 1-1 x86_64; file: /usr/bin/qemu-aarch64-static";
const OLDER: &str = "qemu-user-static 0.9-1 x86_64; file: /usr/bin/qemu-aarch64-static, /usr/bin/qemu-arm-static";

/// Locks a package of both architectures; gives how that ended, and the interpreters of the lock for arm64.
fn locked(folder: &Path, architectures: &str, machine: Option<&[&str]>) -> (Outcome, Vec<String>) {
    let text = MANIFEST.replace("ARCHITECTURES", architectures).replace("FOLDER", &folder.display().to_string());
    durable::write(&folder.join("m.yaml"), text.as_bytes()).unwrap();
    publish_unsigned(&folder.join("aarch64"), &[("primary", primary(&["a 1-1 aarch64"]))]);
    if let Some(packages) = machine {
        let all = [&["a 1-1 x86_64"], packages].concat();
        publish_unsigned(&folder.join("x86_64"), &[("primary", primary(&all))]);
    }
    let outcome = run(&mut compose(folder, ["--store", "store", "--quiet", "update-lock", "m.yaml"]));
    let arm64: Architecture = "arm64".parse().unwrap();
    let lock = manifest::load(&folder.join("m.yaml")).and_then(|manifest| compose::lock::load(&manifest, &arm64));
    let interpreters = lock.map(|lock| lock.interpreters).unwrap_or_default();
    (outcome, interpreters.iter().map(compose::lock::Package::describe).collect())
}

#[test]
fn a_lock_has_the_interpreter_that_the_repositories_of_machines_have() {
    let folder = tempfile::tempdir().unwrap();
    let found = |architectures, machine| {
        let (outcome, interpreters) = locked(folder.path(), architectures, machine);
        outcome.result();
        interpreters
    };
    assert_eq!(found("arm64", None), [""; 0], "there is nothing for machines");
    assert_eq!(found("arm64", Some(&[])), [""; 0], "there is no interpreter");
    assert_eq!(found("arm64", Some(&[OLDER])), ["qemu-user-static 0.9-1 x86_64"]);
    assert_eq!(found("arm64", Some(&[QEMU])), ["qemu-user-static-aarch64 1-1 x86_64"]);
    assert_eq!(found("amd64, arm64", Some(&[QEMU])), ["qemu-user-static-aarch64 1-1 x86_64"]);
    let amd64: Architecture = "amd64".parse().unwrap();
    let manifest = manifest::load(&folder.path().join("m.yaml")).unwrap();
    assert_eq!(compose::lock::load(&manifest, &amd64).unwrap().interpreters, []);
}

#[test]
fn only_what_is_not_there_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    durable::write(&folder.path().join("x86_64/repodata/repomd.xml"), b"damaged").unwrap();
    let (outcome, _) = locked(folder.path(), "arm64", None);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("cannot use the repository `own` for amd64: "), "{}", outcome.stderr);
    let (outcome, _) = locked(folder.path(), "amd64, arm64", None);
    assert!(outcome.stderr.contains("cannot use the repository `own` for amd64: "), "{}", outcome.stderr);
    std::fs::remove_dir_all(folder.path().join("x86_64")).unwrap();
    let (outcome, _) = locked(folder.path(), "amd64, arm64", None);
    assert_eq!(outcome.code, Some(2), "what the root's packages are from has to be there");
}

#[test]
fn a_list_of_mirrors_may_have_nothing_for_a_machine() {
    let folder = tempfile::tempdir().unwrap();
    let text = MANIFEST
        .replace("ARCHITECTURES", "arm64")
        .replace("baseurl: ['file://FOLDER/$basearch']", "mirrorlist: 'file://FOLDER/list-$basearch'")
        .replace("FOLDER", &folder.path().display().to_string());
    durable::write(&folder.path().join("m.yaml"), text.as_bytes()).unwrap();
    publish_unsigned(&folder.path().join("aarch64"), &[("primary", primary(&["a 1-1 aarch64"]))]);
    let list = format!("file://{}/aarch64\n", folder.path().display());
    durable::write(&folder.path().join("list-aarch64"), list.as_bytes()).unwrap();
    let run = |words: &[&str]| run(&mut compose(folder.path(), ["--store", "store", "--quiet"].iter().chain(words)));
    run(&["update-lock", "m.yaml"]).result();
    durable::write(&folder.path().join("list-x86_64"), b"# none\n").unwrap();
    run(&["update-lock", "m.yaml"]).result();
    run(&["--offline", "update-lock", "m.yaml"]).result();
    let fetched = run(&["fetch", "m.yaml"]);
    assert!(fetched.stderr.contains("aarch64/Packages/a-1-1.aarch64.rpm"), "{}", fetched.stderr);
    std::fs::remove_file(folder.path().join("list-aarch64")).unwrap();
    let failed = run(&["update-lock", "m.yaml"]);
    assert!(failed.stderr.contains("cannot use the mirrorlist of the repository `own`"), "{}", failed.stderr);
}
