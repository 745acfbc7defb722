//! How a report is made of locks: the changes of each, gathered by source package, then those that are the same in several
//! locks merged.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{
    BeforeAndAfter, FileChange, FileState, LockState, PackageChange, Place, Report, Section, SourceChange, State, Sums,
};
use crate::arch::Architecture;
use crate::diff::why::Chains;
use crate::diff::{Change, Kind, changes};
use crate::lock::{Lock, Package};
use crate::package::{Format, printable};

/// Compares locks with those that were in their places. One that is not sound is an error.
pub fn compare<'a>(locks: impl IntoIterator<Item = (Option<&'a Lock>, &'a Lock)>) -> Result<Report> {
    let mut states = Vec::new();
    let mut merged: BTreeMap<Key, SourceChange> = BTreeMap::new();
    for (old, new) in locks {
        let state = LockState::new(old, new);
        let empty: &[Package] = &[];
        let before = |list: fn(&Lock) -> &Vec<Package>| old.map_or(empty, |old| list(old));
        let sections = [
            (Section::Root, before(|old| &old.packages), &new.packages),
            (Section::Tools, before(|old| &old.tools), &new.tools),
            (Section::Interpreters, before(|old| &old.interpreters), &new.interpreters),
        ];
        for (section, old, new_list) in sections {
            let place = Place { lock: state.lock.clone(), section };
            for change in by_source(&place, new.format, &new.architecture, old, new_list)? {
                match merged.entry(Key::of(&change)) {
                    Entry::Vacant(place) => drop(place.insert(change)),
                    Entry::Occupied(mut place) => place.get_mut().merge(change),
                }
            }
        }
        states.push(state);
    }
    Ok(Report { locks: states, changes: merged.into_values().collect() })
}

/// What makes changes in two locks the same, in the report's order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ordinary: bool,
    kind: Kind,
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
            source: change.source.clone(),
            format: change.format,
            archive: change.archive.clone(),
            versions: change.packages.iter().map(|p| (p.from.clone(), p.to.clone())).collect(),
        }
    }
}

/// The changes of one list of one lock, gathered by source package.
fn by_source(
    place: &Place,
    format: Format,
    own: &Architecture,
    old: &[Package],
    new: &[Package],
) -> Result<Vec<SourceChange>> {
    let changed = changes(format, old, new);
    // Only what comes or goes has a reason.
    let chains = |kind: Kind, list| -> Result<Option<Chains<'_>>> {
        let is_needed = changed.iter().any(|change| change.kind == kind);
        is_needed.then(|| Chains::new(list, place.section)).transpose()
    };
    let (chains_before, chains_now) = (chains(Kind::Removed, old)?, chains(Kind::Added, new)?);
    let mut gathered: BTreeMap<(Kind, &str, &str), SourceChange> = BTreeMap::new();
    for &Change { kind, old: before, new: now } in &changed {
        let Some(package) = now.or(before) else { continue };
        let source = package.source.as_deref().unwrap_or(&package.name);
        let change = gathered.entry((kind, source, &package.archive)).or_insert_with(|| SourceChange {
            kind,
            security: false,
            format,
            source: printable(source),
            archive: printable(&package.archive),
            places: vec![place.clone()],
            packages: Vec::new(),
            changelog: None,
        });
        let is_fix = is_security(&package.archive) || now.is_some_and(|now| has_fix(format, before, now));
        change.security |= is_fix && !matches!(kind, Kind::Removed | Kind::Moved);
        let why = match kind {
            Kind::Added => chains_now.as_ref().map(|chains| chains.arrived(package)),
            Kind::Removed => chains_before.as_ref().map(|chains| chains.left(package, new)),
            _ => None,
        };
        change.packages.push(PackageChange {
            name: match package.architecture.as_str() {
                architecture if format.is_native(architecture, own) => printable(&package.name),
                foreign => printable(&format!("{}:{foreign}", package.name)),
            },
            from: before.map(|p| printable(&p.version)),
            to: now.map(|p| printable(&p.version)),
            files: vec![FileChange {
                places: vec![place.clone()],
                old: before.map(FileState::of),
                new: now.map(FileState::of),
                why,
            }],
        });
    }
    Ok(gathered.into_values().collect())
}

/// Whether an archive's id or its suite is one for security updates, by the name that Debian and its derivatives give it.
fn is_security(archive: &str) -> bool {
    archive.split('/').take(2).any(|part| part.ends_with("-security"))
}

/// Whether an advisory's version lies between the one before and the one now.
fn has_fix(format: Format, before: Option<&Package>, now: &Package) -> bool {
    let Some(fix) = &now.security_fix else { return false };
    before.is_none_or(|before| format.compare_versions(&before.version, fix).is_lt())
}

impl LockState {
    fn new(old: Option<&Lock>, new: &Lock) -> Self {
        let sum = |list: &[Package]| Sums {
            packages: list.len(),
            size: list.iter().map(|p| p.size).sum(),
            installed_size: list.iter().map(|p| p.installed_size).sum(),
        };
        let sums = |list: fn(&Lock) -> &Vec<Package>| BeforeAndAfter {
            before: old.map(|old| sum(list(old))).unwrap_or_default(),
            after: sum(list(new)),
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
            root: sums(|lock| &lock.packages),
            tools: sums(|lock| &lock.tools),
            interpreters: sums(|lock| &lock.interpreters),
        }
    }
}

impl SourceChange {
    /// Takes in the same change of another place.
    fn merge(&mut self, other: Self) {
        self.places.extend(other.places);
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
                    Some(known) => known.places.extend(file.places),
                    None => known.files.push(file),
                }
            }
        }
        self.packages.sort_by(|a, b| a.name.cmp(&b.name));
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
