//! The roots beside the one in the making, in which scripts of a round run ahead of their turn.

use std::path::Path;

use anyhow::Result;

use super::replay::{Board, Ground, Scout};
use super::rounds::{Assembly, Coming, Prepared};
use crate::sandbox::{self, Plan, Program, Stop};
use crate::store::Tree;

/// How many scripts there have to be for roots beside to be worth their making, and how many roots there are at most.
const WORTH: usize = 3;
const MOST: usize = 8;

/// Sandboxes for scripts ahead of their turn, and what is known of the scripts.
pub(super) struct Ahead {
    board: Board,
    beside: Vec<Prepared>,
}

impl Ahead {
    /// Plans as many sandboxes beside the one of a round as there are threads, each for all the scripts that are known to
    /// come; none for few of them, or where there is one thread.
    pub fn new(assembly: &mut Assembly<'_, '_>, plan: &Plan, tree: &Tree, coming: Vec<Coming>) -> Result<Self> {
        let roots = match rayon::current_num_threads() {
            1 => 0,
            threads if coming.len() >= WORTH => threads.min(MOST),
            _ => 0,
        };
        let steps: Vec<_> = coming.iter().map(|script| script.step.clone()).collect();
        let beside = (0..roots).map(|_| assembly.beside(plan, tree, steps.clone(), roots)).collect::<Result<_>>()?;
        Ok(Self { board: Board::new(if roots > 0 { coming } else { Vec::new() }), beside })
    }

    /// What is known of the scripts.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Runs scripts ahead of their turn, in roots that are all `ground`, as long as `work` takes.
    pub fn meanwhile<T>(&self, program: &Program, folder: &Path, ground: &Ground<'_>, work: impl FnOnce() -> T) -> T {
        let stop = Stop::default();
        std::thread::scope(|scope| {
            for (place, Prepared { plan, .. }) in self.beside.iter().enumerate() {
                let mut scout = Scout::new(&self.board, place, ground.clone());
                let stop = &stop;
                // What goes wrong there comes to light where the script has its turn.
                scope.spawn(move || sandbox::run_beside(program, folder, plan, &mut scout, stop));
            }
            let done = work();
            stop.now();
            done
        })
    }
}
