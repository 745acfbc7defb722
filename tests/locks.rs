//! The committed manifests and their locks belong together. No network.

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
