//! Folders that belong to one run of the program: gone when it ends, and recognised as abandoned when it was killed.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The file in each such folder that its run holds locked.
const LOCK: &str = "lock";
/// How many letters and digits a name has behind its prefix.
const RANDOM: usize = 6;

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
            let folder = tempfile::Builder::new().prefix(prefix).rand_bytes(RANDOM).tempdir_in(parent)?;
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

/// Removes this user's folders whose lock nobody holds and whose name is one that [`RunFolder::new`] gives; `parent` may be a
/// folder of other users and of other things, too. What another run removes meanwhile is gone.
fn remove_abandoned(parent: &Path, prefix: &str) -> Result<()> {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))? {
        let entry = entry?;
        let is_name = entry.file_name().to_str().and_then(|name| name.strip_prefix(prefix)).is_some_and(is_random);
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        if !(is_name && is_ours) {
            continue;
        }
        let path = entry.path();
        let abandoned = match File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Folders get their lock under the guard, which is held here: one without was never finished, or half removed.
            Err(e) => e.kind() == ErrorKind::NotFound,
        };
        let removed = if abandoned { fs::remove_dir_all(&path) } else { Ok(()) };
        match removed {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_random(name: &str) -> bool {
    name.len() == RANDOM && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_folders_go_and_used_ones_stay() {
        let parent = tempfile::tempdir().unwrap();
        let used = RunFolder::new(parent.path(), "run-").unwrap();
        fs::create_dir(parent.path().join("run-000000")).unwrap();
        let others = ["other", "run-", "run-12345", "run-1234567", "run-12 456"];
        for name in ["run-Killed"].iter().chain(&others) {
            fs::create_dir(parent.path().join(name)).unwrap();
            File::create(parent.path().join(name).join(LOCK)).unwrap();
        }
        let second = RunFolder::new(parent.path(), "run-").unwrap();
        let exists = |name: &str| parent.path().join(name).exists();
        assert!(used.path().exists() && second.path().exists());
        assert!(!exists("run-Killed") && !exists("run-000000"));
        for name in others {
            assert!(exists(name), "{name}");
        }
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }

    #[test]
    fn files_and_other_users_folders_stay() {
        let parent = tempfile::tempdir().unwrap();
        let (file, folder) = (parent.path().join("run-000000"), parent.path().join("run-111111"));
        File::create(&file).unwrap();
        fs::create_dir(&folder).unwrap();
        let given = std::os::unix::fs::chown(&folder, Some(12345), None).is_ok();
        RunFolder::new(parent.path(), "run-").unwrap();
        // Only root gives folders away.
        assert!(file.exists() && folder.exists() == given);
    }
}
