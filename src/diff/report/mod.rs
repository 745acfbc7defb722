//! The report of an update, as data: what changed in some locks, by source package, what stands in several locks told once.
//!
//! Every text in it that comes from a lock or a package is [`printable`]. How it is shown is for [`text`], [`markdown`] and
//! [`json`].

pub mod json;
pub mod markdown;
pub mod text;

mod size;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::why::{By, Chains, Why};
use super::{Change, Kind, changes};
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::lock::{Lock, Package};
use crate::package::{Bug, Entry, Format, printable};

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

/// The part of a lock that packages stand in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// The root's packages.
    Root,
    /// Those of the programs that shape output bytes.
    Tools,
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
    /// The part of the locks.
    pub section: Section,
    /// The source package's name.
    pub source: String,
    /// `ARCHIVE/SUITE/COMPONENT` that the packages come from now; of removed ones, came from.
    pub archive: String,
    /// The locks it is in.
    pub locks: Vec<String>,
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
    /// The package's name.
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
    /// The locks in which it is so.
    pub locks: Vec<String>,
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

/// Compares locks with those that were in their places.
pub fn compare<'a>(locks: impl IntoIterator<Item = (Option<&'a Lock>, &'a Lock)>) -> Report {
    let mut states = Vec::new();
    let mut merged: BTreeMap<Key, SourceChange> = BTreeMap::new();
    for (old, new) in locks {
        let state = LockState::new(old, new);
        let empty: &[Package] = &[];
        let (packages, tools) = old.map_or((empty, empty), |old| (&old.packages, &old.tools));
        for (section, old, new_list) in [(Section::Root, packages, &new.packages), (Section::Tools, tools, &new.tools)]
        {
            for change in by_source(&state.lock, new.format, section, old, new_list) {
                match merged.entry(Key::of(&change)) {
                    std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(change)),
                    std::collections::btree_map::Entry::Occupied(mut place) => place.get_mut().merge(change),
                }
            }
        }
        states.push(state);
    }
    Report { locks: states, changes: merged.into_values().collect() }
}

/// What makes changes in two locks the same, in the report's order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ordinary: bool,
    kind: Kind,
    section: Section,
    source: String,
    format: Format,
    archive: String,
    versions: BTreeSet<(Option<String>, Option<String>)>,
}

impl Key {
    fn of(change: &SourceChange) -> Self {
        Self {
            ordinary: !change.security,
            kind: change.kind,
            section: change.section,
            source: change.source.clone(),
            format: change.format,
            archive: change.archive.clone(),
            versions: change.packages.iter().map(|p| (p.from.clone(), p.to.clone())).collect(),
        }
    }
}

/// The changes of one list of one lock, gathered by source package.
fn by_source(lock: &str, format: Format, section: Section, old: &[Package], new: &[Package]) -> Vec<SourceChange> {
    let (chains_before, chains_now) = (Chains::new(old), Chains::new(new));
    let mut gathered: BTreeMap<(Kind, &str, &str), SourceChange> = BTreeMap::new();
    for Change { kind, old: before, new: now } in changes(format, old, new) {
        let Some(package) = now.or(before) else { continue };
        let source = package.source.as_deref().unwrap_or(&package.name);
        let change = gathered.entry((kind, source, &package.archive)).or_insert_with(|| SourceChange {
            kind,
            security: is_security(&package.archive) && !matches!(kind, Kind::Removed | Kind::Moved),
            format,
            section,
            source: printable(source),
            archive: printable(&package.archive),
            locks: vec![lock.to_owned()],
            packages: Vec::new(),
            changelog: None,
        });
        let why = match kind {
            Kind::Added => Some(chains_now.arrived(package)),
            Kind::Removed => Some(chains_before.left(package, new)),
            _ => None,
        };
        change.packages.push(PackageChange {
            name: printable(&package.name),
            from: before.map(|p| printable(&p.version)),
            to: now.map(|p| printable(&p.version)),
            files: vec![FileChange {
                locks: vec![lock.to_owned()],
                old: before.map(FileState::of),
                new: now.map(FileState::of),
                why,
            }],
        });
    }
    gathered.into_values().collect()
}

/// Whether an archive's id or its suite is one for security updates, by the name that Debian and its derivatives give it.
fn is_security(archive: &str) -> bool {
    archive.split('/').take(2).any(|part| part.ends_with("-security"))
}

impl LockState {
    fn new(old: Option<&Lock>, new: &Lock) -> Self {
        let sums = |list: &[Package]| Sums {
            packages: list.len(),
            size: list.iter().map(|p| p.size).sum(),
            installed_size: list.iter().map(|p| p.installed_size).sum(),
        };
        Self {
            lock: format!("{}.{}", new.manifest, new.architecture),
            manifest: new.manifest.clone(),
            architecture: new.architecture.clone(),
            state: match old {
                None => State::New,
                Some(old) if old == new => State::Current,
                Some(_) => State::Changed,
            },
            root: BeforeAndAfter {
                before: old.map(|old| sums(&old.packages)).unwrap_or_default(),
                after: sums(&new.packages),
            },
            tools: BeforeAndAfter {
                before: old.map(|old| sums(&old.tools)).unwrap_or_default(),
                after: sums(&new.tools),
            },
        }
    }
}

impl SourceChange {
    /// Takes in the same change of another lock.
    fn merge(&mut self, other: Self) {
        self.locks.extend(other.locks);
        for package in other.packages {
            let same =
                |p: &&mut PackageChange| (&p.name, &p.from, &p.to) == (&package.name, &package.from, &package.to);
            let Some(known) = self.packages.iter_mut().find(same) else {
                self.packages.push(package);
                continue;
            };
            for file in package.files {
                let same = |f: &&mut FileChange| (&f.old, &f.new, &f.why) == (&file.old, &file.new, &file.why);
                match known.files.iter_mut().find(same) {
                    Some(known) => known.locks.extend(file.locks),
                    None => known.files.push(file),
                }
            }
        }
        self.packages.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Each pair of versions with the packages that have it, in the packages' order.
    fn versions(&self) -> Vec<((Option<&str>, Option<&str>), Vec<&str>)> {
        let mut versions: Vec<((Option<&str>, Option<&str>), Vec<&str>)> = Vec::new();
        for package in &self.packages {
            let pair = (package.from.as_deref(), package.to.as_deref());
            match versions.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, names)) => names.push(&package.name),
                None => versions.push((pair, vec![&package.name])),
            }
        }
        versions
    }

    /// By how many bytes a lock's files, and what they install, grow.
    fn growth(&self, lock: &str) -> (i64, i64) {
        let files = self.packages.iter().flat_map(|package| &package.files);
        let files = files.filter(|file| file.locks.iter().any(|l| l == lock));
        files.fold((0, 0), |(size, installed), file| {
            let of = |get: &dyn Fn(&FileState) -> u64| {
                let number = |state: &Option<FileState>| state.as_ref().map_or(0, get).cast_signed();
                number(&file.new) - number(&file.old)
            };
            (size + of(&|f| f.size), installed + of(&|f| f.installed_size))
        })
    }

    /// Why its packages came or went, by name. Where locks differ in it, the first stands for them.
    fn reasons(&self) -> impl Iterator<Item = (&str, &Why)> {
        self.packages.iter().filter_map(|package| {
            let why = package.files.iter().find_map(|file| file.why.as_ref())?;
            Some((package.name.as_str(), why))
        })
    }
}

impl FileState {
    fn of(package: &Package) -> Self {
        Self {
            architecture: printable(&package.architecture),
            archive: printable(&package.archive),
            path: printable(&package.path),
            size: package.size,
            installed_size: package.installed_size,
            sha256: package.sha256,
        }
    }
}

impl Why {
    /// In words; `quote` is how a package's name and version are shown.
    fn describe(&self, section: Section, quote: &dyn Fn(&str) -> String) -> String {
        let Some((first, rest)) = self.chain.split_first() else { return "not told by the lock".to_owned() };
        let asked = match (section, first.by) {
            (Section::Tools, _) => "needed for images",
            (Section::Root, By::Base) => "in the base",
            (Section::Root, _) => "named by the manifest",
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
