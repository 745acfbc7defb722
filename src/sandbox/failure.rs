//! How a step fails: what process 1 of the sandbox reports, and the words for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a step failed, and on account of which process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub how: How,
    /// A process that is to blame, where one was still running.
    pub process: Option<Culprit>,
}

/// What happened to a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum How {
    /// It ended with this exit status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It could not be started, for this reason.
    NotRun(String),
    /// It, or a script that it ran, took longer than this.
    Overtime(Duration),
    /// It ended, a process that it had started did not.
    Left,
    /// Too little is left of a file system.
    Full {
        /// Where it is mounted.
        place: String,
        /// How many bytes steps may put there; none when it is files that they made too many of.
        allowed: Option<u64>,
    },
    /// So few bytes are left of the disk, whoever wrote to it.
    NoDisk(u64),
    /// There were more processes and threads than this at a time.
    Crowd(u64),
}

/// A process as it was when its step failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Culprit {
    /// Its command line.
    pub command: String,
    /// The environment it was started with.
    pub environment: BTreeMap<String, String>,
}

impl From<How> for Failure {
    fn from(how: How) -> Self {
        Self { how, process: None }
    }
}

/// What follows the name of a step or script.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process.as_ref().map(|process| format!("`{}`", process.command));
        let such_as = |word: &str| process.as_ref().map_or_else(String::new, |process| format!("{word}{process}"));
        match &self.how {
            How::Exit(code) => write!(f, "ended with exit status {code}"),
            How::Signal(signal) => write!(f, "was ended by signal {signal}"),
            How::NotRun(why) => write!(f, "could not be run: {why}"),
            How::Overtime(limit) => write!(f, "did not end within {} s{}", limit.as_secs(), such_as(": it runs ")),
            How::Left => write!(f, "left a process running{}", such_as(": ")),
            How::Full { place, allowed: Some(bytes) } => {
                write!(f, "filled {place}, where scripts may have {}", indicatif::HumanBytes(*bytes))
            }
            How::Full { place, allowed: None } => write!(f, "made more files in {place} than there may be"),
            How::NoDisk(left) => {
                write!(f, "cannot go on: {} of the store's disk are left", indicatif::HumanBytes(*left))
            }
            How::Crowd(limit) => write!(f, "has more than {limit} processes running{}", such_as(", such as ")),
        }
    }
}
