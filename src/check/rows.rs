//! The table.
#![allow(clippy::unnecessary_wraps, reason = "rows have functions of one type")]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;

use super::{Check, Severity, Subject};
use crate::finalize::{BESIDE_ROOT, ROOT_NAME, ROOT_PARTITION};
use crate::store::Directory;

/// What is looked for.
pub const CHECKS: &[Check] = &[
    error("fstab", "the root file system is not found, or not mounted as what it is", check_fstab),
    error("init", "the kernel starts /sbin/init and panics without", check_init),
    error("console", "a guest's console is hvc0: without a login on it nobody can see what is wrong", check_console),
    error("kernel-modules", "a kernel without Xen's disk driver does not find its root", check_modules),
    error(
        "secrets",
        "every system made of the image would have the same secret, and so would whoever has the image",
        check_secrets,
    ),
    error("set-id", "who runs it becomes somebody else, and no package answers for it", check_set_id),
    error("policy-rc.d", "it keeps packages from starting their services in a system that runs", check_policy),
    error("size", "the files do not fit into the image", check_size),
    warning("qubes-agent", "Qubes cannot start programs in it: install the template with --skip-start", check_agent),
];

/// The largest file in which a private key is looked for, in bytes.
const LARGEST_KEY: u64 = 64 << 10;
/// Where secrets are looked for; what packages bring as examples lies elsewhere.
const PRIVATE: [&str; 5] = ["etc/", "home/", "root/", "srv/", "var/"];
/// What a private key has in its first line, in the forms of PEM, `OpenSSH` and `OpenPGP`.
const KEY_MARKS: [&str; 2] = [" PRIVATE KEY-----\n", "PGP PRIVATE KEY BLOCK-----\n"];

const fn error(name: &'static str, why: &'static str, find: fn(&Subject<'_>) -> Result<Vec<String>>) -> Check {
    Check { name, severity: Severity::Error, why, find }
}

const fn warning(name: &'static str, why: &'static str, find: fn(&Subject<'_>) -> Result<Vec<String>>) -> Check {
    Check { name, severity: Severity::Warning, why, find }
}

/// fstab(5): whether what it says of `/` holds for the image. Without a line for it the kernel's command line decides.
fn check_fstab(subject: &Subject<'_>) -> Result<Vec<String>> {
    let text = subject.text("etc/fstab")?.unwrap_or_default();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (image, mut found) = (&subject.manifest.image, Vec::new());
    for fields in lines.filter(|fields| fields.get(1) == Some(&"/") && !fields[0].starts_with('#')) {
        let (device, kind) = (fields[0], fields.get(2).copied().unwrap_or("auto"));
        let wrong = match device.split_once('=') {
            Some(("LABEL", name)) => {
                (unescaped(name) != image.label).then(|| format!("the image's label is `{}`", image.label))
            }
            Some(("UUID", _)) => Some("the image's UUID changes with what is in it: name its label".to_owned()),
            Some(("PARTUUID" | "PARTLABEL", _)) if !image.partitions => Some("the image has no partitions".to_owned()),
            Some(("PARTUUID", id)) => {
                let expected = ROOT_PARTITION.to_string();
                (!unescaped(id).eq_ignore_ascii_case(&expected)).then(|| format!("the partition is {expected}"))
            }
            Some(("PARTLABEL", name)) => {
                (unescaped(name) != ROOT_NAME).then(|| format!("the partition is `{ROOT_NAME}`"))
            }
            _ => (!device.starts_with("/dev/xvda") && !matches!(device, "/dev/mapper/dmroot" | "/dev/root"))
                .then(|| "Xen's first disk is /dev/xvda".to_owned()),
        };
        found.extend(wrong.map(|wrong| format!("/etc/fstab mounts {device} on /, but {wrong}")));
        if !matches!(kind, "ext4" | "auto") {
            found.push(format!("/etc/fstab mounts / as {kind}, but it is ext4"));
        }
    }
    Ok(found)
}

/// A name as fstab(5) spells it.
fn unescaped(text: &str) -> String {
    text.trim_matches('"').replace(r"\040", " ")
}

fn check_init(subject: &Subject<'_>) -> Result<Vec<String>> {
    // As kernel_init in the kernel's init/main.c has them; it would go on to a shell, which is no system.
    let init = ["sbin/init", "etc/init", "bin/init"].iter().find_map(|path| subject.file(path));
    Ok(match init {
        Some(metadata) if metadata.mode() & 0o111 != 0 => Vec::new(),
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

/// For each kernel of the tree's own, the driver of Xen's disks; dom0's kernel brings its own modules.
fn check_modules(subject: &Subject<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
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

fn check_secrets(subject: &Subject<'_>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    subject.for_each_file(&mut |path, metadata| {
        if path == "etc/machine-id" && metadata.size() > 0 {
            found.push("/etc/machine-id identifies a machine".to_owned());
        }
        if !PRIVATE.iter().any(|folder| path.starts_with(folder)) || metadata.size() > LARGEST_KEY {
            return Ok(());
        }
        let text = subject.tree.root.file(path).map(|leaf| subject.reader.read(leaf)).transpose()?.unwrap_or_default();
        if KEY_MARKS.iter().any(|mark| memchr::memmem::find(&text, mark.as_bytes()).is_some()) {
            found.push(format!("/{path} has a private key"));
        }
        Ok(())
    })?;
    Ok(found)
}

fn check_set_id(subject: &Subject<'_>) -> Result<Vec<String>> {
    let mut set_id: Vec<(String, u32)> = Vec::new();
    subject.for_each_file(&mut |path, metadata| {
        if metadata.mode() & 0o6000 != 0 {
            set_id.push((path.to_owned(), metadata.mode()));
        }
        Ok(())
    })?;
    if set_id.is_empty() {
        return Ok(Vec::new());
    }
    let owned = owned_paths(subject)?;
    let alone = set_id.into_iter().filter(|(path, _)| !owned.contains(path));
    Ok(alone.map(|(path, mode)| format!("/{path} has mode {:04o} and is of no package", mode & 0o7777)).collect())
}

/// All paths that packages brought, where the root's links lead to.
fn owned_paths(subject: &Subject<'_>) -> Result<BTreeSet<String>> {
    let list = |folder: &str| -> Vec<String> {
        subject.directory(folder).map(|dir| dir.files.keys().cloned().collect()).unwrap_or_default()
    };
    let paths = subject.manifest.format.owned_paths(&list, &|path| subject.text(path))?;
    Ok(paths.iter().filter_map(|path| subject.follow(path, true)).collect())
}

fn check_policy(subject: &Subject<'_>) -> Result<Vec<String>> {
    let left = subject.exists("usr/sbin/policy-rc.d");
    Ok(left.then(|| "/usr/sbin/policy-rc.d is left from the installation".to_owned()).into_iter().collect())
}

fn check_size(subject: &Subject<'_>) -> Result<Vec<String>> {
    let image = &subject.manifest.image;
    let Some(size) = image.size.map(|size| size - if image.partitions { BESIDE_ROOT } else { 0 }) else {
        return Ok(Vec::new());
    };
    let mut sum = 0;
    subject.for_each_file(&mut |path, metadata| {
        if !subject.tree.extras.links.contains_key(path) {
            sum += metadata.size().next_multiple_of(4096);
        }
        Ok(())
    })?;
    Ok((sum > size)
        .then(|| format!("the files have {sum} bytes, the root file system of the image {size}"))
        .into_iter()
        .collect())
}

/// Qubes' own packages leave this file; without them it is a guest like any other.
fn check_agent(subject: &Subject<'_>) -> Result<Vec<String>> {
    let missing = subject.manifest.template.is_some() && !subject.exists("usr/share/qubes/marker-vm");
    let what = "there is no /usr/share/qubes/marker-vm: none of Qubes' packages is in the template";
    Ok(missing.then(|| what.to_owned()).into_iter().collect())
}
