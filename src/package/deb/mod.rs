//! Debian binary packages: what Debian Policy and the manual pages of dpkg and apt say.

pub mod archive;
pub mod changelog;
pub mod control;
mod database;
pub mod install;
mod matching;
mod plan;
pub mod relation;
mod remedy;
pub mod request;
pub mod table;
mod triggers;
pub mod universe;
pub mod version;
