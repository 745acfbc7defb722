//! The committed manifests and their locks belong together. No network. Manifests in folders below `manifests/` have no locks: each
//! needs something that only its user can bring, a key or a mirror.

use std::fs;
use std::path::Path;

use compose::{lock, manifest};

#[test]
fn every_manifest_has_its_lock() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut expected = Vec::new();
    for entry in fs::read_dir(top.join("manifests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let manifest = manifest::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(manifest.name.as_str()));
        for architecture in &manifest.architectures {
            let lock = lock::load(&manifest, architecture).unwrap();
            assert_eq!((&lock.manifest, &lock.architecture), (&manifest.name, architecture));
            let path = lock::path_for(&manifest, architecture);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, lock.render().unwrap(), "{} is not as the program writes it", path.display());
            expected.push(path);
        }
    }
    let mut locks: Vec<_> = fs::read_dir(top.join("locks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    expected.sort();
    locks.sort();
    assert_eq!(locks, expected, "locks without a manifest, or the other way round");
}

/// The key of Qubes' archive is for users to get; with any key in its place the manifests are sound.
#[test]
fn qubes_manifests_lack_nothing_but_the_key() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for part in ["manifests/keyrings", "manifests/qubes", "manifests/qubes/include"] {
        for entry in fs::read_dir(top.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let copy = folder.path().join(path.strip_prefix(top).unwrap());
                compose::durable::write(&copy, &fs::read(&path).unwrap()).unwrap();
            }
        }
    }
    let manifests = folder.path().join("manifests/qubes");
    let missing = manifest::load(&manifests.join("debian-13-qubes.yaml")).unwrap_err();
    assert!(format!("{missing:#}").contains("keyrings/qubes-archive-keyring.gpg: No such file"), "{missing:#}");
    compose::durable::write(&manifests.join("keyrings/qubes-archive-keyring.gpg"), b"a key").unwrap();
    for (file, template) in [("debian-13-qubes", "debian-13"), ("debian-13-qubes-minimal", "debian-13-minimal")] {
        let manifest = manifest::load(&manifests.join(format!("{file}.yaml"))).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.outputs), (file, vec![manifest::OutputFormat::QubesTemplate]));
        assert_eq!(manifest.template.unwrap().name, template);
    }

    // With the apt sources that README.md tells how to add.
    let readme = fs::read_to_string(top.join("README.md")).unwrap();
    let (_, example) = readme.split_once("    files:\n      - path: /etc/apt/sources.list.d/debian.sources\n").unwrap();
    let example = example.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let example: Vec<&str> = example.map(|line| line.get(4..).unwrap_or_default()).collect();
    let own = format!(
        "name: own\ninclude: [debian-13-qubes.yaml]\nfiles:\n  - path: /etc/apt/sources.list.d/debian.sources\n{}\n",
        example.join("\n")
    );
    compose::durable::write(&manifests.join("own.yaml"), own.as_bytes()).unwrap();
    let files = manifest::load(&manifests.join("own.yaml")).unwrap().files;
    let manifest::AddedContent::Bytes(sources) = &files[0].content else { panic!("{files:?}") };
    let sources = String::from_utf8(sources.clone()).unwrap();
    assert_eq!(sources.matches("Types: deb\nURIs: ").count(), 2, "{sources}");
    assert!(sources.contains("\n\nTypes: deb\n"), "{sources}");
}
