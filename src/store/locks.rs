//! Where the locks are that builds from a store used: notes in its folder `locks/`, each a path, so that what they need is kept.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::digest::Sha256;
use crate::durable;

/// Notes that the lock at an absolute path needs what the store at `root` has.
pub fn remember_lock(root: &Path, lock: &Path) -> Result<()> {
    let path = lock.as_os_str().as_bytes();
    durable::write_if_changed(&root.join("locks").join(Sha256::of(path).to_hex()), path).map(drop)
}

/// The notes, and the paths that they hold, sorted.
pub fn remembered_locks(root: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = root.join("locks");
    let failed = || format!("cannot read {}", folder.display());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(failed)?,
    };
    let mut notes = Vec::new();
    for entry in entries {
        let note = entry.with_context(failed)?.path();
        let path = fs::read(&note).with_context(|| format!("cannot read {}", note.display()))?;
        notes.push((note, std::ffi::OsString::from_vec(path).into()));
    }
    notes.sort();
    Ok(notes)
}
