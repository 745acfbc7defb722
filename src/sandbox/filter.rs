//! System calls that steps do without: those which reach past their namespaces. A filter of seccomp(2), for every
//! architecture whose programs a machine may run.

use anyhow::{Context, Result};
use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

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

/// Where `struct seccomp_data` has the number, the architecture, and the low half of the first argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };

/// Refuses the calls to this process and all that it starts; it needs `CAP_SYS_ADMIN` in its namespace.
pub(super) fn refuse() -> Result<()> {
    let mut program = program();
    let filter = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until then.
    let failed = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) } != 0;
    if failed { Err(std::io::Error::last_os_error()).context("cannot filter system calls") } else { Ok(()) }
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

    /// What the kernel would do.
    fn run(architecture: u32, number: u32, argument: u32) -> u32 {
        let program = program();
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
                BPF_JMP => at += usize::from(if value == instruction.k { instruction.jt } else { instruction.jf }),
                _ => return instruction.k,
            }
        }
    }

    #[test]
    fn only_sockets_that_stay_inside_are_made() {
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
}
