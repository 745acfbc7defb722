//! What a package format must say for its packages to be installed together: the questions that assembly asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use anyhow::Result;

use super::{Ledger, Record};
use crate::clock::Timestamp;
use crate::digest::Sha256;

/// A package that is to be installed.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Package name.
    pub name: String,
    /// The package's architecture.
    pub architecture: String,
    /// Names of the packages it depends on, as the lock has them.
    pub depends: Vec<String>,
    /// What [`Self::records`] gives, once the package is imported.
    pub members: OnceLock<Vec<Record>>,
    /// Contents of the control files that the format asked for, by name.
    pub control: BTreeMap<String, Vec<u8>>,
    /// Whether it was asked for by itself, not as what another package needs.
    pub asked: bool,
}

impl Unpacked {
    /// Members of both parts, in the package's order. To be asked for from when the package is to be merged.
    ///
    /// # Panics
    /// When nobody waited for the package's import.
    pub fn records(&self) -> &[Record] {
        self.members.get().expect("a package is imported before it is merged")
    }

    /// A control file that is text; empty where there is none, or one that is not UTF-8.
    pub fn text(&self, name: &str) -> &str {
        self.control.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// A program of the packages that tells in which order they are to be installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planner {
    /// The packages that it consists of, in an order to merge them in.
    pub packages: Vec<usize>,
    /// Files in /tmp and /run of its sandbox: path and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// How it is run; [`Installation::rounds`] reads what they print.
    pub scripts: Vec<Script>,
    /// A folder whose files it leaves for [`Planned::made`], relative to the root.
    pub makes: Option<&'static str>,
    /// What begins lines that it prints and that explain no failure, if any does.
    pub talk: Option<&'static str>,
    /// Whether its root stays for scripts of the installation that run [`Place::Tools`].
    pub stays: bool,
}

/// What came of a planner.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Planned {
    /// What it printed.
    pub printed: String,
    /// The files of the folder that it makes, by name.
    pub made: BTreeMap<String, Sha256>,
}

/// How packages of a format share paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sharing {
    /// Whether members are owned by the users and groups that they name, as the root knows these when they are merged.
    pub named_owners: bool,
    /// Whether the last package that lists a directory decides on its owner and mode; else the first one does.
    pub last_directory: bool,
    /// Whether a directory stays where a package has a symbolic link; else that is an error.
    pub directory_stays: bool,
    /// Directories at the top of the root that are there before any package is.
    pub places: &'static [&'static str],
}

/// A part of an installation: packages that are merged into the root, then scripts that run in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Round {
    /// The packages that the database knows from here on.
    pub register: Vec<usize>,
    /// The packages, in the order in which they are merged.
    pub unpack: Vec<usize>,
    /// Whether members that have another place stand at their own, too.
    pub in_place: bool,
    /// What is done then, in order.
    pub acts: Vec<Act>,
}

/// A part of a round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// The database is told that these packages are unpacked.
    Tell(Vec<usize>),
    /// A script runs.
    Run(Script),
}

/// How the database is told something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Files in /tmp and /run of the scripts' sandbox: path and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The scripts, in order.
    pub scripts: Vec<Script>,
}

/// A path that another takes the place of for all packages but one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diversion {
    /// The path that packages ship, absolute.
    pub from: String,
    /// Where their file is put, absolute.
    pub to: String,
    /// The package that keeps its own file.
    pub by: String,
}

/// Reads a file of a root by its path, if it is there.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Option<String>>;

/// Answers for one set of packages; packages are named by their index in the set.
pub trait Installation: Sync {
    /// The packages.
    fn packages(&self) -> &[Unpacked];

    /// The packages with what they depend on before them.
    fn order(&self) -> &[usize];

    /// What tells in which order the packages are installed, where one of them can.
    fn planner(&self) -> Option<Planner>;

    /// The parts of the installation, one after the other; `planned` is what came of the planner, if there is one. Like the
    /// planner, this needs no package's records. Errors when the packages cannot configure themselves.
    fn rounds(&self, planned: Option<Planned>) -> Result<Vec<Round>>;

    /// How packages share paths.
    fn sharing(&self) -> Sharing;

    /// How the database is told that the packages `new` are unpacked, after those of `before`.
    fn tell(&self, new: &[usize], before: &[usize]) -> Told;

    /// Symbolic links at the top of the root that exist before these packages are merged: name and target.
    fn aliases(&self, packages: &[usize]) -> Vec<(String, String)>;

    /// Where a member of a package is put, if not at its own path.
    fn place(&self, package: usize, path: &str) -> Option<String>;

    /// Whether the file of `new` at a path, as the package lists it, may take the place of the same file of `old`.
    fn may_replace(&self, new: usize, old: usize, path: &str) -> bool;

    /// Whether both packages may have the same file, when it is the same.
    fn may_share(&self, a: usize, b: usize) -> bool;

    /// The files of the package database that change when the packages `register` become known to it. `lost` has the paths
    /// that each package has lost to others so far; `read` reads a file of the root as it was before.
    fn database(&self, register: &[usize], lost: &[BTreeSet<String>], read: ReadFile<'_>) -> Result<Vec<DatabaseFile>>;

    /// The paths of the root that packages may not take.
    fn diversions(&self, read: ReadFile<'_>) -> Result<Vec<Diversion>>;

    /// The scripts that hand the manifest's answers to the packages' questions over, in the round that brings what takes
    /// them. Errors when no round does.
    fn answers(&self, lines: &[String], round: &Round) -> Result<Vec<Script>>;

    /// The program that runs one script after another when it is what a [`Script`] runs, if there is one.
    fn script_runner(&self) -> Option<&'static str>;

    /// The scripts that the runner of scripts will run in each act of each of the rounds, in their order, as far as that can be
    /// foreseen.
    fn foresee(&self, rounds: &[Round]) -> Vec<Vec<Vec<Foreseen>>> {
        rounds.iter().map(|round| vec![Vec::new(); round.acts.len()]).collect()
    }

    /// The database that programs of the root read whole, where there is one.
    fn ledger(&self) -> Option<Ledger>;

    /// Which script of which package a process works for, by its environment.
    fn script_of(&self, environment: &BTreeMap<String, String>) -> Option<String>;

    /// Whether a script that has these arguments, its own name first, runs for triggers that others activated.
    fn is_triggered(&self, arguments: &[String]) -> bool;

    /// Which script of which package made the runner of scripts fail, by what was printed, and how it failed when that
    /// was said.
    fn failed_script(&self, printed: &str) -> Option<(String, Option<String>)>;

    /// Files that exist only while scripts run, where their folder is there: path, permission bits, content.
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script {
    /// How messages call it.
    pub label: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment beyond what every script has.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub input: Vec<u8>,
    /// Files in /tmp and /run of its sandbox: path and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Where it runs.
    pub place: Place,
    /// The files beyond its package's that it seems to change, by a name for each kind: see [`Foreseen::shares`].
    pub shares: Vec<&'static str>,
}

/// A script that the runner of scripts will run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreseen {
    /// Program and arguments.
    pub command: Vec<String>,
    /// What it finds in its environment after what the runner finds, in that order.
    pub environment: Vec<(String, String)>,
    /// The files that the runner gives other names before it, relative to the root: from and to.
    pub renames: Vec<(String, String)>,
    /// The files beyond its package's that it seems to change, by a name for each kind. Of scripts that share one each sees
    /// what the one before it did, so that they had better run one after another.
    pub shares: Vec<&'static str>,
}

/// Where a script runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// In the root.
    #[default]
    Root,
    /// In the planner's root, which shows the other one as [`ROOT_IN_TOOLS`] and has its /tmp, /dev and /proc.
    Tools,
}

/// Where the root is for a script that runs [`Place::Tools`].
pub const ROOT_IN_TOOLS: &str = crate::sandbox::ROOT_IN_TOOLS;

/// A row of the normalisation table.
#[derive(Clone, Copy, Debug)]
pub struct Residue {
    /// Path relative to the root; in each component a `*` stands for any text. What it names is treated, be it file or
    /// folder.
    pub path: &'static str,
    /// Why it is no function of the packages.
    pub why: &'static str,
    /// What is done.
    pub treatment: Treatment,
    /// What makes it again in a system that boots, where nothing there does so by itself.
    pub renewal: Option<&'static Renewal>,
}

/// What is done with residue.
#[derive(Clone, Copy, Debug)]
pub enum Treatment {
    /// It is removed.
    Remove,
    /// It becomes an empty file of root's that all may read.
    Truncate,
    /// It keeps attributes, and has the content that this makes of it and of what scripts take for the time; none to leave it alone.
    Rewrite(fn(&[u8], Timestamp) -> Option<Vec<u8>>),
}

/// How a system makes for itself what images do not ship, when it boots for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// The systemd unit's name, without its ending.
    pub unit: &'static str,
    /// What is made, to follow the verb.
    pub description: &'static str,
    /// A path pattern, absolute: with any such path there is nothing to do.
    pub done: &'static str,
    /// What to run, as systemd.service(5) has command lines.
    pub command: &'static str,
}
