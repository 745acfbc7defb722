//! What the changelogs in package files say of a report's changes.
//!
//! Of an upgrade the new package is read, of a downgrade the old one: the one that has the entries in between.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::Kind;
use super::report::{Changelog, FileState, Report, SourceChange};
use crate::digest::Sha256;
use crate::fetch;
use crate::package::{Entry, Format, printable};

/// The files that [`read`] needs.
pub fn files(report: &Report) -> BTreeSet<Sha256> {
    report.changes.iter().flat_map(candidates).map(|candidate| candidate.file.sha256).collect()
}

/// Reads the changelogs from the package files in the store, as far as they are there, into the report.
pub fn read(report: &mut Report, store: &Path) {
    report.changes.par_iter_mut().for_each(|change| change.changelog = read_one(change, store));
}

/// A package that may have the changelog of its source package.
struct Candidate<'a> {
    name: &'a str,
    low: &'a str,
    high: &'a str,
    file: &'a FileState,
}

/// The packages of a change in the first place that has it; none where there is nothing to read.
fn candidates(change: &SourceChange) -> Vec<Candidate<'_>> {
    let mut candidates = Vec::new();
    for package in &change.packages {
        let (Some(from), Some(to)) = (&package.from, &package.to) else { continue };
        let file = package.files.iter().find(|file| file.places.first() == change.places.first());
        let (low, high, file) = match change.kind {
            Kind::Upgraded => (from, to, file.and_then(|file| file.new.as_ref())),
            Kind::Downgraded => (to, from, file.and_then(|file| file.old.as_ref())),
            _ => continue,
        };
        candidates.extend(file.map(|file| Candidate {
            name: package.name.split(':').next().unwrap_or_default(),
            low,
            high,
            file,
        }));
    }
    candidates
}

/// The changelog of a change: of the first of its packages that has an entry for its own version.
fn read_one(change: &SourceChange, store: &Path) -> Option<Changelog> {
    let candidates = candidates(change);
    let first = candidates.first()?;
    let (mut nearest, mut notes) = (None, Vec::new());
    for candidate in &candidates {
        match entries(change.format, candidate, store) {
            Ok(entries) if has(change.format, &entries, candidate.high) => {
                let between = entries.into_iter().filter(|entry| is_between(change.format, entry, candidate)).collect();
                return Some(changelog(candidate.name, between, None));
            }
            Ok(entries) => nearest = nearest.or(entries.into_iter().next().map(|entry| (candidate.name, entry))),
            Err(error) => notes.push(printable(&format!("{error:#}"))),
        }
    }
    // A package may have other versions than its source package, and the lock knows only its own.
    if let Some((name, newest)) = nearest {
        let note = format!("it has no entry for {}, so only its newest one is told", first.high);
        return Some(changelog(name, vec![newest], Some(note)));
    }
    let note = notes.into_iter().next().unwrap_or_else(|| "the packages have none".to_owned());
    Some(Changelog { note: Some(note), ..Changelog::default() })
}

fn entries(format: Format, candidate: &Candidate<'_>, store: &Path) -> Result<Vec<Entry>> {
    let failed = || format!("the changelog of {} {} cannot be read", candidate.name, candidate.high);
    let path = fetch::file_path(store, &candidate.file.sha256);
    if !path.exists() {
        bail!("the file of {} {} is not here", candidate.name, candidate.high);
    }
    let mut file = File::open(&path).with_context(failed)?;
    let (found, _) = Sha256::of_reader(&mut file).with_context(failed)?;
    if found != candidate.file.sha256 {
        bail!("the file of {} {} is damaged", candidate.name, candidate.high);
    }
    format.changelog(&mut file, candidate.name).with_context(failed)
}

fn has(format: Format, entries: &[Entry], version: &str) -> bool {
    entries.iter().any(|entry| format.compare_versions(&entry.version, version).is_eq())
}

fn is_between(format: Format, entry: &Entry, candidate: &Candidate<'_>) -> bool {
    format.compare_with_entry(&entry.version, candidate.low) == Ordering::Greater
        && format.compare_with_entry(&entry.version, candidate.high) != Ordering::Greater
}

fn changelog(package: &str, entries: Vec<Entry>, note: Option<String>) -> Changelog {
    let mut changelog = Changelog { package: Some(package.to_owned()), note, ..Changelog::default() };
    for entry in &entries {
        for cve in &entry.cves {
            if !changelog.cves.contains(cve) {
                changelog.cves.push(cve.clone());
            }
        }
        for bug in &entry.bugs {
            if !changelog.bugs.contains(bug) {
                changelog.bugs.push(*bug);
            }
        }
    }
    changelog.entries = entries;
    changelog
}
