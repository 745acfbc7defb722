//! What a store is to keep, and what of it can go.
//!
//! Kept are: each template's history, or as much of it as is asked for; what has tags; the packages, their downloaded files
//! and the archives' indexes of locks, which are those of templates' newest commits, of tags, those that are asked for,
//! and those that builds and fetches from this store have used, while their files are there; results of stages that lead to
//! kept trees, where the paths of these come from, and what is known of templates' scripts. Refs of other kinds are nobody's business here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Template, lock_of, log, tags, templates};
use crate::assemble::{self, origins};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::lock::{self, Lock};
use crate::source;
use crate::store::{self, Freed, Store};

/// What is asked for.
#[derive(Debug, Default)]
pub struct Keep {
    /// How many commits of each history, the newest first.
    pub commits: Option<usize>,
    /// The time from which on commits are kept. Without this and a number, all are.
    pub since: Option<Timestamp>,
    /// Locks that are needed besides those that are found.
    pub locks: Vec<Lock>,
}

/// What can go.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Refs, with all that only they reach.
    refs: Vec<String>,
    /// Commits that stay though no ref points to them.
    history: Vec<Sha256>,
    /// How many commits leave templates' histories.
    commits: usize,
    /// Downloaded files, whole and partial.
    downloads: Vec<PathBuf>,
    /// Indexes of archives.
    indexes: Vec<PathBuf>,
    /// Notes of locks whose files are gone.
    notes: Vec<PathBuf>,
}

/// What was removed, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// How many refs, by the first part of their names.
    pub refs: BTreeMap<String, usize>,
    /// How many commits of templates' histories.
    pub commits: usize,
    /// Objects of the repository.
    pub objects: Freed,
    /// Downloaded files.
    pub downloads: Freed,
    /// Indexes of archives.
    pub indexes: Freed,
}

impl Removed {
    /// All bytes, as du(1) counts them.
    pub fn bytes(&self) -> u64 {
        self.objects.bytes + self.downloads.bytes + self.indexes.bytes
    }
}

/// Finds what can go from a store.
pub fn find_garbage(store: &Store, keep: &Keep) -> Result<Garbage> {
    let mut garbage = Garbage::default();
    let mut locks = keep.locks.clone();
    for (note, path) in store::remembered_locks(store.root())? {
        match lock::load_any(&path)
            .hint(|| "remove the lock, or give it its right text again: a store keeps what locks need")?
        {
            Some(lock) => locks.push(lock),
            None => garbage.notes.push(note),
        }
    }
    let mut pinned: Vec<Sha256> = tags(store)?.into_iter().map(|(.., commit)| commit).collect();
    let templates = templates(store)?;
    for (_, tip) in &templates {
        let commits = log(store, *tip)?;
        let dates: Vec<Timestamp> = commits.iter().map(|(_, stored)| stored.date).collect();
        let kept = how_many(&dates, keep);
        garbage.history.extend(commits[..kept].iter().map(|(commit, _)| *commit));
        garbage.commits += commits[kept..].iter().filter(|(commit, _)| !pinned.contains(commit)).count();
        pinned.push(*tip);
    }
    for commit in &pinned {
        let lock = lock_of(store, *commit)
            .hint(|| "build the template anew, or delete the tag: a store keeps what locks need");
        locks.extend(lock?);
    }
    let names: Vec<Template> = templates.into_iter().map(|(template, _)| template).collect();
    garbage.refs = unneeded_refs(store, &locks, &names, garbage.history.iter().chain(&pinned))?;
    let files = || locks.iter().flat_map(|lock| lock.files().into_iter().chain(&lock.interpreters));
    let archives: BTreeSet<&str> = files().map(lock::Package::archive_id).collect();
    let files: HashSet<Sha256> = files().map(|package| package.sha256).collect();
    garbage.downloads = unneeded_downloads(&store.root().join("files"), &files)?;
    garbage.indexes = source::unneeded_indexes(&store.root().join("archives"), &archives)?;
    Ok(garbage)
}

/// How many commits of a history are kept, given their dates, the newest first: the newest at least, and none is missing
/// between two that are.
fn how_many(dates: &[Timestamp], keep: &Keep) -> usize {
    let recent = keep.since.map(|since| dates.iter().rposition(|date| *date >= since).map_or(0, |at| at + 1));
    match (keep.commits, recent) {
        (None, None) => dates.len(),
        (commits, recent) => commits.max(recent).unwrap_or(0).clamp(1, dates.len()),
    }
}

fn unneeded_refs<'a>(
    store: &Store,
    locks: &[Lock],
    templates: &[Template],
    commits: impl Iterator<Item = &'a Sha256>,
) -> Result<Vec<String>> {
    let packages = locks.iter().flat_map(|lock| {
        let files = lock.files();
        files.into_iter().map(|package| store::package_ref(lock.format, package.sha256))
    });
    let mut needed: HashSet<String> = packages.collect();
    let of_locks = locks.iter().map(|lock| (&lock.manifest, &lock.architecture));
    let of_templates = templates.iter().map(|template| (&template.name, &template.architecture));
    needed.extend(of_locks.chain(of_templates).map(|(name, architecture)| assemble::scripts_ref(name, architecture)));
    let trees = commits.map(|commit| Ok(store.load_commit(*commit)?.root)).collect::<Result<HashSet<_>>>()?;
    needed.extend(trees.iter().map(|(tree, _)| origins::record_ref(*tree)));
    let mut unneeded = Vec::new();
    for kind in ["package", "cache"] {
        for (name, commit) in store.refs(kind)? {
            // One that leads to a kept tree takes no room.
            if !needed.contains(&name) && (kind == "package" || !trees.contains(&store.load_commit(commit)?.root)) {
                unneeded.push(name);
            }
        }
    }
    Ok(unneeded)
}

/// The downloaded files, whole (`<sha256>`) and partial (`<sha256>.part`), that are none of these.
fn unneeded_downloads(folder: &Path, needed: &HashSet<Sha256>) -> Result<Vec<PathBuf>> {
    let read = |folder: &Path| -> Result<Vec<fs::DirEntry>> {
        let entries = fs::read_dir(folder).and_then(Iterator::collect);
        entries.with_context(|| format!("cannot read {}", folder.display()))
    };
    let mut unneeded = Vec::new();
    for folder in read(folder)?.iter().filter(|entry| entry.path().is_dir()) {
        for file in read(&folder.path())? {
            let name = file.file_name().to_string_lossy().into_owned();
            let sha256 = name.strip_suffix(".part").unwrap_or(&name).parse();
            if sha256.is_ok_and(|sha256| !needed.contains(&sha256)) {
                unneeded.push(file.path());
            }
        }
    }
    Ok(unneeded)
}

impl Garbage {
    /// Removes it from the store, which [`Store::open_alone`] opened; a dry run only tells what that would free. Killed at
    /// any moment it leaves a sound store, and another run removes the rest.
    pub fn remove(&self, store: &Store, dry_run: bool) -> Result<Removed> {
        let mut removed = Removed { commits: self.commits, ..Removed::default() };
        for name in &self.refs {
            let kind = name.split('/').next().unwrap_or_default();
            *removed.refs.entry(kind.to_owned()).or_default() += 1;
        }
        removed.objects = store.prune(&self.refs, &self.history, dry_run)?;
        remove_files(&self.downloads, &mut removed.downloads, dry_run)?;
        remove_files(&self.indexes, &mut removed.indexes, dry_run)?;
        remove_files(&self.notes, &mut Freed::default(), dry_run)?;
        Ok(removed)
    }
}

fn remove_files(files: &[PathBuf], freed: &mut Freed, dry_run: bool) -> Result<()> {
    for file in files {
        let mut remove = || {
            freed.add(&fs::symlink_metadata(file)?);
            if dry_run { Ok(()) } else { fs::remove_file(file) }
        };
        remove().with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_kept_without_gaps() {
        let date = |day: i64| Timestamp::from_seconds(day * 86400).unwrap();
        // The fourth is a rollback, with the date of an old lock.
        let dates = [date(9), date(2), date(7), date(5), date(2)];
        let count = |commits, since: Option<i64>| {
            how_many(&dates, &Keep { commits, since: since.map(date), locks: Vec::new() })
        };
        let rows = [
            (None, None, 5),
            (Some(2), None, 2),
            (Some(0), None, 1),
            (Some(9), None, 5),
            (None, Some(6), 3),
            (None, Some(10), 1),
            (Some(4), Some(6), 4),
            (Some(1), Some(1), 5),
        ];
        for (commits, since, kept) in rows {
            assert_eq!(count(commits, since), kept, "{commits:?} {since:?}");
        }
    }
}
