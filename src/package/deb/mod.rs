//! Debian binary packages: what Debian Policy and the manual pages of dpkg and apt say.

pub mod control;
pub mod index;
mod matching;
mod mention;
pub mod relation;
pub mod request;
pub mod universe;
pub mod version;
