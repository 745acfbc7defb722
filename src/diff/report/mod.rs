//! The report of an update, as data: what changed in some locks, by source package, what stands in several locks told once.
//!
//! Every text in it that comes from a lock or a package is [`printable`](crate::package::printable). How it is shown is for [`text`], [`markdown`] and
//! [`json`].

pub mod json;
pub mod markdown;
pub mod text;

mod compare;
pub(super) mod size;

use serde::Serialize;

pub use compare::compare;

use super::Kind;
use super::why::{By, Why};
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::package::{Bug, Entry, Format};

/// What an update does to some locks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The locks, in the order given.
    pub locks: Vec<LockState>,
    /// What changed: what comes from security suites first, then the most alarming first, then by name.
    pub changes: Vec<SourceChange>,
}

/// One lock before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockState {
    /// `MANIFEST.ARCHITECTURE`, by which the rest of the report names it.
    pub lock: String,
    /// The manifest's name.
    pub manifest: String,
    /// The root's architecture.
    pub architecture: Architecture,
    /// What happens to it.
    pub state: State,
    /// The root's packages.
    pub root: BeforeAndAfter,
    /// The packages of the programs that shape output bytes.
    pub tools: BeforeAndAfter,
    /// The packages that run the root's programs on machines of other kinds.
    pub interpreters: BeforeAndAfter,
}

/// What happens to a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There was none.
    New,
    /// Its text changes.
    Changed,
    /// Nothing.
    Current,
}

/// Sums over a list of packages before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BeforeAndAfter {
    /// All zero where there was no lock.
    pub before: Sums,
    /// As they are now.
    pub after: Sums,
}

/// Sums over packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sums {
    /// How many.
    pub packages: usize,
    /// Bytes of their files.
    pub size: u64,
    /// Bytes once installed.
    pub installed_size: u64,
}

/// A list of packages in a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// The lock, as in [`LockState::lock`].
    pub lock: String,
    /// The part of it.
    pub section: Section,
}

/// The part of a lock that packages stand in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// The root's packages.
    Root,
    /// Those of the programs that shape output bytes.
    Tools,
    /// Those that run the root's programs on machines of other kinds.
    Interpreters,
}

impl Section {
    /// What a lock's name is followed by where this part of it is told of.
    fn suffix(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Tools => " tools",
            Self::Interpreters => " interpreters",
        }
    }
}

impl LockState {
    /// The sums of each part, in the lock's order.
    fn sections(&self) -> [(Section, &BeforeAndAfter); 3] {
        [(Section::Root, &self.root), (Section::Tools, &self.tools), (Section::Interpreters, &self.interpreters)]
    }
}

/// The same change of packages that are built from one source package.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceChange {
    /// What happened.
    pub kind: Kind,
    /// Whether what came is from a security suite.
    pub security: bool,
    /// The packages' format.
    pub format: Format,
    /// The source package's name.
    pub source: String,
    /// `ARCHIVE/SUITE/COMPONENT` that the packages come from now; of removed ones, came from.
    pub archive: String,
    /// Where it is so.
    pub places: Vec<Place>,
    /// Its packages, by name.
    pub packages: Vec<PackageChange>,
    /// What the changelog says; none where it was not asked, or there is nothing to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changelog: Option<Changelog>,
}

/// The change of one package.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageChange {
    /// The package's name; `NAME:ARCH` where it is not of the root's architecture.
    pub name: String,
    /// Its version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its version now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its files, one for each architecture.
    pub files: Vec<FileChange>,
}

/// The file of a package before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileChange {
    /// Where it is so.
    pub places: Vec<Place>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<FileState>,
    /// Now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<FileState>,
    /// Why it came or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// What a lock says of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileState {
    /// The architecture the package was built for.
    pub architecture: String,
    /// `ARCHIVE/SUITE/COMPONENT`.
    pub archive: String,
    /// Path below the archive's root.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes once installed; 0 where that is not known.
    pub installed_size: u64,
    /// Its identity.
    pub sha256: Sha256,
}

/// What a changelog says of a change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changelog {
    /// The package it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The entries after the lower version up to the higher one, newest first: of a downgrade, those that are taken back.
    pub entries: Vec<Entry>,
    /// The CVEs that the entries name.
    pub cves: Vec<String>,
    /// The bugs that the entries close.
    pub bugs: Vec<Bug>,
    /// What there is to know of entries that are not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl SourceChange {
    /// Its distinct versions with the packages that have them, in the packages' order.
    fn versions(&self) -> Vec<(Versions<'_>, Vec<&str>)> {
        let mut versions: Vec<(Versions<'_>, Vec<&str>)> = Vec::new();
        for package in &self.packages {
            match versions.iter_mut().find(|(known, _)| *known == package.versions()) {
                Some((_, names)) => names.push(&package.name),
                None => versions.push((package.versions(), vec![&package.name])),
            }
        }
        versions
    }

    /// By how many bytes a place's files, and what they install, grow.
    fn growth(&self, place: &Place) -> (i64, i64) {
        let files = self.packages.iter().flat_map(|package| &package.files);
        let files = files.filter(|file| file.places.contains(place));
        files.fold((0, 0), |(size, installed), file| {
            let of = |get: &dyn Fn(&FileState) -> u64| {
                let number = |state: &Option<FileState>| state.as_ref().map_or(0, get).cast_signed();
                number(&file.new) - number(&file.old)
            };
            (size + of(&|f| f.size), installed + of(&|f| f.installed_size))
        })
    }

    /// Why its packages came or went, by name. Where places differ in it, the first stands for them.
    fn reasons(&self) -> impl Iterator<Item = (&str, &Why)> {
        self.packages.iter().filter_map(|package| {
            let why = package.files.iter().find_map(|file| file.why.as_ref())?;
            Some((package.name.as_str(), why))
        })
    }
}

/// Versions of a package before and now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Versions<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
}

impl Versions<'_> {
    /// Both, or the only one; `quote` is how a version is shown.
    fn describe(self, quote: &dyn Fn(&str) -> String) -> String {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from != to => format!("{} → {}", quote(from), quote(to)),
            (from, to) => quote(to.or(from).unwrap_or_default()),
        }
    }
}

/// How a report's places are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Naming {
    /// There is but one.
    None,
    /// All are of one lock.
    Section,
    /// There are several locks.
    Lock,
}

impl Report {
    fn naming(&self) -> Naming {
        let mut places = self.changes.iter().flat_map(|change| &change.places);
        match self.locks.len() {
            2.. => Naming::Lock,
            _ if places.any(|place| place.section != Section::Root) => Naming::Section,
            _ => Naming::None,
        }
    }
}

impl Naming {
    /// The places' names; `quote` is how a lock is shown.
    fn describe(self, places: &[Place], quote: &dyn Fn(&str) -> String) -> Vec<String> {
        let name = |place: &Place| match (self, place.section) {
            (Self::Lock, section) => format!("{}{}", quote(&place.lock), section.suffix()),
            (_, Section::Root) => "root".to_owned(),
            (_, section) => section.suffix().trim_start().to_owned(),
        };
        places.iter().map(name).collect()
    }
}

impl PackageChange {
    fn versions(&self) -> Versions<'_> {
        Versions { from: self.from.as_deref(), to: self.to.as_deref() }
    }
}

impl Why {
    /// In words; `quote` is how a package's name and version are shown.
    pub(in crate::diff) fn describe(&self, quote: &dyn Fn(&str) -> String) -> String {
        let Some((first, rest)) = self.chain.split_first() else { return "not told by the lock".to_owned() };
        let asked = match first.by {
            By::Tools => "needed for images",
            By::Interpreters => "needed on machines of its architecture",
            By::Base => "in the base",
            _ => "named by the manifest",
        };
        let mut text = if rest.is_empty() { asked.to_owned() } else { format!("{} ({asked})", quote(&first.package)) };
        for link in rest {
            let arrow = if link.by == By::Recommends { " recommends " } else { " → " };
            text = format!("{text}{arrow}{}", quote(&link.package));
        }
        match &self.end {
            None => text,
            Some(end) => match &end.after {
                Some(now) => format!(
                    "was there for {text}; {} {} does without {}",
                    quote(&now.package),
                    quote(&now.version),
                    quote(&end.without)
                ),
                None if rest.is_empty() => format!("was {asked}, and is no longer"),
                None => format!("was there for {text}; {} is no longer asked for", quote(&end.without)),
            },
        }
    }
}
