//! Observing what steps do with files: calls that name files wait in the kernel until an [`Observer`] was told of them
//! (`SECCOMP_RET_USER_NOTIF` in `seccomp_unotify(2)`). Where scripts run that were observed before, the observer can stand in.
//!
//! It is told of names before the calls act. A process with several threads could change a name between the two: what a root
//! becomes is then still what its scripts make of it, but its observer may have seen another name.

mod calls;
mod listener;
mod memory;
mod names;

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use calls::{Deed, Named, has};
use memory::Memory;
use names::Names;

use super::{Plan, Step, filter, mounts};

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
}

/// How a script is called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<String>,
}

/// How much of what is at a path has a part in what a script does, from little to all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Need {
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
}

/// Names that process 1 asks for: whether the next step needs not run, and that a step is over.
pub(super) const BEGIN: &CStr = c"/.compose/step-begins";
pub(super) const END: &CStr = c"/.compose/step-ends";

/// Whether process 1's observer says so; without one it never does.
pub(super) fn ask(name: &CStr) -> bool {
    rustix::fs::access(name, rustix::fs::Access::EXISTS).is_ok()
}

/// In process 1: has all calls told of to whoever has the other end of `socket`, as far as the kernel can.
pub(super) fn offer(socket: BorrowedFd<'_>) -> Result<()> {
    let root = rustix::fs::open(mounts::ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let listener = calls::numbers().and_then(|(architecture, numbers)| filter::listen(architecture, &numbers).ok());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = listener.iter().chain([&root]).map(AsFd::as_fd).collect();
    if listener.is_some() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(socket, &[IoSlice::new(b"\n")], &mut control, SendFlags::empty()).context("cannot be observed")?;
    Ok(())
}

/// A listener, and the root that its calls are about.
pub(super) type Offer = (OwnedFd, OwnedFd);

/// What process 1 offered: the first byte that it sent, and listener and root if it could.
pub(super) fn take(socket: BorrowedFd<'_>) -> Result<(Option<u8>, Option<Offer>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let pair = descriptors.next().zip(descriptors.next());
    Ok(((received.bytes == 1).then_some(byte[0]), pair))
}

/// Tells an observer of a plan's steps until all processes have ended. What it fails at ends them.
pub(super) fn observe(plan: &Plan, (listener, root): Offer, observer: &mut dyn Observer) -> Result<()> {
    observer.enter(root.try_clone()?)?;
    let mut observation =
        Observation { plan, observer, names: Names::new(root.try_clone()?), root, at: At::default(), first: None };
    listener::answer_on_the_same_processor(listener.as_fd());
    loop {
        let mut polled = [PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) if polled[0].revents().contains(PollFlags::IN) => {}
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e).context("cannot wait for the sandbox"),
        }
        // A process that was killed meanwhile waits no more.
        let Some(notice) = listener::receive(listener.as_fd())? else { continue };
        let memory = Memory { process: notice.pid, alive: &|| listener::is_valid(listener.as_fd(), notice.id) };
        let answer = observation.hear(&notice, &memory)?;
        listener::answer(listener.as_fd(), notice.id, answer)?;
    }
}

/// How a waiting call goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// As if nobody had been told.
    GoOn,
    /// It is not made and gives 0.
    Done,
}

/// A plan's steps as far as they were told.
struct Observation<'a> {
    plan: &'a Plan,
    observer: &'a mut dyn Observer,
    root: OwnedFd,
    names: Names,
    at: At,
    /// Process 1, as seen from here.
    first: Option<u32>,
}

/// Where a plan's steps are.
#[derive(Default)]
struct At {
    /// How many steps have begun.
    begun: usize,
    /// The step's own process, once it has executed its program.
    main: Option<u32>,
    /// Whether a script runs that the observer was told of.
    script: bool,
    /// Whether the step is a program that runs scripts.
    runner: bool,
}

impl Observation<'_> {
    fn hear(&mut self, notice: &libc::seccomp_notif, memory: &Memory<'_>) -> Result<Answer> {
        let process = notice.pid;
        if *self.first.get_or_insert(process) == process {
            return self.hear_first(notice, memory);
        }
        let foreign = filter::audit_architecture() != Some(notice.data.arch);
        let mut deeds = calls::names(notice.data.nr, &notice.data.args).peekable();
        let executes = !foreign && deeds.peek().is_some_and(|named| named.deed == Deed::Execute);
        if executes && self.at.main.is_none() {
            self.at.main = Some(process);
        } else if self.at.main.is_none() {
            // The step's process on its way to its program.
            return Ok(Answer::GoOn);
        }
        if self.at.runner {
            if self.at.main == Some(process) {
                self.end_script();
            } else if executes && !self.at.script && parent(process) == self.at.main {
                let alone = self.alone();
                let call = memory.call(&notice.data.args);
                if let Some(call) = &call
                    && self.observer.begin(call)
                    && alone
                    && memory.replace(notice.data.args[0], NOTHING)
                {
                    self.observer.stand_in()?;
                    return Ok(Answer::GoOn);
                }
                self.at.script = true;
                if call.is_none() || !alone {
                    self.observer.lose();
                }
            }
        }
        if foreign || deeds.peek().is_none() {
            self.observer.lose();
            return Ok(Answer::GoOn);
        }
        for named in deeds {
            // What the runner of scripts looks at is its own affair.
            if (self.at.script || changes(named.deed)) && self.tell(process, &named, memory).is_none() {
                self.observer.lose();
            }
        }
        Ok(Answer::GoOn)
    }

    fn hear_first(&mut self, notice: &libc::seccomp_notif, memory: &Memory<'_>) -> Result<Answer> {
        let names = calls::names(notice.data.nr, &notice.data.args);
        let asked: Vec<Vec<u8>> = names.filter_map(|named| memory.text(named.address?)).collect();
        let is = |name: &CStr| asked.iter().any(|asked| asked == name.to_bytes());
        if is(BEGIN) {
            self.end_script();
            let Some(step) = self.plan.steps.get(self.at.begun) else { return Ok(Answer::GoOn) };
            let runner = self.plan.limits.script_runner.as_ref() == step.command.first();
            self.at = At { begun: self.at.begun + 1, main: None, script: !runner, runner };
            if !runner && self.observer.begin(&Call::of(step)) {
                self.at.script = false;
                self.observer.stand_in()?;
                return Ok(Answer::Done);
            }
        } else if is(END) {
            self.end_script();
        }
        Ok(Answer::GoOn)
    }

    fn end_script(&mut self) {
        if std::mem::take(&mut self.at.script) {
            if self.at.runner && !self.alone() {
                self.observer.lose();
            }
            self.observer.end();
        }
    }

    /// Whether no process runs but process 1 and the step's own.
    fn alone(&self) -> bool {
        let Some(first) = self.first else { return false };
        let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
        children.split_whitespace().map(str::parse).eq([Ok(self.at.main.unwrap_or_default())])
    }

    /// Tells the observer of a name; none when it cannot be understood.
    fn tell(&mut self, process: u32, named: &Named, memory: &Memory<'_>) -> Option<()> {
        let (deed, follow) = match named.deed {
            Deed::Unknown => return None,
            Deed::OpenHow(address) => memory.how(address).map(|flags| (Deed::Open(flags), calls::follows(flags)))?,
            deed => (deed, named.follow),
        };
        let name = match named.address {
            None => String::new(),
            // A call without a name means its descriptor, as utimensat(2) has it.
            Some(0) => return Some(()),
            Some(address) => String::from_utf8(memory.text(address)?).ok()?,
        };
        let (folder, name) = match names::descriptor(process, &name) {
            // Of another process, or through its root.
            Err(names::Elsewhere) => return None,
            Ok(Some((descriptor, rest))) => (Names::of_descriptor(process, descriptor), rest),
            Ok(None) if name.starts_with('/') => (Some(String::new()), name.as_str()),
            Ok(None) => (Names::of_descriptor(process, named.folder), name.as_str()),
        };
        // What is open is no file of the root, such as a pipe, or a folder of /proc.
        let Some(folder) = folder else { return if name.contains("..") { None } else { Some(()) } };
        if deed == Deed::Execute {
            self.execute(folder, name, follow);
        } else if name.is_empty() {
            self.pass(folder, deed);
        } else if let Some(meaning) = self.names.resolve(&folder, name, follow) {
            self.pass_meaning(meaning, deed);
        }
        Some(())
    }

    /// A program, and what runs it.
    fn execute(&mut self, mut folder: String, name: &str, mut follow: bool) {
        let mut name = name.to_owned();
        // Scripts may be run by scripts, so often (`bprm_execve` in Linux).
        for _ in 0..5 {
            let Some(meaning) = self.names.resolve(&folder, &name, follow) else { return };
            let path = meaning.path.clone();
            self.pass_meaning(meaning, Deed::Execute);
            match names::interpreter(&self.root, &path) {
                Some(interpreter) => (folder, name, follow) = (String::new(), interpreter, true),
                None => return,
            }
        }
    }

    fn pass_meaning(&mut self, meaning: names::Meaning, deed: Deed) {
        let known = |need: Need| move |path: String| Touch { path, need, changes: false, moves: false };
        meaning.links.into_iter().map(known(Need::Content)).for_each(|touch| self.observer.touch(&touch));
        meaning.stopped.into_iter().map(known(Need::Kind)).for_each(|touch| self.observer.touch(&touch));
        self.pass(meaning.path, deed);
    }

    fn pass(&mut self, path: String, deed: Deed) {
        let need = need(deed);
        if changes(deed) {
            self.names.changed(&path);
        }
        self.observer.touch(&Touch { path, need, changes: changes(deed), moves: deed == Deed::Move });
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
        Deed::OpenHow(_) | Deed::Name | Deed::Move | Deed::Change | Deed::Unknown => true,
        Deed::Test | Deed::Look | Deed::Execute => false,
    }
}

fn need(deed: Deed) -> Need {
    match deed {
        Deed::Name | Deed::Unknown | Deed::OpenHow(_) => Need::Kind,
        Deed::Test => Need::Attributes,
        // What is written keeps owner and mode.
        Deed::Open(flags) if has(flags, libc::O_TRUNC) => Need::Attributes,
        Deed::Open(flags) if has(flags, libc::O_PATH) || writes(flags) => Need::Content,
        Deed::Open(_) => Need::Entries,
        Deed::Look | Deed::Execute | Deed::Move | Deed::Change => Need::Content,
    }
}

/// A program of every root that does nothing, shorter than any script's path.
const NOTHING: &str = "/bin/true";

impl Call {
    fn of(step: &Step) -> Self {
        let environment = step.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self { arguments: step.command.clone(), environment }
    }
}

/// The parent of a process, `proc_pid_stat(5)`.
fn parent(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text[text.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

/// Opens a file of a root whose folders are no symbolic links, for reading.
pub fn open_in(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}
