//! The rounds of an assembly: in which order packages and scripts follow, and the sandbox of each round.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::merge::Merger;
use super::{ScriptLimits, accounts, clock, load, merge_alone, settings};
use crate::clock::Timestamp;
use crate::import::Imports;
use crate::lock::Lock;
use crate::manifest::{HookPoint, Manifest};
use crate::package::{Act, Foreseen, Installation, Place, Planned, Round, Script};
use crate::sandbox::{self, Call, Input, Limits, Plan, Program, Root, Scratch, Step, StepFailed, TemporaryFile};
use crate::store::{self, Layers, Store, Tree};
use crate::timing;

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

/// A sandbox to run scripts in, and where their changes go.
pub(super) struct Prepared {
    pub plan: Plan,
    pub scratch: Scratch,
}

/// A script that is known ahead of its turn.
pub(super) struct Coming {
    pub step: Step,
    /// How it will be called.
    pub call: Call,
    /// The files that get other names before it, relative to the root: from and to.
    pub renames: Vec<(String, String)>,
    /// See [`crate::package::Foreseen::shares`].
    pub shares: Vec<&'static str>,
}

/// A root in the making.
pub(super) struct Assembly<'a, 'p> {
    pub store: &'a Store,
    pub program: &'a Program,
    limits: ScriptLimits,
    pub manifest: &'a Manifest,
    lock: &'a Lock,
    imports: &'a Imports<'p>,
    pub installation: &'a dyn Installation,
    /// The root as scripts find it.
    pub layers: Layers<'a>,
    /// The planner's root, where it stays.
    tools: Option<PathBuf>,
    /// The packages that the database was told of.
    told: Vec<usize>,
    /// How many folders of changes there were.
    count: usize,
}

impl<'a, 'p> Assembly<'a, 'p> {
    pub fn new(
        store: &'a Store,
        program: &'a Program,
        limits: ScriptLimits,
        manifest: &'a Manifest,
        lock: &'a Lock,
        imports: &'a Imports<'p>,
        installation: &'a dyn Installation,
    ) -> Self {
        let layers = Layers::new(store);
        let (tools, told) = (None, Vec::new());
        Self { store, program, limits, manifest, lock, imports, installation, layers, tools, told, count: 0 }
    }

    /// Forgets what came of the rounds.
    pub fn begin_again(&mut self) {
        self.layers.discard();
        self.told.clear();
    }

    fn load(&self, packages: &[usize]) -> Result<()> {
        load(self.imports, &self.lock.packages, self.installation, packages)
    }

    /// Asks the planner, if there is one, for the rounds. Much of its root is in the first round's, too.
    pub fn rounds(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<Vec<Round>> {
        let Some(planner) = self.installation.planner() else { return self.installation.rounds(None) };
        self.load(&planner.packages)?;
        let merge = || merge_alone(self.store, self.installation, &planner.packages);
        let timings = self.store.timings();
        let mut tree = timings.alone(timing::Part::Merge, merge)?.tree;
        let folder = if planner.stays {
            let folder = self.store.work().join("planner");
            timings.alone(timing::Part::CheckOut, || store::check_out(self.store, &tree.root, &folder))?;
            self.tools = Some(folder.clone());
            folder
        } else {
            timings.alone(timing::Part::CheckOut, || self.layers.show(&tree.root))?;
            self.layers.folders()[0].clone()
        };
        let scratch = planner.makes.map(|_| self.scratch(&tree)).transpose()?;
        let root = match &scratch {
            None => Root::ReadOnly(folder),
            Some(scratch) => Root::Overlay { lower: vec![folder], upper: scratch.upper(), work: scratch.work() },
        };
        let files = planner.files.iter();
        let plan = Plan {
            root,
            tools: None,
            binds: Vec::new(),
            temporary_files: files.map(|(path, content)| temporary_file(path, 0o644, content)).collect(),
            steps: planner.scripts.iter().map(|script| step(script, clock(self.lock))).collect(),
            goes_on: false,
            interactive: false,
            observer: None,
            limits: Limits {
                script_time: Some(self.limits.time),
                changes: scratch.as_ref().map(Scratch::changes),
                ..Limits::default()
            },
        };
        let mut came = Planned::default();
        let mut tell = |line: &str| {
            on_line(line);
            came.printed.extend([line, "\n"]);
        };
        let run = || sandbox::run(self.program, self.store.work(), &plan, &mut tell);
        timings
            .alone(timing::Part::Scripts, run)
            .map_err(|error| without_talk(error, planner.talk))
            .with_context(|| format!("cannot plan the installation of {}", self.manifest.name))?;
        if let (Some(scratch), Some(folder)) = (scratch, planner.makes) {
            store::apply_upper(&self.store.writer(), &mut tree, &scratch.upper())?;
            let made = tree.root.find(folder).with_context(|| format!("the planner did not make /{folder}"))?;
            came.made.clone_from(&made.files);
        }
        self.installation.rounds(Some(came))
    }

    /// Merges the packages of a round and plans its sandbox.
    pub fn prepare(&mut self, merger: &mut Merger<'_>, round: &Round, rounds: &[Round]) -> Result<Prepared> {
        self.load(&round.register)?;
        self.load(&round.unpack)?;
        let timings = self.store.timings();
        timings.alone(timing::Part::Merge, || merger.merge(round))?;
        timings.alone(timing::Part::CheckOut, || self.layers.show(&merger.tree.root))?;
        let scratch = self.scratch(&merger.tree)?;
        let guards = self.installation.guards().into_iter();
        let guards = guards.filter(|(path, ..)| merger.tree.root.find(store::split(path).0).is_some());
        let guards = guards.map(|(path, mode, content)| temporary_file(path, mode, content.as_bytes()));
        let hooks = settings::hook_files(self.manifest);
        let hooks = hooks.map(|(path, mode, content)| temporary_file(&path, mode, content.as_bytes()));
        let mut plan = Plan {
            root: self.root(&scratch),
            tools: self.tools.clone(),
            binds: Vec::new(),
            temporary_files: guards.chain(hooks).collect(),
            steps: Vec::new(),
            goes_on: false,
            interactive: false,
            observer: None,
            limits: Limits {
                script_time: Some(self.limits.time),
                script_runner: self.installation.script_runner().map(str::to_owned),
                changes: Some(scratch.changes()),
            },
        };
        self.add_steps(&mut plan, round, rounds)?;
        Ok(Prepared { plan, scratch })
    }

    /// The scripts of a round that are known ahead of their turn, where `foreseen` are those that the runner of scripts will run
    /// in each of its acts.
    pub fn coming(&self, round: &Round, foreseen: Vec<Vec<Foreseen>>) -> Vec<Coming> {
        let mut coming = Vec::new();
        for (act, foreseen) in round.acts.iter().zip(foreseen) {
            let Act::Run(script) = act else { continue };
            let own = step(script, clock(self.lock));
            if script.command.first().map(String::as_str) != self.installation.script_runner() {
                let call = Call::of(&own);
                coming.push(Coming { step: own, call, renames: Vec::new(), shares: script.shares.clone() });
                continue;
            }
            coming.extend(foreseen.into_iter().map(|script| {
                let environment = own.environment.iter().cloned().chain(script.environment).collect();
                let step = Step { command: script.command, environment, ..own.clone() };
                Coming { call: Call::by_runner(&step), step, renames: script.renames, shares: script.shares }
            }));
        }
        coming
    }

    /// One of `count` sandboxes beside the one of a plan, in which these steps run whatever becomes of any.
    pub fn beside(&mut self, plan: &Plan, tree: &Tree, steps: Vec<Step>, count: usize) -> Result<Prepared> {
        let scratch = self.scratch_of(tree, count + 1)?;
        let limits = Limits { script_runner: None, changes: Some(scratch.changes()), ..plan.limits.clone() };
        let plan = Plan { root: self.root(&scratch), steps, goes_on: true, limits, ..plan.clone() };
        Ok(Prepared { plan, scratch })
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
        for script in &scripts {
            plan.temporary_files
                .extend(script.files.iter().map(|(path, content)| temporary_file(path, 0o644, content)));
            plan.steps.push(step(script, clock(self.lock)));
        }
        Ok(())
    }

    /// Folders for changes of a tree.
    pub fn scratch(&mut self, tree: &Tree) -> Result<Scratch> {
        self.scratch_of(tree, 1)
    }

    /// One of `count` such that are in use together: room for a generous guess of the changes, as much again as the packages'
    /// files take.
    fn scratch_of(&mut self, tree: &Tree, count: usize) -> Result<Scratch> {
        let expected = (256 << 20) + self.lock.packages.iter().map(|p| p.size).sum::<u64>();
        let expected = expected * count as u64;
        self.count += 1;
        let scratch =
            Scratch::new(self.store.work().join(format!("changes-{}", self.count)), expected, self.limits.space)?;
        // The top of the overlay shows the attributes of its upper layer.
        store::set_directory_attributes(&scratch.upper(), &tree.root.attributes)?;
        Ok(scratch)
    }

    /// The layers with room for changes.
    pub fn root(&self, scratch: &Scratch) -> Root {
        Root::Overlay { lower: self.layers.folders().to_vec(), upper: scratch.upper(), work: scratch.work() }
    }
}

/// An error of a step without the lines of its output that begin so.
fn without_talk(error: anyhow::Error, talk: Option<&str>) -> anyhow::Error {
    match (error.downcast::<StepFailed>(), talk) {
        (Ok(failed), Some(talk)) => {
            let lines: Vec<&str> = failed.output.lines().filter(|line| !line.starts_with(talk)).collect();
            StepFailed { output: lines.join("\n"), ..failed }.into()
        }
        (Ok(failed), None) => failed.into(),
        (Err(error), _) => error,
    }
}

fn temporary_file(path: &str, mode: u32, content: &[u8]) -> TemporaryFile {
    TemporaryFile { path: path.into(), mode, content: content.to_owned() }
}

pub(super) fn step(script: &Script, clock: Timestamp) -> Step {
    let mut environment: BTreeMap<String, String> =
        ENVIRONMENT.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    environment.insert("SOURCE_DATE_EPOCH".to_owned(), clock.seconds().to_string());
    environment.extend(script.environment.iter().cloned());
    Step {
        label: script.label.clone(),
        command: script.command.clone(),
        environment: environment.into_iter().collect(),
        input: if script.input.is_empty() { Input::Null } else { Input::Bytes(script.input.clone()) },
        in_tools: script.place == Place::Tools,
    }
}
