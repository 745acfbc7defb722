//! What the package formats' own manuals say, one folder per format, behind one set of types.
//! Nothing here knows of stages, stores or sandboxes.

mod changelog;
pub mod deb;
pub mod formula;
mod install;
mod ledger;
mod member_path;
mod order;
pub mod rpm;
mod signature;
pub mod universe;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use changelog::{Bug, Entry, Tracker};
pub use install::{
    Act, DatabaseContent, DatabaseFile, Diversion, Foreseen, Installation, Place, Planned, Planner, ROOT_IN_TOOLS,
    ReadFile, Renewal, Residue, Round, Script, Sharing, Told, Treatment, Unpacked,
};
pub use ledger::{Asked, Ledger, Said};
pub use signature::SignatureError;

use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::manifest::{Kernel, OutputFormat, PackageRequest};
use crate::source::Index;
use crate::source::openpgp::{self, Keyring};
use universe::{Selection, Universe};

/// A package format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian binary packages, deb(5).
    Deb,
    /// Packages of the RPM package manager.
    Rpm,
}

/// What a package index says of each package.
#[derive(PartialEq, Debug)]
pub enum Table {
    /// A Packages file.
    Deb(deb::table::Table),
    /// An rpm repository.
    Rpm(rpm::repodata::Repository),
}

impl Table {
    /// The table of Debian packages, if it is one.
    pub fn deb(&self) -> Option<&deb::table::Table> {
        match self {
            Self::Deb(table) => Some(table),
            Self::Rpm(_) => None,
        }
    }

    /// The rpm repository, if it is one.
    pub fn rpm(&self) -> Option<&rpm::repodata::Repository> {
        match self {
            Self::Deb(_) => None,
            Self::Rpm(repository) => Some(repository),
        }
    }
}

impl Format {
    /// The name in manifests, locks and refs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }

    /// Reads a package file from its beginning and hands every member to `sink`, in the file's order.
    /// Memory does not grow with the package.
    pub fn unpack(self, file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
        match self {
            Self::Deb => deb::archive::unpack(file, sink),
            Self::Rpm => rpm::archive::unpack(file, sink),
        }
    }

    /// As [`Self::unpack`], but of the control part only.
    pub fn unpack_control(self, file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
        match self {
            Self::Deb => deb::archive::unpack_control(file, sink),
            Self::Rpm => rpm::archive::unpack_control(file, sink),
        }
    }

    /// Checks that a key of the keyring signed all of a package file, before anything but its signatures is parsed. Whether a
    /// package is good depends on its bytes and the keys alone.
    pub fn check_signature(self, file: &mut File, keyring: &Keyring) -> Result<(), SignatureError> {
        match self {
            // dpkg-sig and debsigs are no part of Debian's archives, whose signed indexes vouch for packages.
            Self::Deb => Err(openpgp::Error::Unsigned.into()),
            Self::Rpm => rpm::signature::check(file, keyring),
        }
    }

    /// The entries of the changelog that a package file holds, its newest first; none where it has no changelog of its own.
    pub fn changelog(self, file: &mut File, package: &str) -> Result<Vec<Entry>> {
        match self {
            Self::Deb => deb::changelog::read(file, package),
            Self::Rpm => rpm::changelog::read(file),
        }
    }

    /// The order of the version of an entry of a changelog and that of a package.
    pub fn compare_with_entry(self, entry: &str, package: &str) -> std::cmp::Ordering {
        match self {
            Self::Deb => deb::version::compare(entry, package),
            Self::Rpm => rpm::changelog::compare(entry, package),
        }
    }

    /// Names of the control files whose contents [`Format::installation`] reads.
    pub fn control_files(self) -> &'static [&'static str] {
        match self {
            Self::Deb => deb::install::CONTROL_FILES,
            Self::Rpm => &rpm::archive::CONTROL_FILES,
        }
    }

    /// What is run when a package is installed: how the format calls each script, and its text. `read` reads a control file.
    pub fn scripts(self, read: ReadControl<'_>) -> Result<Vec<(String, String)>> {
        match self {
            Self::Deb => deb::install::scripts(read),
            Self::Rpm => rpm::install::scripts(read),
        }
    }

    /// Names of the control files by which a package acts on a system in all of its life there: its scripts, and what makes
    /// them run.
    pub fn all_scripts(self) -> &'static [&'static str] {
        match self {
            Self::Deb => deb::install::ALL_SCRIPTS,
            Self::Rpm => &[],
        }
    }

    /// What is special in installing these packages together.
    pub fn installation(self, packages: Vec<Unpacked>) -> Result<Box<dyn Installation>> {
        match self {
            Self::Deb => Ok(Box::new(deb::install::Deb::new(packages)?)),
            Self::Rpm => Ok(Box::new(rpm::install::Rpm::new(packages)?)),
        }
    }

    /// The order of two versions.
    pub fn compare_versions(self, a: &str, b: &str) -> std::cmp::Ordering {
        match self {
            Self::Deb => deb::version::compare(a, b),
            Self::Rpm => rpm::version::compare(a, b),
        }
    }

    /// Whether a package's architecture is the root's own, or none in particular.
    pub fn is_native(self, package: &str, root: &Architecture) -> bool {
        match self {
            Self::Deb => package == "all" || package == root.as_str(),
            Self::Rpm => package == "noarch" || package == root.rpm(),
        }
    }

    /// Reads a request for a package, `foo`, `foo (>= 1.2)` or `foo=1.2-3`, or tells what is wrong with it.
    pub fn parse_request(self, text: &str) -> Result<PackageRequest, String> {
        match self {
            Self::Deb => deb::request::parse(text),
            Self::Rpm => rpm::request::parse(text),
        }
    }

    /// All packages of some indexes as things to choose from for one architecture.
    pub fn universe<'a>(
        self,
        indexes: &'a [Index],
        architecture: &'a Architecture,
        selection: &Selection<'a>,
    ) -> Result<Box<dyn Universe + 'a>> {
        match self {
            Self::Deb => Ok(Box::new(deb::universe::DebUniverse::new(indexes, architecture, selection)?)),
            Self::Rpm => Ok(Box::new(rpm::universe::RpmUniverse::new(indexes, architecture, selection))),
        }
    }

    /// Every version of every package of some indexes that may be had, of which one root can have one for each name and
    /// architecture.
    pub fn universe_of_every_version<'a>(
        self,
        indexes: &'a [Index],
        architecture: &'a Architecture,
    ) -> Result<Box<dyn Universe + 'a>> {
        match self {
            Self::Deb => Ok(Box::new(deb::universe::DebUniverse::with_every_version(indexes, architecture))),
            Self::Rpm => Ok(Box::new(rpm::universe::RpmUniverse::new(indexes, architecture, &Selection::default()))),
        }
    }

    /// The paths that installed packages brought to a root, relative to it, where its database is text; `list` names a folder's
    /// files, `read` reads one.
    pub fn owned_paths(
        self,
        list: &dyn Fn(&str) -> Vec<String>,
        read: ReadFile<'_>,
    ) -> Result<Option<BTreeSet<String>>> {
        match self {
            Self::Deb => deb::owned_paths(list, read).map(Some),
            Self::Rpm => Ok(None),
        }
    }

    /// The packages of the programs that write these outputs, and why they are asked for that way.
    pub fn output_tools(self, outputs: &[OutputFormat], kernel: Kernel) -> Vec<Tool> {
        match self {
            Self::Deb => deb::tools::of(outputs, kernel),
            Self::Rpm => Vec::new(),
        }
    }

    /// Requests for packages that have the interpreter of an architecture's programs, those to prefer first.
    pub fn interpreters(self, architecture: &Architecture) -> Vec<String> {
        match self {
            Self::Deb => deb::tools::INTERPRETERS.iter().map(|request| (*request).to_owned()).collect(),
            Self::Rpm => vec![rpm::tools::interpreter(architecture)],
        }
    }

    /// Where such a package may have the interpreter for an architecture, relative to the root.
    pub fn interpreter_paths(self, architecture: &Architecture) -> Vec<String> {
        match self {
            Self::Deb => deb::tools::interpreter_paths(architecture),
            Self::Rpm => vec![rpm::tools::interpreter(architecture).trim_start_matches('/').to_owned()],
        }
    }
}

/// A line that came with a package, without what could act on a terminal or hide what it says: control characters, and
/// Unicode's invisible ones and those that change the direction of text. Tabs become spaces.
pub fn printable(line: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    line.replace('\t', "        ").replace(acts, "\u{fffd}")
}

/// Reads a control file of a package by its name, if it is there.
pub type ReadControl<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>>;

/// Receives the members of a package.
pub trait MemberSink {
    /// Takes one member; `content` gives the bytes of a regular file.
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()>;
}

/// Which half of a package a member belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Metadata and scripts.
    Control,
    /// What is installed.
    Data,
}

/// One member of a package, as the package describes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Control or data.
    pub part: Part,
    /// Path relative to the part's root, without `./`; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner by name, where the package gives one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Group by name, where the package gives one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes; the bytes of each value as numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a member is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link to this target.
    Symlink(String),
    /// Another name of an earlier file of the same part.
    Hardlink(String),
    /// A character device, major and minor.
    CharDevice(u32, u32),
    /// A block device, major and minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One line of an imported package's index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The member as the package describes it.
    #[serde(flatten)]
    pub member: Member,
    /// The content object of a file, link or hard link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Sha256>,
}

/// A package of a program that shapes output bytes.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The request, as in a manifest.
    pub request: &'static str,
    /// Why it is needed, and in this version.
    pub reason: &'static str,
}
