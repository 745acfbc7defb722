//! Who is told what steps do, and in which words.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::names::{self, Opened};
use crate::sandbox::{Input, Step, emulation};

/// Who is told what steps do with files of the root.
pub trait Observer: Send {
    /// The root is there, open; nothing has run in it.
    fn enter(&mut self, root: OwnedFd) -> Result<()>;

    /// A script is about to be executed. Whether [`Self::stand_in`] can do what it would do.
    fn begin(&mut self, call: &Call) -> bool;

    /// Does what the script would do.
    fn stand_in(&mut self) -> Result<()>;

    /// The script that runs, or the program that runs scripts, is about to do something with a path.
    fn touch(&mut self, touch: &Touch);

    /// Something happens of which not all can be told: from now on anything may have changed.
    fn lose(&mut self);

    /// The script is over.
    fn end(&mut self);

    /// The script is over, and it failed, in a plan that goes on.
    fn fail(&mut self);

    /// What the script that is over printed, ahead of [`Self::end`] and in a plan that goes on; none when that is too much to
    /// keep.
    fn printed(&mut self, text: Option<String>);
}

/// How a script is called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<String>,
    /// What it is given on standard input.
    pub input: Vec<u8>,
}

/// How much of what is at a path has a part in what a script does, from little to all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Need {
    /// Whether anything but a folder that all may pass bars the way to what is not there.
    Passage,
    /// Whether it is a file, a folder, something else, or nothing.
    Kind,
    /// Owner, mode, and extended attributes.
    Attributes,
    /// The content of a file.
    Content,
    /// The names in a folder.
    Entries,
}

/// What is done with a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touch {
    /// Relative to the root, without symbolic links in its folders.
    pub path: String,
    /// What is asked for of what is there.
    pub need: Need,
    /// Whether something else may be there afterwards.
    pub changes: bool,
    /// Whether it goes by another name then.
    pub moves: bool,
    /// Who does it, while it waits.
    pub process: Process,
}

/// A process of the sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process(pub(super) u32);

impl Process {
    /// The program that it runs, relative to the root, and its arguments, that of its name first.
    pub fn program(self) -> Option<(String, Vec<String>)> {
        let arguments = std::fs::read(format!("/proc/{}/cmdline", self.0)).ok()?;
        let arguments = String::from_utf8(arguments).ok()?;
        let arguments: Vec<String> = arguments.strip_suffix('\0')?.split('\0').map(str::to_owned).collect();
        match names::program(self.0) {
            Opened::File(path) => Some((path, arguments)),
            Opened::Nameless if emulation::interprets(self.0) => emulation::interpreted(arguments),
            Opened::Outside(_) | Opened::Nameless => None,
        }
    }
}

impl Call {
    /// How a step is called.
    pub fn of(step: &Step) -> Self {
        let environment = step.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let input = match &step.input {
            Input::Bytes(bytes) => bytes.clone(),
            Input::Null | Input::Inherit => Vec::new(),
        };
        Self { arguments: step.command.clone(), environment, input }
    }

    /// How the program that runs scripts calls what a step runs: its name is told apart from the file.
    pub fn by_runner(step: &Step) -> Self {
        let Self { arguments, environment, input } = Self::of(step);
        let file = arguments.first().cloned();
        Self { arguments: file.into_iter().chain(arguments).collect(), environment, input }.sorted()
    }

    /// With the environment in alphabetical order.
    pub(super) fn sorted(mut self) -> Self {
        self.environment.sort();
        self
    }
}
