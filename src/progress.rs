//! How stages tell what they are doing, without knowing of terminals.

use std::fmt::Debug;

/// What a task counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Bytes; shown as sizes and rates.
    Bytes,
    /// Things; shown as numbers.
    Items,
}

/// Where stages report to. One per run, shared by all threads.
pub trait Progress: Sync + Send + Debug {
    /// Begins a task of a known total; its bar ends when the value is dropped.
    fn task(&self, label: &str, unit: Unit, total: u64) -> Box<dyn Task>;

    /// A line that a program of a stage printed; shown only to who asks for it.
    fn detail(&self, line: &str);

    /// Something worth a line that is neither result nor error.
    fn note(&self, line: &str);

    /// Something that does not stop the run but that the user should mend.
    fn warn(&self, line: &str);
}

/// A running task.
pub trait Task: Sync + Send {
    /// So many more units are done.
    fn advance(&self, by: u64);
}

/// Reports nowhere.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn task(&self, _: &str, _: Unit, _: u64) -> Box<dyn Task> {
        Box::new(Self)
    }
    fn detail(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Task for Silent {
    fn advance(&self, _: u64) {}
}
