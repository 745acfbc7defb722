//! What the RPM manual says of package files ("RPM V4 Package format"): lead, headers, tags, payload.

pub mod cpio;
pub mod file;
pub mod header;
pub mod tag;
