//! What the RPM manual says of package files ("RPM V4 Package format": lead, headers, tags, payload), of relations and
//! versions, and what a repository's metadata says of packages.

pub mod cpio;
pub mod file;
pub mod header;
pub mod relation;
pub mod rich;
pub mod tag;
pub mod version;
