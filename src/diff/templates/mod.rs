//! Two locks, or two templates of a store, to what changed between them: packages and why, maintainer scripts, every path and
//! what explains it, and what follows for users, units, sockets and kernel modules. What a reviewer has to see stands apart as
//! alerts.
//!
//! Locks alone need no store. Of templates only directories that differ are read, and what explains a path is looked up for
//! that path.

pub mod content;
pub mod html;
pub mod json;
pub mod markdown;
pub mod scripts;
pub mod text;

mod accounts;
mod alerts;
mod explain;
mod modules;
mod paths;
mod systemd;

use anyhow::Result;
use serde::Serialize;

use super::report::{self, Report};
use super::tree;
use crate::assemble::origins::{self, Cause, Origins};
use crate::digest::Sha256;
use crate::history;
use crate::lock::Lock;
use crate::package::printable;
use crate::store::{Store, StoredTree};

pub use accounts::AccountChange;
pub use alerts::{Alert, AlertKind};
pub use modules::ModuleChange;
pub use paths::{Change, PathChange, State};
pub use scripts::ScriptChange;
pub use systemd::{PresetChange, SocketChange, UnitChange};

/// What is compared: its name for people, and what is known of it.
pub struct Subject {
    /// As the user gave it.
    pub name: String,
    /// Its lock, where it is one or the store knows of which it was made.
    pub lock: Option<Lock>,
    /// The commit of its tree.
    pub commit: Option<Sha256>,
}

/// All that changed. Every text of it that comes from a lock, a package or a tree is [`printable`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// What was.
    pub old: Named,
    /// What is.
    pub new: Named,
    /// What could not be told, and why.
    pub notes: Vec<String>,
    /// What a reviewer has to see first.
    pub alerts: Vec<Alert>,
    /// The packages; none where a lock is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Report>,
    /// What each package of either lock takes once installed, by name.
    pub sizes: Vec<Size>,
    /// What differs in the trees; none where locks were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Changes>,
}

/// One side of a comparison.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// As the user gave it.
    pub name: String,
    /// `MANIFEST.ARCHITECTURE` of its lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// The commit of its tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Sha256>,
}

/// What a package takes once installed, in bytes, as the lock has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Size {
    /// Its name, with its architecture where several have the name.
    pub package: String,
    /// Before; none where it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<u64>,
    /// Now; none where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<u64>,
}

/// What differs in two trees.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Maintainer scripts of packages that changed.
    pub scripts: Vec<ScriptChange>,
    /// Every path that differs, in order.
    pub paths: Vec<PathChange>,
    /// Users, from passwd(5).
    pub users: Vec<AccountChange>,
    /// Groups, from group(5).
    pub groups: Vec<AccountChange>,
    /// Units that are started by others, from `.wants`, `.requires` and `.upholds` folders (systemd.unit(5)), and masked ones.
    pub units: Vec<UnitChange>,
    /// Units of which presets say something else (systemd.preset(5)).
    pub presets: Vec<PresetChange>,
    /// Units that listen on something else (systemd.socket(5)).
    pub sockets: Vec<SocketChange>,
    /// Kernel modules, summed up by the kernel's version.
    pub modules: Vec<ModuleChange>,
}

impl Comparison {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        let packages = self.packages.as_ref().is_some_and(|report| {
            !report.changes.is_empty() || report.locks.iter().any(|lock| lock.state != report::State::Current)
        });
        match &self.tree {
            Some(tree) => !tree.paths.is_empty() || packages,
            None => packages,
        }
    }
}

/// Compares two subjects; their trees when both have one, which are in this store.
pub fn compare(store: Option<&Store>, [old, new]: [Subject; 2]) -> Result<Comparison> {
    let mut notes = Vec::new();
    let locks = [old.lock.as_ref(), new.lock.as_ref()];
    let packages = match locks {
        [Some(old), Some(new)] => Some(report::compare([(Some(old), new)])?),
        _ => None,
    };
    let tree = match (store, old.commit, new.commit) {
        (Some(store), Some(one), Some(other)) => Some(changes(store, [one, other], locks, &mut notes)?),
        _ => None,
    };
    if packages.is_none() {
        notes.push("packages are not compared: the lock of one side is not known".to_owned());
    }
    let mut comparison = Comparison {
        sizes: sizes(locks),
        old: named(&old),
        new: named(&new),
        notes,
        alerts: Vec::new(),
        packages,
        tree,
    };
    comparison.alerts = alerts::find(&comparison);
    Ok(comparison)
}

/// The subject that a commit of the store is. One that is no template's own, such as that of a stage, is the newest of a
/// template with the same tree.
pub fn subject_of(store: &Store, name: String, commit: Sha256) -> Result<Subject> {
    let commit = match history::lock_of(store, commit)? {
        Some(_) => commit,
        None => template_with(store, &store.find_tree(commit)?)?.unwrap_or(commit),
    };
    Ok(Subject { name, lock: history::lock_of(store, commit)?, commit: Some(commit) })
}

/// The newest commit of a template that has a lock and this tree.
fn template_with(store: &Store, tree: &StoredTree) -> Result<Option<Sha256>> {
    for (_, tip) in history::templates(store)? {
        for (commit, stored) in history::log(store, tip)? {
            if stored.root == tree.root
                && store.find_tree(commit)? == *tree
                && history::lock_of(store, commit)?.is_some()
            {
                return Ok(Some(commit));
            }
        }
    }
    Ok(None)
}

fn named(subject: &Subject) -> Named {
    let lock = subject.lock.as_ref().map(|lock| printable(&format!("{}.{}", lock.manifest, lock.architecture)));
    Named { name: printable(&subject.name), lock, commit: subject.commit }
}

fn sizes(locks: [Option<&Lock>; 2]) -> Vec<Size> {
    let mut sizes: std::collections::BTreeMap<(&str, &str), [Option<u64>; 2]> = std::collections::BTreeMap::new();
    for (side, lock) in locks.into_iter().enumerate() {
        for package in lock.into_iter().flat_map(|lock| &lock.packages) {
            let own = lock.is_some_and(|lock| lock.architecture.as_str() == package.architecture);
            let architecture = if own || package.architecture == "all" { "" } else { package.architecture.as_str() };
            sizes.entry((&package.name, architecture)).or_default()[side] = Some(package.installed_size);
        }
    }
    let named = sizes.into_iter().map(|((name, architecture), [old, new])| {
        let package = if architecture.is_empty() { name.to_owned() } else { format!("{name}:{architecture}") };
        Size { package: printable(&package), old, new }
    });
    named.collect()
}

fn changes(store: &Store, commits: [Sha256; 2], locks: [Option<&Lock>; 2], notes: &mut Vec<String>) -> Result<Changes> {
    let side =
        |commit| -> Result<tree::Side> { Ok(tree::Side { reader: store.reader(), tree: store.find_tree(commit)? }) };
    let sides = [side(commits[0])?, side(commits[1])?];
    if sides[0].tree == sides[1].tree {
        return Ok(Changes::default());
    }
    let differences = tree::compare(&sides[0], &sides[1])?;
    let origins = [origins_of(store, commits[0])?, origins_of(store, commits[1])?];
    for (which, origins) in ["old", "new"].into_iter().zip(&origins) {
        if origins.is_none() {
            notes.push(format!(
                "the store has no record of how the {which} tree was made: only what packages ship explains its paths"
            ));
        }
    }
    let explanations = explain::explain(store, &sides, &origins, locks, &differences, notes)?;
    let paths = paths::describe(&differences, explanations);
    Ok(Changes {
        scripts: scripts::compare(store, locks)?,
        users: accounts::users(&sides, &differences)?,
        groups: accounts::groups(&sides, &differences)?,
        units: systemd::units(&paths),
        presets: systemd::presets(&sides, &differences)?,
        sockets: systemd::sockets(&sides, &paths)?,
        modules: modules::modules(&paths),
        paths,
    })
}

/// What explains a path, in words.
pub fn explanation(causes: &[Cause]) -> String {
    let mut words: Vec<&str> = causes.iter().take(MOST).map(|cause| cause.by.as_str()).collect();
    let more = causes.len().saturating_sub(MOST);
    let rest = format!("and {more} more");
    if more > 0 {
        words.push(&rest);
    }
    words.join("; ")
}

/// How many causes are told of a path where space is short.
const MOST: usize = 3;

/// The record of a tree's origins: its own, or that of the last commit before it which has one. A value that the record has is
/// one that a build left, whichever commit it is found in.
fn origins_of(store: &Store, commit: Sha256) -> Result<Option<Origins>> {
    for (_, stored) in history::log(store, commit)? {
        if let Some(origins) = origins::load(store, stored.root.0)? {
            return Ok(Some(origins));
        }
    }
    Ok(None)
}
