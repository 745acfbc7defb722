//! Programs of other architectures than the machine's: tried first, since some processors run several; else run by an
//! interpreter that is registered in a `binfmt_misc` of the sandbox's own user namespace, where the kernel has such (Linux 6.7).
//!
//! The registration is on no mount that anything sees. It ends with process 1, which alone holds it.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen, mount_bind};
use serde::{Deserialize, Serialize};

use super::mounts::{self, outside, unmount};
use crate::arch::Architecture;

/// An architecture whose programs steps run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Emulation {
    /// The architecture.
    pub architecture: Architecture,
    /// A statically linked program that runs such programs where the machine does not.
    pub interpreter: Option<PathBuf>,
}

/// That programs of an architecture do not run here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("programs of {architecture} do not run here: {}", tried.join("; "))]
pub struct CannotRun {
    /// The architecture.
    pub architecture: Architecture,
    /// What was tried, and what came of it.
    pub tried: Vec<String>,
    /// Whether an interpreter could be registered.
    pub can_register: bool,
}

/// Where the probe stands while it is tried.
const PROBE: &CStr = c"/tmp/.compose-probe";

/// Whether a process runs an interpreter: no other program stands by itself on a mount that is gone, so that it has a name of
/// no folder.
pub(super) fn interprets(process: u32) -> bool {
    fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == Path::new("/"))
}

/// The program that an interpreter runs, relative to the root, and its arguments, of those that the interpreter has: its own
/// name, the program's absolute path, and the program's arguments.
pub(super) fn interpreted(mut arguments: Vec<String>) -> Option<(String, Vec<String>)> {
    let own = arguments.split_off(arguments.len().min(2));
    let path = arguments.get(1)?.strip_prefix('/')?.to_owned();
    Some((path, own))
}

/// Has interpreters below a folder that becomes the root of process 1.
pub(super) fn bring(emulations: &[Emulation], folder: &Path) -> Result<()> {
    for Emulation { architecture, interpreter } in emulations {
        let Some(interpreter) = interpreter else { continue };
        let place = folder.join(architecture.emulator());
        File::create(&place)?;
        mount_bind(interpreter, &place).with_context(|| format!("cannot bind {}", interpreter.display()))?;
    }
    Ok(())
}

/// Makes programs of these architectures run in the root, once it is mounted. Gives what has to be kept open for that.
pub(super) fn start(emulations: &[Emulation]) -> Result<Option<OwnedFd>> {
    if emulations.is_empty() {
        return Ok(None);
    }
    // With an instance of its own the sandbox no longer sees the host's registrations: whatever runs now runs natively.
    let registry = open_registry();
    for Emulation { architecture, interpreter } in emulations {
        let path = Path::new("/").join(architecture.emulator());
        let started = start_one(architecture, interpreter.as_ref().map(|_| path.as_path()), registry.as_ref());
        if interpreter.is_some() {
            unmount(&path)?;
            fs::remove_file(&path)?;
        }
        started?;
    }
    Ok(registry.ok())
}

fn start_one(
    architecture: &Architecture,
    interpreter: Option<&Path>,
    registry: Result<&OwnedFd, &std::io::Error>,
) -> Result<()> {
    let Err(natively) = try_to_run(architecture)? else { return Ok(()) };
    let failed = |tried: Vec<String>| {
        Err(CannotRun { architecture: architecture.clone(), tried, can_register: registry.is_ok() }.into())
    };
    let machine = format!("the machine itself ({natively})");
    match (registry, interpreter) {
        (Err(e), _) => failed(vec![
            machine,
            "an interpreter that the host has registered with the flag F (there is none that runs)".to_owned(),
            format!("a binfmt_misc of the sandbox's own, which Linux has from 6.7 on ({e})"),
        ]),
        (Ok(_), None) => failed(vec![machine]),
        (Ok(registry), Some(interpreter)) => {
            register(architecture, interpreter, registry)?;
            match try_to_run(architecture)? {
                Ok(()) => Ok(()),
                Err(why) => failed(vec![machine, format!("{} of the lock ({why})", architecture.emulator())]),
            }
        }
    }
}

/// The root of a new `binfmt_misc` of this user namespace, mounted nowhere.
fn open_registry() -> std::io::Result<OwnedFd> {
    let fs = fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&fs)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn register(architecture: &Architecture, interpreter: &Path, registry: &OwnedFd) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let file = rustix::fs::openat(registry, "register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).write_all(line(architecture, interpreter).as_bytes())
    };
    write().with_context(|| format!("cannot register {} in binfmt_misc", architecture.emulator()))
}

/// The line that registers an interpreter (`Documentation/admin-guide/binfmt-misc.rst` in Linux), which is opened at once
/// (`F`), is told by which name a program was called (`P`), and gets the program open (`O`) and with the program's own set-id
/// rights (`C`).
fn line(architecture: &Architecture, interpreter: &Path) -> String {
    let (magic, mask) = architecture.magic();
    let escaped = |bytes: [u8; 20]| bytes.map(|byte| format!("\\x{byte:02x}")).concat();
    let name = architecture.emulator();
    format!(":{name}:M:0:{}:{}:{}:OCPF", escaped(magic), escaped(mask), interpreter.display())
}

/// Runs the architecture's smallest program as steps are run; gives what came of it when it did not do as it should.
fn try_to_run(architecture: &Architecture) -> Result<Result<(), String>> {
    let path = outside(Path::new(OsStr::from_bytes(PROBE.to_bytes())));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path)?;
    file.write_all(&architecture.smallest_program())?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    drop(file);
    let mut command = Command::new(OsStr::from_bytes(PROBE.to_bytes()));
    command.env_clear().stdin(File::open(outside(Path::new("/dev/null")))?);
    let quiet = || fs::OpenOptions::new().write(true).open(outside(Path::new("/dev/null"))).map(Stdio::from);
    command.stdout(quiet()?).stderr(quiet()?);
    // SAFETY: chroot(2), chdir(2) and execve(2) may be called between fork and exec; the lists of the latter end with null.
    unsafe {
        command.pre_exec(|| {
            rustix::process::chroot(mounts::ROOT)?;
            rustix::process::chdir("/")?;
            // Not by `Command`, whose execvp(3) hands to the shell what the kernel does not run.
            let arguments = [PROBE.as_ptr(), std::ptr::null()];
            libc::execve(PROBE.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr());
            Err(std::io::Error::last_os_error())
        });
    }
    let ended = command.status();
    fs::remove_file(&path)?;
    Ok(match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(e) => Err(e.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_one_line_of_the_kernels_form() {
        let arm64 = "arm64".parse().unwrap();
        assert_eq!(
            line(&arm64, Path::new("/qemu-aarch64")),
            concat!(
                r":qemu-aarch64:M:0:\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:",
                r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/qemu-aarch64:OCPF"
            )
        );
        let arguments = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            interpreted(arguments("/qemu-aarch64 /usr/bin/dpkg-query dpkg-query -W")),
            Some(("usr/bin/dpkg-query".to_owned(), arguments("dpkg-query -W")))
        );
        assert_eq!(interpreted(arguments("/qemu-aarch64")), None);
        // What Linux takes, `MAX_REGISTER_LENGTH`.
        let lines = Architecture::known().map(|name| line(&name.parse().unwrap(), Path::new("/qemu-mips64el")).len());
        assert!(lines.max().unwrap() < 1920);
    }
}
