//! What fstab(5) says of the root file system.

use anyhow::Result;

use super::Subject;
use crate::finalize::{ROOT_NAME, ROOT_PARTITION};
use crate::manifest::ImageOptions;

/// Names of the root that hold in every guest: of the snapshot that Qubes puts over it, and of what the kernel's command line
/// tells.
const ANY_ROOT: [&str; 2] = ["/dev/mapper/dmroot", "/dev/root"];

/// Folders of udev's links to devices, and the words that fstab(5) has for what they are named by.
const BY: [(&str, &str); 4] = [
    ("/dev/disk/by-label/", "LABEL"),
    ("/dev/disk/by-uuid/", "UUID"),
    ("/dev/disk/by-partlabel/", "PARTLABEL"),
    ("/dev/disk/by-partuuid/", "PARTUUID"),
];

/// Whether what it says of `/` holds for the image. Without a line for it the kernel's command line decides.
pub(super) fn check_fstab(subject: &Subject<'_>) -> Result<Vec<String>> {
    let text = subject.text("etc/fstab")?.unwrap_or_default();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (image, mut found) = (&subject.manifest.image, Vec::new());
    for fields in lines.filter(|fields| fields.get(1) == Some(&"/") && !fields[0].starts_with('#')) {
        let (device, kind) = (fields[0], fields.get(2).copied().unwrap_or("auto"));
        found.extend(wrong(device, image).map(|wrong| format!("/etc/fstab mounts {device} on /, but {wrong}")));
        if !matches!(kind, "ext4" | "auto") {
            found.push(format!("/etc/fstab mounts / as {kind}, but it is ext4"));
        }
    }
    Ok(found)
}

/// Why a device is not the image's root file system.
fn wrong(device: &str, image: &ImageOptions) -> Option<String> {
    let by = BY.iter().find_map(|(folder, word)| Some((*word, device.strip_prefix(folder)?)));
    let (word, name) = by.or_else(|| device.split_once('=')).unwrap_or_default();
    let name = unescaped(name);
    match word {
        "LABEL" => (name != image.label).then(|| format!("the image's label is `{}`", image.label)),
        "UUID" => Some("the image's UUID changes with what is in it: name its label".to_owned()),
        "PARTUUID" | "PARTLABEL" if !image.partitions => Some("the image has no partitions".to_owned()),
        "PARTUUID" => {
            let expected = ROOT_PARTITION.to_string();
            (!name.eq_ignore_ascii_case(&expected)).then(|| format!("the partition is {expected}"))
        }
        "PARTLABEL" => (name != ROOT_NAME).then(|| format!("the partition is `{ROOT_NAME}`")),
        _ => {
            // The third partition of Xen's first disk, or all of it.
            let expected = if image.partitions { "/dev/xvda3" } else { "/dev/xvda" };
            let known = device == expected || ANY_ROOT.contains(&device);
            (!known).then(|| format!("a guest of Xen has the image's root file system as {expected}"))
        }
    }
}

/// A name as fstab(5) or udev's links spell it, in which spaces are `\040` or `\x20`.
fn unescaped(text: &str) -> String {
    text.trim_matches('"').replace(r"\040", " ").replace(r"\x20", " ")
}
