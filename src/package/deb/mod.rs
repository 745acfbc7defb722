//! Debian binary packages: what Debian Policy and the manual pages of dpkg and apt say.

pub mod archive;
pub mod control;
mod database;
pub mod index;
pub mod install;
mod matching;
mod mention;
pub mod relation;
mod remedy;
pub mod request;
pub mod universe;
pub mod version;
