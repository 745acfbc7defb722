//! The mounts of a sandbox.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, XattrFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, move_mount, unmount as sys_unmount,
};

use super::{Emulation, Plan, ROOT_IN_TOOLS, Root, available_memory, emulation};

/// Devices of the host that a sandbox has, by name in /dev.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Links in /dev.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Whether the kernel shows something with this name in a sandbox's /dev.
pub(super) fn is_device(name: &str) -> bool {
    DEVICES.contains(&name) || LINKS.iter().any(|(link, _)| *link == name)
}

/// What a file of a tmpfs stands for: there may be one for each of these bytes.
const BYTES_PER_FILE: u64 = 4096;

/// Mounts a tmpfs for so many bytes.
pub(super) fn mount_tmpfs(target: &Path, options: &str, size: u64) -> Result<()> {
    let options = CString::new(format!("{options},size={size},nr_inodes={}", size / BYTES_PER_FILE))?;
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))
        .with_context(|| format!("cannot mount a tmpfs on {}", target.display()))
}

/// Detaches a mount.
pub(super) fn unmount(target: &Path) -> Result<()> {
    sys_unmount(target, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {}", target.display()))
}

/// Whether files of a folder can have `user.` attributes.
pub(super) fn holds_user_attributes(folder: &Path) -> bool {
    rustix::fs::setxattr(folder, "user.overlay.probe", b"y", XattrFlags::empty()).is_ok()
        && rustix::fs::removexattr(folder, "user.overlay.probe").is_ok()
}

/// Stops mounts of this namespace from reaching others, and theirs from reaching it.
pub(super) fn make_private() -> Result<()> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).context("cannot make the mounts private")
}

/// Where the plan's root is once [`enter`] is done.
pub(super) const ROOT: &str = "/root";

/// Where the tools are then.
pub(super) const TOOLS: &str = "/tools";

/// A path of the plan's root as process 1 sees it.
pub(super) fn outside(path: &Path) -> PathBuf {
    Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// The part of the free memory that each of /dev, /run and /tmp may take: with the half for changes, some is always left.
const MEMORY: u64 = 8;

/// Mounts everything the plan asks for and makes it all that this process can see.
///
/// The plan's root is not the process's own but a folder in an otherwise empty one: as after chroot(2), process 1 has
/// another root than the steps, by which ischroot(1) and systemctl(1) know that no system is running. What it gives keeps
/// interpreters registered while it is open.
pub(super) fn enter(plan: &Plan, emulations: &[Emulation], mount_point: &Path) -> Result<Option<OwnedFd>> {
    let memory = available_memory().context("cannot read /proc/meminfo")? / MEMORY;
    mount_tmpfs(mount_point, "mode=0755", 1 << 20)?;
    let root = &mount_point.join(ROOT.trim_start_matches('/'));
    fs::create_dir(root)?;
    match &plan.root {
        Root::Overlay { lower, upper, work } => mount_overlay(lower, upper, work, root)?,
        Root::ReadOnly(path) => {
            let failed = || format!("cannot mount {}", path.display());
            mount_bind(path, root).with_context(failed)?;
            mount_remount(root, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV, c"")
                .with_context(failed)?;
        }
    }
    mount_proc(&root.join("proc"))?;
    mount_devices(&root.join("dev"), memory)?;
    for (name, options) in [("run", "mode=0755"), ("tmp", "mode=1777")] {
        mount_tmpfs(&root.join(name), options, memory)?;
    }
    if let Some(tools) = &plan.tools {
        mount_tools(tools, root, &mount_point.join(TOOLS.trim_start_matches('/')), memory)?;
    }
    for bind in &plan.binds {
        let target = root.join(bind.target.strip_prefix("/").unwrap_or(&bind.target));
        let failed = || format!("cannot bind {} to {}", bind.source.display(), target.display());
        File::create_new(&target).with_context(failed)?;
        mount_bind(&bind.source, &target).with_context(failed)?;
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount_remount(&target, flags, c"").with_context(failed)?;
    }
    emulation::bring(emulations, mount_point)?;
    std::env::set_current_dir(mount_point)?;
    rustix::process::pivot_root(".", ".").context("cannot change the root")?;
    sys_unmount(".", UnmountFlags::DETACH).context("cannot leave the host's root")?;
    std::env::set_current_dir("/")?;
    let registry = emulation::start(emulations)?;
    // A program that leaves its root finds this one, in which there is nothing to do.
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV, c"")
        .context("cannot close the root of process 1")?;
    Ok(registry)
}

/// Mounts the tools: they see the plan's root, and what the kernel shows there.
fn mount_tools(tools: &Path, root: &Path, target: &Path, memory: u64) -> Result<()> {
    let failed = || format!("cannot mount {}", tools.display());
    fs::create_dir(target)?;
    mount_bind(tools, target).with_context(failed)?;
    mount_remount(target, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV, c"")
        .with_context(failed)?;
    mount_tmpfs(&target.join("run"), "mode=0755", memory)?;
    let place = target.join(ROOT_IN_TOOLS.trim_start_matches('/'));
    fs::create_dir(&place)?;
    mount_bind_recursive(root, &place).with_context(failed)?;
    for name in ["dev", "proc", "tmp"] {
        mount_bind_recursive(root.join(name), target.join(name)).with_context(failed)?;
    }
    Ok(())
}

/// The highest process id, where a process namespace has one of its own (Linux 6.14): far more than the watch lets run, and
/// far less than would harm the machine before it looks.
const PROCESS_IDS: &str = "16384";

/// A /proc that can only be read: much below /proc/sys asks for no more than being root's user id, which steps have when
/// the host's root builds. Of the settings made here, one keeps steps from getting rights back in namespaces of their own.
fn mount_proc(proc: &Path) -> Result<()> {
    let failed = || format!("cannot mount {}", proc.display());
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", proc, "proc", flags, None).with_context(failed)?;
    let mut settings = vec![("sys/user/max_user_namespaces", "0")];
    if has_process_ids_of_its_own() {
        settings.push(("sys/kernel/pid_max", PROCESS_IDS));
    }
    for (name, value) in settings {
        let file = proc.join(name);
        File::options()
            .write(true)
            .open(&file)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .with_context(|| format!("cannot write to {}", file.display()))?;
    }
    mount_remount(proc, MountFlags::BIND | MountFlags::RDONLY | flags, c"").with_context(failed)
}

/// Whether the kernel's release is one in which `pid_max` is a process namespace's and not the whole machine's.
fn has_process_ids_of_its_own() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

/// Through the new mount interface, whose values need no escapes for commas, but are short (`fsconfig` in Linux takes 255
/// bytes): so paths in the first layer's folder are given from there.
fn mount_overlay(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> Result<()> {
    let folder = lower.first().and_then(|path| path.parent()).context("an overlay needs a lower layer")?;
    let relative = |path: &Path| escape(path.strip_prefix(folder).unwrap_or(path));
    let mount_it = || -> Result<()> {
        std::env::set_current_dir(folder)?;
        let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "lowerdir", lower.iter().map(|path| relative(path)).collect::<Vec<_>>().join(":"))?;
        fsconfig_set_string(&fs, "upperdir", relative(upper))?;
        fsconfig_set_string(&fs, "workdir", relative(work))?;
        fsconfig_set_flag(&fs, "userxattr")?;
        // Changes are read back right after, so they need not survive a power failure. Since Linux 5.10.
        let _ = fsconfig_set_flag(&fs, "volatile");
        fsconfig_create(&fs)?;
        let mounted = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
        move_mount(&mounted, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(())
    };
    mount_it().with_context(|| format!("cannot mount an overlay on {}", target.display()))
}

/// overlayfs separates lower layers by colons.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:")
}

/// A /dev with the few devices that every program may count on.
fn mount_devices(dev: &Path, memory: u64) -> Result<()> {
    mount_tmpfs(dev, "mode=0755", memory)?;
    for name in DEVICES {
        let place = dev.join(name);
        File::create(&place)?;
        let device = Path::new("/dev").join(name);
        let failed = || format!("cannot bind {}", device.display());
        mount_bind(&device, &place).with_context(failed)?;
        // The device can be written to, its owner and mode on the host cannot be changed.
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
        mount_remount(&place, flags, c"").with_context(failed)?;
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name))?;
    }
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    mount("devpts", dev.join("pts"), "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(options))
        .context("cannot mount /dev/pts")?;
    fs::set_permissions(dev.join("shm"), fs::Permissions::from_mode(0o1777))?;
    Ok(())
}
