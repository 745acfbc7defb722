//! Debian binary packages: what Debian Policy and the manual pages of dpkg and apt say.

pub mod archive;
pub mod changelog;
pub mod control;
mod database;
pub mod install;
pub mod relation;
pub mod request;
pub mod table;
pub mod universe;
pub mod version;
