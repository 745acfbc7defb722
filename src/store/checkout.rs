//! Trees as folders: files are hard links to their objects, so a checkout costs no data and must never be written to.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::tree::Directory;
use super::{Attributes, Leaf, Store};

/// Checks a directory out to `target`, which must not exist. Devices are left out: no unprivileged user can make them.
pub fn check_out(store: &Store, dir: &Directory, target: &Path) -> Result<()> {
    let objects = Objects { path: &store.objects, folder: &store.objects_fd };
    write_directory(objects, dir, target).with_context(|| format!("cannot check out to {}", target.display()))
}

/// The folder of objects, by path and open.
#[derive(Clone, Copy)]
struct Objects<'a> {
    path: &'a Path,
    folder: &'a OwnedFd,
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
fn copy_file(object: &Path, target: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(object)?;
    let (uid, gid) = (Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())));
    if metadata.is_symlink() {
        rustix::fs::symlink(&fs::read_link(object)?, target)?;
        rustix::fs::chownat(CWD, target, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok(());
    }
    fs::copy(object, target)?;
    rustix::fs::chownat(CWD, target, uid, gid, AtFlags::empty())?;
    for (name, value) in super::upper::read_xattrs(object)? {
        rustix::fs::setxattr(target, &name, &value, XattrFlags::empty())?;
    }
    rustix::fs::chmod(target, Mode::from_raw_mode(metadata.mode() & 0o7777))?;
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: epoch, last_modification: epoch };
    rustix::fs::futimens(File::open(target)?, &times)?;
    Ok(())
}
