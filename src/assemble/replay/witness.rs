//! Watching scripts in one root: what each needs to be as it is, and what it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::package::{Asked, Ledger, Residue, Treatment};
use crate::sandbox::{Need, Touch};
use crate::store::{Directory, Entry, FileTime, Inode, NOW, Node, ObjectReader, ObjectWriter, Tree, split};

use super::super::normalise;
use super::library::{Condition, Run, Time};
use super::state::State;

/// The root of a round as it is before scripts run in it.
#[derive(Clone)]
pub(in crate::assemble) struct Ground<'a> {
    pub writer: &'a ObjectWriter,
    pub reader: &'a ObjectReader,
    /// Files, links and folders.
    pub base: &'a Directory,
    /// Devices and pipes.
    pub nodes: BTreeMap<String, Node>,
    /// Files that exist only while scripts run.
    pub temporary: Vec<PathBuf>,
    pub residue: &'static [Residue],
    pub ledger: Option<Ledger>,
}

/// Knows what is where in a root while scripts run in it.
pub(super) struct Witness<'a> {
    ground: Ground<'a>,
    /// None before the root is entered.
    state: Option<State<'a>>,
    /// Whether it is not known any more what is where.
    pub lost: bool,
    at: Option<Running>,
}

/// A script that runs.
struct Running {
    call: [u8; 32],
    conditions: BTreeMap<String, (Need, Sha256)>,
    /// What it asked the package database for, and what that said.
    asked: BTreeMap<Asked, Sha256>,
    /// The paths that it may have changed.
    changes: BTreeSet<String>,
    /// When what was at these paths was modified, and the folders that they are in.
    modified: BTreeMap<String, Option<FileTime>>,
    /// Whether it did something that cannot be told in full.
    unfit: bool,
    /// When it began.
    begun: i64,
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

impl<'a> Witness<'a> {
    pub fn new(ground: Ground<'a>) -> Self {
        Self { ground, state: None, lost: false, at: None }
    }

    /// The root is there, open.
    pub fn enter(&mut self, root: OwnedFd) {
        self.state = Some(State::new(&self.ground, root));
    }

    /// A script runs that was called so.
    pub fn begin(&mut self, call: [u8; 32]) {
        self.at = Some(Running {
            call,
            conditions: BTreeMap::new(),
            asked: BTreeMap::new(),
            changes: BTreeSet::new(),
            modified: BTreeMap::new(),
            unfit: false,
            begun: now(),
        });
    }

    /// The script does not run.
    pub fn pass_over(&mut self) {
        self.at = None;
    }

    /// Whether a script runs.
    pub fn sees_a_script(&self) -> bool {
        self.at.is_some()
    }

    /// Something is done with a path.
    pub fn touch(&mut self, touch: &Touch) {
        if !self.lost && self.note(touch).is_err() {
            self.lost = true;
        }
    }

    fn note(&mut self, touch: &Touch) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let Some(running) = &mut self.at else {
            // The program that runs scripts keeps its books.
            if touch.moves && state.is_folder(&touch.path)? {
                self.lost = true;
            }
            state.distrust(&touch.path);
            return Ok(());
        };
        if let Some(ledger) = self.ground.ledger
            && let Some(asked) = running.asks(ledger, touch)
        {
            for part in asked.into_iter().filter(|part| !running.asked.contains_key(part)).collect::<Vec<_>>() {
                let said = state.said(&part)?;
                running.asked.insert(part, said);
            }
            return self.require(ledger.file, Need::Kind, false);
        }
        let known = running.conditions.get(&touch.path).map(|(need, _)| *need);
        let own = running.changes.contains(&touch.path);
        if known.is_none_or(|known| known < touch.need) && !own {
            let need = if is_volatile(self.ground.residue, &touch.path) { Need::Kind } else { touch.need };
            self.require(&touch.path, need, !touch.changes)?;
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
            if !own {
                for path in [&touch.path, split(&touch.path).0] {
                    if !running.modified.contains_key(path) {
                        running.modified.insert(path.to_owned(), state.modified(path)?);
                    }
                }
                running.changes.insert(touch.path.clone());
            }
        }
        Ok(())
    }

    /// What the script needs of a path, and of each folder on the way: that it is one and no link to where something might be,
    /// that those may pass who do, and what it hands down to what is made in it.
    ///
    /// Who only looks for what is not there cannot tell a folder without it from no folder.
    fn require(&mut self, mut path: &str, mut need: Need, looks: bool) -> Result<()> {
        let (Some(state), Some(running)) = (&mut self.state, &mut self.at) else { return Ok(()) };
        let mut in_vain = looks;
        loop {
            in_vain &= state.entry(path)? == Entry::Absent;
            let identity = state.identity(path, need)?;
            running.conditions.insert(path.to_owned(), (need, identity));
            if path.is_empty() {
                return Ok(());
            }
            path = split(path).0;
            need = match state.entry(path)? {
                Entry::Absent if in_vain => Need::Passage,
                _ if is_volatile(self.ground.residue, path) => Need::Kind,
                _ => Need::Attributes,
            };
            if running.conditions.get(path).is_some_and(|(known, _)| *known >= need) {
                return Ok(());
            }
        }
    }

    /// Whether all is as a run needed it.
    pub fn agrees<'c>(
        &mut self,
        conditions: impl Iterator<Item = &'c Condition>,
        asked: &[(Asked, [u8; 32])],
    ) -> Result<bool> {
        let Some(state) = &mut self.state else { return Ok(false) };
        for Condition { path, need, identity } in conditions {
            if state.identity(path, *need)?.as_bytes() != identity {
                return Ok(false);
            }
        }
        for (asked, said) in asked {
            if state.said(asked)?.as_bytes() != said {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes everything be there that a run left.
    pub fn redo(&mut self, run: &Run) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let mut times = Vec::new();
        for (path, time) in times_of(run) {
            times.extend(match time {
                None => Some((path, NOW)),
                Some(Time::Kept) => state.modified(path)?.map(|time| (path, time)),
                Some(Time::Set(time)) => Some((path, time)),
            });
        }
        let gone = |entry: &Entry| *entry == Entry::Absent;
        let (absent, present): (Vec<_>, Vec<_>) = run.changes.iter().partition(|(_, entry)| gone(entry));
        for (path, entry) in absent.into_iter().rev().chain(present) {
            match run.links.get(path) {
                Some(first) => state.link(first, path)?,
                // What is in a folder of residue is no condition.
                None => state.put(path, entry, is_volatile(self.ground.residue, path))?,
            }
        }
        for (path, time) in times {
            state.set_modified(path, time)?;
        }
        Ok(())
    }

    /// Makes what a run modified say that this was then; what is in `latest` not earlier than there.
    pub fn date(&self, run: &Run, time: FileTime, latest: &mut HashMap<String, FileTime>) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        for (path, _) in times_of(run).into_iter().filter(|(_, time)| time.is_none()) {
            let latest = latest.entry(path.to_owned()).or_insert(time);
            *latest = time.max(*latest);
            state.set_modified(path, *latest)?;
        }
        Ok(())
    }

    /// Gives the file at a path the other name, if one is there.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let entry = state.entry(from)?;
        if matches!(entry, Entry::Leaf(_)) { state.rename(from, to, entry) } else { Ok(()) }
    }

    /// Whether a path is residue, or below it.
    pub fn is_volatile(&self, path: &str) -> bool {
        is_volatile(self.ground.residue, path)
    }

    /// What is at these paths.
    pub fn entries<'p>(&mut self, paths: impl Iterator<Item = &'p String>) -> Result<Vec<(String, Entry)>> {
        let Some(state) = &mut self.state else { return Ok(Vec::new()) };
        paths.map(|path| Ok((path.clone(), state.entry(path)?))).collect()
    }

    /// The script that ran is over, if one did: what it did, and whether that can stand in for it elsewhere.
    pub fn finish(&mut self) -> Option<(Run, bool)> {
        let running = self.at.take().filter(|_| !self.lost)?;
        let finished = self.conclude(running);
        self.lost |= finished.is_err();
        finished.ok()
    }

    fn conclude(&mut self, running: Running) -> Result<(Run, bool)> {
        let Running { call, mut conditions, asked, changes, mut modified, mut unfit, begun } = running;
        let state = self.state.as_mut().context("a script runs before its root is there")?;
        let found = changes.into_iter().map(|path| Ok((state.read(&path)?, path)));
        let found: Vec<_> = found.collect::<Result<_>>()?;
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
                if known < Need::Content && !is_volatile(self.ground.residue, &path) {
                    conditions.insert(path.clone(), (Need::Content, state.identity(&path, Need::Content)?));
                }
                // What was so much as opened for writing has no name that was not seen.
                if shared {
                    continue;
                }
            }
            entries.push((path, entry));
        }
        let mut times = BTreeMap::new();
        // File systems have a clock of their own, which lags behind.
        let meanwhile = begun - 1..=now() + 1;
        for (path, _) in &entries {
            let before = modified.remove(path).flatten();
            match state.modified(path)? {
                Some(time) if before == Some(time) => drop(times.insert(path.clone(), Time::Kept)),
                Some(time) if !meanwhile.contains(&time.0) => drop(times.insert(path.clone(), Time::Set(time))),
                _ => {}
            }
        }
        let mut folders = Vec::new();
        for (path, before) in modified {
            if matches!(state.entry(&path)?, Entry::Directory(_)) && state.modified(&path)? != before {
                folders.push(path);
            }
        }
        for (path, entry) in &entries {
            state.set(path, entry.clone());
        }
        let condition = |(path, (need, identity)): (String, (Need, Sha256))| Condition {
            path,
            need,
            identity: *identity.as_bytes(),
        };
        let conditions = conditions.into_iter().map(condition).collect();
        let asked = asked.into_iter().map(|(asked, said)| (asked, *said.as_bytes())).collect();
        Ok((
            Run { call, conditions, asked, changes: entries, links: links.further, times, folders },
            !unfit && !self.lost,
        ))
    }

    /// The first path at which a tree that was made of the root is not what was seen to become of it, if there is one;
    /// unknown when not all was seen.
    pub fn disagreement(&self, after: &Tree) -> Option<String> {
        self.state.as_ref().filter(|_| !self.lost).and_then(|state| state.disagreement(after))
    }

    /// Whether it is known what is where.
    pub fn sees_all(&self) -> bool {
        self.state.is_some() && !self.lost
    }
}

/// When what a run left was modified, none for when the script ran: the paths that it changed, the folders that these are in,
/// and those in which names came and went.
fn times_of(run: &Run) -> BTreeMap<&str, Option<Time>> {
    let around = run.changes.iter().map(|(path, _)| (split(path).0, Some(Time::Kept)));
    let folders = run.folders.iter().map(|path| (path.as_str(), None));
    let mut times: BTreeMap<_, _> = around.chain(folders).collect();
    for (path, entry) in &run.changes {
        match entry {
            Entry::Absent => drop(times.remove(path.as_str())),
            _ => drop(times.insert(path, run.times.get(path).copied())),
        }
    }
    times
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

/// Seconds since 1970.
fn now() -> i64 {
    Timestamp::now().seconds()
}

/// Whether a path is residue, or below it: what is there is no function of the packages, and goes from the root.
fn is_volatile(residue: &[Residue], path: &str) -> bool {
    let goes = |row: &&Residue| !matches!(row.treatment, Treatment::Rewrite(_));
    residue.iter().filter(goes).any(|row| normalise::is_within(row.path, path))
}
