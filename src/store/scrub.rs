//! After a power failure: objects and refs that got their names but not their contents are removed, so that the next run
//! makes them again. Nothing here is needed after a process was merely killed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use glib::variant::Variant;
use rayon::prelude::*;

use super::object;
use crate::digest::{Hasher, Sha256};
use crate::durable;

/// The kernel's name for the time since it was started, random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Scrubs the store at `root` if a run of an earlier boot never ended; call it before that run's folder is removed.
pub(super) fn after_power_failure(root: &Path) -> Result<()> {
    let boot = fs::read(BOOT_ID).with_context(|| format!("cannot read {BOOT_ID}"))?;
    let record = root.join("boot");
    if fs::read(&record).is_ok_and(|recorded| recorded == boot) {
        return Ok(());
    }
    let unfinished = fs::read_dir(root.join("work"))?
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("run-"));
    if unfinished {
        let folders: Vec<_> = fs::read_dir(root.join("repo/objects"))?.collect::<Result<_, _>>()?;
        folders.par_iter().try_for_each(|folder| scrub_objects(&folder.path()))?;
        scrub_refs(&root.join("repo/refs/heads"))?;
    }
    durable::write(&record, &boot)
}

fn scrub_objects(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "commitmeta") {
            scrub_beside(&path)?;
            continue;
        }
        if checksum_in(&path) != Some(digest_of(&path)?) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// What stands beside a commit is no object: it has no checksum, but a form.
fn scrub_beside(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.is_empty() || !Variant::from_data::<HashMap<String, Variant>, _>(bytes).is_normal_form() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// The checksum that an object's file has by its name.
pub(super) fn checksum_in(path: &Path) -> Option<Sha256> {
    let digits = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    (digits(path.parent().and_then(Path::file_name)) + &digits(path.file_stem())).parse().ok()
}

/// The checksum that an object's file has by its content.
pub(super) fn digest_of(path: &Path) -> Result<Sha256> {
    let read = || -> Result<Sha256> {
        if path.extension().is_none_or(|kind| kind != "file") {
            return Ok(Sha256::of_reader(File::open(path)?)?.0);
        }
        let metadata = fs::symlink_metadata(path)?;
        let attributes = super::upper::attributes_of(path, &metadata)?;
        if metadata.is_symlink() {
            return Ok(Sha256::of(&object::header(&attributes, &fs::read_link(path)?.to_string_lossy())));
        }
        let mut hasher = Hasher::default();
        hasher.update(&object::header(&attributes, ""));
        std::io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(hasher.finish())
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn scrub_refs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            scrub_refs(&path)?;
        } else if fs::read_to_string(&path)?.trim_end().parse::<Sha256>().is_err() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
