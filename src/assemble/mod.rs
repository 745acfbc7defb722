//! Package refs to a configured tree: in rounds, as the packages themselves plan it, merge, run scripts in the sandbox on an
//! overlay and take the changes; then normalise.
//!
//! The result is the ref `cache/root/<key>`; the key covers everything that shapes it.

mod accounts;
mod merge;
mod normalise;
mod settings;

pub use merge::Merged;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::import::{self, Commits};
use crate::lock::{Lock, Package};
use crate::manifest::{AddedFile, Group, HookPoint, Manifest, System, User};
use crate::package::{Format, Installation, Part, Round, Script, Unpacked};
use crate::progress::{Progress, Unit};
use crate::sandbox::{self, Input, Plan, Root, Scratch, Step, StepFailed, TemporaryFile};
use crate::store::{self, NewCommit, Store, Tree};

use merge::Merger;

/// Part of every key; to be raised when the same inputs give another tree than before.
const VERSION: u32 = 3;

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
    let installation = installation.as_ref();
    let writer = store.writer();
    let assembly = Assembly { store, program, manifest, lock, installation, count: Cell::new(0) };
    let task = progress.task("configure", Unit::Items, 0);
    let mut on_line = |line: &str| progress.detail(line);
    let rounds = assembly.rounds(&mut on_line)?;
    let mut merger = Merger::new(installation, store, &writer)?;
    for round in &rounds {
        merger.merge(round)?;
        let lower = assembly.check_out(&merger.tree)?;
        let scratch = assembly.scratch()?;
        let plan = assembly.plan(round, &merger.tree, &lower, &scratch, assembly.steps(round, &rounds)?)?;
        sandbox::run(program, store.work(), &plan, &mut on_line)
            .with_context(|| format!("cannot configure {}", manifest.name))
            .hint(|| format!("for a shell at that point: compose shell {}", manifest.path.display()))?;
        store.discard(lower);
        store::apply_upper(&writer, &mut merger.tree, &scratch.upper())?;
    }
    drop(task);
    let mut tree = merger.tree;
    normalise::normalise(&store.reader(), &writer, &mut tree, installation.residue(), lock.date)?;
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
    let installation = installation.as_ref();
    let writer = store.writer();
    let assembly = Assembly { store, program, manifest, lock, installation, count: Cell::new(0) };
    let rounds = assembly.rounds(&mut |_| ())?;
    let mut merger = Merger::new(installation, store, &writer)?;
    for (number, round) in rounds.iter().enumerate() {
        merger.merge(round)?;
        let lower = assembly.check_out(&merger.tree)?;
        if number + 1 < rounds.len() {
            let scratch = assembly.scratch()?;
            let plan = assembly.plan(round, &merger.tree, &lower, &scratch, assembly.steps(round, &rounds)?)?;
            match sandbox::run(program, store.work(), &plan, &mut |_| ()) {
                Ok(()) => {
                    store.discard(lower);
                    store::apply_upper(&writer, &mut merger.tree, &scratch.upper())?;
                    continue;
                }
                // It fails again in sight of the shell.
                Err(e) if e.is::<StepFailed>() => {}
                Err(e) => return Err(e),
            }
        }
        let command = vec!["/bin/sh".to_owned(), "-i".to_owned()];
        let script = Script { label: "the shell".to_owned(), command, environment: Vec::new() };
        let mut steps = assembly.steps(round, &rounds)?;
        steps.push(Step { input: Input::Inherit, ..step(script, lock.date) });
        let scratch = assembly.scratch()?;
        let plan = Plan { interactive: true, ..assembly.plan(round, &merger.tree, &lower, &scratch, steps)? };
        return sandbox::run_interactive(program, store.work(), &plan);
    }
    bail!("{} has no packages, and so no shell", manifest.name)
}

/// Imported packages in one tree, none of whose scripts has run: a set of programs, not a system.
pub fn merged(store: &Store, format: Format, packages: &[Package]) -> Result<Merged> {
    let commits = import::look_up(store, format, &packages.iter().collect::<Vec<_>>())?.commits;
    let installation = open(store, format, packages, &commits)?;
    let all = installation.order();
    merge_alone(store, installation.as_ref(), all)
}

/// The merged tree of some packages ahead of all scripts.
fn merge_alone(store: &Store, installation: &dyn Installation, packages: &[usize]) -> Result<Merged> {
    let writer = store.writer();
    let mut merger = Merger::new(installation, store, &writer)?;
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
        Ok(Unpacked { name, architecture, depends, records, control, asked: package.asked.is_some() })
    });
    format.installation(unpacked.collect::<Result<_>>()?)
}

fn temporary_file(path: &str, mode: u32, content: &str) -> TemporaryFile {
    TemporaryFile { path: path.into(), mode, content: content.to_owned() }
}

/// What making one root goes by.
struct Assembly<'a> {
    store: &'a Store,
    program: &'a Path,
    manifest: &'a Manifest,
    lock: &'a Lock,
    installation: &'a dyn Installation,
    /// How many checkouts and folders of changes there were.
    count: Cell<usize>,
}

impl Assembly<'_> {
    /// Asks the planner, if there is one, for the rounds.
    fn rounds(&self, on_line: &mut dyn FnMut(&str)) -> Result<Vec<Round>> {
        let Some(planner) = self.installation.planner() else { return self.installation.rounds(None) };
        let tree = merge_alone(self.store, self.installation, &planner.packages)?.tree;
        let lower = self.check_out(&tree)?;
        let files = planner.files.iter();
        let plan = Plan {
            root: Root::ReadOnly(lower.clone()),
            binds: Vec::new(),
            temporary_files: files.map(|(path, content)| temporary_file(path, 0o644, content)).collect(),
            steps: vec![step(planner.script, self.lock.date)],
            interactive: false,
        };
        let mut told = String::new();
        sandbox::run(self.program, self.store.work(), &plan, &mut |line| {
            on_line(line);
            told.extend([line, "\n"]);
        })
        .with_context(|| format!("cannot plan the installation of {}", self.manifest.name))?;
        self.store.discard(lower);
        self.installation.rounds(Some(&told))
    }

    /// The scripts of a round. Before the first one's come the manifest's first hooks, after the last one's its accounts,
    /// settings and other hooks; its answers come before any package of the round that can take them asks.
    fn steps(&self, round: &Round, rounds: &[Round]) -> Result<Vec<Step>> {
        let is = |other: Option<&Round>| other.is_some_and(|other| std::ptr::eq(other, round));
        let manifest = self.manifest;
        let mut scripts = Vec::new();
        if is(rounds.first()) {
            scripts.extend(settings::hooks(manifest, HookPoint::Unpacked));
        }
        scripts.extend(self.installation.answers(&manifest.system.debconf, round)?);
        scripts.extend(round.scripts.iter().cloned());
        if is(rounds.last()) {
            scripts.extend(accounts::account_scripts(manifest));
            scripts.extend(settings::scripts(&manifest.system));
            scripts.extend(settings::hooks(manifest, HookPoint::Configured));
        }
        Ok(scripts.into_iter().map(|script| step(script, self.lock.date)).collect())
    }

    /// Folders for a round's changes: room for a generous guess of them, as much again as the packages' files take.
    fn scratch(&self) -> Result<Scratch> {
        let expected = (256 << 20) + self.lock.packages.iter().map(|p| p.size).sum::<u64>();
        Scratch::new(self.new_folder("changes"), expected)
    }

    /// The name of a new folder of this run.
    fn new_folder(&self, kind: &str) -> PathBuf {
        self.count.set(self.count.get() + 1);
        self.store.work().join(format!("{kind}-{}", self.count.get()))
    }

    /// What scripts see below their changes.
    fn check_out(&self, tree: &Tree) -> Result<PathBuf> {
        let lower = self.new_folder("tree");
        store::check_out(self.store, &tree.root, &lower)?;
        Ok(lower)
    }

    /// Plans the sandbox over a tree that is checked out to `lower`.
    fn plan(&self, round: &Round, tree: &Tree, lower: &Path, scratch: &Scratch, steps: Vec<Step>) -> Result<Plan> {
        // The top of the overlay shows the attributes of its upper layer.
        store::set_directory_attributes(&scratch.upper(), &tree.root.attributes)?;
        let guards = self.installation.guards().into_iter();
        let guards = guards.filter(|(path, ..)| tree.root.find(store::split(path).0).is_some());
        let guards = guards.map(|(path, mode, content)| temporary_file(path, mode, content));
        let hooks = settings::hook_files(self.manifest);
        let hooks = hooks.map(|(path, mode, content)| temporary_file(&path, mode, &content));
        Ok(Plan {
            root: Root::Overlay { lower: lower.to_owned(), upper: scratch.upper(), work: scratch.work() },
            binds: Vec::new(),
            temporary_files: guards
                .chain(hooks)
                .chain(round.files.iter().map(|(path, content)| temporary_file(path, 0o644, content)))
                .collect(),
            steps,
            interactive: false,
        })
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
