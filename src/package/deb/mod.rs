//! Debian binary packages: what Debian Policy and the manual pages of dpkg and apt say.

pub mod archive;
pub mod changelog;
pub mod control;
mod database;
mod failure;
mod foresee;
pub mod install;
mod keystore;
mod ledger;
mod plan;
mod preinst;
pub mod relation;
pub mod request;
mod residue;
mod rounds;
pub mod table;
pub mod tools;
mod triggers;
pub mod universe;
pub mod version;

pub(super) use database::owned_paths;
