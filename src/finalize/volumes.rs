//! Volumes beside the root that a guest of plain Xen is given as disks of their own: swap, and a place for what it keeps.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::Request;
use super::ext4::{self, Contents, FileSystem};
use super::sparse::{Hashes, SparseFile};
use crate::digest::Sha256;
use crate::store::{Directory, Extras, Objects, Tree};

/// The page size that swap is made for, in bytes: all architectures here can have it.
const PAGE: u64 = 4096;

/// The label of the private volume, by which an fstab can name it.
const PRIVATE: &str = "private";
/// The label of the swap volume.
const SWAP: &[u8] = b"swap";

/// Makes an empty ext4 file system of so many bytes; gives the hashes of it.
pub(super) fn write_private(request: &Request<'_>, size: u64, identity: Sha256, output: &Path) -> Result<Hashes> {
    with_private(request, identity, |contents| {
        let volume = contents.lay_out(size).context("a private volume must be larger")?;
        let file = create(output, size)?;
        let file = SparseFile::new(&file);
        volume
            .write(&request.store.reader(), &file, 0)
            .with_context(|| format!("cannot write {}", output.display()))?;
        Ok(file.finish())
    })
}

/// What lies at a byte of such a file system.
pub(super) fn path_at(request: &Request<'_>, size: u64, identity: Sha256, offset: u64) -> Result<Option<String>> {
    with_private(request, identity, |contents| Ok(contents.lay_out(size)?.path_at(offset)))
}

fn with_private<T>(
    request: &Request<'_>,
    identity: Sha256,
    work: impl FnOnce(&Contents<'_>) -> Result<T>,
) -> Result<T> {
    let tree = Tree { root: Directory::new(0o755), extras: Extras::default() };
    let file_system = FileSystem { label: PRIVATE, identity, date: request.lock.date };
    let reader = request.store.reader();
    let objects = Objects::of(&reader, &tree)?;
    work(&Contents::of(&reader, (&tree, &objects), None, file_system)?)
}

/// Makes swap space of so many bytes, with a header as `union swap_header` of Linux's `include/linux/swap.h` has it and
/// mkswap(8) writes it.
pub(super) fn write_swap(size: u64, identity: Sha256, output: &Path) -> Result<()> {
    let mut header = [0; PAGE as usize];
    let last_page = u32::try_from(size / PAGE - 1).context("swap space has at most 16 TiB")?;
    // After 1024 bytes for a boot loader: version, last page, number of bad pages, UUID, label.
    header[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    header[1028..1032].copy_from_slice(&last_page.to_le_bytes());
    header[1036..1052].copy_from_slice(ext4::uuid(identity).as_bytes());
    header[1052..1052 + SWAP.len()].copy_from_slice(SWAP);
    header[PAGE as usize - 10..].copy_from_slice(b"SWAPSPACE2");
    let file = create(output, size)?;
    file.write_all_at(&header, 0).with_context(|| format!("cannot write {}", output.display()))
}

/// A new file of so many zeros.
pub(super) fn create(output: &Path, size: u64) -> Result<File> {
    let create = || {
        let file = File::options().read(true).write(true).create_new(true).open(output)?;
        file.set_len(size)?;
        std::io::Result::Ok(file)
    };
    create().with_context(|| format!("cannot create {}", output.display()))
}
