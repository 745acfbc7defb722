//! A host as it is before Linux 6.7: user namespaces cannot have a `binfmt_misc` of their own, so that what the host has
//! registered counts in them.
//!
//! It is a user namespace with a `binfmt_misc`, in which the system call that would make another one fails. That call makes
//! overlays, too: which programs run is found out before there is one, but no root can be built.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compose::arch::Architecture;
use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

use crate::support::program::{Outcome, run};

/// Runs a program, once the ids of its user namespace are mapped, where the line `$0` is registered, if it is one.
const REGISTERED: &str = "read go; folder=/proc/sys/fs/binfmt_misc; mount -t binfmt_misc binfmt_misc $folder && \
                          { [ -z \"$0\" ] || printf '%s' \"$0\" >$folder/register; } && exec \"$@\"";

/// `FSCONFIG_CMD_CREATE` (`linux/mount.h`).
const CREATE: u32 = 6;

/// Runs a command on such a host, with this line in its `binfmt_misc`, or with none. Only root can.
pub fn run_on_it(command: &Command, line: &str) -> Outcome {
    let mut there = Command::new("unshare");
    there.args(["--user", "--mount", "sh", "-c", REGISTERED, line]).arg(command.get_program()).args(command.get_args());
    there.current_dir(command.get_current_dir().unwrap()).env_remove("COMPOSE_STORE").env_remove("COLUMNS");
    there.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let filter = filter();
    // SAFETY: prctl(2) may be called between fork and exec.
    unsafe {
        there.pre_exec(move || forbid_registry(&filter));
    }
    let mut child = there.spawn().unwrap();
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
    while namespace(&child.id().to_string()) == namespace("self") {
        std::thread::sleep(Duration::from_millis(10));
    }
    for ids in ["uid_map", "gid_map"] {
        let mut map = fs::OpenOptions::new().write(true).open(format!("/proc/{}/{ids}", child.id())).unwrap();
        map.write_all(b"0 0 4294967295\n").unwrap();
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The line with which Debian's packages register an interpreter, with the flag `F`; and `P`, `O` and `C`, without which programs
/// find other names, and set-id ones no other rights.
pub fn line(architecture: &Architecture, interpreter: &Path) -> String {
    let (magic, mask) = architecture.magic();
    let escaped = |bytes: [u8; 20]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, r"\x{byte:02x}").unwrap();
            text
        })
    };
    format!(":host:M::{}:{}:{}:OCPF", escaped(magic), escaped(mask), interpreter.display())
}

/// Takes an interpreter out of its package, to a folder.
pub fn unpack_interpreter(package: &Path, architecture: &Architecture, folder: &Path) -> PathBuf {
    let program = format!("./usr/bin/{}", architecture.emulator());
    let unpack = "dpkg-deb --fsys-tarfile \"$0\" | tar --extract --directory \"$1\" \"$2\"";
    run(Command::new("sh").args(["-c", unpack]).arg(package).arg(folder).arg(&program)).result();
    folder.join(program)
}

/// A program of seccomp(2): `fsconfig` with [`CREATE`] fails, as with a file system that there is not; all else goes on.
fn filter() -> [sock_filter; 6] {
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Where `struct seccomp_data` has the call's number and the lower half of its second argument.
    let (number, second) = (0, if cfg!(target_endian = "big") { 28 } else { 24 });
    [
        statement(BPF_LD | BPF_W | BPF_ABS, number),
        sock_filter { jf: 3, ..statement(BPF_JMP | BPF_JEQ | BPF_K, libc::SYS_fsconfig as u32) },
        statement(BPF_LD | BPF_W | BPF_ABS, second),
        sock_filter { jf: 1, ..statement(BPF_JMP | BPF_JEQ | BPF_K, CREATE) },
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ERRNO | libc::ENODEV as u32),
        statement(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}

fn forbid_registry(filter: &[sock_filter]) -> std::io::Result<()> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter, which outlives the call.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
