//! What the RPM manual says of package files ("RPM V4 Package format"): lead, headers, tags, payload.

pub mod archive;
pub mod blob;
pub mod cpio;
pub mod file;
pub mod files;
pub mod header;
mod payload;
pub mod tag;
