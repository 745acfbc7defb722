//! Content objects: what makes their checksum, and how they get into the repository.
//!
//! An object's checksum is the SHA-256 of a header (owner, mode, link target, extended attributes) and the
//! content (`ostree_checksum_file` in libostree's ostree-core.c); its file in a `bare` repository carries all of that.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::gvariant;
use crate::digest::{Hasher, Sha256};
use crate::timing::{Part, Timings};

/// Files up to this size are hashed in memory first, so that one the store already has is never written.
const SMALL: u64 = 1 << 20;
/// The unit in which runs of zeros become holes.
const BLOCK: usize = 1 << 16;

/// Extended attributes by name, sorted.
pub type Xattrs = std::collections::BTreeMap<String, Vec<u8>>;

/// Extended attributes that are part of a file's content here: those that an ordinary user in a namespace can set, among
/// them access lists (acl(5)), and neither labels of the host's security modules nor overlayfs's own notes.
pub fn is_kept_xattr(name: &str) -> bool {
    matches!(name, "security.capability" | "system.posix_acl_access" | "system.posix_acl_default")
        || name.starts_with("user.") && !name.starts_with("user.overlay.")
}

/// Owner, mode and extended attributes of a file or directory.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// File type and permission bits, as in stat(2).
    pub mode: u32,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// What a content object holds.
pub enum Content<'a> {
    /// A regular file: a stream and its exact length.
    File(&'a mut dyn Read, u64),
    /// A symbolic link's target.
    Symlink(&'a str),
}

/// Reads objects of a repository; any number of threads may share it.
#[derive(Clone, Debug)]
pub struct ObjectReader {
    objects: PathBuf,
    /// The same folder, open.
    folder: Arc<OwnedFd>,
}

/// A content object without a file's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Owner, mode and extended attributes.
    pub attributes: Attributes,
    /// How many bytes it has.
    pub size: u64,
    /// A symbolic link's target; none of a regular file.
    pub target: Option<Vec<u8>>,
}

impl ObjectReader {
    pub(super) fn new(objects: PathBuf, folder: Arc<OwnedFd>) -> Self {
        Self { objects, folder }
    }

    /// Opens a regular file object.
    pub fn open(&self, object: Sha256) -> std::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.folder, name(object, "file"), flags, Mode::empty())?.into())
    }

    /// All of an object but a file's content.
    pub fn look(&self, object: Sha256) -> Result<Object> {
        let look = || -> Result<Object> {
            let name = name(object, "file");
            let stat = rustix::fs::statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let (mut target, mut xattrs) = (None, Xattrs::new());
            if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
                target = Some(rustix::fs::readlinkat(&self.folder, &name, Vec::new())?.into_bytes());
            } else {
                xattrs = super::upper::read_xattrs(&self.objects.join(name))?;
            }
            let attributes = Attributes { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode, xattrs };
            Ok(Object { attributes, size: stat.st_size.try_into()?, target })
        };
        look().with_context(|| format!("cannot read the object {}", self.path(object).display()))
    }

    /// Where a content object is; regular files and symbolic links are themselves, with true owners and modes.
    pub fn path(&self, object: Sha256) -> PathBuf {
        path(&self.objects, object, "file")
    }

    /// The whole content of a regular file object. A symbolic link, which could lead out of the store, is an error.
    pub fn read(&self, object: Sha256) -> Result<Vec<u8>> {
        let read = || {
            let mut bytes = Vec::new();
            self.open(object)?.read_to_end(&mut bytes).map(|_| bytes)
        };
        read().with_context(|| format!("cannot read the object {}", self.path(object).display()))
    }

    /// Owner, mode and extended attributes of an object, as its file has them.
    pub fn attributes(&self, object: Sha256) -> Result<Attributes> {
        let path = self.path(object);
        let read = || super::upper::attributes_of(&path, &fs::symlink_metadata(&path)?);
        read().with_context(|| format!("cannot read the object {}", path.display()))
    }

    /// What a directory's tree object lists.
    pub fn entries(&self, tree: Sha256) -> Result<super::Entries> {
        super::tree::read_tree_object(&self.objects, tree)
    }

    /// What a directory's meta object says.
    pub fn directory_attributes(&self, meta: Sha256) -> Result<Attributes> {
        super::tree::read_meta_object(&self.objects, meta)
    }
}

/// Adds objects to a repository; any number of threads may share it.
#[derive(Clone, Debug)]
pub struct ObjectWriter {
    objects: Arc<OwnedFd>,
    temporary: Arc<OwnedFd>,
    counter: Arc<AtomicU64>,
    timings: Arc<Timings>,
}

impl ObjectWriter {
    pub(super) fn new(objects: Arc<OwnedFd>, temporary: Arc<OwnedFd>, timings: Arc<Timings>) -> Self {
        Self { objects, temporary, counter: Arc::default(), timings }
    }

    /// What the parts of this run took so far.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// Adds a content object, unless it is there; gives its checksum.
    pub fn write(&self, attributes: &Attributes, content: Content<'_>) -> Result<Sha256> {
        match content {
            Content::Symlink(target) => self.write_symlink(attributes, target),
            Content::File(reader, size) if size <= SMALL => {
                let mut bytes = Vec::with_capacity(usize::try_from(size)?);
                reader.read_to_end(&mut bytes)?;
                if bytes.len() as u64 != size {
                    bail!("content ends after {} of {size} bytes", bytes.len());
                }
                self.write_bytes(attributes, &bytes)
            }
            Content::File(reader, size) => self.write_stream(attributes, reader, size),
        }
    }

    /// Adds a regular file with these bytes.
    pub fn write_bytes(&self, attributes: &Attributes, bytes: &[u8]) -> Result<Sha256> {
        let checksum = self.timings.within(Part::Hash, || {
            let mut hasher = Hasher::default();
            hasher.update(&header(attributes, ""));
            hasher.update(bytes);
            hasher.finish()
        });
        self.timings.within(Part::Write, || {
            if !self.has(&name(checksum, "file")) {
                let mut file = self.create()?;
                file.write_all(bytes)?;
                set_attributes(&file, attributes)?;
                self.place(&file, checksum, "file")?;
            }
            Ok(checksum)
        })
    }

    fn write_stream(&self, attributes: &Attributes, reader: &mut dyn Read, size: u64) -> Result<Sha256> {
        let file = self.create()?;
        let mut hasher = Hasher::default();
        hasher.update(&header(attributes, ""));
        let mut buffer = vec![0; BLOCK];
        let mut offset = 0;
        loop {
            let filled = read_block(reader, &mut buffer)?;
            let block = &buffer[..filled];
            self.timings.within(Part::Hash, || hasher.update(block));
            if block.iter().any(|b| *b != 0) {
                self.timings.within(Part::Write, || file.write_all_at(block, offset))?;
            }
            offset += filled as u64;
            if filled < buffer.len() {
                break;
            }
        }
        if offset != size {
            bail!("content has {offset} bytes, {size} were announced");
        }
        self.timings.within(Part::Write, || {
            file.set_len(size)?;
            set_attributes(&file, attributes)?;
            let checksum = hasher.finish();
            self.place(&file, checksum, "file")?;
            Ok(checksum)
        })
    }

    fn write_symlink(&self, attributes: &Attributes, target: &str) -> Result<Sha256> {
        let checksum = Sha256::of(&header(attributes, target));
        let place = name(checksum, "file");
        if !self.has(&place) {
            let temporary = format!("link-{}", self.counter.fetch_add(1, Ordering::Relaxed));
            rustix::fs::symlinkat(target, &self.temporary, &temporary)?;
            let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
            if (attributes.uid, attributes.gid) != (0, 0) {
                rustix::fs::chownat(&self.temporary, &temporary, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .with_context(|| owner_outside(attributes))?;
            }
            let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
            let times = Timestamps { last_access: epoch, last_modification: epoch };
            rustix::fs::utimensat(&self.temporary, &temporary, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            rustix::fs::renameat(&self.temporary, &temporary, &self.objects, &place)
                .with_context(|| format!("cannot create the object {place}"))?;
        }
        Ok(checksum)
    }

    /// Adds the directory objects of a tree; gives its root's tree and meta objects.
    pub fn write_tree(&self, tree: &super::Tree) -> Result<(Sha256, Sha256)> {
        super::tree::write_directory(self, &tree.root)
    }

    /// Adds a metadata object (`dirtree`, `dirmeta`); gives its checksum.
    pub(super) fn write_metadata(&self, bytes: &[u8], kind: &str) -> Result<Sha256> {
        let checksum = Sha256::of(bytes);
        if !self.has(&name(checksum, kind)) {
            let mut file = self.create()?;
            file.write_all(bytes)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
            self.place(&file, checksum, kind)?;
        }
        Ok(checksum)
    }

    /// The file system of the objects, for syncfs(2).
    pub(super) fn file_system(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.objects, ".", flags, Mode::empty()).context("cannot open the folder of objects")
    }

    fn has(&self, object: &str) -> bool {
        rustix::fs::statat(&self.objects, object, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// A file without a name, which vanishes unless it is given one (`O_TMPFILE` in open(2)).
    fn create(&self) -> Result<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.temporary, ".", flags, Mode::from_raw_mode(0o600))
            .context("cannot create a file in the store")?;
        Ok(file.into())
    }

    /// Gives a complete object its name; one that came before it stays.
    fn place(&self, file: &File, checksum: Sha256, kind: &str) -> Result<()> {
        let place = name(checksum, kind);
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::linkat(CWD, unnamed, &self.objects, &place, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("cannot create the object {place}")),
        }
    }
}

/// An object's name in the folder of objects; `kind` is its ending.
pub(super) fn name(checksum: Sha256, kind: &str) -> String {
    let hex = checksum.to_hex();
    let (folder, rest) = hex.split_at(2);
    [folder, "/", rest, ".", kind].concat()
}

/// Where an object stands.
pub(super) fn path(objects: &Path, checksum: Sha256, kind: &str) -> PathBuf {
    objects.join(name(checksum, kind))
}

/// Makes the folders of objects, so that writers need not look for them.
pub(super) fn make_folders(objects: &Path) -> Result<()> {
    if !objects.join("ff").exists() {
        for first in 0..=255_u8 {
            fs::create_dir_all(objects.join(format!("{first:02x}")))?;
        }
    }
    Ok(())
}

/// The header that is hashed before the content: its length, padding, and the attributes.
pub(super) fn header(attributes: &Attributes, target: &str) -> Vec<u8> {
    let Attributes { uid, gid, mode, xattrs } = attributes;
    let data = gvariant::file_header(*uid, *gid, *mode, target, xattrs);
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &[0; 4], &data].concat()
}

/// Gives an open file its owner, mode, attributes and the modification time 0 that all objects have.
fn set_attributes(file: &File, attributes: &Attributes) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    if (attributes.uid, attributes.gid) != (0, 0) {
        rustix::fs::fchown(file, Some(uid), Some(gid)).with_context(|| owner_outside(attributes))?;
    }
    for (name, value) in &attributes.xattrs {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
            .with_context(|| format!("cannot set the extended attribute {name}"))?;
    }
    // After the owner: chown(2) clears set-id bits.
    rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::fs::futimens(file, &Timestamps { last_access: epoch, last_modification: epoch })?;
    Ok(())
}

fn owner_outside(attributes: &Attributes) -> String {
    format!(
        "cannot give a file to owner {}:{}: it must lie in the range of subordinate ids (/etc/subuid, /etc/subgid)",
        attributes.uid, attributes.gid
    )
}

/// Fills the buffer as far as the reader goes.
fn read_block(reader: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(filled)
}
