//! Runs of the program itself, as its users start it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The program's file.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_compose");

/// How a program ended and what it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output of a run that must have exit code 0.
    pub fn result(self) -> String {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard output of a run with exit code 0, else its standard error.
    pub fn or_reason(self) -> Result<String, String> {
        if self.code == Some(0) { Ok(self.stdout) } else { Err(self.stderr) }
    }
}

/// `compose ARGUMENTS` with `folder` as working directory; no store of the user's, messages as on no terminal.
pub fn compose<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env_remove("COMPOSE_STORE").env_remove("COLUMNS");
    command
}

/// A program for the administrator, which need not be on the path of who runs tests.
pub fn sbin(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command
}

/// Runs a command to its end with nothing on standard input.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
