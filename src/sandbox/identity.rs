//! Who a run is: root, or an ordinary user who becomes root of a user namespace with a range of subordinate ids.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::mounts;
use crate::error::Hint;
use crate::process;

/// The least number of subordinate ids: Debian's `nobody` is 65534.
const RANGE: u32 = 65535;

/// Gives the calling process, which must have one thread only, a mount namespace of its own and all ids of a root:
/// as root at once, else in a new user namespace. In the latter case the caller goes on in a child process; the
/// first process waits for it and gives its exit code as `Some`.
pub fn enter() -> Result<Option<i32>> {
    if rustix::process::geteuid().is_root() {
        // SAFETY: unsharing the mount namespace has no effect on memory or file descriptors.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
            .context("cannot make a mount namespace: root here lacks the right to")?;
        mounts::make_private()?;
        // Files are made with the group of the process.
        rustix::thread::set_thread_res_gid(rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT)?;
        return Ok(None);
    }
    let ids = [subordinate_range("/etc/subuid", 'u')?, subordinate_range("/etc/subgid", 'g')?];
    let (parent_reads, child_writes) = rustix::pipe::pipe()?;
    let (child_reads, parent_writes) = rustix::pipe::pipe()?;
    // SAFETY: the process has one thread, so the child may go on as if nothing had happened.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()).context("cannot fork"),
        0 => {
            drop((parent_reads, parent_writes));
            become_root(child_writes, child_reads)?;
            Ok(None)
        }
        child => {
            drop((child_writes, child_reads));
            let child = Pid::from_raw(child).context("a process id")?;
            let mapped = map_ids(child, parent_reads, parent_writes, &ids);
            if mapped.is_err() {
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
            let code = wait_for(child)?;
            mapped.map(|()| Some(code))
        }
    }
}

/// A range of ids: the caller's own and the subordinate ones.
struct Ids {
    own: u32,
    first: u32,
    count: u32,
    program: &'static str,
}

/// The first large enough range of the caller in subuid(5) or subgid(5).
fn subordinate_range(file: &str, kind: char) -> Result<Ids> {
    let uid = rustix::process::geteuid().as_raw();
    let output = process::run(Command::new("id").args(["-un"]))?;
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let text = fs::read_to_string(file).unwrap_or_default();
    let range = text.lines().find_map(|line| parse_range(line, &name, uid));
    let (first, count) = range
        .ok_or_else(|| anyhow!("{file} gives {name} no {RANGE} subordinate ids, which building without root needs"))
        .hint(|| format!("usermod --add-sub{kind}ids 100000-165535 {name} (as root), or run compose as root"))?;
    let (own, program) = match kind {
        'u' => (uid, "newuidmap"),
        _ => (rustix::process::getegid().as_raw(), "newgidmap"),
    };
    Ok(Ids { own, first, count, program })
}

fn parse_range(line: &str, name: &str, uid: u32) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    let owner = fields.next()?;
    let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
    ((owner == name || owner == uid.to_string()) && count >= RANGE).then_some((first, count))
}

/// In the child: a new user namespace, whose ids the parent maps, then all the rest.
fn become_root(ready: OwnedFd, mapped: OwnedFd) -> Result<()> {
    // SAFETY: a new user and mount namespace have no effect on memory or file descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }
        .context("cannot make a user namespace")
        .hint(|| "allow it with: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000")?;
    fs::File::from(ready).write_all(b"r").context("cannot speak to the parent")?;
    let mut byte = [0];
    if fs::File::from(mapped).read(&mut byte).unwrap_or(0) == 0 {
        // The parent says why.
        bail!("the ids of the user namespace were not mapped");
    }
    let root = rustix::fs::Uid::ROOT;
    rustix::thread::set_thread_res_gid(rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(root, root, root)?;
    // Only now: a new user namespace takes the setting away, see PR_SET_PDEATHSIG(2const).
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    mounts::make_private()
}

/// In the parent: maps id 0 to the caller and the ids from 1 to its subordinate ones.
fn map_ids(child: Pid, ready: OwnedFd, mapped: OwnedFd, ids: &[Ids; 2]) -> Result<()> {
    let mut byte = [0];
    if fs::File::from(ready).read(&mut byte).unwrap_or(0) == 0 {
        return Ok(());
    }
    for ids in ids {
        let words = [child.as_raw_nonzero().get().to_string(), "0".into(), ids.own.to_string(), "1".into()];
        let more = ["1".to_owned(), ids.first.to_string(), ids.count.to_string()];
        process::run(Command::new(ids.program).args(words).args(more))
            .hint(|| "apt-get install uidmap (newuidmap and newgidmap come from there)")?;
    }
    fs::File::from(mapped).write_all(b"m").context("cannot speak to the child")
}

fn wait_for(child: Pid) -> Result<i32> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                return Ok(status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)));
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for the child"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        assert_eq!(parse_range("ann:100000:65536", "ann", 1000), Some((100_000, 65536)));
        assert_eq!(parse_range("1000:100000:65536", "ann", 1000), Some((100_000, 65536)));
        assert_eq!(parse_range("bob:100000:65536", "ann", 1000), None);
        assert_eq!(parse_range("ann:100000:100", "ann", 1000), None);
    }
}
