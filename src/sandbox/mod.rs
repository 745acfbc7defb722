//! Namespaces: how a run gets a range of owners, and how programs of a root run without sight of the host.
//!
//! A [`Plan`] describes a sandbox and the steps in it as values; [`run`] hands it to a fresh process of this program
//! (`compose sandbox-init`, see [`init`]) that builds the namespaces and executes the steps as children of its own
//! process 1. When that process ends, every process and mount of the sandbox ends with it.

mod emulation;
mod failure;
mod filter;
pub mod identity;
pub mod init;
mod mounts;
mod network;
mod observe;
mod scratch;
mod stop;
mod watch;

pub use emulation::{CannotRun, Emulation};
pub use failure::{Culprit, Failure, How};
pub use observe::{Call, Need, Observer, Process, Touch, open_in};
pub use scratch::Scratch;
pub use stop::Stop;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::arch::Architecture;

/// How much of a step's output is kept for its error, in bytes.
const OUTPUT_TAIL: usize = 16 << 10;

/// The longest line that is passed on whole, in bytes: a call of dpkg names thousands of packages in one.
const LONGEST_LINE: u64 = 4 << 20;

/// An empty folder beside the plan, to mount the root on.
const MOUNT_POINT: &str = "root";

/// What starts sandboxes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// This program's file.
    pub file: PathBuf,
    /// The architectures whose programs the machine does not run by itself.
    pub emulations: Vec<Emulation>,
}

/// A sandbox and what to do in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The root file system.
    pub root: Root,
    /// A checkout with programs that a step can run in, read-only, if there is one.
    pub tools: Option<PathBuf>,
    /// Files of the host that steps may write to.
    pub binds: Vec<Bind>,
    /// Files that exist only while steps run.
    pub temporary_files: Vec<TemporaryFile>,
    /// What runs, in order; the first failure ends the plan unless it goes on.
    pub steps: Vec<Step>,
    /// Whether the steps after one that failed run, too, and the plan ends well in any case. The observer is told what each
    /// prints.
    pub goes_on: bool,
    /// Whether the last step owns the terminal.
    pub interactive: bool,
    /// The descriptor by which process 1 tells who observes the steps, when somebody does.
    pub observer: Option<RawFd>,
    /// What steps may use; nothing of it shapes what they make.
    pub limits: Limits,
}

/// What steps may use of the machine, beyond what holds for all: a number of processes, and a part of the free memory for
/// /tmp, /run and /dev.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// The time that a script has.
    pub script_time: Option<Duration>,
    /// The program that runs one script after another when it is a step: the time holds for each of them, not for it.
    pub script_runner: Option<String>,
    /// What the overlay may take.
    pub changes: Option<Changes>,
}

/// Room for an overlay's changes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Changes {
    /// What they may take.
    pub allowed: u64,
    /// What has to stay free in their file system, by which it is found that they take more.
    pub reserve: u64,
    /// Whether others write to it as well, so that it has to be looked at more closely then.
    pub shared: bool,
}

/// A sandbox's root file system.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Root {
    /// An overlay: all changes go to `upper`.
    Overlay {
        /// Checkouts, the topmost first; never changed.
        lower: Vec<PathBuf>,
        /// Where changes go.
        upper: PathBuf,
        /// overlayfs's own folder, beside `upper`.
        work: PathBuf,
    },
    /// A checkout as it is, read-only.
    ReadOnly(PathBuf),
}

/// A file of the host in the sandbox, which steps can fill but not replace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// A new name in the root's /run or /tmp.
    pub target: PathBuf,
}

/// A file that exists only while steps run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TemporaryFile {
    /// Absolute path in the root; left alone when something is there.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

/// A program to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// How messages call it, such as `the preinst script of dash`.
    pub label: String,
    /// Program (absolute) and arguments.
    pub command: Vec<String>,
    /// The whole environment, in the order in which the program finds it.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub input: Input,
    /// Whether its root is the one with the tools, which shows the plan's as [`ROOT_IN_TOOLS`].
    pub in_tools: bool,
}

/// Where steps that run in the tools find the plan's root.
pub const ROOT_IN_TOOLS: &str = "/run/root";

/// A step's standard input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// Nothing.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The sandbox's own standard input.
    Inherit,
}

/// What process 1 of the sandbox tells on its standard output, a JSON value a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A step begins.
    Begin(usize),
    /// A step ended well.
    Done(usize),
    /// A step failed: its number and how.
    Failed(usize, Failure),
    /// The sandbox could not be made.
    Broken(String),
    /// It could not be made for programs of an architecture.
    CannotRun(CannotRun),
}

/// How a plan ended that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{label} {failure}{}", if output.is_empty() { String::new() } else { format!(":\n{output}") })]
pub struct StepFailed {
    /// The step's label.
    pub label: String,
    /// How it failed.
    pub failure: Failure,
    /// The end of what it printed.
    pub output: String,
}

/// Runs a plan to its end. `work` is a folder for the plan's text; `on_line` gets each line that
/// steps print. A step that fails gives a [`StepFailed`].
pub fn run(program: &Program, work: &Path, plan: &Plan, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    let mut child = spawn(program, work, plan, Stdio::null())?;
    wait(&mut child, plan, on_line, None)
}

/// As [`run`], while `observer` is told what steps do with files, where the kernel can tell: else it is told nothing.
pub fn run_observed(
    program: &Program,
    work: &Path,
    plan: &Plan,
    on_line: &mut dyn FnMut(&str),
    observer: &mut dyn Observer,
) -> Result<()> {
    let (mut child, own) = spawn_observed(program, work, plan)?;
    wait(&mut child, plan, on_line, Some((own, observer)))
}

/// As [`run_observed`], until it is stopped; what steps print is the observer's alone.
pub fn run_beside(program: &Program, work: &Path, plan: &Plan, observer: &mut dyn Observer, stop: &Stop) -> Result<()> {
    let (mut child, own) = spawn_observed(program, work, plan)?;
    stop.add(&child)?;
    wait(&mut child, plan, &mut |_| {}, Some((own, observer)))
}

/// As [`run`], while `feed` writes to the standard input of the step that inherits it.
pub fn run_fed(
    program: &Program,
    work: &Path,
    plan: &Plan,
    feed: impl FnOnce(std::process::ChildStdin) -> Result<()> + Send,
) -> Result<()> {
    let mut child = spawn(program, work, plan, Stdio::piped())?;
    let input = child.stdin.take().context("a pipe to the sandbox")?;
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || feed(input));
        let ended = wait(&mut child, plan, &mut |_| {}, None);
        let written = feeder.join().map_err(|_| anyhow!("the writer to the sandbox panicked"))?;
        // A program that failed closed the pipe: its own words say more than the writer's.
        ended.and(written)
    })
}

/// Runs a plan whose last step owns the terminal; gives the exit code.
pub fn run_interactive(program: &Program, work: &Path, plan: &Plan) -> Result<i32> {
    let mut child = command(program, work, plan)?.spawn().context("cannot start the sandbox")?;
    Ok(child.wait().context("cannot wait for the sandbox")?.code().unwrap_or(2))
}

/// Whether the machine runs programs of an architecture, or the host has registered what runs them in any root. Else a
/// [`CannotRun`] tells whether an interpreter would help. `work` is as for [`run`].
pub fn try_to_run(file: &Path, work: &Path, architecture: &Architecture) -> Result<()> {
    let root = tempfile::Builder::new().prefix("empty-").tempdir_in(work).context("cannot make an empty root")?;
    for name in ["dev", "proc", "run", "tmp"] {
        std::fs::create_dir(root.path().join(name)).context("cannot make an empty root")?;
    }
    let emulation = Emulation { architecture: architecture.clone(), interpreter: None };
    let program = Program { file: file.to_owned(), emulations: vec![emulation] };
    let plan = Plan {
        root: Root::ReadOnly(root.path().to_owned()),
        tools: None,
        binds: Vec::new(),
        temporary_files: Vec::new(),
        steps: Vec::new(),
        goes_on: false,
        interactive: false,
        observer: None,
        limits: Limits::default(),
    };
    run(&program, work, &plan, &mut |_| ())
}

fn command(program: &Program, work: &Path, plan: &Plan) -> Result<Command> {
    let mut file = tempfile::Builder::new().prefix("plan-").tempfile_in(work).context("cannot write the plan")?;
    let encoded = postcard::to_allocvec(&(plan, &program.emulations)).context("cannot write the plan")?;
    file.write_all(&encoded).context("cannot write the plan")?;
    let (_, path) = file.keep().context("cannot write the plan")?;
    std::fs::create_dir_all(work.join(MOUNT_POINT)).context("cannot create a mount point")?;
    let mut command = Command::new(&program.file);
    command.arg("sandbox-init").arg(path).env_clear();
    Ok(command)
}

fn spawn(program: &Program, work: &Path, plan: &Plan, input: Stdio) -> Result<Child> {
    let mut command = command(program, work, plan)?;
    if let Some(observer) = plan.observer {
        // SAFETY: fcntl(2) may be called between fork and exec, and the descriptor is the plan's.
        unsafe {
            command.pre_exec(move || {
                let observer = BorrowedFd::borrow_raw(observer);
                Ok(rustix::io::fcntl_setfd(observer, rustix::io::FdFlags::empty())?)
            });
        }
    }
    command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the sandbox with {}", program.file.display()))
}

fn spawn_observed(program: &Program, work: &Path, plan: &Plan) -> Result<(Child, OwnedFd)> {
    let (own, theirs) = observe::pair()?;
    let told_of = Plan { observer: Some(theirs.as_raw_fd()), ..plan.clone() };
    Ok((spawn(program, work, &told_of, Stdio::null())?, own))
}

fn wait(
    child: &mut Child,
    plan: &Plan,
    on_line: &mut dyn FnMut(&str),
    observer: Option<(OwnedFd, &mut dyn Observer)>,
) -> Result<()> {
    let output = child.stderr.take().context("a pipe from the sandbox")?;
    let events = child.stdout.take().context("a pipe from the sandbox")?;
    let (last, watched, tail) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_events(events));
        // With its end of the line, an observer that fails ends the sandbox.
        let watching = observer.map(|(end, to)| scope.spawn(move || observe::observe(plan, &end, to)));
        let tail = read_output(output, on_line);
        (reader.join().unwrap_or(None), watching.map(std::thread::ScopedJoinHandle::join), tail)
    });
    let status = child.wait().context("cannot wait for the sandbox")?;
    watched.unwrap_or(Ok(Ok(()))).map_err(|_| anyhow!("the observer of the sandbox panicked"))??;
    match last {
        Some(Event::Failed(step, failure)) => {
            let label = plan.steps.get(step).map_or_else(String::new, |s| s.label.clone());
            Err(StepFailed { label, failure, output: tail.trim_end().to_owned() }.into())
        }
        Some(Event::CannotRun(why)) => Err(why.into()),
        Some(Event::Broken(why)) => bail!("cannot make the sandbox: {why}"),
        _ if status.success() => Ok(()),
        _ => bail!("the sandbox ended early with {status}: {}", tail.trim_end()),
    }
}

fn read_events(events: impl Read) -> Option<Event> {
    let lines = BufReader::new(events).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).last()
}

/// Passes lines on; gives the last of them. A step's output starts the tail anew at each line of its own making only
/// by length: what came shortly before a failure often explains it.
fn read_output(output: impl Read, on_line: &mut dyn FnMut(&str)) -> String {
    let mut reader = BufReader::new(output);
    let mut tail = String::new();
    let mut line = Vec::new();
    while matches!(reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let text = plain(&line);
        on_line(text.trim_end());
        tail.push_str(&text);
        if tail.len() > 2 * OUTPUT_TAIL {
            let cut = (tail.len() - OUTPUT_TAIL..tail.len()).find(|i| tail.is_char_boundary(*i)).unwrap_or(0);
            tail.drain(..cut);
        }
        line.clear();
    }
    tail
}

/// What a program printed, without the control characters that terminals obey.
fn plain(bytes: &[u8]) -> String {
    let is_plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    String::from_utf8_lossy(bytes).chars().filter(is_plain).collect()
}

/// `MemAvailable` of `/proc/meminfo`, `proc_meminfo(5)`, in bytes.
fn available_memory() -> Option<u64> {
    let text = std::io::read_to_string(File::open("/proc/meminfo").ok()?).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_arrive_whole_and_the_tail_is_short() {
        let long = "eel ".repeat(50_000);
        let text = format!("short\n{long}\n\x1b[1mend\n");
        let mut lines = Vec::new();
        let tail = read_output(text.as_bytes(), &mut |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["short", long.trim_end(), "[1mend"]);
        assert!(tail.len() <= 2 * OUTPUT_TAIL && tail.ends_with("eel \n[1mend\n"), "{}", tail.len());
    }
}
