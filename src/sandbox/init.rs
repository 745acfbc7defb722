//! Inside the sandbox's first process: makes the namespaces, becomes process 1, runs the steps.
//!
//! This is the code behind `compose sandbox-init PLAN`. It runs single-threaded and speaks only to [`super::run`].

use std::ffi::CString;
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::failure::{Failure, How};
use super::filter;
use super::mounts::{self, outside};
use super::network;
use super::observe::Line;
use super::watch::{self, Watch};
use super::{CannotRun, Emulation, Event, Input, Plan, Root, Step, TemporaryFile};

/// How many files a step may have open: fixed, since programs act on it.
const OPEN_FILES: u64 = 4096;

/// Executes the plan in the file `plan`; gives the exit code of this process.
pub fn execute(plan: &Path) -> i32 {
    let mount_point = plan.with_file_name(super::MOUNT_POINT);
    match prepare(plan).and_then(|plan| enter_namespaces().map(|()| plan)) {
        Ok((plan, emulations)) => as_process_one(&plan, &emulations, &mount_point),
        Err(e) => report_broken(&e),
    }
}

fn prepare(plan: &Path) -> Result<(Plan, Vec<Emulation>)> {
    // Whatever files the caller has open, steps do not get them.
    // SAFETY: only sets a flag of file descriptors.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot close the caller's files");
    }
    let text = fs::read(plan).with_context(|| format!("cannot read the plan {}", plan.display()))?;
    fs::remove_file(plan)?;
    postcard::from_bytes(&text).context("the plan is damaged")
}

/// New user, mount, process, IPC, host name and network namespaces. The user namespace maps every id to itself: the
/// steps keep a root's rights over files and lose those over the host.
fn enter_namespaces() -> Result<()> {
    let maps = ["uid_map", "gid_map"].map(|name| identity_map(&format!("/proc/self/{name}")));
    let [uids, gids] = maps;
    let (uids, gids) = (uids?, gids?);
    let (reads, writes) = rustix::pipe::pipe()?;
    let own = rustix::process::getpid();
    // SAFETY: the process has one thread.
    let helper = unsafe { libc::fork() };
    if helper == 0 {
        // Only a process that stayed in the parent's namespace may map more than one id.
        drop(writes);
        let mut byte = [0];
        let unshared = fs::File::from(reads).read(&mut byte).unwrap_or(0) == 1;
        let folder = format!("/proc/{}", own.as_raw_nonzero());
        let write = |name: &str, map: &str| {
            fs::OpenOptions::new().write(true).open(format!("{folder}/{name}"))?.write_all(map.as_bytes())
        };
        let mapped = unshared && write("uid_map", &uids).and_then(|()| write("gid_map", &gids)).is_ok();
        // SAFETY: ends this helper at once, running nothing that belongs to the parent.
        unsafe { libc::_exit(i32::from(!mapped)) };
    }
    drop(reads);
    let helper = Pid::from_raw(helper).context("cannot fork")?;
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWNET;
    // SAFETY: new namespaces have no effect on memory or file descriptors.
    unsafe { rustix::thread::unshare_unsafe(flags) }.context("cannot make namespaces")?;
    // Only now: a new user namespace takes the setting away, see PR_SET_PDEATHSIG(2const).
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    fs::File::from(writes).write_all(b"u")?;
    match rustix::process::waitpid(Some(helper), WaitOptions::empty())? {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        _ => bail!("cannot map the ids of the sandbox's user namespace"),
    }
}

/// A map of each id that this namespace has to itself, from the form of `user_namespaces(7)`.
fn identity_map(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let mut map = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [inside, _, count] = fields[..] else { bail!("{path} has the line `{line}`") };
        writeln!(map, "{inside} {inside} {count}")?;
    }
    Ok(String::from_utf8(map)?)
}

/// Forks process 1 of the new process namespace, waits for it and gives its exit code.
fn as_process_one(plan: &Plan, emulations: &[Emulation], mount_point: &Path) -> i32 {
    // SAFETY: the process has one thread.
    match unsafe { libc::fork() } {
        -1 => report_broken(&std::io::Error::last_os_error().into()),
        0 => {
            let code = match set_up(plan, emulations, mount_point) {
                Ok(set_up) => run_steps(plan, set_up),
                Err(e) => report_broken(&e),
            };
            // SAFETY: ends process 1 and with it the whole sandbox; nothing here needs destructors.
            unsafe { libc::_exit(code) }
        }
        child => match Pid::from_raw(child).map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::empty())) {
            Some(Ok(Some((_, status)))) => status.exit_status().unwrap_or(2),
            _ => 2,
        },
    }
}

/// A sandbox in which steps can run.
struct SetUp<'a> {
    /// Temporary files that were created.
    created: Vec<PathBuf>,
    watch: Watch<'a>,
    /// To who observes the steps.
    line: Option<Arc<Line>>,
    /// Where interpreters are registered, as long as it is open.
    registry: Option<OwnedFd>,
}

fn set_up<'a>(plan: &'a Plan, emulations: &[Emulation], mount_point: &Path) -> Result<SetUp<'a>> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Only the machine's root may raise what the caller has.
    let tasks = rustix::process::getrlimit(Resource::Nproc).maximum.unwrap_or(u64::MAX).min(2 * watch::TASKS);
    for (resource, most) in [(Resource::Nofile, OPEN_FILES), (Resource::Nproc, tasks), (Resource::Core, 0)] {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    leave_the_callers_keys()?;
    // When memory runs out, steps go before anything else on the machine.
    let _ = fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj").and_then(|mut f| f.write_all(b"1000"));
    rustix::thread::set_thread_groups(&[])?;
    rustix::system::sethostname(b"localhost")?;
    network::start_loopback()?;
    mounts::make_private()?;
    let changes = match &plan.root {
        Root::Overlay { upper, .. } => Some(fs::File::open(upper).context("cannot open the folder of changes")?),
        Root::ReadOnly(_) => None,
    };
    let registry = mounts::enter(plan, emulations, mount_point)?;
    let mut created = Vec::new();
    for file in &plan.temporary_files {
        if create(file).with_context(|| format!("cannot create {}", file.path.display()))? {
            created.push(outside(&file.path));
        }
    }
    drop_capabilities()?;
    filter::refuse()?;
    let line = match plan.observer {
        // SAFETY: the descriptor was made for this plan, and is used nowhere else.
        Some(end) => Line::new(unsafe { OwnedFd::from_raw_fd(end) })?,
        None => None,
    };
    let line = line.map(Arc::new);
    Ok(SetUp { created, watch: Watch::new(&plan.limits, changes)?, line, registry })
}

/// A session keyring of the sandbox's own, where the kernel has any: the caller's would be handed on to every step,
/// session-keyring(7).
fn leave_the_callers_keys() -> Result<()> {
    // SAFETY: has no effect on memory; the name of the keyring is null for one without.
    if unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0) } >= 0 {
        return Ok(());
    }
    match std::io::Error::last_os_error() {
        // The kernel has no keys, or whoever started this program forbids it, and so the steps, to use them.
        e if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        e => Err(e).context("cannot make a session keyring"),
    }
}

/// What steps may do as root of their namespace, capabilities(7): change owners, modes and identities. Without
/// `CAP_SYS_ADMIN` what is mounted stays as it is mounted.
const KEPT: &[CapabilitySet] = &[
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::DAC_READ_SEARCH,
    CapabilitySet::FOWNER,
    CapabilitySet::FSETID,
    CapabilitySet::KILL,
    CapabilitySet::MKNOD,
    CapabilitySet::SETFCAP,
    CapabilitySet::SETGID,
    CapabilitySet::SETPCAP,
    CapabilitySet::SETUID,
    CapabilitySet::SYS_CHROOT,
];

/// Takes all other capabilities from every program that is executed from here on.
fn drop_capabilities() -> Result<()> {
    let kept = KEPT.iter().copied().fold(CapabilitySet::empty(), CapabilitySet::union);
    for capability in CapabilitySet::all().difference(kept).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A kernel that is older than the capability.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(e) => return Err(e).context("cannot give up capabilities"),
        }
    }
    Ok(())
}

/// Creates a file unless something is there; tells whether it did.
fn create(file: &TemporaryFile) -> Result<bool> {
    let path = outside(&file.path);
    match fs::OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&path) {
        Ok(mut created) => {
            created.write_all(&file.content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
            Ok(true)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn run_steps(plan: &Plan, set_up: SetUp<'_>) -> i32 {
    let SetUp { created, mut watch, line, registry: _registry } = set_up;
    if plan.goes_on && line.is_none() {
        // Nobody could tell what came of its steps.
        return 0;
    }
    for (number, step) in plan.steps.iter().enumerate() {
        if plan.interactive && number + 1 == plan.steps.len() {
            return hand_over(step);
        }
        if !plan.interactive {
            report(&Event::Begin(number));
        }
        let ended = match line.as_ref().map_or(Ok(false), |line| line.begin()) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let prints = line.as_ref().filter(|_| plan.goes_on).map(|line| line.pipe()).transpose();
                let started = prints.and_then(|prints| start(step, false, prints, line.clone()));
                let started = started.map_err(|e| Failure::from(How::NotRun(format!("{e:#}"))));
                started.and_then(|child| watch.wait(child, step))
            }
            Err(e) => return report_broken(&e),
        };
        if ended.is_ok()
            && let Some(Err(e)) = line.as_ref().map(|line| line.end())
        {
            return report_broken(&e);
        }
        match ended {
            Ok(()) if plan.interactive => {}
            Ok(()) => report(&Event::Done(number)),
            // A shell at the point of failure: the failed step is told, the rest but the last is passed over.
            Err(failure) if plan.interactive => {
                let _ = writeln!(std::io::stderr(), "{} {failure}", step.label);
                watch::end_all();
                return plan.steps.last().map_or(2, hand_over);
            }
            Err(_) if plan.goes_on => {
                watch::end_all();
                if let Some(Err(e)) = line.as_ref().map(|line| line.fail()) {
                    return report_broken(&e);
                }
            }
            Err(failure) => {
                report(&Event::Failed(number, failure));
                return 1;
            }
        }
    }
    for file in created {
        let _ = fs::remove_file(file);
    }
    0
}

/// Runs the step that owns the terminal; gives its exit code.
fn hand_over(step: &Step) -> i32 {
    match start(step, true, None, None) {
        Ok(child) => watch::wait_unwatched(child).exit_status().unwrap_or(2),
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "{} could not be run: {e:#}", step.label);
            2
        }
    }
}

fn start(step: &Step, owns_terminal: bool, prints: Option<OwnedFd>, line: Option<Arc<Line>>) -> Result<Pid> {
    let program = step.command.first().context("it has no program")?;
    let mut command = Command::new(program);
    let image = Image::of(step)?;
    let root = if step.in_tools { mounts::TOOLS } else { mounts::ROOT };
    // SAFETY: setsid(2), chroot(2), chdir(2) and execve(2) may be called between fork and exec, and this process has one
    // thread.
    unsafe {
        command.pre_exec(move || {
            // Without a controlling terminal nobody types on the user's.
            if !owns_terminal {
                rustix::process::setsid()?;
            }
            rustix::process::chroot(root)?;
            rustix::process::chdir("/")?;
            line.as_ref().map_or(Ok(()), |line| line.listen())?;
            // `Command` would bring the environment in alphabetical order.
            Err(image.execute())
        });
    }
    if let Some(prints) = prints {
        command.stdout(Stdio::from(prints.try_clone()?)).stderr(Stdio::from(prints));
    } else if !owns_terminal {
        // Both streams to the log; the sandbox's own standard output is for events.
        let log = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 3)?;
        command.stdout(Stdio::from(log));
    }
    match &step.input {
        // Not `Stdio::null`, which looks for /dev in this process's root.
        Input::Null => drop(command.stdin(fs::File::open(outside(Path::new("/dev/null")))?)),
        Input::Bytes(bytes) => {
            let mut file = fs::File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?);
            file.write_all(bytes)?;
            file.rewind()?;
            command.stdin(file);
        }
        Input::Inherit => drop(command.stdin(Stdio::inherit())),
    }
    Pid::from_raw(command.spawn()?.id().cast_signed()).context("a process id")
}

/// What execve(2) is given.
struct Image {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Image {
    fn of(step: &Step) -> Result<Self> {
        let text = |text: String| CString::new(text).context("a text of it has a null byte");
        let arguments = step.command.iter().cloned().map(text).collect::<Result<_>>()?;
        let variables = step.environment.iter().map(|(name, value)| text(format!("{name}={value}")));
        Ok(Self { arguments, environment: variables.collect::<Result<_>>()? })
    }

    /// Becomes the program; gives why it did not.
    fn execute(&self) -> std::io::Error {
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        // SAFETY: both lists end with null, and their texts live until the call is over.
        unsafe { libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr()) };
        std::io::Error::last_os_error()
    }
}

fn report(event: &Event) {
    let line = serde_json::to_string(event).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn report_broken(error: &anyhow::Error) -> i32 {
    report(&match error.downcast_ref::<CannotRun>() {
        Some(why) => Event::CannotRun(why.clone()),
        None => Event::Broken(format!("{error:#}")),
    });
    2
}
