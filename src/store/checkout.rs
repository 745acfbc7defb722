//! Trees as folders: files are hard links to their objects, so a checkout costs no data and must never be written to.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::tree::Directory;
use super::{Attributes, Leaf, Store};

/// Checks a directory out to `target`, which must not exist. Devices are left out: no unprivileged user can make them.
pub fn check_out(store: &Store, dir: &Directory, target: &Path) -> Result<()> {
    write_directory(Objects::of(store), dir, target)
        .with_context(|| format!("cannot check out to {}", target.display()))
}

/// The most folders that [`Layers`] stacks: their names have to fit in one option of a mount, and each is one more to look
/// through for every path.
const MOST_LAYERS: usize = 12;

/// A tree that changes, checked out: what differs from the tree before is a folder of its own, for overlayfs to stack on those
/// below it (whiteouts in Documentation/filesystems/overlayfs.rst in Linux).
#[derive(Debug)]
pub struct Layers<'a> {
    store: &'a Store,
    folders: Vec<PathBuf>,
    /// What the folders show together.
    shown: Directory,
    count: usize,
}

impl<'a> Layers<'a> {
    /// No layer yet.
    pub fn new(store: &'a Store) -> Self {
        Self { store, folders: Vec::new(), shown: Directory::new(0o755), count: 0 }
    }

    /// Makes the layers show a tree.
    pub fn show(&mut self, root: &Directory) -> Result<()> {
        if self.folders.len() == MOST_LAYERS {
            self.discard();
        }
        if !self.folders.is_empty() && self.shown == *root {
            return Ok(());
        }
        self.count += 1;
        let folder = self.store.work().join(format!("layer-{}", self.count));
        match self.folders.as_slice() {
            [] => check_out(self.store, root, &folder)?,
            _ => write_difference(Objects::of(self.store), &self.shown, root, &folder)
                .with_context(|| format!("cannot check out to {}", folder.display()))?,
        }
        self.folders.insert(0, folder);
        self.shown.clone_from(root);
        Ok(())
    }

    /// The tree that the layers show.
    pub fn shown(&self) -> &Directory {
        &self.shown
    }

    /// The folders, the topmost first.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Removes the folders in the background.
    pub fn discard(&mut self) {
        self.folders.drain(..).for_each(|folder| self.store.discard(folder));
    }
}

/// What makes the directory `new` of the directory `old` where `target` lies above it.
fn write_difference(objects: Objects<'_>, old: &Directory, new: &Directory, target: &Path) -> Result<()> {
    rustix::fs::mkdirat(CWD, target, Mode::from_raw_mode(0o700))?;
    let folder = File::open(target)?;
    for (name, leaf) in new.files.iter().filter(|(name, leaf)| old.files.get(*name) != Some(leaf)) {
        write_file(objects, *leaf, &folder, name, target)?;
    }
    for name in old.files.keys().chain(old.directories.keys()) {
        if !new.files.contains_key(name) && !new.directories.contains_key(name) {
            rustix::fs::mknodat(&folder, name, FileType::CharacterDevice, Mode::empty(), 0)?;
        }
    }
    drop(folder);
    new.directories.par_iter().try_for_each(|(name, child)| match old.directories.get(name) {
        Some(before) if before == child => Ok(()),
        Some(before) => write_difference(objects, before, child, &target.join(name)),
        None => write_directory(objects, child, &target.join(name)),
    })?;
    set_directory_attributes(target, &new.attributes)
}

/// The folder of objects, by path and open.
#[derive(Clone, Copy)]
struct Objects<'a> {
    path: &'a Path,
    folder: &'a OwnedFd,
}

impl<'a> Objects<'a> {
    fn of(store: &'a Store) -> Self {
        Self { path: &store.objects, folder: &store.objects_fd }
    }
}

fn write_directory(objects: Objects<'_>, dir: &Directory, target: &Path) -> Result<()> {
    rustix::fs::mkdirat(CWD, target, Mode::from_raw_mode(0o700))?;
    if !dir.files.is_empty() {
        // Open only for this: as many directories as there are threads, however deep the tree is.
        let folder = File::open(target)?;
        for (name, leaf) in &dir.files {
            write_file(objects, *leaf, &folder, name, target)?;
        }
    }
    dir.directories.par_iter().try_for_each(|(name, child)| write_directory(objects, child, &target.join(name)))?;
    set_directory_attributes(target, &dir.attributes)
}

/// Gives an existing directory these attributes, and the modification time 0 that all of a checkout has.
pub fn set_directory_attributes(target: &Path, attributes: &Attributes) -> Result<()> {
    let target = File::open(target)?;
    if (attributes.uid, attributes.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::fchown(&target, Some(uid), Some(gid))?;
    }
    for (name, value) in &attributes.xattrs {
        rustix::fs::fsetxattr(&target, name, value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(&target, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::fs::futimens(&target, &Timestamps { last_access: epoch, last_modification: epoch })?;
    Ok(())
}

/// Links an object to a name in the open `folder`, which is `target`.
fn write_file(objects: Objects<'_>, leaf: Leaf, folder: &File, name: &str, target: &Path) -> Result<()> {
    let object = super::object::name(leaf, "file");
    match rustix::fs::linkat(objects.folder, &object, folder, name, AtFlags::empty()) {
        Ok(()) => Ok(()),
        // A file system allows only so many names for one file; a common one (an empty file) can reach that.
        Err(rustix::io::Errno::MLINK) => copy_file(&objects.path.join(object), &target.join(name)),
        Err(e) => Err(e).with_context(|| format!("cannot link the object {object} to {}", target.join(name).display())),
    }
}

/// An own copy of an object, with owner, mode and attributes.
pub(super) fn copy_file(object: &Path, target: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(object)?;
    let (uid, gid) = (Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())));
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: epoch, last_modification: epoch };
    if metadata.is_symlink() {
        rustix::fs::symlink(&fs::read_link(object)?, target)?;
        rustix::fs::chownat(CWD, target, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok(());
    }
    fs::copy(object, target)?;
    rustix::fs::chownat(CWD, target, uid, gid, AtFlags::empty())?;
    for (name, value) in super::upper::read_xattrs(object)? {
        rustix::fs::setxattr(target, &name, &value, XattrFlags::empty())?;
    }
    rustix::fs::chmod(target, Mode::from_raw_mode(metadata.mode() & 0o7777))?;
    rustix::fs::futimens(File::open(target)?, &times)?;
    Ok(())
}
