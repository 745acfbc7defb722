//! Entries of locks, and locks, with ordinary values where a test says nothing else.

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::lock::{Lock, Package, VERSION};
use compose::package::Format;

/// A manifest of packages from an archive that needs no signature; more keys may follow.
pub const MANIFEST: &str = "\
name: small
format: deb
architectures: [amd64]
archives:
- {id: own, suites: [own], components: [main], trusted: true}
";

/// A package of Debian that nobody asked for and that needs nothing; its digest is that of name and version.
pub fn locked(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        version: version.to_owned(),
        source: None,
        archive: "debian/trixie/main".to_owned(),
        path: format!("pool/{name}_{version}.deb"),
        size: 1000,
        installed_size: 4000,
        sha256: Sha256::of(format!("{name} {version}").as_bytes()),
        asked: None,
        depends: Vec::new(),
        security_fix: None,
        recommends: Vec::new(),
    }
}

/// Likewise one whose file has these bytes.
pub fn locked_file(name: &str, version: &str, bytes: &[u8]) -> Package {
    Package { size: bytes.len() as u64, installed_size: 0, sha256: Sha256::of(bytes), ..locked(name, version) }
}

/// A manifest's lock of these packages for amd64, of 1970, without tools and interpreters.
pub fn lock_of(manifest: &str, packages: Vec<Package>) -> Lock {
    Lock {
        version: VERSION,
        manifest: manifest.to_owned(),
        manifest_sha256: Sha256::of(manifest.as_bytes()),
        format: Format::Deb,
        architecture: "amd64".parse().unwrap(),
        date: Timestamp::from_seconds(0).unwrap(),
        packages,
        tools: Vec::new(),
        interpreters: Vec::new(),
    }
}
