//! Single entries of a root that is mounted, and that others may write to meanwhile: no link in it is followed.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};

use super::object::{Attributes, ObjectReader};
use super::upper::{Entry, FileTime, attributes_of, read_open_xattrs};

/// Makes an entry that is no device have this name in an open folder, in the place of what has it: of a folder only when
/// nothing is in it, or `with_content`. It has the present time.
pub fn put(reader: &ObjectReader, entry: &Entry, folder: &OwnedFd, name: &str, with_content: bool) -> Result<()> {
    let there = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
        Err(rustix::io::Errno::NOENT) => None,
        Err(e) => return Err(e.into()),
    };
    let is_folder = there == Some(FileType::Directory);
    match entry {
        Entry::Directory(_) if is_folder => {}
        _ if is_folder && with_content => fs::remove_dir_all(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?,
        _ if is_folder => rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?,
        _ if there.is_some() => rustix::fs::unlinkat(folder, name, AtFlags::empty())?,
        _ => {}
    }
    match entry {
        Entry::Absent => {}
        Entry::Leaf(leaf) => put_file(&reader.path(*leaf), folder, name)?,
        Entry::Directory(attributes) => {
            if !is_folder {
                rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700))?;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            set_attributes(&rustix::fs::openat(folder, name, flags, Mode::empty())?, attributes)?;
        }
        Entry::Node(_) => bail!("a device cannot be put there"),
    }
    Ok(())
}

/// Gives the file at a name in an open folder a further name, in the place of a file that has it.
pub fn link(from: (&OwnedFd, &str), folder: &OwnedFd, name: &str) -> Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(rustix::fs::linkat(from.0, from.1, folder, name, AtFlags::empty())?)
}

/// Sets when a file or link was modified, by its own account.
pub fn set_modified(folder: &OwnedFd, name: &str, time: FileTime) -> Result<()> {
    let last_modification = Timespec { tv_sec: time.0, tv_nsec: time.1 };
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access, last_modification };
    Ok(rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A copy of an object.
fn put_file(object: &Path, folder: &OwnedFd, name: &str) -> Result<()> {
    let metadata = fs::symlink_metadata(object)?;
    if metadata.is_symlink() {
        let (uid, gid) = (Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())));
        rustix::fs::symlinkat(&fs::read_link(object)?, folder, name)?;
        rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?);
    std::io::copy(&mut File::open(object)?, &mut file)?;
    set_attributes(&file.into(), &attributes_of(object, &metadata)?)
}

/// Owner, mode and attributes of an open file or folder, which may have had others or inherited some.
fn set_attributes(target: &OwnedFd, attributes: &Attributes) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    rustix::fs::fchown(target, Some(uid), Some(gid))?;
    for name in read_open_xattrs(target)?.keys().filter(|name| !attributes.xattrs.contains_key(*name)) {
        rustix::fs::fremovexattr(target, name)?;
    }
    for (name, value) in &attributes.xattrs {
        rustix::fs::fsetxattr(target, name, value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(target, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    Ok(())
}
