//! Folders for an overlay's changes: in memory where they fit, else on disk.

use std::path::PathBuf;

use anyhow::Result;
use rustix::fs::statvfs;

use super::{Changes, available_memory, mounts};

/// Of a file system that fills up, one part in this many stays free.
const RESERVE: u64 = 16;

/// Folders for an overlay's changes.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    mounted: bool,
    changes: Changes,
}

impl Scratch {
    /// Makes the folders below `folder`: on a tmpfs when `expected` bytes leave the host half of its free memory and the
    /// kernel's tmpfs can hold overlayfs's attributes (Linux 6.6). Changes may take `most` bytes, which are expected then,
    /// or half of what is free there.
    pub fn new(folder: PathBuf, expected: u64, most: Option<u64>) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let memory = available_memory().unwrap_or(0) / 2;
        let allowed = most.unwrap_or(memory);
        let reserve = allowed / RESERVE;
        let mut scratch = Self { mounted: false, folder, changes: Changes { allowed, reserve, shared: false } };
        if most.unwrap_or(expected) < memory {
            scratch.mounted = mounts::mount_tmpfs(&scratch.folder, "mode=0755", allowed + reserve).is_ok();
            if scratch.mounted && !mounts::holds_user_attributes(&scratch.folder) {
                scratch.unmount();
            }
        }
        if !scratch.mounted {
            let disk = statvfs(&scratch.folder)?;
            let free = disk.f_bavail * disk.f_frsize;
            let allowed = most.unwrap_or(free / 2).min(free - free / RESERVE);
            scratch.changes = Changes { allowed, reserve: free - allowed, shared: true };
        }
        for name in ["upper", "work"] {
            std::fs::create_dir_all(scratch.folder.join(name))?;
        }
        Ok(scratch)
    }

    /// The folder of changes.
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// overlayfs's own folder.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// How much the changes may take.
    pub fn changes(&self) -> Changes {
        self.changes
    }

    fn unmount(&mut self) {
        if self.mounted {
            let _ = mounts::unmount(&self.folder);
            self.mounted = false;
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.unmount();
    }
}
