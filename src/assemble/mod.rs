//! Package refs to a configured tree: in rounds, as the packages themselves plan it, merge, run scripts in the sandbox on an
//! overlay and take the changes; then normalise.
//!
//! The result is the ref `cache/root/<key>`; the key covers everything that shapes it.

mod accounts;
mod ahead;
mod failure;
mod merge;
mod normalise;
pub mod origins;
mod owners;
mod replay;
mod rounds;
mod settings;

pub use failure::ScriptFailed;
pub use merge::Merged;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde::Serialize;

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::import::{self, Imports};
use crate::lock::{Lock, Package};
use crate::manifest::{AddedFile, Group, Manifest, System, User};
use crate::package::{Format, Installation, Round, Script, Unpacked};
use crate::progress::{Progress, Unit};
use crate::sandbox::{self, Input, Program, Step, StepFailed};
use crate::store::{self, NewCommit, ObjectWriter, Store, Tree};
use crate::timing;

use ahead::Ahead;
use merge::{Books, Merger};
use replay::Replay;
use rounds::{Assembly, Prepared, step};

/// Part of every key; to be raised when the same inputs give another tree than before.
const VERSION: u32 = 8;

/// The stage's name in refs.
const STAGE: &str = "root";

/// What each script may use. Nothing of it shapes the tree, and so it is in no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptLimits {
    /// How long it may take.
    pub time: Duration,
    /// How many bytes scripts may write; without it, half of what is free.
    pub space: Option<u64>,
}

/// What scripts take for the present time (`SOURCE_DATE_EPOCH`). It stands still for a month, so that what scripts make of the
/// time is not another thing with every package that moves the lock's date.
fn clock(lock: &Lock) -> Timestamp {
    lock.date.start_of_month()
}

/// The key of the configured tree that a manifest and its lock describe.
pub fn key(manifest: &Manifest, lock: &Lock) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        format: Format,
        architecture: &'a str,
        clock: Timestamp,
        packages: Vec<(&'a str, &'a str, Sha256, &'a [String], bool)>,
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
        clock: clock(lock),
        packages: lock
            .packages
            .iter()
            .map(|p| (p.name.as_str(), p.architecture.as_str(), p.sha256, p.depends.as_slice(), p.asked.is_some()))
            .collect(),
        groups: &manifest.groups,
        users: &manifest.users,
        files: &manifest.files,
        system: Some(&manifest.system).filter(|system| **system != System::default()),
    };
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}

/// The ref of what is known of the scripts of a manifest's root, from one build to the next.
pub fn scripts_ref(manifest: &str, architecture: &Architecture) -> String {
    replay::ref_name(&root_name(manifest, architecture))
}

/// What a root is called where its manifest and architecture are meant.
fn root_name(manifest: &str, architecture: &Architecture) -> String {
    format!("{manifest} {architecture}")
}

/// The commit of the configured tree, if it was made before, and the record of its origins is there.
pub fn cached(store: &Store, key: Sha256) -> Result<Option<Sha256>> {
    let Some(commit) = store.resolve(&store::cache_ref(STAGE, key))? else { return Ok(None) };
    // Without the record nobody could tell how the tree was made.
    let (root, _) = store.read_commit(commit)?;
    Ok(store.resolve(&origins::record_ref(root.0))?.map(|_| commit))
}

/// Makes the configured tree and commits it under its key, from packages that may still be on their way.
pub fn run(
    store: &Store,
    program: &Program,
    limits: ScriptLimits,
    manifest: &Manifest,
    lock: &Lock,
    imports: &Imports<'_>,
    progress: &dyn Progress,
) -> Result<(Sha256, Tree)> {
    let timings = store.timings();
    let installation = timings.alone(timing::Part::Index, || open(lock.format, &lock.packages, imports))?;
    let installation = installation.as_ref();
    let writer = store.writer();
    let mut assembly = Assembly::new(store, program, limits, manifest, lock, imports, installation);
    let task = progress.task("configure", Unit::Items, 0);
    let rounds = assembly.rounds(&mut |line| progress.detail(line))?;
    let name = root_name(&manifest.name, &lock.architecture);
    let mut replay = Replay::load(store, &name, installation.residue(), installation.ledger());
    let tree = match configure(&mut assembly, &mut replay, &rounds, &writer, progress) {
        Err(error) if replay.misled => {
            progress.detail(&format!("all scripts run: {error:#}"));
            replay = replay.without_runs();
            assembly.begin_again();
            configure(&mut assembly, &mut replay, &rounds, &writer, progress)
        }
        configured => configured,
    };
    let (mut tree, books) = tree.map_err(|error| failure::explain(error, installation, manifest))?;
    assembly.layers.discard();
    progress.detail(&format!("{} of {} scripts need not run again", replay.spared, replay.count));
    if replay.hastens() {
        progress.detail(&format!("{} ran ahead of their turn", replay.hastened));
    }
    drop(task);
    normalise::normalise(&store.reader(), &writer, &mut tree, installation.residue(), clock(lock))?;
    accounts::add_files(store, &writer, &mut tree, &manifest.files)?;
    let commit = NewCommit {
        name: store::cache_ref(STAGE, key(manifest, lock)?),
        parent: None,
        subject: name.clone(),
        metadata: tree.metadata()?,
        version: None,
        root: timings.alone(timing::Part::Commit, || writer.write_tree(&tree))?,
        date: lock.date,
    };
    let making = origins::Making {
        installation,
        manifest,
        lock,
        deeds: &replay.deeds,
        books: &books,
        tree: &tree,
        root: commit.root,
    };
    let origins = timings.alone(timing::Part::Commit, || origins::commit(&store.reader(), &writer, &making))?;
    let scripts = timings.alone(timing::Part::Commit, || replay.commit(&writer, &name, lock.date))?;
    let commits = timings.alone(timing::Part::Commit, || store.commit(&[commit, scripts, origins]))?;
    Ok((commits[0], tree))
}

/// Merges packages and runs scripts, but for those that did the same before, round by round. Gives the tree, and what
/// the merge itself made.
fn configure(
    assembly: &mut Assembly<'_, '_>,
    replay: &mut Replay,
    rounds: &[Round],
    writer: &ObjectWriter,
    progress: &dyn Progress,
) -> Result<(Tree, Books)> {
    let (store, program, work) = (assembly.store, assembly.program, assembly.store.work());
    let of_manifest = origins::steps_of_manifest(assembly.manifest);
    let (reader, timings) = (store.reader(), store.timings());
    let mut merger = Merger::new(assembly.installation, store, writer);
    let mut foreseen = if replay.hastens() { assembly.installation.foresee(rounds) } else { Vec::new() };
    foreseen.resize(rounds.len(), Vec::new());
    for (round, foreseen) in rounds.iter().zip(foreseen) {
        let Prepared { plan, scratch } = assembly.prepare(&mut merger, round, rounds)?;
        let coming = assembly.coming(round, foreseen);
        let ahead = Ahead::new(assembly, &plan, &merger.tree, coming)?;
        let temporary = plan.temporary_files.iter().map(|file| file.path.clone()).collect();
        let nodes = merger.tree.extras.nodes.clone();
        replay.deeds.expect(&plan.steps, &of_manifest);
        let ground = replay.ground(writer, &reader, assembly.layers.shown(), nodes, temporary);
        let mut recorder = replay.round(ground.clone(), ahead.board(), progress);
        let run = || {
            ahead.meanwhile(program, work, &ground, || {
                sandbox::run_observed(program, work, &plan, &mut |line| progress.detail(line), &mut recorder)
            })
        };
        timings.alone(timing::Part::Scripts, run)?;
        let apply = || store::apply_upper(writer, &mut merger.tree, &scratch.upper());
        timings.alone(timing::Part::Changes, apply)?;
        if let Some(path) = recorder.close(&merger.tree)? {
            progress.detail(&format!("what these scripts do is not kept: /{path} changed unseen"));
        }
    }
    Ok((merger.tree, merger.books))
}

/// Opens a shell in the root: configured as far as its scripts go, the shell standing where the first one failed.
pub fn shell(
    store: &Store,
    program: &Program,
    limits: ScriptLimits,
    manifest: &Manifest,
    lock: &Lock,
    imports: &Imports<'_>,
) -> Result<i32> {
    let installation = open(lock.format, &lock.packages, imports)?;
    let installation = installation.as_ref();
    let writer = store.writer();
    let mut assembly = Assembly::new(store, program, limits, manifest, lock, imports, installation);
    let rounds = assembly.rounds(&mut |_| ())?;
    let mut merger = Merger::new(installation, store, &writer);
    for (number, round) in rounds.iter().enumerate() {
        let Prepared { mut plan, mut scratch } = assembly.prepare(&mut merger, round, &rounds)?;
        if number + 1 < rounds.len() {
            match sandbox::run(program, store.work(), &plan, &mut |_| ()) {
                Ok(()) => {
                    store::apply_upper(&writer, &mut merger.tree, &scratch.upper())?;
                    continue;
                }
                // It fails again in sight of the shell, without what it changed before.
                Err(e) if e.is::<StepFailed>() => {
                    scratch = assembly.scratch(&merger.tree)?;
                    plan.root = assembly.root(&scratch);
                    plan.limits.changes = Some(scratch.changes());
                }
                Err(e) => return Err(e),
            }
        }
        let command = vec!["/bin/sh".to_owned(), "-i".to_owned()];
        let script = Script { label: "the shell".to_owned(), command, ..Script::default() };
        plan.steps.push(Step { input: Input::Inherit, ..step(&script, clock(lock)) });
        plan.interactive = true;
        return sandbox::run_interactive(program, store.work(), &plan);
    }
    bail!("{} has no packages, and so no shell", manifest.name)
}

/// Imported packages in one tree, none of whose scripts has run: a set of programs, not a system.
pub fn merged(store: &Store, format: Format, packages: &[Package]) -> Result<Merged> {
    let found = import::look_up(store, format, &packages.iter().collect::<Vec<_>>())?;
    let no_file = |_| PathBuf::new();
    let imports = Imports::new(store, format, found, &no_file)?;
    let installation = open(format, packages, &imports)?;
    let all = installation.order();
    load(&imports, packages, installation.as_ref(), all)?;
    merge_alone(store, installation.as_ref(), all)
}

/// The merged tree of some packages ahead of all scripts.
fn merge_alone(store: &Store, installation: &dyn Installation, packages: &[usize]) -> Result<Merged> {
    let writer = store.writer();
    let mut merger = Merger::new(installation, store, &writer);
    merger.merge(&Round { register: packages.to_vec(), unpack: packages.to_vec(), ..Round::default() })?;
    Ok(merger.into_merged())
}

/// Reads the packages' control files.
fn open(format: Format, packages: &[Package], imports: &Imports<'_>) -> Result<Box<dyn Installation>> {
    let unpacked = packages.par_iter().map(|package| {
        let (name, architecture, depends) =
            (package.name.clone(), package.architecture.clone(), package.depends.clone());
        let (control, asked) = (imports.control(package, format.control_files())?, package.asked.is_some());
        Ok(Unpacked { name, architecture, depends, members: OnceLock::new(), control, asked })
    });
    format.installation(unpacked.collect::<Result<_>>()?)
}

/// Waits for some of the packages and reads their records.
fn load(imports: &Imports<'_>, packages: &[Package], installation: &dyn Installation, wanted: &[usize]) -> Result<()> {
    imports.hurry(&wanted.iter().map(|i| &packages[*i]).collect::<Vec<_>>());
    wanted.par_iter().try_for_each(|i| {
        let members = &installation.packages()[*i].members;
        if members.get().is_none() {
            // Another thread has set the same.
            let _ = members.set(imports.records(&packages[*i])?);
        }
        Ok(())
    })
}
