//! What the user asks for: the manifest with its includes merged and its values checked.
//! Reading YAML stands in `typed` and `load`, merging and checking in `merge`; nothing here knows what an archive holds.

mod digest;
mod load;
mod located;
mod merge;
mod typed;
mod words;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::package::Format;

pub use load::load;
pub use located::Mistake;

/// A manifest, complete and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The name of locks, refs and outputs.
    pub name: String,
    /// The format of every package.
    pub format: Format,
    /// What can be built; sorted, never empty.
    pub architectures: Vec<Architecture>,
    /// Where packages come from, in the order written.
    pub archives: Vec<Archive>,
    /// The set of packages to start from.
    pub base: Base,
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// What is wanted beyond the base.
    pub packages: Vec<PackageRequest>,
    /// Names of packages that must not be installed.
    pub exclude: Vec<String>,
    /// Groups to add.
    pub groups: Vec<Group>,
    /// Users to add or change.
    pub users: Vec<User>,
    /// Files to add after configuration.
    pub files: Vec<AddedFile>,
    /// What `compose build` writes.
    pub outputs: Vec<OutputFormat>,
    /// How the image is made.
    pub image: ImageOptions,
    /// The programs that shape output bytes.
    pub tools: Tools,
    /// The manifest file.
    pub path: PathBuf,
    /// Digest of all values above (with the contents of added files, without comments or layout): what the lock
    /// records as `manifest-sha256`.
    pub digest: Sha256,
}

/// An archive, in the terms of apt's sources.list(5).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Archive {
    /// The archive's name, which is also the last component of its mirrors' URIs (`debian`, `debian-security`).
    pub id: String,
    /// Suites or code names.
    pub suites: Vec<String>,
    /// Components; empty for a flat repository.
    pub components: Vec<String>,
    /// The keyring file that must have signed the archive's metadata; absolute. Not part of the digest: its contents are.
    #[serde(skip)]
    pub signed_by: Option<PathBuf>,
    /// Mirrors named by the manifest itself; usually none.
    pub uris: Vec<String>,
    /// Pin priority as in `apt_preferences(5)`.
    pub priority: Option<i32>,
    /// apt's `Check-Valid-Until`.
    pub check_valid_until: bool,
    /// apt's `Trusted: yes`: take the archive without a signature.
    pub trusted: bool,
}

/// The set of packages a root starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Packages marked essential.
    Essential,
    /// Also those of priority `required`, and the package manager.
    Required,
    /// Also those of priority `important` and `standard`.
    Standard,
    /// Nothing.
    None,
}

/// A package asked for by name, `NAME [:ARCH] [(OP VERSION)]` as in a Depends field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PackageRequest {
    /// The package's name.
    pub name: String,
    /// A relation and a version, such as `>=` and `1.2-3`, in the format's own spelling.
    pub version: Option<(String, String)>,
}

impl fmt::Display for PackageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some((operator, version)) => write!(f, "{} ({operator} {version})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A group to add to the root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number; chosen by `groupadd` when missing.
    pub gid: Option<u32>,
    /// A system group.
    pub system: bool,
}

/// A user to add to the root; for a user that packages make already, only what is given here is changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// Login name.
    pub name: String,
    /// Its number.
    pub uid: Option<u32>,
    /// Primary group, by name.
    pub group: Option<String>,
    /// Further groups.
    pub groups: Vec<String>,
    /// The comment field.
    pub gecos: Option<String>,
    /// Home folder.
    pub home: Option<String>,
    /// Login shell.
    pub shell: Option<String>,
    /// The password field of shadow(5), as is: a crypt(5) hash, or empty for login without one.
    pub password_hash: Option<String>,
    /// A system user.
    pub system: bool,
}

/// A file, folder or link to put into the configured root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AddedFile {
    /// Absolute path in the root.
    pub path: String,
    /// What it is.
    pub content: AddedContent,
    /// Permission bits; ignored for links.
    pub mode: u32,
    /// Owner: a name or number known in the root.
    pub owner: String,
    /// Group: a name or number known in the root.
    pub group: String,
}

/// What an added file is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AddedContent {
    /// A regular file with these bytes (from `content:` or `source:`).
    Bytes(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
    /// A folder.
    Directory,
}

/// A form in which a tree is given out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub enum OutputFormat {
    /// An ext4 file system.
    #[serde(rename = "root.img")]
    RootImg,
    /// A tar archive.
    #[serde(rename = "tar")]
    Tar,
    /// The ref in the store alone.
    #[serde(rename = "ostree")]
    Ostree,
}

/// How `root.img` is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ImageOptions {
    /// Total size in bytes; sized to fit when missing.
    pub size: Option<u64>,
    /// Free space in bytes beyond what the files need, when sized to fit.
    pub slack: u64,
    /// Volume label, at most 16 bytes.
    pub label: String,
}

/// Where the programs that shape output bytes come from. By default the manifest's own archives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tools {
    /// Archives for tools alone; empty means the manifest's.
    pub archives: Vec<Archive>,
}
