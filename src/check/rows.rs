//! The table.
#![allow(clippy::unnecessary_wraps, reason = "rows have functions of one type")]

use std::collections::{BTreeSet, HashSet};

use anyhow::Result;

use super::fstab::check_fstab;
use super::secrets::check_secrets;
use super::subject::RegularFile;
use super::{Check, Severity, Subject};
use crate::finalize::{
    BESIDE_ROOT, OWN_KERNEL_ARCHITECTURE, SELINUX_CONFIG, SelinuxMode, selinux_configured, selinux_rules,
};
use crate::manifest::Kernel;
use crate::store::{Directory, split};

/// What is looked for.
pub const CHECKS: &[Check] = &[
    error("fstab", "the root file system is not found, or not mounted as what it is", check_fstab),
    error("init", "the kernel starts /sbin/init and panics without", check_init),
    error("console", "a guest's console is hvc0: without a login on it nobody can see what is wrong", check_console),
    error("own-kernel", "the disk does not start by itself, as `image: kernel: own` says it does", check_own_kernel),
    error("kernel-modules", "a kernel without Xen's disk driver does not find its root", check_modules),
    error(
        "secrets",
        "every system made of the image would have the same secret, and so would whoever has the image",
        check_secrets,
    ),
    error("set-id", "who runs it becomes somebody else, and no package answers for it", check_set_id),
    error("policy-rc.d", "it keeps packages from starting their services in a system that runs", check_policy),
    error(
        "selinux",
        "a guest whose kernel has SELinux on and enforcing stops without a policy, and lets nothing run without labels",
        check_selinux,
    ),
    error("size", "the files do not fit into the image", check_size),
    warning(
        "qubes-agent",
        "Qubes may not be able to start programs in it: then install the template with --skip-start",
        check_agent,
    ),
];

const fn error(name: &'static str, why: &'static str, find: fn(&Subject<'_>) -> Result<Vec<String>>) -> Check {
    Check { name, severity: Severity::Error, why, find }
}

const fn warning(name: &'static str, why: &'static str, find: fn(&Subject<'_>) -> Result<Vec<String>>) -> Check {
    Check { name, severity: Severity::Warning, why, find }
}

fn check_init(subject: &Subject<'_>) -> Result<Vec<String>> {
    // As kernel_init in the kernel's init/main.c has them; it would go on to a shell, which is no system.
    let init = ["sbin/init", "etc/init", "bin/init"].iter().find_map(|path| subject.file(path));
    Ok(match init {
        Some(object) if object.attributes.mode & 0o111 != 0 => Vec::new(),
        Some(_) => vec!["/sbin/init cannot be executed".to_owned()],
        None => vec!["there is no /sbin/init: a package such as systemd-sysv has it".to_owned()],
    })
}

/// A getty by a unit that is enabled, by systemd's generator for consoles, or by inittab(5).
fn check_console(subject: &Subject<'_>) -> Result<Vec<String>> {
    const UNIT: &str = "serial-getty@hvc0.service";
    let template = ["usr/lib/systemd/system", "etc/systemd/system", "lib/systemd/system"]
        .iter()
        .any(|folder| subject.file(&format!("{folder}/serial-getty@.service")).is_some());
    let masked = [UNIT, "serial-getty@.service"].iter().any(|unit| subject.is_masked(unit));
    let generator = subject.file("usr/lib/systemd/system-generators/systemd-getty-generator").is_some();
    let enabled = subject.exists(&format!("etc/systemd/system/getty.target.wants/{UNIT}"));
    let inittab = subject.text("etc/inittab")?.unwrap_or_default();
    let by_init = inittab.lines().any(|line| !line.starts_with('#') && line.contains("getty") && line.contains("hvc0"));
    Ok(if masked {
        vec![format!("{UNIT} is masked")]
    } else if template && (generator || enabled) || by_init {
        Vec::new()
    } else {
        vec!["nothing starts a getty on hvc0: systemd does, or a line in /etc/inittab".to_owned()]
    })
}

/// What GRUB loads of a root with its own kernel, and what brings it.
const LOADED: [(&str, &str); 3] = [
    (
        "boot/grub/grub.cfg",
        "GRUB's configuration; `include: [include/own-kernel.yaml]` of this project's manifests has one",
    ),
    ("vmlinuz", "the link that Debian's kernel packages make; one has to be among `packages:`"),
    ("initrd.img", "the link that initramfs-tools makes; it has to be among `packages:`"),
];

/// What the disk starts with, where that is its own matter.
fn check_own_kernel(subject: &Subject<'_>) -> Result<Vec<String>> {
    if subject.manifest.image.kernel != Kernel::Own {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if subject.architecture.as_str() != OWN_KERNEL_ARCHITECTURE {
        let architecture = subject.architecture;
        found.push(format!("there is no boot loader for {architecture}, only for {OWN_KERNEL_ARCHITECTURE}"));
    }
    for (path, what) in LOADED {
        if subject.file(path).is_none() {
            let how = if subject.exists(path) { "leads nowhere" } else { "is missing" };
            found.push(format!("/{path} {how}: it is {what}"));
        }
    }
    Ok(found)
}

/// For each kernel that the disk starts with, the driver of Xen's disks; dom0's kernel brings its own modules.
fn check_modules(subject: &Subject<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if subject.manifest.image.kernel != Kernel::Own {
        return Ok(found);
    }
    let names =
        subject.directory("boot").map(|boot| boot.files.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for version in names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")) {
        let folder = format!("usr/lib/modules/{version}");
        let Some(modules) = subject.directory(&folder) else {
            found.push(format!("/boot has the kernel {version}, and /{folder} is missing"));
            continue;
        };
        let built_in = subject.text(&format!("{folder}/modules.builtin"))?.unwrap_or_default();
        if !has_module(modules, "xen-blkfront.ko") && !built_in.contains("/xen-blkfront.ko") {
            found.push(format!("the kernel {version} has no xen-blkfront"));
        }
    }
    Ok(found)
}

fn has_module(folder: &Directory, name: &str) -> bool {
    folder.files.keys().any(|file| file.starts_with(name))
        || folder.directories.values().any(|dir| has_module(dir, name))
}

/// Files that give who runs them another user, group or capability (capabilities(7)).
fn check_set_id(subject: &Subject<'_>) -> Result<Vec<String>> {
    let look = |RegularFile { path, object, .. }: &RegularFile<'_>| {
        let mode = object.attributes.mode;
        if mode & 0o6000 != 0 {
            Some((path.clone(), format!("mode {:04o}", mode & 0o7777)))
        } else if object.attributes.xattrs.contains_key("security.capability") {
            Some((path.clone(), "capabilities".to_owned()))
        } else {
            None
        }
    };
    let found: Vec<(String, String)> = subject.files().iter().filter_map(look).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let owned = owned_paths(subject, &found.iter().map(|(path, _)| split(path).1).collect())?;
    let alone = found.into_iter().filter(|(path, _)| !owned.contains(path));
    Ok(alone.map(|(path, what)| format!("/{path} has {what} and is of no package")).collect())
}

/// The paths with these last names that packages brought, where the root's links lead to.
fn owned_paths(subject: &Subject<'_>, names: &HashSet<&str>) -> Result<BTreeSet<String>> {
    let list = |folder: &str| -> Vec<String> {
        subject.directory(folder).map(|dir| dir.files.keys().cloned().collect()).unwrap_or_default()
    };
    let known = subject.manifest.format.owned_paths(&list, &|path| subject.text(path))?;
    let paths = known.map_or_else(|| (subject.shipped)(), Ok)?;
    let paths = paths.iter().filter(|path| names.contains(split(path).1));
    Ok(paths.filter_map(|path| subject.follow(path, true)).collect())
}

fn check_policy(subject: &Subject<'_>) -> Result<Vec<String>> {
    let left = subject.exists("usr/sbin/policy-rc.d");
    Ok(left.then(|| "/usr/sbin/policy-rc.d is left from the installation".to_owned()).into_iter().collect())
}

/// What an enforcing guest needs at its start: a policy to load (`selinux(8)`, section "FILES"), and the rules that its files are
/// labelled by in outputs.
fn check_selinux(subject: &Subject<'_>) -> Result<Vec<String>> {
    let config = subject.text(SELINUX_CONFIG)?.unwrap_or_default();
    let (mode, name) = selinux_configured(&config);
    if mode != Some(SelinuxMode::Enforcing) {
        return Ok(Vec::new());
    }
    let (rules, folder) = (selinux_rules(name), format!("etc/selinux/{name}/policy"));
    let is_policy = |file: &String| file.starts_with("policy.");
    let has_policy = subject.directory(&folder).is_some_and(|folder| folder.files.keys().any(is_policy));
    let missing = [
        (!has_policy).then(|| format!("there is no /{folder}/policy.VERSION to load")),
        subject.file(&rules).is_none().then(|| format!("no file has a label, since there is no /{rules}")),
    ];
    let told = |what| format!("/{SELINUX_CONFIG} says that the policy {name} is enforced, and {what}");
    Ok(missing.into_iter().flatten().map(told).collect())
}

fn check_size(subject: &Subject<'_>) -> Result<Vec<String>> {
    let image = &subject.manifest.image;
    let Some(size) = image.size.map(|size| size - if image.partitions { BESIDE_ROOT } else { 0 }) else {
        return Ok(Vec::new());
    };
    let counted = subject.files().iter().filter(|file| !subject.tree.extras.links.contains_key(&file.path));
    let sum: u64 = counted.map(|file| file.object.size.next_multiple_of(4096)).sum();
    Ok((sum > size)
        .then(|| format!("the files have {sum} bytes, the root file system of the image {size}"))
        .into_iter()
        .collect())
}

/// Qubes' own packages leave this file, which tells their release in the first line that begins with a digit; without them it
/// is a guest like any other.
fn check_agent(subject: &Subject<'_>) -> Result<Vec<String>> {
    const MARKER: &str = "usr/share/qubes/marker-vm";
    let Some(template) = &subject.manifest.template else { return Ok(Vec::new()) };
    let Some(marker) = subject.text(MARKER)? else {
        return Ok(vec![format!("there is no /{MARKER}: none of Qubes' packages is in the template")]);
    };
    let told = marker.lines().find(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(str::trim);
    let release = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let other = told.filter(|told| release(told) != release(&template.version));
    Ok(other
        .map(|told| format!("/{MARKER} tells of Qubes {told}, the template is for {}", template.version))
        .into_iter()
        .collect())
}
