//! Where packages can come from: the archives of a manifest as verified package indexes.
//!
//! Nothing that came from a mirror is parsed before it is verified: a Release file by its signature ([`openpgp`]), an index
//! by the SHA-256 that the Release file gives it ([`apt`]). What was verified is kept in a cache, and verified
//! again when it is read from there.

pub mod apt;
pub mod http;
pub mod mirrors;
pub mod openpgp;
pub mod release;

mod cache;

use std::path::Path;

use anyhow::Result;

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::manifest::Archive;
use crate::progress::Progress;

use http::Client;
use mirrors::Mirrors;

/// What loading indexes needs besides the archives.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Fetches files.
    pub client: &'a Client,
    /// Where archives are.
    pub mirrors: &'a Mirrors,
    /// The folder of the cache, `archives/` in the store's folder.
    pub cache: &'a Path,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// The time at which metadata has to be valid.
    pub now: Timestamp,
    /// Where to report to.
    pub progress: &'a dyn Progress,
}

/// A verified package index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index {
    /// `ARCHIVE/SUITE/COMPONENT` as the lock writes it; `ARCHIVE/PATH` for a flat repository.
    pub archive: String,
    /// The suite's name as its Release file gives it, or as the manifest does where that gives none.
    pub suite: String,
    /// The suite's code name, likewise.
    pub codename: String,
    /// The manifest's pin, as in `apt_preferences(5)`.
    pub priority: Option<i32>,
    /// The Release file's `NotAutomatic`.
    pub not_automatic: bool,
    /// The Release file's `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: bool,
    /// The architecture asked for; packages for all architectures are among its.
    pub architecture: Architecture,
    /// The Release file's `Date`.
    pub date: Timestamp,
    /// SHA-256 of the index file as the archive has it, compressed: what later stages key by.
    pub sha256: Sha256,
    /// The text, decompressed.
    pub text: Vec<u8>,
}

/// The package indexes of all suites and components of the archives for one architecture, in the manifest's order.
///
/// A package can stand in more than one of them: name, version and architecture then mean the same file (Debian
/// repository format, "Duplicate Packages").
pub fn load_indexes(archives: &[Archive], architecture: &Architecture, context: &Context<'_>) -> Result<Vec<Index>> {
    apt::load(archives, architecture, context)
}
