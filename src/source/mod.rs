//! Where packages can come from.

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;

/// A verified package index: one component of one suite for one architecture.
#[derive(Clone, Debug)]
pub struct Index {
    /// `ARCHIVE/SUITE/COMPONENT`.
    pub archive: String,
    /// The Release file's `Suite`.
    pub suite: String,
    /// The Release file's `Codename`.
    pub codename: String,
    /// The manifest's pin priority.
    pub priority: Option<i32>,
    /// The Release file's `NotAutomatic`.
    pub not_automatic: bool,
    /// The Release file's `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: bool,
    /// The architecture it was published for.
    pub architecture: Architecture,
    /// The Release file's `Date`.
    pub date: Timestamp,
    /// Digest of the text.
    pub sha256: Sha256,
    /// The index, uncompressed.
    pub text: Vec<u8>,
}
