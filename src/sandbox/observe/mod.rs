//! Observing what steps do with files: calls that name files wait in the kernel until an [`Observer`] was told of them
//! (`SECCOMP_RET_USER_NOTIF` in `seccomp_unotify(2)`). Where scripts run that were observed before, the observer can stand in.
//!
//! It is told of names before the calls act. A process with several threads could change a name between the two: what a root
//! becomes is then still what its scripts make of it, but its observer may have seen another name.

mod calls;
mod line;
mod listener;
mod memory;
mod names;
mod observer;
mod printer;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{Plan, filter};
use calls::{Deed, Named, has};
use line::Message;
pub(super) use line::{Line, pair};
use memory::Memory;
use names::{Names, Opened};
pub use observer::{Call, Need, Observer, Process, Touch};
use printer::Printer;

/// Tells an observer of a plan's steps, of which process 1 tells by `socket`, until it has ended. What the observer fails at
/// ends the sandbox.
pub(super) fn observe(plan: &Plan, socket: &OwnedFd, observer: &mut dyn Observer) -> Result<()> {
    let (Some(Message::Root), Some(root)) = line::receive(socket)? else { return Ok(()) };
    observer.enter(root.try_clone()?)?;
    let mut observation =
        Observation { plan, observer, names: Names::new(root.try_clone()?), root, at: At::default(), begun: 0 };
    let mut listener: Option<OwnedFd> = None;
    let mut printer: Option<Printer> = None;
    loop {
        let flags = PollFlags::IN;
        let prints = printer.as_ref().and_then(Printer::open_end);
        let polled = listener.iter().map(AsFd::as_fd).chain([socket.as_fd()]).chain(prints);
        let mut polled: Vec<_> = polled.map(|fd| PollFd::from_borrowed_fd(fd, flags)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for the sandbox"),
        }
        let ready: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        // The socket's place among them: behind the listener, ahead of what is printed.
        let at = usize::from(listener.is_some());
        if let Some(open) = &listener {
            if ready[0].contains(flags) {
                observation.attend(open)?;
                continue;
            } else if !ready[0].is_empty() {
                // All processes of the step have ended.
                listener = None;
            }
        }
        if ready.get(at + 1).is_some_and(|flags| !flags.is_empty())
            && let Some(printer) = &mut printer
        {
            printer.read_once()?;
        }
        if ready[at].is_empty() {
            continue;
        }
        match line::receive(socket)? {
            (None, _) => return Ok(()),
            (Some(Message::Begin), _) => {
                let answer = if observation.begin()? { Message::Done } else { Message::Run };
                line::send(socket.as_fd(), answer, None)?;
            }
            (Some(Message::Listen), offered) => {
                if let Some(offered) = &offered {
                    listener::answer_on_the_same_processor(offered.as_fd());
                } else {
                    observation.observer.lose();
                }
                listener = offered;
            }
            (Some(Message::Prints), file) => printer = file.map(Printer::new),
            (Some(Message::Failed), _) => {
                printer = None;
                if std::mem::take(&mut observation.at.script) {
                    observation.observer.fail();
                }
                line::send(socket.as_fd(), Message::Done, None)?;
            }
            (Some(_), _) => {
                if let Some(printer) = printer.take() {
                    observation.observer.printed(printer.finish()?);
                }
                observation.end_script();
                line::send(socket.as_fd(), Message::Done, None)?;
            }
        }
    }
}

/// A plan's steps as far as they were told.
struct Observation<'a> {
    plan: &'a Plan,
    observer: &'a mut dyn Observer,
    root: OwnedFd,
    names: Names,
    at: At,
    /// How many steps have begun.
    begun: usize,
}

/// Where a plan's steps are.
#[derive(Default)]
struct At {
    /// The step's own process, once it has executed its program.
    main: Option<u32>,
    /// Whether a script runs that the observer was told of.
    script: bool,
    /// Whether the step is a program that runs scripts.
    runner: bool,
}

impl Observation<'_> {
    /// A step is about to begin: whether the observer stands in for all of it.
    fn begin(&mut self) -> Result<bool> {
        self.end_script();
        // Its observer may have changed the root since the last one.
        self.names.forget();
        let Some(step) = self.plan.steps.get(self.begun) else { return Ok(false) };
        let runner = self.plan.limits.script_runner.as_ref() == step.command.first();
        self.begun += 1;
        self.at = At { main: None, script: !runner, runner };
        let stands_in = !runner && self.observer.begin(&Call::of(step));
        if stands_in {
            self.at.script = false;
            self.stand_in()?;
        }
        Ok(stands_in)
    }

    fn stand_in(&mut self) -> Result<()> {
        self.names.forget();
        self.observer.stand_in()
    }

    /// Hears of a call that waits, and lets it go on.
    fn attend(&mut self, listener: &OwnedFd) -> Result<()> {
        // A process that was killed meanwhile waits no more.
        let Some(notice) = listener::receive(listener.as_fd())? else { return Ok(()) };
        let memory = Memory { process: notice.pid, alive: &|| listener::is_valid(listener.as_fd(), notice.id) };
        self.hear(&notice, &memory)?;
        listener::go_on(listener.as_fd(), notice.id)
    }

    fn hear(&mut self, notice: &libc::seccomp_notif, memory: &Memory<'_>) -> Result<()> {
        let process = notice.pid;
        let foreign = filter::audit_architecture() != Some(notice.data.arch);
        let mut deeds = calls::names(notice.data.nr, &notice.data.args).peekable();
        let executes = !foreign && deeds.peek().is_some_and(|named| named.deed == Deed::Execute);
        let main = *self.at.main.get_or_insert(process);
        if self.at.runner {
            if main == process {
                self.end_script();
            } else if executes && !self.at.script && parent(process) == Some(main) {
                let alone = alone(main, &[process]);
                let call = memory.call(&notice.data.args);
                if let Some(call) = &call
                    && self.observer.begin(call)
                    && alone
                    && memory.replace(notice.data.args[0], NOTHING)
                {
                    return self.stand_in();
                }
                self.at.script = true;
                if call.is_none() || !alone {
                    self.observer.lose();
                }
            }
        }
        if foreign || deeds.peek().is_none() {
            self.observer.lose();
            return Ok(());
        }
        for named in deeds {
            // What the runner of scripts looks at is its own affair.
            if (self.at.script || changes(named.deed)) && self.tell(process, &named, memory).is_none() {
                self.observer.lose();
            }
        }
        Ok(())
    }

    fn end_script(&mut self) {
        if std::mem::take(&mut self.at.script) {
            if self.at.runner && !self.at.main.is_some_and(|main| alone(main, &[])) {
                self.observer.lose();
            }
            self.observer.end();
        }
    }

    /// Tells the observer of a name; none when it cannot be understood.
    fn tell(&mut self, process: u32, named: &Named, memory: &Memory<'_>) -> Option<()> {
        let (deed, follow) = match named.deed {
            Deed::Unknown => return None,
            Deed::OpenHow(address) => memory.how(address).map(|flags| (Deed::Open(flags), calls::follows(flags)))?,
            deed => (deed, named.follow),
        };
        let name = match named.address {
            // A call without a name means its descriptor, as utimensat(2) has it.
            None | Some(0) => String::new(),
            Some(address) => String::from_utf8(memory.text(address)?).ok()?,
        };
        let (opened, name) = names::begins(process, named.folder, name);
        match opened {
            // What the kernel shows, a pipe, or a file without a name; where it is given one, that is told of, too.
            Opened::Outside(_) | Opened::Nameless if name.is_empty() => Some(()),
            Opened::Nameless => None,
            Opened::Outside(folder) => {
                self.understand(process, String::new(), &format!("/{folder}/{name}"), follow, deed)
            }
            Opened::File(folder) => self.understand(process, folder, &name, follow, deed),
        }
    }

    /// Tells of a name from a folder of the root; none when it leads elsewhere.
    fn understand(&mut self, process: u32, folder: String, name: &str, follow: bool, deed: Deed) -> Option<()> {
        if deed == Deed::Execute {
            return self.execute(process, folder, name, follow);
        }
        if name.is_empty() {
            self.pass(process, folder, deed);
        } else if let Some(meaning) = self.names.resolve(&folder, name, follow).ok()? {
            self.pass_meaning(process, meaning, deed);
        }
        Some(())
    }

    /// A program, and what runs it.
    fn execute(&mut self, process: u32, mut folder: String, name: &str, mut follow: bool) -> Option<()> {
        let mut name = name.to_owned();
        // Scripts may be run by scripts, so often (`bprm_execve` in Linux).
        for _ in 0..5 {
            let Some(meaning) = self.names.resolve(&folder, &name, follow).ok()? else { break };
            let path = meaning.path.clone();
            self.pass_meaning(process, meaning, Deed::Execute);
            match names::interpreter(&self.root, &path) {
                Some(interpreter) => (folder, name, follow) = (String::new(), interpreter, true),
                None => break,
            }
        }
        Some(())
    }

    fn pass_meaning(&mut self, process: u32, meaning: names::Meaning, deed: Deed) {
        let by = Process(process);
        let known = |need: Need| move |path: String| Touch { path, need, changes: false, moves: false, process: by };
        meaning.links.into_iter().map(known(Need::Content)).for_each(|touch| self.observer.touch(&touch));
        meaning.stopped.into_iter().map(known(Need::Kind)).for_each(|touch| self.observer.touch(&touch));
        self.pass(process, meaning.path, deed);
    }

    fn pass(&mut self, process: u32, path: String, deed: Deed) {
        let need = need(deed);
        if changes(deed) {
            self.names.changed(&path);
        }
        let (changes, moves, process) = (changes(deed), deed == Deed::Move, Process(process));
        self.observer.touch(&Touch { path, need, changes, moves, process });
    }
}

/// Whether open(2) with these flags writes.
fn writes(flags: u64) -> bool {
    let modes = [libc::O_WRONLY, libc::O_RDWR, libc::O_TRUNC, libc::O_CREAT];
    !has(flags, libc::O_PATH) && !has(flags, libc::O_TMPFILE) && modes.iter().any(|mode| has(flags, *mode))
}

fn changes(deed: Deed) -> bool {
    match deed {
        Deed::Open(flags) => writes(flags),
        // Whatever it does.
        Deed::OpenHow(_)
        | Deed::Name
        | Deed::Remove
        | Deed::RemoveFolder
        | Deed::Move
        | Deed::Change
        | Deed::Unknown => true,
        Deed::Test | Deed::Look | Deed::Execute => false,
    }
}

fn need(deed: Deed) -> Need {
    match deed {
        Deed::Remove | Deed::Unknown | Deed::OpenHow(_) => Need::Kind,
        Deed::Test => Need::Attributes,
        // What is written keeps owner and mode.
        Deed::Open(flags) if has(flags, libc::O_TRUNC) => Need::Attributes,
        Deed::Open(flags) if has(flags, libc::O_PATH) || writes(flags) => Need::Content,
        Deed::Open(_) | Deed::RemoveFolder => Need::Entries,
        Deed::Look | Deed::Execute | Deed::Name | Deed::Move | Deed::Change => Need::Content,
    }
}

/// A program of every root that does nothing, shorter than any script's path.
const NOTHING: &str = "/bin/true";

/// Whether process 1 of the sandbox has no process but this one, the step's own, and that none but these.
fn alone(main: u32, scripts: &[u32]) -> bool {
    let has = |process: u32, expected: &[u32]| {
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
        let mut children =
            children.split_whitespace().filter_map(|child| child.parse().ok()).filter(|child| lives(*child));
        expected.iter().all(|child| children.next() == Some(*child)) && children.next().is_none()
    };
    parent(main).is_some_and(|first| has(first, &[main])) && has(main, scripts)
}

/// Whether a process has not ended yet.
fn lives(process: u32) -> bool {
    fields(process).is_some_and(|fields| !fields.starts_with(['Z', 'X']))
}

/// The parent of a process, `proc_pid_stat(5)`.
fn parent(process: u32) -> Option<u32> {
    fields(process)?.split_whitespace().nth(1)?.parse().ok()
}

/// What the kernel tells of a process, from its state on.
fn fields(process: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text[text.rfind(')')? + 1..].trim_start().to_owned())
}

/// Opens a file of a root whose folders are no symbolic links, for reading.
pub fn open_in(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}
