//! The liblzma crate under the name and with the interface of xz2.

pub use liblzma::{bufread, read, stream, write};
