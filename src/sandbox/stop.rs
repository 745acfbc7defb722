//! Ending sandboxes from outside.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Ends sandboxes at any time, and those that come later at once.
#[derive(Debug, Default)]
pub struct Stop {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The processes with which sandboxes end, `pidfd_open(2)`.
    sandboxes: Vec<OwnedFd>,
    stopped: bool,
}

impl Stop {
    /// Ends them all.
    pub fn now(&self) {
        let mut state = self.state();
        state.stopped = true;
        state.sandboxes.drain(..).for_each(|sandbox| end(&sandbox));
    }

    /// To be told of the process that a sandbox was started with, before it is waited for.
    pub(super) fn add(&self, child: &Child) -> Result<()> {
        let sandbox = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("cannot watch the sandbox")?;
        let mut state = self.state();
        if state.stopped {
            end(&sandbox);
        } else {
            state.sandboxes.push(sandbox);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(sandbox: &OwnedFd) {
    // One that has ended by itself is as good.
    let _ = pidfd_send_signal(sandbox, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_comes_later_is_ended_too() {
        let stop = Stop::default();
        let sleep = || Command::new("sleep").arg("100").spawn().unwrap();
        let (mut early, mut late) = (sleep(), sleep());
        stop.add(&early).unwrap();
        stop.now();
        stop.add(&late).unwrap();
        assert!(!early.wait().unwrap().success() && !late.wait().unwrap().success());
    }
}
