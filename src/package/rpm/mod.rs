//! What the RPM manual says of package files ("RPM V4 Package format": lead, headers, tags, payload), of relations and
//! versions; what a repository's metadata says of packages; and packages as dnf and libsolv choose them.

pub mod archive;
pub mod blob;
pub mod changelog;
pub mod cpio;
pub mod file;
pub mod files;
pub mod header;
pub mod install;
mod payload;
pub mod relation;
pub mod repodata;
pub mod request;
pub mod rich;
pub mod signature;
pub mod tag;
pub mod tools;
pub mod universe;
pub mod version;
mod xml;
