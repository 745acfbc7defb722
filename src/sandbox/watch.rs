//! Watching a step from process 1: reaps what ends, and finds what takes too long, fills a file system, multiplies, or
//! stays when the step is over.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::statvfs;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::failure::{Culprit, Failure, How};
use super::{Changes, Limits, Step, mounts};

/// How often a step is looked at. At this rate the fastest of disks does not fill the room that is kept free.
const TICK: Duration = Duration::from_millis(100);

/// What a step's processes have to end by themselves when the step is over.
const GRACE: Duration = Duration::from_secs(5);

/// How many processes and threads there may be: far more than builds with a compiler for each of many cores have.
pub(super) const TASKS: u64 = 4096;

/// How many processes are asked whom they work for.
const BLAMED: usize = 16;

/// The longest command line in a message, in characters.
const COMMAND_LINE: usize = 200;

/// Looks after the steps of a sandbox.
pub(super) struct Watch<'a> {
    limits: &'a Limits,
    places: Vec<Place>,
    /// Since when each process is known, by process id and start time.
    known: HashMap<(i32, u64), Instant>,
}

/// A file system that steps write to.
struct Place {
    path: PathBuf,
    name: &'static str,
    allowed: u64,
    /// Bytes and files that have to stay free.
    reserve: (u64, u64),
    /// Bytes that have to stay free whoever writes to it.
    floor: u64,
    /// The folder of what steps put there, where others write to it as well.
    shared: Option<File>,
}

impl<'a> Watch<'a> {
    /// To be called when everything is mounted; `changes` is the folder that has the overlay's.
    pub fn new(limits: &'a Limits, changes: Option<File>) -> Result<Self> {
        hold_back_sigchld()?;
        let mut places = Vec::new();
        if let Some(room) = limits.changes {
            let mut place = Place::new(Path::new(mounts::ROOT).to_owned(), "the root", |_| room)?;
            place.shared = changes.filter(|_| room.shared);
            places.push(place);
        }
        for name in ["/tmp", "/run", "/dev"] {
            // Before it is full, since scripts may pass over that.
            let all_but_some = |total| Changes { allowed: total - total / 16, reserve: total / 16, shared: false };
            places.push(Place::new(mounts::outside(Path::new(name)), name, all_but_some)?);
        }
        Ok(Self { limits, places, known: HashMap::new() })
    }

    /// Waits for the end of a step that runs as `child`, and of all that it started.
    pub fn wait(&mut self, child: Pid, step: &Step) -> Result<(), Failure> {
        self.known.clear();
        let runs_scripts =
            self.limits.script_runner.is_some() && step.command.first() == self.limits.script_runner.as_ref();
        let (mut over, mut looked) = (None, Instant::now());
        loop {
            let (ended, alone) = reap(child);
            if let Some(status) = ended {
                self.look_at_places(&[])?;
                match (status.exit_status(), status.terminating_signal()) {
                    (Some(0), _) => over = Some(Instant::now()),
                    (Some(code), _) => return Err(How::Exit(code).into()),
                    (None, signal) => return Err(How::Signal(signal.unwrap_or(0)).into()),
                }
            }
            if over.is_some() && alone {
                return Ok(());
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                let ids = process_ids();
                // A crowd is quicker than whoever looks at each of it.
                let crowd = ids.len() as u64 > TASKS;
                if crowd {
                    signal_all(libc::SIGSTOP);
                }
                let processes = processes(&ids);
                self.look_at_places(&processes)?;
                if processes.iter().map(|process| process.threads).sum::<u64>() > TASKS {
                    return Err(blame(How::Crowd(TASKS), &processes));
                }
                if crowd {
                    signal_all(libc::SIGCONT);
                }
                self.look_at_times(&processes, if runs_scripts { Some(child) } else { None })?;
                if over.is_some_and(|over| over.elapsed() >= GRACE) && !processes.is_empty() {
                    return Err(blame(How::Left, &processes));
                }
            }
            wait_for_sigchld(TICK);
        }
    }

    /// Finds a script that takes too long: a process which is older than scripts may be and not `runner`, the one that runs
    /// them one after another. A process that the runner has made and that is not yet a script waits for its observer.
    fn look_at_times(&mut self, processes: &[Process], runner: Option<Pid>) -> Result<(), Failure> {
        let Some(limit) = self.limits.script_time else { return Ok(()) };
        let now = Instant::now();
        let before = std::mem::take(&mut self.known);
        let is_runner = |p: &&Process| runner.is_some_and(|runner| runner.as_raw_nonzero().get() == p.id);
        let runners = processes.iter().find(is_runner).map(Process::command_line);
        let since = |p: &Process| match before.get(&p.key()) {
            Some(since) if runners.as_ref() != Some(&p.command_line()) => *since,
            _ => now,
        };
        self.known = processes.iter().map(|p| (p.key(), since(p))).collect();
        let old = |p: &Process| now.duration_since(self.known[&p.key()]) > limit;
        if processes.iter().any(old) { Err(blame(How::Overtime(limit), processes)) } else { Ok(()) }
    }

    fn look_at_places(&mut self, processes: &[Process]) -> Result<(), Failure> {
        for place in &mut self.places {
            if let Some(how) = place.full() {
                return Err(blame(how, processes));
            }
        }
        Ok(())
    }
}

impl Place {
    fn new(path: PathBuf, name: &'static str, split: impl Fn(u64) -> Changes) -> Result<Self> {
        let now = statvfs(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let Changes { allowed, reserve, .. } = split(now.f_blocks * now.f_frsize);
        let floor = now.f_bavail * now.f_frsize / 16;
        // File systems without a fixed number of files say that they have 0.
        Ok(Self { path, name, allowed, reserve: (reserve, now.f_favail / 16), floor, shared: None })
    }

    /// Whether too little is left, of bytes or of files.
    fn full(&mut self) -> Option<How> {
        let now = statvfs(&self.path).ok()?;
        if now.f_favail < self.reserve.1 {
            return Some(How::Full { place: self.name.to_owned(), allowed: None });
        }
        let free = now.f_bavail * now.f_frsize;
        if free >= self.reserve.0 {
            return None;
        }
        if let Some(folder) = &self.shared {
            // Only now, since it takes long.
            let used = usage(&mounts::outside(Path::new("/proc/self/fd")).join(folder.as_raw_fd().to_string()));
            if used <= self.allowed {
                self.reserve.0 = free.saturating_sub(self.allowed - used).max(self.floor);
                return (free < self.floor).then_some(How::NoDisk(free));
            }
        }
        Some(How::Full { place: self.name.to_owned(), allowed: Some(self.allowed) })
    }
}

/// Bytes on disk of all in a folder, as far as it can be read.
fn usage(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            bytes += metadata.blocks() * 512 + usage(&entry.path());
        } else {
            bytes += metadata.blocks() * 512 / metadata.nlink().max(1);
        }
    }
    bytes
}

/// Takes in all that have ended: the status of `child`, if it is among them, and whether nothing is left.
fn reap(child: Pid) -> (Option<WaitStatus>, bool) {
    let mut status = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) if pid == child => status = Some(ended),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return (status, false),
            Err(_) => return (status, true),
        }
    }
}

/// Waits for the end of a program that a user works with; what it leaves running is left alone.
pub(super) fn wait_unwatched(child: Pid) -> WaitStatus {
    loop {
        if let Some(status) = reap(child).0 {
            return status;
        }
        wait_for_sigchld(TICK);
    }
}

/// Ends all other processes of the sandbox.
pub(super) fn end_all() {
    signal_all(libc::SIGKILL);
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::empty()) {}
}

/// Sends a signal to all other processes of the sandbox.
fn signal_all(signal: libc::c_int) {
    // SAFETY: has no effect on memory; process 1 reaches its own namespace only, and not itself.
    unsafe { libc::kill(-1, signal) };
}

/// From now on SIGCHLD waits until [`wait_for_sigchld`] takes it.
fn hold_back_sigchld() -> Result<()> {
    let signals = sigchld();
    // SAFETY: the set is initialised, and the old one is not asked for.
    let failed = unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) } != 0;
    if failed { Err(std::io::Error::last_os_error()).context("cannot hold signals back") } else { Ok(()) }
}

/// Returns when a process ended, at once if one did since the last time, and after `limit` at the latest.
fn wait_for_sigchld(limit: Duration) {
    let signals = sigchld();
    let limit = libc::timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
    // SAFETY: the set and the time are initialised, and the signal's details are not asked for.
    unsafe { libc::sigtimedwait(&raw const signals, std::ptr::null_mut(), &raw const limit) };
}

fn sigchld() -> libc::sigset_t {
    let mut signals = std::mem::MaybeUninit::uninit();
    // SAFETY: the first call initialises the set.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGCHLD);
        signals.assume_init()
    }
}

/// A process of the sandbox other than process 1.
struct Process {
    id: i32,
    /// Its threads, itself included.
    threads: u64,
    /// When it was started, in clock ticks.
    start: u64,
}

impl Process {
    fn key(&self) -> (i32, u64) {
        (self.id, self.start)
    }

    fn file(&self, name: &str) -> PathBuf {
        mounts::outside(Path::new("/proc")).join(self.id.to_string()).join(name)
    }

    /// Its arguments, or in brackets the name of a process that shows none.
    fn command_line(&self) -> String {
        let arguments = fs::read(self.file("cmdline")).unwrap_or_default();
        let words = words(&arguments).collect::<Vec<_>>().join(" ");
        let name = || fs::read_to_string(self.file("comm")).unwrap_or_default();
        let shown = if words.is_empty() { format!("[{}]", name()) } else { words };
        let plain: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let plain = plain.trim();
        match plain.char_indices().nth(COMMAND_LINE) {
            Some((cut, _)) => format!("{}…", &plain[..cut]),
            None => plain.to_owned(),
        }
    }

    fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let variables = fs::read(self.file("environ")).unwrap_or_default();
        let pair = |word: Cow<'_, str>| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        words(&variables).filter_map(pair).collect::<Vec<_>>().into_iter()
    }
}

/// The texts of a file of /proc that separates them by null bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy)
}

/// All processes but process 1.
fn process_ids() -> Vec<i32> {
    let entries = fs::read_dir(mounts::outside(Path::new("/proc"))).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|id| *id != 1).collect()
}

/// These processes, without those that have ended and only wait for their parent to notice.
fn processes(ids: &[i32]) -> Vec<Process> {
    let stat = |id: i32| fs::read_to_string(mounts::outside(Path::new(&format!("/proc/{id}/stat"))));
    ids.iter().filter_map(|id| parse_stat(*id, &stat(*id).ok()?)).collect()
}

/// `proc_pid_stat(5)`.
fn parse_stat(id: i32, text: &str) -> Option<Process> {
    // The name may have spaces and parentheses in it; field 3 follows it.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let runs = !matches!(field(3)?, "Z" | "X");
    runs.then_some(Process { id, threads: field(20)?.parse().ok()?, start: field(22)?.parse().ok()? })
}

/// Blames the process that was started last: where a script waits, or what it started and left.
fn blame(how: How, processes: &[Process]) -> Failure {
    let mut latest: Vec<&Process> = processes.iter().collect();
    latest.sort_unstable_by_key(|process| std::cmp::Reverse((process.start, process.id)));
    latest.truncate(BLAMED);
    let process = latest.first().map(|process| Culprit {
        command: process.command_line(),
        // A process may have been started without what says whom it works for.
        environment: latest.iter().rev().flat_map(|process| process.environment()).collect(),
    });
    Failure { how, process }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let rest = "1 7 7 0 -1 4194560 111 0 0 0 0 0 0 0 20 0 3 0 5127 2609152 258";
        let process = parse_stat(7, &format!("7 (a) Z (b) S {rest}")).unwrap();
        assert_eq!((process.threads, process.key()), (3, (7, 5127)));
        assert!(parse_stat(7, &format!("7 (a) Z {rest}")).is_none());
        assert!(parse_stat(7, "7 (a").is_none());
    }
}
