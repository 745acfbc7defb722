//! The manifest of Fedora that comes with the program: all of it but the mirror, which is for users to name.

use std::fs;
use std::path::Path;

use compose::{durable, manifest};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse as _;

use crate::support::program::{Outcome, compose, run};
use crate::{primary, publish_unsigned};

const TOP: &str = env!("CARGO_MANIFEST_DIR");
const MANIFEST: &str = "manifests/fedora/fedora-44-minimal.yaml";
/// Of the key, as the manifest's comment has it.
const FINGERPRINT: &str = "36F6 12DC F27F 7D1A 48A8 35E4 DBFC F71C 6D9F 90A6";

/// A copy of the manifest with its key, in a folder of its own.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in [MANIFEST, "manifests/keyrings/RPM-GPG-KEY-fedora-44-primary"] {
        durable::write(&folder.path().join(file), &fs::read(Path::new(TOP).join(file)).unwrap()).unwrap();
    }
    folder
}

/// `compose update-lock` of the copy, with nothing of the user's own that names mirrors.
fn update_lock(folder: &Path, more: &[&str]) -> Outcome {
    let words = ["--store", "store", "--quiet", "update-lock", MANIFEST];
    let mut command = compose(folder, words.iter().chain(more));
    command.env("HOME", folder).env_remove("XDG_CONFIG_HOME").env_remove("COMPOSE_MIRROR");
    run(&mut command)
}

#[test]
fn it_names_the_key_that_signs_its_packages() {
    let manifest = manifest::load(&Path::new(TOP).join(MANIFEST)).unwrap();
    assert_eq!(manifest.archives.len(), 2);
    for archive in &manifest.archives {
        let repository = archive.repository.as_ref().unwrap();
        assert!(repository.gpgcheck && !repository.repo_gpgcheck);
        let keys: Vec<Cert> = repository.gpgkey.iter().map(|path| Cert::from_file(path).unwrap()).collect();
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!(
            (key.fingerprint().to_spaced_hex().replace("  ", " "), key.is_tsk()),
            (FINGERPRINT.to_owned(), false)
        );
        assert!(fs::read_to_string(Path::new(TOP).join(MANIFEST)).unwrap().contains(FINGERPRINT));
    }
}

#[test]
fn without_a_mirror_it_says_what_is_missing() {
    let outcome = update_lock(copied().path(), &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
    let told = |id: &str| {
        format!(
            "error: no mirror is known for the repository `{id}`: neither `--mirror`, the manifest's `baseurl`, `metalink` or \
             `mirrorlist`, COMPOSE_MIRROR nor the configuration file names one\n\
             hint: --mirror {id}=URI, the folder that has repodata/; $basearch and $releasever may stand in it\n"
        )
    };
    assert_eq!(outcome.stderr, told("fedora"));
    let given = update_lock(copied().path(), &["--mirror", "fedora=file:///nonexistent"]);
    assert_eq!(given.stderr, told("updates"));
}

/// Both repositories for both architectures, one folder each; what an update brings is newer.
#[test]
fn with_mirrors_it_is_locked() {
    let folder = copied();
    let asked = manifest::load(&folder.path().join(MANIFEST)).unwrap().packages;
    for architecture in ["x86_64", "aarch64"] {
        let packages: Vec<String> =
            asked.iter().map(|request| format!("{} 1-1 {architecture}", request.name)).collect();
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        let place = |id: &str| folder.path().join("mirror").join(id).join("44").join(architecture);
        publish_unsigned(&place("fedora"), &[("primary", primary(&packages))]);
        publish_unsigned(&place("updates"), &[("primary", primary(&[&format!("systemd 2-1 {architecture}")]))]);
    }
    let mirror = |id: &str| format!("{id}=file://{}/mirror/{id}/$releasever/$basearch/", folder.path().display());
    update_lock(folder.path(), &["--mirror", &mirror("fedora"), "--mirror", &mirror("updates")]).result();
    let manifest = manifest::load(&folder.path().join(MANIFEST)).unwrap();
    for architecture in &manifest.architectures {
        let lock = compose::lock::load(&manifest, architecture).unwrap();
        let names: Vec<&str> = lock.packages.iter().map(|package| package.name.as_str()).collect();
        let mut expected: Vec<&str> = asked.iter().map(|request| request.name.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        let systemd = lock.packages.iter().find(|package| package.name == "systemd").unwrap();
        assert_eq!((systemd.version.as_str(), systemd.archive.as_str()), ("2-1", "updates"));
    }
    assert!(folder.path().join("manifests/fedora/locks/fedora-44-minimal.arm64.lock").exists());
}
