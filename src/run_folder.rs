//! Folders that belong to one run of the program: gone when it ends, and recognised as abandoned when it was killed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The file in each such folder that its run holds locked.
const LOCK: &str = "lock";

/// A folder for this run alone.
#[derive(Debug)]
pub struct RunFolder {
    folder: TempDir,
    _lock: File,
}

impl RunFolder {
    /// Removes the folders that killed runs left in `parent`, then makes one whose name begins with `prefix`, too.
    pub fn new(parent: &Path, prefix: &str) -> Result<Self> {
        let guard = File::open(parent).with_context(|| format!("cannot open {}", parent.display()))?;
        // Some network file systems lock no folders: what killed runs leave there stays.
        if guard.lock().is_ok() {
            remove_abandoned(parent, prefix)?;
        }
        let create = || {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            let lock = File::create(folder.path().join(LOCK))?;
            // Where no file can be locked, nobody takes the folder for abandoned either.
            let _ = lock.lock();
            std::io::Result::Ok(Self { folder, _lock: lock })
        };
        create().with_context(|| format!("cannot create a folder in {}", parent.display()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders whose lock nobody holds; passes over those of other users.
fn remove_abandoned(parent: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let abandoned = match File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Folders get their lock under the guard, which is held here: one without was never finished, or half removed.
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        };
        if abandoned {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_folders_go_and_used_ones_stay() {
        let parent = tempfile::tempdir().unwrap();
        let used = RunFolder::new(parent.path(), "run-").unwrap();
        fs::create_dir(parent.path().join("run-unfinished")).unwrap();
        for name in ["run-killed", "other"] {
            fs::create_dir(parent.path().join(name)).unwrap();
            File::create(parent.path().join(name).join(LOCK)).unwrap();
        }
        let second = RunFolder::new(parent.path(), "run-").unwrap();
        let exists = |name: &str| parent.path().join(name).exists();
        assert!(used.path().exists() && second.path().exists() && exists("other"));
        assert!(!exists("run-killed") && !exists("run-unfinished"));
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
