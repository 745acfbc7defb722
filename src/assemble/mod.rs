//! Package refs to a configured tree: merge, run scripts in the sandbox on an overlay, take the changes, normalise.
//!
//! The result is the ref `cache/root/<key>`; the key covers everything that shapes it.

mod accounts;
mod merge;
mod normalise;
mod settings;

pub use merge::Merged;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::import::{self, Commits};
use crate::lock::{Lock, Package};
use crate::manifest::{AddedFile, Group, HookPoint, Manifest, System, User};
use crate::package::{Format, Installation, Part, Script, Unpacked};
use crate::progress::{Progress, Unit};
use crate::sandbox::{self, Input, Plan, Root, Scratch, Step, TemporaryFile};
use crate::store::{self, NewCommit, Store, Tree};

/// Part of every key; to be raised when the same inputs give another tree than before.
const VERSION: u32 = 1;

/// The stage's name in refs.
const STAGE: &str = "root";

/// The checkout that scripts see below their changes, in the run's folder.
const LOWER: &str = "lower";

/// What every script finds in its environment.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("LC_ALL", "C.UTF-8"),
    ("LOGNAME", "root"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
    ("USER", "root"),
];

/// The key of the configured tree that a manifest and its lock describe.
pub fn key(manifest: &Manifest, lock: &Lock) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        format: Format,
        architecture: &'a str,
        date: Timestamp,
        packages: Vec<(&'a str, &'a str, Sha256, &'a [String])>,
        groups: &'a [Group],
        users: &'a [User],
        files: &'a [AddedFile],
        #[serde(skip_serializing_if = "Option::is_none")]
        system: Option<&'a System>,
    }
    let inputs = Inputs {
        version: VERSION,
        format: lock.format,
        architecture: lock.architecture.as_str(),
        date: lock.date,
        packages: lock
            .packages
            .iter()
            .map(|p| (p.name.as_str(), p.architecture.as_str(), p.sha256, p.depends.as_slice()))
            .collect(),
        groups: &manifest.groups,
        users: &manifest.users,
        files: &manifest.files,
        system: Some(&manifest.system).filter(|system| **system != System::default()),
    };
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}

/// The commit of the configured tree, if it was made before.
pub fn cached(store: &Store, key: Sha256) -> Result<Option<Sha256>> {
    store.resolve(&store::cache_ref(STAGE, key))
}

/// Makes the configured tree from imported packages and commits it under its key. `program` is this program's file.
pub fn run(
    store: &Store,
    program: &Path,
    manifest: &Manifest,
    lock: &Lock,
    commits: &Commits,
    progress: &dyn Progress,
) -> Result<(Sha256, Tree)> {
    let installation = open(store, lock.format, &lock.packages, commits)?;
    let writer = store.writer();
    let mut tree = merge::merge(installation.as_ref(), &writer)?.tree;
    let steps = plan_steps(installation.as_ref(), manifest, lock.date)?;
    let scratch = Scratch::new(store.work().join("scratch"), expected_changes(lock))?;
    let plan = plan(store, &tree, installation.as_ref(), manifest, &scratch, steps)?;
    let task = progress.task("configure", Unit::Items, 0);
    sandbox::run(program, store.work(), &plan, &mut |line| progress.detail(line))
        .with_context(|| format!("cannot configure {}", manifest.name))
        .hint(|| format!("for a shell at that point: compose shell {}", manifest.path.display()))?;
    drop(task);
    store.discard(store.work().join(LOWER));
    store::apply_upper(&writer, &mut tree, &scratch.upper())?;
    drop(scratch);
    normalise::normalise(&writer, &mut tree, installation.residue())?;
    accounts::add_files(store, &writer, &mut tree, &manifest.files)?;
    let commit = NewCommit {
        name: store::cache_ref(STAGE, key(manifest, lock)?),
        parent: None,
        subject: format!("{} {}", manifest.name, lock.architecture),
        metadata: tree.metadata()?,
        root: writer.write_tree(&tree)?,
        date: lock.date,
    };
    let commits = store.commit(&[commit])?;
    Ok((commits[0], tree))
}

/// Opens a shell in the root: configured as far as its scripts go, the shell standing where the first one failed.
pub fn shell(store: &Store, program: &Path, manifest: &Manifest, lock: &Lock, commits: &Commits) -> Result<i32> {
    let installation = open(store, lock.format, &lock.packages, commits)?;
    let tree = merge::merge(installation.as_ref(), &store.writer())?.tree;
    let mut steps = plan_steps(installation.as_ref(), manifest, lock.date)?;
    let mut shell = step(
        Script {
            label: "the shell".to_owned(),
            command: vec!["/bin/sh".to_owned(), "-i".to_owned()],
            environment: Vec::new(),
        },
        lock.date,
    );
    shell.input = Input::Inherit;
    steps.push(shell);
    let scratch = Scratch::new(store.work().join("scratch"), expected_changes(lock))?;
    let mut plan = plan(store, &tree, installation.as_ref(), manifest, &scratch, steps)?;
    plan.interactive = true;
    sandbox::run_interactive(program, store.work(), &plan)
}

/// Imported packages in one tree, none of whose scripts has run: a set of programs, not a system.
pub fn merged(store: &Store, format: Format, packages: &[Package]) -> Result<Merged> {
    let commits = import::look_up(store, format, &packages.iter().collect::<Vec<_>>())?.commits;
    let installation = open(store, format, packages, &commits)?;
    merge::merge(installation.as_ref(), &store.writer())
}

/// Points `template/<name>/<architecture>` to the tree of `commit`, unless the template has that tree already.
pub fn publish(store: &Store, manifest: &Manifest, lock: &Lock, commit: Sha256) -> Result<Sha256> {
    let name = format!("template/{}/{}", manifest.name, lock.architecture);
    let (root, mut metadata) = store.read_commit(commit)?;
    let parent = store.resolve(&name)?;
    if let Some(parent) = parent {
        let (old_root, old_metadata) = store.read_commit(parent)?;
        if old_root == root && metadata.iter().all(|(key, value)| old_metadata.get(key) == Some(value)) {
            return Ok(parent);
        }
    }
    metadata.insert("lock".to_owned(), Sha256::of(lock.render()?.as_bytes()).to_hex());
    let subject = format!("{} {}", manifest.name, lock.architecture);
    let commits = store.commit(&[NewCommit { name, parent, subject, metadata, root, date: lock.date }])?;
    Ok(commits[0])
}

/// Reads what the store knows of the packages.
fn open(store: &Store, format: Format, packages: &[Package], commits: &Commits) -> Result<Box<dyn Installation>> {
    // The repository object belongs to one thread: what it is needed for comes first.
    let index = |package: &Package| {
        let commit = commits.get(&package.sha256).with_context(|| format!("{} is not imported", package.describe()))?;
        import::index_object(store, *commit)
    };
    let indexes: Vec<_> = packages.iter().map(index).collect::<Result<_>>()?;
    let reader = store.reader();
    let unpacked = packages.par_iter().zip(indexes).map(|(package, index)| {
        let records = import::read_index(&reader, index)?;
        let mut control = BTreeMap::new();
        for record in records.iter().filter(|r| r.member.part == Part::Control) {
            if let Some(object) = record.object
                && format.control_files().contains(&record.member.path.as_str())
            {
                let text = String::from_utf8_lossy(&reader.read(object)?).into_owned();
                control.insert(record.member.path.clone(), text);
            }
        }
        let (name, architecture, depends) =
            (package.name.clone(), package.architecture.clone(), package.depends.clone());
        Ok(Unpacked { name, architecture, depends, records, control })
    });
    format.installation(unpacked.collect::<Result<_>>()?)
}

/// The manifest's first hooks, the format's scripts, then the manifest's accounts, settings and other hooks.
fn plan_steps(installation: &dyn Installation, manifest: &Manifest, date: Timestamp) -> Result<Vec<Step>> {
    let mut scripts = settings::hooks(manifest, HookPoint::Unpacked);
    scripts.extend(installation.answers(&manifest.system.debconf)?);
    scripts.extend(installation.scripts()?);
    scripts.extend(accounts::account_scripts(manifest));
    scripts.extend(settings::scripts(&manifest.system));
    scripts.extend(settings::hooks(manifest, HookPoint::Configured));
    Ok(scripts.into_iter().map(|script| step(script, date)).collect())
}

fn step(script: Script, date: Timestamp) -> Step {
    let mut environment: BTreeMap<String, String> =
        ENVIRONMENT.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    environment.insert("SOURCE_DATE_EPOCH".to_owned(), date.seconds().to_string());
    environment.extend(script.environment);
    Step {
        label: script.label,
        command: script.command,
        environment: environment.into_iter().collect(),
        input: Input::Null,
    }
}

/// Checks the merged tree out and plans the sandbox over it.
fn plan(
    store: &Store,
    tree: &Tree,
    installation: &dyn Installation,
    manifest: &Manifest,
    scratch: &Scratch,
    steps: Vec<Step>,
) -> Result<Plan> {
    let lower = store.work().join(LOWER);
    store::check_out(store, &tree.root, &lower)?;
    // The top of the overlay shows the attributes of its upper layer.
    store::set_directory_attributes(&scratch.upper(), &tree.root.attributes)?;
    let guards = installation.guards().into_iter();
    let guards = guards.map(|(path, mode, content)| (path.to_owned(), mode, content.to_owned()));
    Ok(Plan {
        root: Root::Overlay { lower, upper: scratch.upper(), work: scratch.work() },
        binds: Vec::new(),
        temporary_files: guards
            .chain(settings::hook_files(manifest))
            .map(|(path, mode, content)| TemporaryFile { path: path.into(), mode, content })
            .collect(),
        steps,
        interactive: false,
    })
}

/// A generous guess of how much scripts write: as much again as the packages' files take.
fn expected_changes(lock: &Lock) -> u64 {
    (256 << 20) + lock.packages.iter().map(|p| p.size).sum::<u64>()
}
