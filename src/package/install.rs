//! What a package format must say for its packages to be installed together: the questions that assembly asks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::Record;
use crate::digest::Sha256;

/// An imported package, ready to be merged.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Package name.
    pub name: String,
    /// The package's architecture.
    pub architecture: String,
    /// Names of the packages it depends on, as the lock has them.
    pub depends: Vec<String>,
    /// Members of both parts, in the package's order.
    pub records: Vec<Record>,
    /// Contents of the control files that the format asked for, by name.
    pub control: BTreeMap<String, String>,
}

/// Answers for one set of packages; packages are named by their index in the set.
pub trait Installation: Sync {
    /// The packages.
    fn packages(&self) -> &[Unpacked];

    /// The order in which packages are merged and their first scripts run.
    fn order(&self) -> &[usize];

    /// Symbolic links at the top of the root that exist before any package is merged: name and target.
    fn aliases(&self) -> Vec<(String, String)>;

    /// Where a member of a package is put, if not at its own path.
    fn place(&self, package: usize, path: &str) -> Option<String>;

    /// Whether a file of `new` may take the place of the same file of `old`.
    fn may_replace(&self, new: usize, old: usize) -> bool;

    /// Whether both packages may have the same file, when it is the same.
    fn may_share(&self, a: usize, b: usize) -> bool;

    /// The package database as it is after unpacking; `lost` has the paths that each package lost to others.
    fn database(&self, lost: &[BTreeSet<String>]) -> Result<Vec<DatabaseFile>>;

    /// The scripts that turn the merged tree into a configured one, in order.
    /// Errors when the packages cannot configure themselves.
    fn scripts(&self) -> Result<Vec<Script>>;

    /// The scripts that hand the manifest's answers to the packages' questions over, before any package asks.
    fn answers(&self, lines: &[String]) -> Result<Vec<Script>>;

    /// Files that exist only while scripts run: path, permission bits, content.
    fn guards(&self) -> Vec<(&'static str, u32, &'static str)>;

    /// What scripts leave behind that is no function of the packages.
    fn residue(&self) -> &'static [Residue];
}

/// A file of the package database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseFile {
    /// Path relative to the root.
    pub path: String,
    /// What it holds.
    pub content: DatabaseContent,
}

/// The content of a file of the package database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseContent {
    /// These bytes, owned by root with mode 0644.
    Bytes(Vec<u8>),
    /// A file that the package brought, as it is.
    Object(Sha256),
    /// An empty directory.
    Directory,
}

/// A program to run in the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// How messages call it.
    pub label: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment beyond what every script has.
    pub environment: Vec<(String, String)>,
}

/// A row of the normalisation table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Residue {
    /// Path relative to the root; a last component may begin or end with `*`.
    pub path: &'static str,
    /// Why it is no function of the packages.
    pub why: &'static str,
    /// What is done.
    pub treatment: Treatment,
}

/// What is done with residue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Treatment {
    /// It is removed.
    Remove,
    /// It becomes an empty file of root's that all may read.
    Truncate,
}
