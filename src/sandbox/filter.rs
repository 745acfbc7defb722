//! Filters of seccomp(2): system calls that steps do without, those which reach past their namespaces, for every
//! architecture whose programs a machine may run; and calls that are told of before they are made.

use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

/// Families of sockets that network namespaces keep apart (`AF_UNIX`, `AF_INET`, `AF_INET6` and `AF_NETLINK`). Others are
/// not, such as `AF_VSOCK` of vsock(7), which leads from a virtual machine to its host.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// `io_uring_setup` of every architecture: what is asked for through `io_uring(7)` passes by the filter.
const IO_URING_SETUP: u32 = 425;

/// For each `AUDIT_ARCH_…` of linux/audit.h the numbers of `socket`, and of `socketcall` where there is one.
const ARCHITECTURES: &[(u32, u32, Option<u32>)] = &[
    (0xc000_003e, 41, None),          // x86-64
    (0xc000_003e, 0x4000_0029, None), // x32
    (0x4000_0003, 359, Some(102)),    // i386
    (0xc000_00b7, 198, None),         // AArch64
    (0x4000_0028, 281, None),         // ARM
    (0xc000_00f3, 198, None),         // RISC-V, 64 bits
    (0xc000_0015, 326, Some(102)),    // PowerPC, 64 bits, little-endian
    (0x8000_0016, 359, Some(102)),    // s390x
];

/// Where `struct seccomp_data` has the number, the architecture, and the low halves of the first argument and of the fourth.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };
const FOURTH: u32 = ARGUMENT + 24;

/// Refuses the calls to this process and all that it starts; it needs `CAP_SYS_ADMIN` in its namespace.
pub(super) fn refuse() -> Result<()> {
    load_program(&program(), 0).map(drop).context("cannot filter system calls")
}

/// Has this process and all that it starts wait at the calls of [`listening`] until the listener lets them go on. It needs
/// `CAP_SYS_ADMIN` in its namespace, Linux 5.5, and no listener before it. From Linux 5.19 on no signal but a deadly one
/// interrupts a call that the listener has been told of.
pub(super) fn listen(program: &[sock_filter]) -> std::io::Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = match load_program(program, flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => load_program(program, flags)?,
        loaded => loaded?,
    };
    // SAFETY: with this flag the call gives a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

fn load_program(program: &[sock_filter], flags: libc::c_ulong) -> std::io::Result<libc::c_int> {
    let filter = sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel only copies the program, which lives until then.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// The `AUDIT_ARCH_…` of this program, where its numbers of calls are those of `libc`'s constants for it.
pub(super) fn audit_architecture() -> Option<u32> {
    match std::env::consts::ARCH {
        "x86_64" => Some(0xc000_003e),
        "aarch64" => Some(0xc000_00b7),
        "riscv64" => Some(0xc000_00f3),
        _ => None,
    }
}

/// The calls of these numbers, but for `newfstatat` as glibc's fstat(3) makes it; all from the number `unknown` on, which those
/// of x32 are; and all of other architectures than this one.
///
/// What fstat(3) tells of an open file has been known since it was opened. A name with these very flags would pass unseen.
pub(super) fn listening(architecture: u32, numbers: &[u32], unknown: u32) -> Vec<sock_filter> {
    let count = numbers.len() as u8;
    let mut program = vec![load(ARCHITECTURE), jump(architecture, 0, count + 7), load(NUMBER)];
    program.push(sock_filter { jt: count + 5, ..statement(BPF_JMP | BPF_JGE | BPF_K, unknown) });
    program.push(unless(libc::SYS_newfstatat as u32, 3));
    program.extend([load(FOURTH), jump(libc::AT_EMPTY_PATH.cast_unsigned(), count + 1, 0), load(NUMBER)]);
    program.extend(numbers.iter().zip((1..=count).rev()).map(|(number, ahead)| jump(*number, ahead, 0)));
    program.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW));
    program.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_USER_NOTIF));
    program
}

/// One block for each architecture: calls of others pass on to the next block, and at last through.
fn program() -> Vec<sock_filter> {
    let mut program = Vec::new();
    for (architecture, socket, socketcall) in ARCHITECTURES {
        let mut block = vec![load(NUMBER), unless(IO_URING_SETUP, 1), refusal(libc::ENOSYS)];
        block.extend([unless(*socket, FAMILIES.len() as u8 + 2), load(ARGUMENT)]);
        // From each family to the end of the refusal that follows them.
        let families = FAMILIES.iter().zip((1..=FAMILIES.len() as u8).rev());
        block.extend(families.map(|(family, ahead)| jump(family.cast_unsigned(), ahead, 0)));
        block.push(refusal(libc::EAFNOSUPPORT));
        if let Some(socketcall) = socketcall {
            // It keeps the family in memory, which a filter cannot read: it makes no sockets at all (call 1).
            block.extend([load(NUMBER), unless(*socketcall, 3), load(ARGUMENT), unless(1, 1)]);
            block.push(refusal(libc::EAFNOSUPPORT));
        }
        program.extend([load(ARCHITECTURE), unless(*architecture, block.len() as u8)]);
        program.append(&mut block);
    }
    program.push(statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW));
    program
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn refusal(error: libc::c_int) -> sock_filter {
    statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ERRNO | error.cast_unsigned())
}

/// Passes over so many instructions when the value is this one, and when it is not.
fn jump(value: u32, same: u8, other: u8) -> sock_filter {
    sock_filter { jt: same, jf: other, ..statement(BPF_JMP | BPF_JEQ | BPF_K, value) }
}

/// Passes over so many instructions unless the value is this one.
fn unless(value: u32, over: u8) -> sock_filter {
    jump(value, 0, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, with this argument wherever one is looked at.
    fn run(program: &[sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            match u32::from(instruction.code) & 7 {
                BPF_LD => {
                    value = match instruction.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    }
                }
                BPF_JMP => {
                    let at_least = u32::from(instruction.code) & 0xf0 == BPF_JGE;
                    let holds = if at_least { value >= instruction.k } else { value == instruction.k };
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
                _ => return instruction.k,
            }
        }
    }

    #[test]
    fn only_sockets_that_stay_inside_are_made() {
        let program = program();
        let run = |architecture, number, argument| run(&program, architecture, number, argument);
        let refused = |error: i32| libc::SECCOMP_RET_ERRNO | error.cast_unsigned();
        for (architecture, socket, socketcall) in ARCHITECTURES {
            for family in 0..64 {
                let known = FAMILIES.contains(&family);
                let expected = if known { libc::SECCOMP_RET_ALLOW } else { refused(libc::EAFNOSUPPORT) };
                assert_eq!(run(*architecture, *socket, family.cast_unsigned()), expected, "{architecture:x} {family}");
            }
            assert_eq!(run(*architecture, IO_URING_SETUP, 1), refused(libc::ENOSYS));
            assert_eq!(run(*architecture, 3, 40), libc::SECCOMP_RET_ALLOW);
            if let Some(socketcall) = socketcall {
                assert_eq!(run(*architecture, *socketcall, 1), refused(libc::EAFNOSUPPORT));
                assert_eq!(run(*architecture, *socketcall, 3), libc::SECCOMP_RET_ALLOW);
            }
        }
        assert_eq!(run(0, 41, 40), libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn the_calls_asked_for_and_foreign_ones_are_told_of() {
        let numbers: Vec<u32> = (10..70).collect();
        let program = listening(0xc000_003e, &numbers, 470);
        let told = |architecture, number| run(&program, architecture, number, 0) == libc::SECCOMP_RET_USER_NOTIF;
        assert!([10, 69, 470, 0x4000_0000, 0x4000_0009].into_iter().all(|number| told(0xc000_003e, number)));
        assert!([0, 9, 70, 469].into_iter().all(|number| !told(0xc000_003e, number)));
        assert!(told(0x4000_0003, 9));
        let fstatat = libc::SYS_newfstatat as u32;
        let program = listening(0xc000_003e, &[10, fstatat, 300], 470);
        let told = |number, flags| run(&program, 0xc000_003e, number, flags) == libc::SECCOMP_RET_USER_NOTIF;
        let (empty, nofollow) = (libc::AT_EMPTY_PATH.cast_unsigned(), libc::AT_SYMLINK_NOFOLLOW.cast_unsigned());
        assert!(!told(fstatat, empty));
        assert!(told(fstatat, 0) && told(fstatat, nofollow) && told(fstatat, empty | nofollow));
        assert!(told(10, empty) && told(300, empty) && told(470, empty) && !told(11, empty));
    }
}
