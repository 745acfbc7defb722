//! A listener's calls, `seccomp_unotify(2)`.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::ioctl::{Opcode, opcode};

const RECEIVE: Opcode = opcode::read_write::<libc::seccomp_notif>(b'!', 0);
const SEND: Opcode = opcode::read_write::<libc::seccomp_notif_resp>(b'!', 1);
const IS_VALID: Opcode = opcode::write::<u64>(b'!', 2);
const SET_FLAGS: Opcode = opcode::write::<u64>(b'!', 4);
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`
const SYNC_WAKE_UP: u64 = 1;

fn call<T>(listener: BorrowedFd<'_>, code: Opcode, argument: *mut T) -> std::io::Result<()> {
    // SAFETY: each caller gives what its code asks for.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), code.into(), argument) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Saves waking another processor for each call; Linux 6.6.
pub(super) fn answer_on_the_same_processor(listener: BorrowedFd<'_>) {
    let flags: *mut u8 = std::ptr::without_provenance_mut(SYNC_WAKE_UP as usize);
    let _ = call(listener, SET_FLAGS, flags);
}

/// A call that waits, if one still does.
pub(super) fn receive(listener: BorrowedFd<'_>) -> Result<Option<libc::seccomp_notif>> {
    // SAFETY: plain numbers, which have to be 0.
    let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    match call(listener, RECEIVE, &raw mut notice) {
        Ok(()) => Ok(Some(notice)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
        Err(e) => Err(e).context("cannot observe the sandbox"),
    }
}

/// Whether the process of a notice still waits.
pub(super) fn is_valid(listener: BorrowedFd<'_>, mut id: u64) -> bool {
    call(listener, IS_VALID, &raw mut id).is_ok()
}

/// Has a call made as if nobody had been told.
pub(super) fn go_on(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    match call(listener, SEND, &raw mut response) {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(e) => Err(e).context("cannot answer the sandbox"),
    }
}
