//! Scripts that need not run in their turn: what each one needed to be as it was, and what it changed, is known from the build
//! before, or from a root in which it ran ahead of its turn. Where a script is called as there and all that it looked at is as it
//! was, what it changed is put in place instead.
//!
//! Nothing that is seen is taken on trust: a condition is all that a script could see at a path, a file that it only looked for included,
//! and a script that does what cannot be seen in full is never kept. Of the package database, of which all is read whatever
//! it is asked for, a script has seen what it asked for. So a changed package has its own scripts run again, and
//! those that looked at any file of it or at anything that became different in turn, and no others. After each round the root
//! is compared with what was seen to happen to it; where that is not all, nothing of the round is kept, and where other runs
//! stood in, all scripts run.

mod agree;
mod ahead;
mod books;
mod library;
mod state;
mod witness;

pub(super) use ahead::{Board, Scout};
pub(super) use witness::Ground;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::clock::Timestamp;
use crate::digest::{Hasher, Sha256};
use crate::package::{Ledger, Residue};
use crate::progress::Progress;
use crate::sandbox::{Call, Observer, Touch};
use crate::store::{Directory, NewCommit, Node, ObjectReader, ObjectWriter, Store, Tree, split};

use super::origins::Deeds;
use ahead::Ran;
use library::{Library, Run};
use witness::Witness;

/// Part of every key; to be raised when the same scripts do something else than before.
const VERSION: u32 = 7;

/// What scripts did, before and in this build.
pub(super) struct Replay {
    key: Sha256,
    residue: &'static [Residue],
    ledger: Option<Ledger>,
    /// Runs of the build before.
    old: Library,
    /// Where the runs of each call are in it.
    calls: HashMap<[u8; 32], Vec<usize>>,
    /// Runs of this build.
    new: Library,
    /// Whether scripts may run ahead of their turn.
    hastens: bool,
    /// How many scripts did not run, since the build before has what they do.
    pub spared: usize,
    /// How many scripts ran ahead of their turn.
    pub hastened: usize,
    /// How many scripts there were.
    pub count: usize,
    /// Whether another run could not stand in for what a script does.
    pub misled: bool,
    /// Who changed what.
    pub deeds: Deeds,
}

/// The key of what is known of the scripts of the root with this name.
fn key(name: &str) -> Sha256 {
    Sha256::of(format!("{VERSION} {name}").as_bytes())
}

/// The ref of it.
pub(super) fn ref_name(name: &str) -> String {
    library::ref_name(key(name))
}

impl Replay {
    /// What is known of the scripts of the root with this name. Where nothing is, they may run ahead of their turn.
    pub fn load(store: &Store, name: &str, residue: &'static [Residue], ledger: Option<Ledger>) -> Self {
        let old = Library::load(store, key(name));
        let hastens = old.records.is_empty();
        Self::new(key(name), residue, ledger, old, hastens)
    }

    /// One that knows of no scripts, and lets each run in its turn, for the same root.
    pub fn without_runs(&self) -> Self {
        Self::new(self.key, self.residue, self.ledger, Library::default(), false)
    }

    fn new(key: Sha256, residue: &'static [Residue], ledger: Option<Ledger>, old: Library, hastens: bool) -> Self {
        let mut calls: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
        for (index, record) in old.records.iter().enumerate() {
            calls.entry(record.call).or_default().push(index);
        }
        Self {
            key,
            residue,
            ledger,
            old,
            calls,
            new: Library::default(),
            hastens,
            spared: 0,
            hastened: 0,
            count: 0,
            misled: false,
            deeds: Deeds::default(),
        }
    }

    /// Whether scripts may run ahead of their turn.
    pub fn hastens(&self) -> bool {
        self.hastens
    }

    /// The commit that keeps what scripts did in this build for the next one.
    pub fn commit(&self, writer: &ObjectWriter, subject: &str, date: Timestamp) -> Result<NewCommit> {
        self.new.commit(writer, self.key, subject, date)
    }

    /// A round's root, which is `base` with these devices and pipes, and files that exist only while scripts run.
    pub fn ground<'a>(
        &self,
        writer: &'a ObjectWriter,
        reader: &'a ObjectReader,
        base: &'a Directory,
        nodes: BTreeMap<String, Node>,
        temporary: Vec<PathBuf>,
    ) -> Ground<'a> {
        Ground { writer, reader, base, nodes, temporary, residue: self.residue, ledger: self.ledger }
    }

    /// What observes the scripts of a round, where `ahead` has those that run ahead of their turn: what such a script printed
    /// is told when its turn comes.
    pub fn round<'a>(&'a mut self, ground: Ground<'a>, ahead: &'a Board, progress: &'a dyn Progress) -> Recorder<'a> {
        let before = (self.new.records.len(), self.spared + self.hastened);
        let witness = Witness::new(ground);
        let books = BTreeSet::new();
        Recorder { replay: self, before, witness, ahead, progress, chosen: None, rejected: None, books }
    }
}

/// Observes the scripts of a round.
pub(super) struct Recorder<'a> {
    replay: &'a mut Replay,
    /// How many runs there were before the round, and how many stood in.
    before: (usize, usize),
    witness: Witness<'a>,
    ahead: &'a Board,
    progress: &'a dyn Progress,
    /// The run that is to stand in.
    chosen: Option<Chosen>,
    /// The run ahead of its turn of the script that runs, which needed something else.
    rejected: Option<Arc<Run>>,
    /// What the program that runs scripts has changed since those ahead were told.
    books: BTreeSet<String>,
}

/// A run that is to stand in for a script.
enum Chosen {
    /// Of the build before.
    Old(Run),
    /// Ahead of its turn.
    Ahead(Ran),
}

impl Recorder<'_> {
    /// To be told what the round made of its root: the path of what was not seen, if anything was not.
    pub fn close(self, after: &Tree) -> Result<Option<String>> {
        self.replay.deeds.lost |= !self.witness.sees_all();
        let found = self.witness.disagreement(after);
        let (records, stood_in) = self.before;
        if let Some(path) = &found {
            self.replay.deeds.lost = true;
            self.replay.new.records.truncate(records);
            if self.replay.spared + self.replay.hastened > stood_in {
                self.replay.misled = true;
                bail!("what scripts did before, or ahead of their turn, makes another /{path} than was seen");
            }
        }
        Ok(found)
    }

    /// A run of the build before of this call, all of whose conditions hold.
    fn find(&mut self, call: [u8; 32]) -> Result<Option<Run>> {
        let old = &self.replay.old;
        for index in self.replay.calls.get(&call).into_iter().flatten() {
            let record = &old.records[*index];
            if old.conditions_of(record).all(|condition| condition.is_some())
                && self.witness.agrees(old.conditions_of(record).flatten(), &record.asked)?
            {
                return Ok(Some(old.run(record)));
            }
        }
        Ok(None)
    }

    /// A run of this call ahead of its turn, all of whose conditions hold.
    fn find_ahead(&mut self, call: [u8; 32]) -> Option<Ran> {
        let ran = self.ahead.take_turn(call)?;
        if self.witness.agrees(ran.run.conditions.iter(), &ran.run.asked).unwrap_or(false) {
            return Some(ran);
        }
        self.rejected = Some(ran.run);
        None
    }

    /// Tells of a run in its turn, which those ahead have not seen.
    fn tell_ahead(&mut self, run: Run) {
        let rejected = self.rejected.take();
        // What the run ahead did to other paths did not happen.
        let others = rejected.iter().flat_map(|rejected| &rejected.changes).map(|(path, _)| path);
        let others = others.filter(|path| !run.changes.iter().any(|(changed, _)| changed == *path)).cloned().collect();
        self.tell_ahead_of(Some(run), &others);
    }

    /// Tells of a run, and of what is at other paths now.
    fn tell_ahead_of(&mut self, run: Option<Run>, others: &BTreeSet<String>) {
        if self.ahead.is_closed() {
            return;
        }
        let mut told = run.unwrap_or_default();
        match self.witness.entries(others.iter()) {
            Ok(entries) => {
                told.folders.extend(entries.iter().map(|(path, _)| split(path).0.to_owned()));
                told.changes.extend(entries);
            }
            Err(_) => return self.ahead.close(),
        }
        if !told.changes.is_empty() {
            self.ahead.tell(Arc::new(told));
        }
    }
}

impl Observer for Recorder<'_> {
    fn enter(&mut self, root: OwnedFd) -> Result<()> {
        self.witness.enter(root);
        Ok(())
    }

    fn begin(&mut self, call: &Call) -> bool {
        self.replay.count += 1;
        self.replay.deeds.begin(call);
        let call = digest(call);
        self.rejected = None;
        self.chosen = None;
        if !self.witness.lost {
            let books = std::mem::take(&mut self.books);
            self.tell_ahead_of(None, &books);
            let old = self.find(call).unwrap_or(None).map(Chosen::Old);
            self.chosen = old.or_else(|| self.find_ahead(call).map(Chosen::Ahead));
        }
        self.witness.begin(call);
        self.chosen.is_some()
    }

    fn stand_in(&mut self) -> Result<()> {
        self.witness.pass_over();
        let chosen = self.chosen.take().context("no run to stand in")?;
        let (run, when) = match &chosen {
            Chosen::Old(run) => (run, "before"),
            Chosen::Ahead(Ran { run, .. }) => (&**run, "ahead of its turn"),
        };
        if let Err(error) = self.witness.redo(run) {
            self.replay.misled = true;
            return Err(error.context(format!("cannot do what a script did {when}")));
        }
        self.replay.new.keep(run);
        self.replay.deeds.note(run.changes.iter().map(|(path, _)| path));
        match &chosen {
            Chosen::Old(_) => self.replay.spared += 1,
            Chosen::Ahead(Ran { printed, .. }) => {
                self.replay.hastened += 1;
                printed.lines().for_each(|line| self.progress.detail(line));
            }
        }
        Ok(())
    }

    fn touch(&mut self, touch: &Touch) {
        if touch.changes && self.witness.sees_all() && !self.witness.sees_a_script() {
            self.replay.deeds.note_runner(&touch.path);
            if !self.ahead.is_closed() && !self.witness.is_volatile(&touch.path) {
                self.books.insert(touch.path.clone());
            }
        }
        self.witness.touch(touch);
    }

    fn lose(&mut self) {
        self.witness.lost = true;
    }

    fn end(&mut self) {
        match self.witness.finish() {
            Some((run, is_whole)) => {
                self.replay.deeds.note(run.changes.iter().map(|(path, _)| path));
                if is_whole {
                    self.replay.new.keep(&run);
                }
                self.tell_ahead(run);
            }
            None if self.witness.lost => self.ahead.close(),
            None => {}
        }
    }

    fn fail(&mut self) {
        self.end();
    }

    fn printed(&mut self, _: Option<String>) {}
}

fn digest(call: &Call) -> [u8; 32] {
    let mut hasher = Hasher::default();
    for list in [&call.arguments, &call.environment] {
        hasher.update(&(list.len() as u64).to_be_bytes());
        for text in list {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.update(&call.input);
    *hasher.finish().as_bytes()
}
