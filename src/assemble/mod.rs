//! Package refs to a configured tree: in rounds, as the packages themselves plan it, merge, run scripts in the sandbox on an
//! overlay and take the changes; then normalise.
//!
//! The result is the ref `cache/root/<key>`; the key covers everything that shapes it.

mod accounts;
mod failure;
mod merge;
mod normalise;
mod settings;

pub use failure::ScriptFailed;
pub use merge::Merged;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::import::{self, Imports};
use crate::lock::{Lock, Package};
use crate::manifest::{AddedFile, Group, HookPoint, Manifest, System, User};
use crate::package::{Act, Format, Installation, Round, Script, Unpacked};
use crate::progress::{Progress, Unit};
use crate::sandbox::{self, Input, Limits, Plan, Root, Scratch, Step, StepFailed, TemporaryFile};
use crate::store::{self, Layers, NewCommit, Store, Tree};
use crate::timing;

use merge::Merger;

/// Part of every key; to be raised when the same inputs give another tree than before.
const VERSION: u32 = 4;

/// The stage's name in refs.
const STAGE: &str = "root";

/// What every script finds in its environment. Byte-code that Python writes by itself when it imports goes by the times of
/// files, which a root has no more; what packages compile goes by contents. Perl and Python visit their tables in a random
/// order unless told a seed, and TeX takes `SOURCE_DATE_EPOCH` for the present time only when told to.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("FORCE_SOURCE_DATE", "1"),
    ("HOME", "/root"),
    ("LC_ALL", "C.UTF-8"),
    ("LOGNAME", "root"),
    ("PERL_HASH_SEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONHASHSEED", "0"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("USER", "root"),
];

/// What each script may use. Nothing of it shapes the tree, and so it is in no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScriptLimits {
    /// How long it may take.
    pub time: Duration,
    /// How many bytes scripts may write; without it, half of what is free.
    pub space: Option<u64>,
}

/// The key of the configured tree that a manifest and its lock describe.
pub fn key(manifest: &Manifest, lock: &Lock) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        format: Format,
        architecture: &'a str,
        date: Timestamp,
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
        date: lock.date,
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

/// The commit of the configured tree, if it was made before.
pub fn cached(store: &Store, key: Sha256) -> Result<Option<Sha256>> {
    store.resolve(&store::cache_ref(STAGE, key))
}

/// Makes the configured tree and commits it under its key, from packages that may still be on their way. `program` is this
/// program's file.
pub fn run(
    store: &Store,
    program: &Path,
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
    let mut on_line = |line: &str| progress.detail(line);
    let rounds = assembly.rounds(&mut on_line)?;
    let mut merger = Merger::new(installation, store, &writer);
    for round in &rounds {
        let (plan, scratch) = assembly.prepare(&mut merger, round, &rounds)?;
        timings
            .alone(timing::Part::Scripts, || sandbox::run(program, store.work(), &plan, &mut on_line))
            .map_err(|error| failure::explain(error, installation, manifest))?;
        let apply = || store::apply_upper(&writer, &mut merger.tree, &scratch.upper());
        timings.alone(timing::Part::Changes, apply)?;
    }
    assembly.layers.discard();
    drop(task);
    let mut tree = merger.tree;
    normalise::normalise(&store.reader(), &writer, &mut tree, installation.residue(), lock.date)?;
    accounts::add_files(store, &writer, &mut tree, &manifest.files)?;
    let commit = NewCommit {
        name: store::cache_ref(STAGE, key(manifest, lock)?),
        parent: None,
        subject: format!("{} {}", manifest.name, lock.architecture),
        metadata: tree.metadata()?,
        root: timings.alone(timing::Part::Commit, || writer.write_tree(&tree))?,
        date: lock.date,
    };
    let commits = timings.alone(timing::Part::Commit, || store.commit(&[commit]))?;
    Ok((commits[0], tree))
}

/// Opens a shell in the root: configured as far as its scripts go, the shell standing where the first one failed.
pub fn shell(
    store: &Store,
    program: &Path,
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
        let (mut plan, mut scratch) = assembly.prepare(&mut merger, round, &rounds)?;
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
        let script = Script { label: "the shell".to_owned(), command, environment: Vec::new() };
        plan.steps.push(Step { input: Input::Inherit, ..step(script, lock.date) });
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

fn temporary_file(path: &str, mode: u32, content: &str) -> TemporaryFile {
    TemporaryFile { path: path.into(), mode, content: content.to_owned() }
}

/// A root in the making.
struct Assembly<'a, 'p> {
    store: &'a Store,
    program: &'a Path,
    limits: ScriptLimits,
    manifest: &'a Manifest,
    lock: &'a Lock,
    imports: &'a Imports<'p>,
    installation: &'a dyn Installation,
    /// The root as scripts find it.
    layers: Layers<'a>,
    /// The packages that the database was told of.
    told: Vec<usize>,
    /// How many folders of changes there were.
    count: usize,
}

impl<'a, 'p> Assembly<'a, 'p> {
    fn new(
        store: &'a Store,
        program: &'a Path,
        limits: ScriptLimits,
        manifest: &'a Manifest,
        lock: &'a Lock,
        imports: &'a Imports<'p>,
        installation: &'a dyn Installation,
    ) -> Self {
        let layers = Layers::new(store);
        Self { store, program, limits, manifest, lock, imports, installation, layers, told: Vec::new(), count: 0 }
    }

    fn load(&self, packages: &[usize]) -> Result<()> {
        load(self.imports, &self.lock.packages, self.installation, packages)
    }

    /// Asks the planner, if there is one, for the rounds. Much of its root is in the first round's, too.
    fn rounds(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<Vec<Round>> {
        let Some(planner) = self.installation.planner() else { return self.installation.rounds(None) };
        self.load(&planner.packages)?;
        let merge = || merge_alone(self.store, self.installation, &planner.packages);
        let timings = self.store.timings();
        let tree = timings.alone(timing::Part::Merge, merge)?.tree;
        timings.alone(timing::Part::CheckOut, || self.layers.show(&tree.root))?;
        let files = planner.files.iter();
        let plan = Plan {
            root: Root::ReadOnly(self.layers.folders()[0].clone()),
            binds: Vec::new(),
            temporary_files: files.map(|(path, content)| temporary_file(path, 0o644, content)).collect(),
            steps: vec![step(planner.script, self.lock.date)],
            interactive: false,
            limits: Limits { script_time: Some(self.limits.time), ..Limits::default() },
        };
        let mut told = String::new();
        let mut tell = |line: &str| {
            on_line(line);
            told.extend([line, "\n"]);
        };
        let run = || sandbox::run(self.program, self.store.work(), &plan, &mut tell);
        timings
            .alone(timing::Part::Scripts, run)
            .with_context(|| format!("cannot plan the installation of {}", self.manifest.name))?;
        self.installation.rounds(Some(&told))
    }

    /// Merges the packages of a round and plans its sandbox, whose changes go to the scratch folders.
    fn prepare(&mut self, merger: &mut Merger<'_>, round: &Round, rounds: &[Round]) -> Result<(Plan, Scratch)> {
        self.load(&round.register)?;
        self.load(&round.unpack)?;
        let timings = self.store.timings();
        timings.alone(timing::Part::Merge, || merger.merge(round))?;
        timings.alone(timing::Part::CheckOut, || self.layers.show(&merger.tree.root))?;
        let scratch = self.scratch(&merger.tree)?;
        let guards = self.installation.guards().into_iter();
        let guards = guards.filter(|(path, ..)| merger.tree.root.find(store::split(path).0).is_some());
        let guards = guards.map(|(path, mode, content)| temporary_file(path, mode, content));
        let hooks = settings::hook_files(self.manifest);
        let hooks = hooks.map(|(path, mode, content)| temporary_file(&path, mode, &content));
        let mut plan = Plan {
            root: self.root(&scratch),
            binds: Vec::new(),
            temporary_files: guards.chain(hooks).collect(),
            steps: Vec::new(),
            interactive: false,
            limits: Limits {
                script_time: Some(self.limits.time),
                script_runner: Some(self.installation.script_runner().to_owned()),
                changes: Some(scratch.changes()),
            },
        };
        self.add_steps(&mut plan, round, rounds)?;
        Ok((plan, scratch))
    }

    /// The scripts of a round. Before the first one's come the manifest's first hooks, after the last one's its accounts,
    /// settings and other hooks; its answers come before any package of the round that can take them asks.
    fn add_steps(&mut self, plan: &mut Plan, round: &Round, rounds: &[Round]) -> Result<()> {
        let is = |other: Option<&Round>| other.is_some_and(|other| std::ptr::eq(other, round));
        let manifest = self.manifest;
        let mut scripts = Vec::new();
        if is(rounds.first()) {
            scripts.extend(settings::hooks(manifest, HookPoint::Unpacked));
        }
        scripts.extend(self.installation.answers(&manifest.system.debconf, round)?);
        for act in &round.acts {
            match act {
                Act::Run(script) => scripts.push(script.clone()),
                Act::Tell(packages) => {
                    let told = self.installation.tell(packages, &self.told);
                    self.told.extend(packages);
                    let files = told.files.iter().map(|(path, content)| temporary_file(path, 0o644, content));
                    plan.temporary_files.extend(files);
                    scripts.extend(told.scripts);
                }
            }
        }
        if is(rounds.last()) {
            scripts.extend(accounts::account_scripts(manifest));
            scripts.extend(settings::scripts(&manifest.system));
            scripts.extend(settings::hooks(manifest, HookPoint::Configured));
        }
        plan.steps.extend(scripts.into_iter().map(|script| step(script, self.lock.date)));
        Ok(())
    }

    /// Folders for changes of a tree: room for a generous guess of them, as much again as the packages' files take.
    fn scratch(&mut self, tree: &Tree) -> Result<Scratch> {
        let expected = (256 << 20) + self.lock.packages.iter().map(|p| p.size).sum::<u64>();
        self.count += 1;
        let scratch =
            Scratch::new(self.store.work().join(format!("changes-{}", self.count)), expected, self.limits.space)?;
        // The top of the overlay shows the attributes of its upper layer.
        store::set_directory_attributes(&scratch.upper(), &tree.root.attributes)?;
        Ok(scratch)
    }

    /// The layers with room for changes.
    fn root(&self, scratch: &Scratch) -> Root {
        Root::Overlay { lower: self.layers.folders().to_vec(), upper: scratch.upper(), work: scratch.work() }
    }
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
