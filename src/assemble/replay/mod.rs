//! Scripts that need not run again: what each one needed to be as it was, and what it changed, is kept from build to build.
//! Where a script is called as before and all that it looked at is as it was, what it changed is put in place instead.
//!
//! Nothing that is seen is taken on trust: a condition is all that a script could see at a path, a file that it only looked for included,
//! and a script that does what cannot be seen in full is never kept. Of the package database, of which all is read whatever
//! it is asked for, a script has seen what it asked for. So a changed package has its own scripts run again, and
//! those that looked at any file of it or at anything that became different in turn, and no others. After each round the root
//! is compared with what was seen to happen to it; where that is not all, nothing of the round is kept, and where runs of
//! before stood in, all scripts run.

mod agree;
mod books;
mod library;
mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::clock::Timestamp;
use crate::digest::{Hasher, Sha256};
use crate::package::{Asked, Ledger, Residue, Treatment};
use crate::sandbox::{Call, Need, Observer, Touch};
use crate::store::{Directory, Entry, Inode, NewCommit, Node, ObjectReader, ObjectWriter, Store, Tree, split};

use super::normalise;
use super::origins::Deeds;
use library::{Condition, Library, Record};
use state::State;

/// Part of every key; to be raised when the same scripts do something else than before.
const VERSION: u32 = 3;

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
    /// How many scripts did not run.
    pub spared: usize,
    /// How many scripts there were.
    pub count: usize,
    /// Whether a run of before could not stand in for what a script does.
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
    /// What is known of the scripts of the root with this name.
    pub fn load(store: &Store, name: &str, residue: &'static [Residue], ledger: Option<Ledger>) -> Self {
        let key = key(name);
        let old = Library::load(store, key);
        let mut calls: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
        for (index, record) in old.records.iter().enumerate() {
            calls.entry(record.call).or_default().push(index);
        }
        let (new, deeds) = (Library::default(), Deeds::default());
        Self { key, residue, ledger, old, calls, new, spared: 0, count: 0, misled: false, deeds }
    }

    /// One that knows of no scripts, for the same root.
    pub fn without_runs(&self) -> Self {
        let (old, calls, new) = (Library::default(), HashMap::new(), Library::default());
        let (Self { key, residue, ledger, .. }, deeds) = (self, Deeds::default());
        let (key, residue, ledger) = (*key, *residue, *ledger);
        Self { key, residue, ledger, old, calls, new, spared: 0, count: 0, misled: false, deeds }
    }

    /// The commit that keeps what scripts did in this build for the next one.
    pub fn commit(&self, writer: &ObjectWriter, subject: &str, date: Timestamp) -> Result<NewCommit> {
        self.new.commit(writer, self.key, subject, date)
    }

    /// What observes the scripts of a round, whose root is `base`, with these devices and pipes and files that exist only
    /// meanwhile.
    pub fn round<'a>(
        &'a mut self,
        writer: &'a ObjectWriter,
        reader: &'a ObjectReader,
        base: &'a Directory,
        nodes: BTreeMap<String, Node>,
        temporary: Vec<PathBuf>,
    ) -> Recorder<'a> {
        let before = (self.new.records.len(), self.spared);
        Recorder {
            replay: self,
            before,
            writer,
            reader,
            base: Some((base, nodes)),
            temporary,
            state: None,
            lost: false,
            at: None,
            chosen: None,
        }
    }
}

/// Observes the scripts of a round.
pub(super) struct Recorder<'a> {
    replay: &'a mut Replay,
    /// How many runs there were before the round, and how many scripts were spared.
    before: (usize, usize),
    writer: &'a ObjectWriter,
    reader: &'a ObjectReader,
    /// The root until it is entered.
    base: Option<(&'a Directory, BTreeMap<String, Node>)>,
    temporary: Vec<PathBuf>,
    state: Option<State<'a>>,
    /// Whether it is not known any more what is where.
    lost: bool,
    at: Option<Running>,
    /// The run of the build before that is to stand in.
    chosen: Option<usize>,
}

/// A script that runs.
struct Running {
    call: [u8; 32],
    conditions: BTreeMap<String, (Need, Sha256)>,
    /// What it asked the package database for, and what that said.
    asked: BTreeMap<Asked, Sha256>,
    changes: BTreeSet<String>,
    /// Whether it did something that cannot be told in full.
    unfit: bool,
}

impl Running {
    /// What of the package database is asked for by one who reads it; none when that is no part of it, or one that the script
    /// itself wrote to.
    fn asks(&self, ledger: Ledger, touch: &Touch) -> Option<Vec<Asked>> {
        if touch.changes || !ledger.has(&touch.path) || self.changes.iter().any(|path| ledger.has(path)) {
            return None;
        }
        let (program, arguments) = touch.process.program()?;
        (ledger.asked)(&program, &arguments)
    }
}

impl Recorder<'_> {
    /// To be told what the round made of its root: the path of what was not seen, if anything was not.
    pub fn close(self, after: &Tree) -> Result<Option<String>> {
        self.replay.deeds.lost |= self.lost || self.state.is_none();
        let found = self.state.filter(|_| !self.lost).and_then(|state| state.disagreement(after));
        let (records, spared) = self.before;
        if let Some(path) = &found {
            self.replay.deeds.lost = true;
            self.replay.new.records.truncate(records);
            if self.replay.spared > spared {
                self.replay.misled = true;
                bail!("what scripts did before makes another /{path} than was seen");
            }
        }
        Ok(found)
    }

    fn note(&mut self, touch: &Touch) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let Some(running) = &mut self.at else {
            // The program that runs scripts keeps its books.
            if touch.moves && state.is_folder(&touch.path)? {
                self.lost = true;
            }
            if touch.changes {
                self.replay.deeds.note_runner(&touch.path);
            }
            state.distrust(&touch.path);
            return Ok(());
        };
        if let Some(ledger) = self.replay.ledger
            && let Some(asked) = running.asks(ledger, touch)
        {
            for part in asked.into_iter().filter(|part| !running.asked.contains_key(part)).collect::<Vec<_>>() {
                let said = state.said(&part)?;
                running.asked.insert(part, said);
            }
            return self.require(ledger.file, Need::Kind);
        }
        let known = running.conditions.get(&touch.path).map(|(need, _)| *need);
        let own = running.changes.contains(&touch.path);
        if known.is_none_or(|known| known < touch.need) && !own {
            let need = if is_volatile(self.replay.residue, &touch.path) { Need::Kind } else { touch.need };
            self.require(&touch.path, need)?;
        }
        let (Some(state), Some(running)) = (&mut self.state, &mut self.at) else { return Ok(()) };
        if own && touch.need == Need::Entries && known != Some(Need::Entries) {
            // What was in a folder before the script still is.
            let identity = state.identity(&touch.path, Need::Entries)?;
            running.conditions.insert(touch.path.clone(), (Need::Entries, identity));
        }
        if touch.changes {
            // What is in a folder goes with it, untold.
            if touch.moves && state.is_folder(&touch.path)? {
                running.unfit = true;
                self.lost = true;
            }
            running.changes.insert(touch.path.clone());
        }
        Ok(())
    }

    /// What the script needs of a path, and of each folder on the way: that it is one and no link to where something might be,
    /// that those may pass who do, and what it hands down to what is made in it.
    fn require(&mut self, mut path: &str, mut need: Need) -> Result<()> {
        let (Some(state), Some(running)) = (&mut self.state, &mut self.at) else { return Ok(()) };
        loop {
            let identity = state.identity(path, need)?;
            running.conditions.insert(path.to_owned(), (need, identity));
            if path.is_empty() {
                return Ok(());
            }
            path = split(path).0;
            need = if is_volatile(self.replay.residue, path) { Need::Kind } else { Need::Attributes };
            if running.conditions.get(path).is_some_and(|(known, _)| *known >= need) {
                return Ok(());
            }
        }
    }

    /// A run of the build before of this call, all of whose conditions hold.
    fn find(&mut self, call: [u8; 32]) -> Result<Option<usize>> {
        let Some(state) = &mut self.state else { return Ok(None) };
        let old = &self.replay.old;
        'runs: for index in self.replay.calls.get(&call).into_iter().flatten() {
            for number in &old.records[*index].conditions {
                let Some(Condition { path, need, identity }) = old.conditions.get(*number as usize) else {
                    continue 'runs;
                };
                if state.identity(path, *need)?.as_bytes() != identity {
                    continue 'runs;
                }
            }
            for (asked, said) in &old.records[*index].asked {
                if state.said(asked)?.as_bytes() != said {
                    continue 'runs;
                }
            }
            return Ok(Some(*index));
        }
        Ok(None)
    }

    /// Makes everything be there that a run left.
    fn redo(&mut self, record: &Record) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let gone = |entry: &Entry| *entry == Entry::Absent;
        let (absent, present): (Vec<_>, Vec<_>) = record.changes.iter().partition(|(_, entry)| gone(entry));
        for (path, entry) in absent.into_iter().rev().chain(present) {
            match record.links.get(path) {
                Some(first) => state.link(first, path)?,
                // What is in a folder of residue is no condition.
                None => state.put(path, entry, is_volatile(self.replay.residue, path))?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, running: Running) -> Result<()> {
        let Running { call, mut conditions, asked, changes, mut unfit } = running;
        let Some(state) = &mut self.state else { return Ok(()) };
        let found: Vec<_> = changes.into_iter().map(|path| Ok((state.read(&path)?, path))).collect::<Result<_>>()?;
        let links = Links::of(found.iter().map(|((_, inode), path)| (path.as_str(), *inode)));
        let mut entries = Vec::with_capacity(found.len());
        for ((entry, inode), path) in found {
            let before = state.entry(&path)?;
            let shared = inode.is_some_and(|inode| links.is_partial(inode));
            if shared && entry != before {
                // Its other names mean something else now, too, and which they are is not known.
                unfit = true;
                self.lost = true;
            }
            unfit |= matches!(entry, Entry::Node(_));
            if entry == before {
                if entry == Entry::Absent {
                    continue;
                }
                // Perhaps nothing happened to it, so that it has to be just this.
                let known = conditions.get(&path).map_or(Need::Kind, |(need, _)| *need);
                if known < Need::Content && !is_volatile(self.replay.residue, &path) {
                    conditions.insert(path.clone(), (Need::Content, state.identity(&path, Need::Content)?));
                }
                // What was so much as opened for writing has no name that was not seen.
                if shared {
                    continue;
                }
            }
            entries.push((path, entry));
        }
        self.replay.deeds.note(entries.iter().map(|(path, _)| path));
        for (path, entry) in &entries {
            state.set(path, entry.clone());
        }
        if !unfit && !self.lost {
            let new = &mut self.replay.new;
            let number = |(path, (need, identity)): (String, (Need, Sha256))| {
                new.number(Condition { path, need, identity: *identity.as_bytes() })
            };
            let conditions = conditions.into_iter().map(number).collect();
            let asked = asked.into_iter().map(|(asked, said)| (asked, *said.as_bytes())).collect();
            new.records.push(Record { call, conditions, asked, changes: entries, links: links.further });
        }
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    fn enter(&mut self, root: OwnedFd) -> Result<()> {
        let temporary = self.temporary.iter().map(PathBuf::as_path);
        let base = self.base.take().context("the root is entered twice")?;
        self.state = Some(State::new(base, self.writer, self.reader, root, temporary, self.replay.ledger));
        Ok(())
    }

    fn begin(&mut self, call: &Call) -> bool {
        self.replay.count += 1;
        self.replay.deeds.begin(call);
        let call = digest(call);
        self.chosen = if self.lost { None } else { self.find(call).unwrap_or(None) };
        let (conditions, asked, changes) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        self.at = Some(Running { call, conditions, asked, changes, unfit: false });
        self.chosen.is_some()
    }

    fn stand_in(&mut self) -> Result<()> {
        self.at = None;
        let index = self.chosen.take().context("no run to stand in")?;
        let mut record = self.replay.old.records[index].clone();
        if let Err(error) = self.redo(&record) {
            self.replay.misled = true;
            return Err(error.context("cannot do what a script did before"));
        }
        for number in &mut record.conditions {
            let condition = self.replay.old.conditions[*number as usize].clone();
            *number = self.replay.new.number(condition);
        }
        self.replay.deeds.note(record.changes.iter().map(|(path, _)| path));
        self.replay.new.records.push(record);
        self.replay.spared += 1;
        Ok(())
    }

    fn touch(&mut self, touch: &Touch) {
        if !self.lost && self.note(touch).is_err() {
            self.lost = true;
        }
    }

    fn lose(&mut self) {
        self.lost = true;
    }

    fn end(&mut self) {
        if let Some(running) = self.at.take()
            && !self.lost
            && self.finish(running).is_err()
        {
            self.lost = true;
        }
    }
}

/// The names of files that have several.
struct Links {
    /// The first name, and how many there are.
    seen: HashMap<(u64, u64), (String, u64)>,
    /// Each further name, and the first.
    further: BTreeMap<String, String>,
}

impl Links {
    /// Of what is at these paths, in their order.
    fn of<'a>(paths: impl Iterator<Item = (&'a str, Option<Inode>)>) -> Self {
        let mut links = Self { seen: HashMap::new(), further: BTreeMap::new() };
        for (path, inode) in paths.filter_map(|(path, inode)| Some((path, inode.filter(|inode| inode.names > 1)?))) {
            let (first, count) = links.seen.entry(inode.id).or_insert_with(|| (path.to_owned(), 0));
            *count += 1;
            if *count > 1 {
                links.further.insert(path.to_owned(), first.clone());
            }
        }
        links
    }

    /// Whether a file has names that are none of these.
    fn is_partial(&self, inode: Inode) -> bool {
        inode.names > 1 && self.seen.get(&inode.id).is_none_or(|(_, count)| *count < inode.names)
    }
}

/// Whether a path is residue, or below it: what is there is no function of the packages, and goes from the root.
fn is_volatile(residue: &[Residue], path: &str) -> bool {
    let goes = |row: &&Residue| !matches!(row.treatment, Treatment::Rewrite(_));
    residue.iter().filter(goes).any(|row| normalise::is_within(row.path, path))
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
