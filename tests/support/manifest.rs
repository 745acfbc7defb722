//! Manifests that nobody wrote.

use std::path::PathBuf;

use compose::digest::Sha256;
use compose::manifest::{Base, ImageOptions, Manifest, OutputFormat, PackageRequest, System, Tools};
use compose::package::Format;

/// One for amd64 that asks for Debian packages, and for nothing else.
pub fn manifest(base: Base, packages: Vec<PackageRequest>) -> Manifest {
    Manifest {
        name: "small".to_owned(),
        format: Format::Deb,
        architectures: vec!["amd64".parse().unwrap()],
        foreign_architectures: Vec::new(),
        archives: Vec::new(),
        base,
        recommends: false,
        suggests: false,
        packages,
        exclude: Vec::new(),
        groups: Vec::new(),
        users: Vec::new(),
        files: Vec::new(),
        system: System::default(),
        outputs: vec![OutputFormat::Ostree],
        image: ImageOptions::default(),
        template: None,
        checks: Vec::new(),
        tools: Tools { archives: Vec::new() },
        path: PathBuf::from("small.yaml"),
        digest: Sha256::of(b"small"),
    }
}
