//! Observing what steps do with files: calls that name files wait in the kernel until an [`Observer`] was told of them
//! (`SECCOMP_RET_USER_NOTIF` in seccomp_unotify(2)). Where scripts run that were observed before, the observer can stand in.
//!
//! It is told of names before the calls act. A process with several threads could change a name between the two: what a root
//! becomes is then still what its scripts make of it, but its observer may have seen another name.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::calls::{self, Deed, Named};
use super::names::{self, Names};
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

/// What process 1 offered: the first byte that it sent, and listener and root if it could.
pub(super) fn take(socket: BorrowedFd<'_>) -> Result<(Option<u8>, Option<(OwnedFd, OwnedFd)>)> {
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
pub(super) fn observe(plan: &Plan, listener: OwnedFd, root: OwnedFd, observer: &mut dyn Observer) -> Result<()> {
    observer.enter(root.try_clone()?)?;
    let mut observation =
        Observation { plan, observer, names: Names::new(root.try_clone()?), root, at: At::default(), first: None };
    kernel::answer_on_the_same_processor(listener.as_fd());
    loop {
        let mut polled = [PollFd::new(&listener, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) if polled[0].revents().contains(PollFlags::IN) => {}
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e).context("cannot wait for the sandbox"),
        }
        // A process that was killed meanwhile waits no more.
        let Some(notice) = kernel::receive(listener.as_fd())? else { continue };
        let memory = Memory { process: notice.pid, alive: &|| kernel::is_valid(listener.as_fd(), notice.id) };
        let answer = observation.hear(&notice, &memory)?;
        kernel::answer(listener.as_fd(), notice.id, answer)?;
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
        let deed = match named.deed {
            Deed::Unknown => return None,
            deed => deed,
        };
        let name = match named.address {
            None => String::new(),
            // A call without a name means its descriptor, as utimensat(2) has it.
            Some(0) => return Some(()),
            Some(address) => String::from_utf8(memory.text(address)?).ok()?,
        };
        if name.is_empty() {
            let Some(path) = named.folder.and_then(|folder| Names::of_descriptor(process, Some(folder))) else {
                return Some(());
            };
            self.pass(path, deed);
            return Some(());
        }
        let folder = if name.starts_with('/') { None } else { Names::of_descriptor(process, named.folder) };
        if folder.is_none() && !name.starts_with('/') {
            // From a folder that is none of the root's, such as /proc/self.
            return if name.contains("..") { None } else { Some(()) };
        }
        if deed == Deed::Execute {
            self.execute(folder.unwrap_or_default(), name, named.follow);
            return Some(());
        }
        if let Some(meaning) = self.names.resolve(folder.as_deref().unwrap_or_default(), &name, named.follow) {
            self.pass_meaning(meaning, deed);
        }
        Some(())
    }

    /// A program, and what runs it.
    fn execute(&mut self, mut folder: String, mut name: String, mut follow: bool) {
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

fn has(flags: u64, flag: libc::c_int) -> bool {
    flags & u64::from(flag.cast_unsigned()) == u64::from(flag.cast_unsigned())
}

/// Whether open(2) with these flags writes.
fn writes(flags: u64) -> bool {
    let modes = [libc::O_WRONLY, libc::O_RDWR, libc::O_TRUNC, libc::O_CREAT];
    !has(flags, libc::O_PATH) && !has(flags, libc::O_TMPFILE) && modes.iter().any(|mode| has(flags, *mode))
}

fn changes(deed: Deed) -> bool {
    match deed {
        Deed::Open(flags) => writes(flags),
        Deed::Name | Deed::Move | Deed::Change | Deed::Unknown => true,
        Deed::Test | Deed::Look | Deed::Execute => false,
    }
}

fn need(deed: Deed) -> Need {
    match deed {
        Deed::Name | Deed::Unknown => Need::Kind,
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

/// The parent of a process, proc_pid_stat(5).
fn parent(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text[text.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

/// The memory of a process that waits.
struct Memory<'a> {
    process: u32,
    /// Whether it still waits, so that what was read is its own.
    alive: &'a dyn Fn() -> bool,
}

/// The longest text of a process: an argument, execve(2).
const LONGEST: usize = 128 << 10;
/// How much is read at a time: names are short, and no page ends within.
const CHUNK: usize = 256;

impl Memory<'_> {
    /// The text at an address, without its null byte.
    fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut buffer = [0; CHUNK];
        while text.len() < LONGEST {
            let at = usize::try_from(address).ok()? + text.len();
            let length = CHUNK - at % CHUNK;
            self.read(at, &mut buffer[..length])?;
            let end = memchr::memchr(0, &buffer[..length]);
            text.extend(&buffer[..end.unwrap_or(length)]);
            if end.is_some() {
                return (self.alive)().then_some(text);
            }
        }
        None
    }

    fn read(&self, address: usize, buffer: &mut [u8]) -> Option<()> {
        let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: buffer.len() };
        // SAFETY: writes to the buffer only, and no further than it goes.
        let read =
            unsafe { libc::process_vm_readv(self.process.cast_signed(), &raw const local, 1, &raw const remote, 1, 0) };
        (read == buffer.len().cast_signed()).then_some(())
    }

    /// The texts of a list of addresses that ends with null.
    fn texts(&self, address: u64) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        let mut at = usize::try_from(address).ok()?;
        loop {
            let mut word = [0; size_of::<usize>()];
            self.read(at, &mut word)?;
            match usize::from_ne_bytes(word) {
                0 => return Some(texts),
                text => texts.push(String::from_utf8(self.text(text as u64)?).ok()?),
            }
            at += size_of::<usize>();
        }
    }

    /// The call of an execve(2) with these arguments; the path stands for the name that the program is given.
    fn call(&self, arguments: &[u64; 6]) -> Option<Call> {
        let path = String::from_utf8(self.text(arguments[0])?).ok()?;
        let given = self.texts(arguments[1])?;
        let mut environment = self.texts(arguments[2])?;
        environment.sort();
        Some(Call { arguments: [path].into_iter().chain(given).collect(), environment })
    }

    /// Puts another text in the place of one that is at least as long.
    fn replace(&self, address: u64, text: &str) -> bool {
        if self.text(address).is_none_or(|old| old.len() < text.len()) {
            return false;
        }
        let bytes = [text.as_bytes(), b"\0"].concat();
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address as usize), iov_len: bytes.len() };
        // SAFETY: reads the bytes; what is written belongs to a process of the sandbox.
        let written = unsafe {
            libc::process_vm_writev(self.process.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
        };
        written == bytes.len().cast_signed()
    }
}

/// Opens a file of a root whose folders are no symbolic links, for reading.
pub fn open_in(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// The listener's calls, seccomp_unotify(2).
mod kernel {
    use std::os::fd::BorrowedFd;

    use anyhow::{Context, Result};
    use rustix::ioctl::{Opcode, opcode};

    use super::{Answer, AsRawFd};

    const RECEIVE: Opcode = opcode::read_write::<libc::seccomp_notif>(b'!', 0);
    const SEND: Opcode = opcode::read_write::<libc::seccomp_notif_resp>(b'!', 1);
    const IS_VALID: Opcode = opcode::write::<u64>(b'!', 2);
    const SET_FLAGS: Opcode = opcode::write::<u64>(b'!', 4);
    /// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`
    const SYNC_WAKE_UP: u64 = 1;

    fn call<T>(listener: BorrowedFd<'_>, code: Opcode, argument: *mut T) -> std::io::Result<()> {
        // SAFETY: each caller gives what its code asks for.
        let result = unsafe { libc::ioctl(listener.as_raw_fd(), code as _, argument) };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Saves waking another processor for each call; Linux 6.6.
    pub fn answer_on_the_same_processor(listener: BorrowedFd<'_>) {
        let flags: *mut u8 = std::ptr::without_provenance_mut(SYNC_WAKE_UP as usize);
        let _ = call(listener, SET_FLAGS, flags);
    }

    /// A call that waits, if one still does.
    pub fn receive(listener: BorrowedFd<'_>) -> Result<Option<libc::seccomp_notif>> {
        // SAFETY: plain numbers, which have to be 0.
        let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        match call(listener, RECEIVE, &raw mut notice) {
            Ok(()) => Ok(Some(notice)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(e) => Err(e).context("cannot observe the sandbox"),
        }
    }

    /// Whether the process of a notice still waits.
    pub fn is_valid(listener: BorrowedFd<'_>, mut id: u64) -> bool {
        call(listener, IS_VALID, &raw mut id).is_ok()
    }

    pub fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> Result<()> {
        let flags = match answer {
            Answer::GoOn => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            Answer::Done => 0,
        };
        let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
        match call(listener, SEND, &raw mut response) {
            Ok(()) => Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            Err(e) => Err(e).context("cannot answer the sandbox"),
        }
    }
}
