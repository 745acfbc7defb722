//! What the user asks for: the manifest with its includes merged and its values checked.
//! Reading YAML stands in `typed` and `load`, merging and checking in `merge`; nothing here knows what an archive holds.

mod digest;
mod image;
mod load;
mod located;
mod merge;
mod repository;
mod template;
mod typed;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::package::Format;

pub use image::{ImageOptions, Kernel, OutputFormat};
pub use load::load;
pub use located::Mistake;
pub use repository::Repository;
pub use template::{Appmenus, Template};

/// A manifest, complete and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The name of locks, refs and outputs.
    pub name: String,
    /// The format of every package.
    pub format: Format,
    /// What can be built; sorted, never empty.
    pub architectures: Vec<Architecture>,
    /// Architectures whose packages a root can have besides its own (`dpkg --add-architecture`); sorted.
    pub foreign_architectures: Vec<Architecture>,
    /// Where packages come from, in the order written.
    pub archives: Vec<Archive>,
    /// The set of packages to start from.
    pub base: Base,
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// Whether suggested packages are installed too.
    pub suggests: bool,
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
    /// What else is set in the root.
    pub system: System,
    /// What `compose build` writes.
    pub outputs: Vec<OutputFormat>,
    /// How the image is made.
    pub image: ImageOptions,
    /// What the Qubes template package says of itself, where there is to be one.
    pub template: Option<Template>,
    /// Checks of the tree that may find something, each with the reason. They shape nothing.
    pub checks: Vec<(String, String)>,
    /// The programs that shape output bytes.
    pub tools: Tools,
    /// The manifest file.
    pub path: PathBuf,
    /// Digest of all values above but `checks` (with the contents of added files, without comments or layout): what the lock
    /// records as `manifest-sha256`.
    pub digest: Sha256,
}

/// The architectures of machines that locks have interpreters for.
const MACHINES: &[&str] = &["amd64", "arm64"];

impl Manifest {
    /// The machines, other than its own kind, that a lock for this architecture is built on through an interpreter: amd64, and
    /// those that the manifest itself is for.
    pub fn machines(&self, architecture: &Architecture) -> Vec<Architecture> {
        let machines = MACHINES.iter().filter_map(|name| name.parse().ok());
        let known = |machine: &Architecture| machine.as_str() == "amd64" || self.architectures.contains(machine);
        machines.filter(|machine| machine != architecture && known(machine)).collect()
    }

    /// The architectures that files of its locks are from: its own, and those of machines.
    pub fn architectures_of_files(&self) -> Vec<Architecture> {
        let mut all = self.architectures.clone();
        for machine in self.architectures.iter().flat_map(|architecture| self.machines(architecture)) {
            if !all.contains(&machine) {
                all.push(machine);
            }
        }
        all
    }

    /// The folder that locks, and paths of package files in them, are relative to: the one that `manifests/` stands in, or
    /// the manifest's own.
    pub fn root(&self) -> &Path {
        root_of(&self.path)
    }

    /// The package files that the manifest names one by one, by their path relative to [`Self::root`].
    pub fn files_asked_for(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|request| request.kind == RequestKind::File).map(|request| request.name.as_str())
    }
}

fn root_of(manifest: &Path) -> &Path {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    match (folder.file_name(), folder.parent()) {
        (Some(name), Some(parent)) if name == "manifests" => parent,
        _ => folder,
    }
}

/// An archive, in the terms of apt's sources.list(5).
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Archive {
    /// The archive's name, which is also the last component of its mirrors' URIs (`debian`, `debian-security`).
    pub id: String,
    /// A folder of package files that needs no index; such an archive has no suites.
    #[serde(flatten)]
    pub pool: Option<Pool>,
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
    /// What makes it an rpm repository.
    #[serde(flatten)]
    pub repository: Option<Repository>,
}

/// A folder of package files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pool {
    /// Its path, relative to [`Manifest::root`].
    pub pool: PathBuf,
    /// The folder itself.
    #[serde(skip)]
    pub folder: PathBuf,
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

/// What is asked for: a package `NAME[:ARCH] [(OP VERSION)]` as in a Depends field, a set of packages, or a file.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageRequest {
    /// The package's name; for a task the task's, for a file its path relative to the manifest that names it.
    pub name: String,
    /// What `name` names.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: RequestKind,
    /// The architecture; the root's own when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// A relation and a version, such as `>=` and `1.2-3`, in the format's own spelling.
    pub version: Option<(String, String)>,
    /// The suite or code name it is to come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether what it recommends is installed too; as the manifest says when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommends: Option<bool>,
    /// Whether what it suggests is installed too; as the manifest says when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggests: Option<bool>,
}

/// What a request's name names.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// One package.
    #[default]
    Package,
    /// All packages of a task.
    Task,
    /// All packages of a group, or of a module's stream as `NAME:STREAM`.
    Group,
    /// A package file.
    File,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl fmt::Display for PackageRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RequestKind::Task => return write!(f, "^{}", self.name),
            RequestKind::Group => return write!(f, "@{}", self.name),
            RequestKind::Package | RequestKind::File => f.write_str(&self.name)?,
        }
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        if let Some((operator, version)) = &self.version {
            write!(f, " ({operator} {version})")?;
        }
        self.release.iter().try_for_each(|release| write!(f, "/{release}"))
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

/// What is set in the root besides packages, accounts and files.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct System {
    /// What hostname(5) has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `LANG`, such as `de_DE.UTF-8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// A zone of tzfile(5), such as `Europe/Berlin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Units to enable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
    /// Units to disable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
    /// Units to mask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    /// Answers to packages' questions, lines as debconf-set-selections(1) reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub debconf: Vec<String>,
    /// The manifest's own scripts, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// A script of the manifest's that runs in the root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Hook {
    /// What messages call it.
    pub name: String,
    /// When it runs.
    pub at: HookPoint,
    /// Its text; run by the interpreter that its first line names, else by `/bin/sh -e`.
    pub script: String,
}

/// When a hook runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HookPoint {
    /// When packages are unpacked, before any of their scripts.
    Unpacked,
    /// When packages are configured, and accounts and all else of the manifest but its files are set.
    Configured,
}

/// Where the programs that shape output bytes come from. By default the manifest's own archives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tools {
    /// Archives for tools alone; empty means the manifest's.
    pub archives: Vec<Archive>,
}
