//! An ext4 file system made by the `mke2fs` that the lock pins, in a sandbox, from a tar stream.
//!
//! No checkout, no loop device and no rights are needed: devices, owners and attributes travel in the stream.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::ChildStdin;

use anyhow::{Context, Result};
use uuid::Uuid;

use super::{Request, tools};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::sandbox::{self, Input};
use crate::store::{Directory, ObjectReader, Tree};

/// The image in the sandbox.
const IMAGE: &str = "/run/image";
/// ext4's block size here, in bytes.
const BLOCK: u64 = 4096;
/// Where its superblock is.
const SUPERBLOCK: Range<u64> = 1024..2048;
const MIB: u64 = 1 << 20;
/// mke2fs's own size of an inode, in bytes.
const INODE: u64 = 256;
/// mke2fs's own ratio: one inode for so many bytes.
const BYTES_PER_INODE: u64 = 16384;

/// What a file system is made like.
pub(super) struct FileSystem<'a> {
    /// Volume label, at most 16 bytes.
    pub(super) label: &'a str,
    /// What its UUID and hash seed are made of.
    pub(super) identity: Sha256,
    /// The bytes of the file that it takes.
    pub(super) place: Range<u64>,
    /// How many inodes its files take; there are half as many again, or more.
    pub(super) inodes: u64,
    /// Every time in it.
    pub(super) date: Timestamp,
}

/// Makes the file system in a part of a file that is all zeros, of the tar stream that `feed` writes; of nothing, where it
/// writes nothing.
pub(super) fn make(
    request: &Request<'_>,
    file: &Path,
    file_system: &FileSystem<'_>,
    feed: impl FnOnce(ChildStdin) -> Result<()> + Send,
) -> Result<()> {
    let environment = [("SOURCE_DATE_EPOCH", file_system.date.seconds().to_string())];
    let step = tools::step(mke2fs(file_system), &environment, Input::Inherit);
    let plan = tools::plan(request, &[(file, IMAGE)], vec![step])?;
    sandbox::run_fed(request.program, request.store.work(), &plan, feed)
}

fn mke2fs(FileSystem { label, identity, place, inodes, .. }: &FileSystem<'_>) -> Vec<String> {
    let size = place.end - place.start;
    let hash_seed = uuid(Sha256::of(format!("hash-seed {identity}").as_bytes()));
    let mut command: Vec<String> =
        ["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"].map(str::to_owned).to_vec();
    command.extend(["-U".to_owned(), uuid(*identity).to_string(), "-L".to_owned(), (*label).to_owned()]);
    let offset = if place.start == 0 { String::new() } else { format!(",offset={}", place.start) };
    let extended = format!("hash_seed={hash_seed},lazy_itable_init=0,lazy_journal_init=0,nodiscard{offset}");
    command.extend(["-E".to_owned(), extended]);
    // Room for the files, and for half as many again.
    let wanted = inodes + inodes / 2;
    if wanted > size / BYTES_PER_INODE {
        command.extend(["-N".to_owned(), wanted.to_string()]);
    }
    if *inodes > 0 {
        command.extend(["-d".to_owned(), "-".to_owned()]);
    }
    command.extend([IMAGE.to_owned(), (size / BLOCK).to_string()]);
    command
}

/// What lies at a byte of the file system that begins at another byte of a file, as far as it tells itself.
pub(super) fn path_at(request: &Request<'_>, file: &Path, start: u64, offset: u64) -> Result<Option<String>> {
    if SUPERBLOCK.contains(&offset) {
        return Ok(Some("the superblock".to_owned()));
    }
    // debugfs(8) answers with a line of headings and one of tabbed values.
    let image = if start == 0 { IMAGE.to_owned() } else { format!("{IMAGE}?offset={start}") };
    let ask = |question: String| -> Result<Option<String>> {
        let command = ["/usr/sbin/debugfs", "-R", &question, &image].map(str::to_owned).to_vec();
        let mut answer = None;
        let plan = tools::plan(request, &[(file, IMAGE)], vec![tools::step(command, &[], Input::Null)])?;
        sandbox::run(request.program, request.store.work(), &plan, &mut |line| {
            answer = line.split_once('\t').map(|(_, value)| value.trim().to_owned());
        })?;
        Ok(answer)
    };
    match ask(format!("icheck {}", offset / BLOCK))?.filter(|inode| inode.parse::<u32>().is_ok()) {
        Some(inode) => ask(format!("ncheck {inode}")),
        None => Ok(None),
    }
}

/// A UUID of version 8 (RFC 9562, 5.8) made of a digest.
pub(super) fn uuid(digest: Sha256) -> Uuid {
    uuid::Builder::from_custom_bytes(std::array::from_fn(|i| digest.as_bytes()[i])).into_uuid()
}

/// What a tree takes in a file system.
#[derive(Clone, Copy)]
pub(super) struct Space {
    /// Bytes of blocks of contents.
    pub(super) bytes: u64,
    /// The number of inodes.
    pub(super) inodes: u64,
}

impl Space {
    /// Of a tree.
    pub(super) fn of(reader: &ObjectReader, tree: &Tree) -> Result<Self> {
        let (mut space, mut failure) = (Self { bytes: 0, inodes: tree.extras.nodes.len() as u64 }, None);
        tree.root.for_each_file(&mut |path, leaf| {
            if !tree.extras.links.contains_key(path) {
                space.inodes += 1;
                match fs::symlink_metadata(reader.path(leaf)) {
                    // A link's target of up to 59 bytes stands in its inode.
                    Ok(m) if m.is_symlink() && m.len() < 60 => {}
                    Ok(m) => space.bytes += m.len().div_ceil(BLOCK) * BLOCK,
                    Err(e) => failure = Some(e),
                }
            }
        });
        space.count_directories(&tree.root);
        match failure {
            Some(e) => Err(e).context("cannot read the objects of the tree"),
            None => Ok(space),
        }
    }

    fn count_directories(&mut self, dir: &Directory) {
        let names = dir.files.keys().chain(dir.directories.keys());
        // ext4's directory entries: 8 bytes and the name, on 4-byte borders; half-full blocks at worst.
        let entries: u64 = names.map(|name| (8 + name.len() as u64).div_ceil(4) * 4).sum();
        self.bytes += (2 * entries).div_ceil(BLOCK).max(1) * BLOCK;
        self.inodes += 1;
        dir.directories.values().for_each(|child| self.count_directories(child));
    }

    /// The size in bytes of a file system for this and so much free space: with inode tables, journal, group descriptors;
    /// whole MiB.
    pub(super) fn size_to_fit(self, slack: u64) -> u64 {
        let payload = self.bytes + slack;
        let tables = (payload / BYTES_PER_INODE).max(self.inodes + self.inodes / 2) * INODE;
        // mke2fs's journal for sizes up to 1 GiB, 2 GiB and beyond; ext2fs_default_journal_size in mkjournal.c.
        let journal = match payload >> 30 {
            0 => 16 * MIB,
            1 => 32 * MIB,
            2..16 => 64 * MIB,
            16..32 => 128 * MIB,
            _ => 256 * MIB,
        };
        // Bitmaps, descriptors and the reserve for growth.
        let total = payload + tables + journal + payload / 100 + 8 * MIB;
        total.div_ceil(MIB) * MIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_uuids() {
        assert_eq!(uuid(Sha256::of(b"")).to_string(), "e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    }

    #[test]
    fn sizes_are_whole_and_leave_the_slack() {
        let size = Space { bytes: 180 * MIB, inodes: 9000 }.size_to_fit(64 * MIB);
        assert_eq!(size % MIB, 0);
        assert!(size > (180 + 64 + 16) * MIB && size < 300 * MIB);
    }
}
