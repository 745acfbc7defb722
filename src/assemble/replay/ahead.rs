//! Scripts that run ahead of their turn, each in one of several further roots, while the one in whose turn it is runs in its own.
//!
//! What a script does there stands in for it when its turn comes, if all that it looked at is as it was by then: whether one
//! was well chosen decides about time alone. The roots follow each other: before a script runs in one of them, it is given
//! what was seen of those that ran elsewhere meanwhile.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::clock;
use crate::sandbox::{Call, Observer, Touch};
use crate::store::FileTime;

use super::super::rounds::Coming;
use super::digest;
use super::library::Run;
use super::witness::{Ground, Witness};

/// How much later than one script the next one left what it did, by what files say.
const APART: Duration = Duration::from_micros(1);
/// How far the clock that files are given times by may lag behind: a tick (time(7)).
const LAG: Duration = Duration::from_millis(10);
const NANOSECONDS: i64 = 1_000_000_000;

/// What is known of the scripts of a round that may run ahead of their turn.
pub(in crate::assemble) struct Board {
    /// In the order in which they will be called.
    scripts: Vec<Coming>,
    /// By the digests of their calls.
    numbers: HashMap<[u8; 32], usize>,
    progress: Mutex<Progress>,
    news: Condvar,
}

struct Progress {
    stages: Vec<Stage>,
    /// Runs in the order in which they ended.
    told: Vec<Told>,
    /// The script that had its turn last.
    turn: usize,
    closed: bool,
}

/// A run that ended.
struct Told {
    /// The script's number, or that of the one ahead of it where that is not known.
    turn: usize,
    run: Arc<Run>,
    /// The roots ahead in which it happened, or was made to.
    places: Vec<usize>,
}

/// How far a script is.
enum Stage {
    Waits,
    /// It runs ahead.
    Runs,
    /// It ran ahead.
    Ran(Ran),
    /// Its turn has come, or what it does ahead cannot be told.
    Over,
}

/// What a script did ahead of its turn.
#[derive(Clone)]
pub(super) struct Ran {
    pub run: Arc<Run>,
    pub printed: String,
}

impl Board {
    /// Of scripts in the order in which they will be called.
    pub fn new(scripts: Vec<Coming>) -> Self {
        let numbers = scripts.iter().enumerate().map(|(number, script)| (digest(&script.call), number)).collect();
        let stages = scripts.iter().map(|_| Stage::Waits).collect();
        let progress = Mutex::new(Progress { stages, told: Vec::new(), turn: 0, closed: false });
        Self { scripts, numbers, progress, news: Condvar::new() }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Each change is whole by itself.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no script runs ahead of its turn.
    pub(super) fn is_closed(&self) -> bool {
        self.scripts.is_empty() || self.progress().closed
    }

    /// No script begins ahead of its turn any more.
    pub fn close(&self) {
        self.progress().closed = true;
    }

    /// The turn of a script has come: what it did ahead, if it ran or runs there.
    pub(super) fn take_turn(&self, call: [u8; 32]) -> Option<Ran> {
        let number = *self.numbers.get(&call)?;
        let mut progress = self.progress();
        progress.turn = number;
        while matches!(progress.stages[number], Stage::Runs) {
            progress = self.news.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::replace(&mut progress.stages[number], Stage::Over) {
            Stage::Ran(ran) => Some(ran),
            Stage::Waits | Stage::Runs | Stage::Over => None,
        }
    }

    /// A script ran in its turn.
    pub(super) fn tell(&self, run: Arc<Run>) {
        let mut progress = self.progress();
        let turn = progress.turn;
        progress.told.push(Told { turn, run, places: Vec::new() });
    }

    /// A script is to run ahead in one of the roots, if nothing else became of it: the turns and runs that precede it and that
    /// this root lacks.
    fn start(&self, place: usize, number: usize) -> Option<Vec<(usize, Arc<Run>)>> {
        let mut progress = self.progress();
        if progress.closed || !matches!(progress.stages[number], Stage::Waits) {
            return None;
        }
        let shares = &self.scripts[number].shares;
        let is_before = |(stage, script): (&Stage, &Coming)| {
            matches!(stage, Stage::Waits | Stage::Runs) && script.shares.iter().any(|name| shares.contains(name))
        };
        if progress.stages.iter().zip(&self.scripts).take(number).any(is_before) {
            return None;
        }
        progress.stages[number] = Stage::Runs;
        let mut lacking = Vec::new();
        for told in progress.told.iter_mut().filter(|told| told.turn < number && !told.places.contains(&place)) {
            told.places.push(place);
            lacking.push((told.turn, told.run.clone()));
        }
        lacking.sort_by_key(|(turn, _)| *turn);
        Some(lacking)
    }

    /// A script that ran ahead is over.
    fn settle(&self, place: usize, number: usize, ran: Option<Ran>) {
        let mut progress = self.progress();
        progress.stages[number] = match ran {
            Some(ran) => {
                progress.told.push(Told { turn: number, run: ran.run.clone(), places: vec![place] });
                Stage::Ran(ran)
            }
            None => Stage::Over,
        };
        self.news.notify_all();
    }
}

/// Observes the scripts of one of the roots in which they run ahead: the board's, one after the other.
pub(in crate::assemble) struct Scout<'a> {
    board: &'a Board,
    place: usize,
    witness: Witness<'a>,
    /// How many scripts were to begin, and up to which one files were renamed.
    begun: usize,
    renamed: usize,
    /// The script that runs.
    at: Option<usize>,
    /// What the script that is over printed.
    printed: Option<String>,
    /// When the root was entered, and what files and folders say of when they were modified.
    entered: FileTime,
    latest: HashMap<String, FileTime>,
}

impl<'a> Scout<'a> {
    /// Of the root with this number.
    pub fn new(board: &'a Board, place: usize, ground: Ground<'a>) -> Self {
        Self {
            board,
            place,
            witness: Witness::new(ground),
            begun: 0,
            renamed: 0,
            at: None,
            printed: None,
            entered: (0, 0),
            latest: HashMap::new(),
        }
    }

    /// Makes what a script left look as old as it is by the order of turns, whenever this root was given it: scripts may compare
    /// times.
    fn date(&mut self, turn: usize, run: &Run) -> Result<()> {
        let (seconds, nanoseconds) = self.entered;
        let nanoseconds = nanoseconds + i64::try_from((APART * u32::try_from(turn + 1)?).as_nanos())?;
        let time = (seconds + nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS);
        self.witness.date(run, time, &mut self.latest)
    }

    /// Makes the root what it was made elsewhere, and what precedes the script.
    fn follow(&mut self, number: usize, lacking: &[(usize, Arc<Run>)]) -> Result<()> {
        for (turn, run) in lacking {
            self.witness.redo(run)?;
            self.date(*turn, run)?;
        }
        for script in &self.board.scripts[self.renamed..=number] {
            for (from, to) in &script.renames {
                self.witness.rename(from, to)?;
            }
        }
        self.renamed = number + 1;
        Ok(())
    }
}

impl Observer for Scout<'_> {
    fn enter(&mut self, root: OwnedFd) -> Result<()> {
        self.witness.enter(root);
        self.entered = clock::of_files();
        // What scripts ahead make themselves is newer than any turn.
        std::thread::sleep(LAG + APART * u32::try_from(self.board.scripts.len())?);
        Ok(())
    }

    fn begin(&mut self, _: &Call) -> bool {
        let number = self.begun;
        self.begun += 1;
        if self.witness.lost {
            return true;
        }
        let Some(lacking) = self.board.start(self.place, number) else { return true };
        self.at = Some(number);
        if self.follow(number, &lacking).is_err() {
            self.witness.lost = true;
            self.fail();
            return true;
        }
        self.witness.begin(digest(&self.board.scripts[number].call));
        false
    }

    fn stand_in(&mut self) -> Result<()> {
        Ok(())
    }

    fn touch(&mut self, touch: &Touch) {
        self.witness.touch(touch);
    }

    fn lose(&mut self) {
        self.witness.lost = true;
    }

    fn end(&mut self) {
        let run = self.witness.finish().filter(|(_, is_whole)| *is_whole);
        let printed = self.printed.take();
        let ran = run.and_then(|(run, _)| Some(Ran { run: Arc::new(run), printed: printed? }));
        if let Some(number) = self.at.take() {
            if let Some(ran) = &ran
                && self.date(number, &ran.run).is_err()
            {
                self.witness.lost = true;
            }
            self.board.settle(self.place, number, ran);
        }
    }

    fn printed(&mut self, text: Option<String>) {
        self.printed = text;
    }

    fn fail(&mut self) {
        // What it did to this root is seen, and is nothing that the script does in its turn.
        let _ = self.witness.finish();
        if let Some(number) = self.at.take() {
            self.board.settle(self.place, number, None);
        }
    }
}

impl Drop for Scout<'_> {
    fn drop(&mut self) {
        self.fail();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Input, Step};

    fn script(name: &str, shares: &[&'static str]) -> Coming {
        let (command, environment, renames) = (vec![name.to_owned()], Vec::new(), Vec::new());
        let step = Step { label: String::new(), command, environment, input: Input::Null, in_tools: false };
        Coming { call: Call::of(&step), step, renames, shares: shares.to_vec() }
    }

    fn ran() -> Ran {
        Ran { run: Arc::new(Run::default()), printed: String::new() }
    }

    #[test]
    fn each_script_begins_once() {
        let scripts = || vec![script("/a", &[]), script("/b", &[])];
        let call = |number: usize| digest(&scripts()[number].call);
        let board = Board::new(scripts());
        assert!(board.start(0, 0).is_some());
        assert!(board.start(0, 0).is_none(), "it runs");
        assert!(board.take_turn(call(1)).is_none(), "it did not run ahead");
        assert!(board.start(0, 1).is_none(), "its turn has come");
        board.settle(0, 0, Some(ran()));
        assert!(board.take_turn(call(0)).is_some());
        assert!(board.take_turn(call(0)).is_none(), "it has had its turn");
        assert!(board.take_turn([0; 32]).is_none(), "an unknown one");
    }

    #[test]
    fn scripts_that_share_files_follow_each_other() {
        let board = Board::new(vec![script("/a", &["x"]), script("/b", &["y", "x"]), script("/c", &["z"])]);
        assert!(board.start(0, 1).is_none(), "the first one waits");
        assert!(board.start(0, 0).is_some());
        assert!(board.start(1, 1).is_none(), "the first one runs");
        assert!(board.start(1, 2).is_some());
        board.settle(1, 2, Some(ran()));
        board.settle(0, 0, Some(ran()));
        let turns =
            |lacking: Option<Vec<(usize, Arc<Run>)>>| lacking.map(|runs| runs.iter().map(|(turn, _)| *turn).collect());
        assert_eq!(turns(board.start(1, 1)), Some(vec![0]), "it is told of the first one, and not of the last");
        board.close();
        assert!(board.is_closed());
    }

    #[test]
    fn a_turn_waits_for_the_script_that_runs_ahead() {
        let board = Board::new(vec![script("/a", &[])]);
        assert!(board.start(0, 0).is_some());
        let call = digest(&board.scripts[0].call);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| board.take_turn(call));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!taking.is_finished());
            board.settle(0, 0, None);
            taking.join().unwrap()
        });
        assert!(taken.is_none(), "it failed ahead");
    }
}
