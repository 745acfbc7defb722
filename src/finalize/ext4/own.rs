//! What ext4 keeps for itself in files: the journal, the file of orphans, and room for descriptors of more groups.

use super::checksum::{Seed, crc32c, put};
use super::geometry::{BLOCK, GROUP};
use super::inode::{EXTENTS, Inode};
use super::layout::{Blocks, Layout};

/// The resize inode.
pub(super) const RESIZE: u32 = 7;
/// Where an inode without extents has the block of blocks of numbers of blocks.
const DOUBLE: usize = 4 * 13;
/// How many numbers a block has.
const NUMBERS: u64 = BLOCK / 4;
/// What ends a block of the orphan file.
const ORPHANS_MAGIC: u32 = 0x0b10_ca04;
/// What begins a block of the journal.
const JOURNAL_MAGIC: u32 = 0xc03b_3998;
/// A superblock of the journal, of version 2.
const JOURNAL_SUPERBLOCK: u32 = 4;

/// A file of the file system's own.
pub(super) fn inode(blocks: &Blocks, map: [u8; 60]) -> Inode<'static> {
    let data: u64 = blocks.extents.iter().map(|extent| u64::from(extent.blocks)).sum();
    Inode { size: data * BLOCK, blocks: blocks.count(), flags: EXTENTS, map, ..file() }
}

fn file() -> Inode<'static> {
    Inode {
        mode: 0o100_600,
        uid: 0,
        gid: 0,
        size: 0,
        links: 1,
        blocks: 0,
        flags: 0,
        map: [0; 60],
        attributes: None,
        attribute_block: 0,
    }
}

/// The inode that has the room for descriptors (`special_inodes.rst` among the documents), by numbers of blocks: the
/// room beside the superblock as blocks of numbers, and in these that beside its copies.
pub(super) fn resize_inode(layout: &Layout) -> Inode<'static> {
    let geometry = &layout.geometry;
    let mut inode = file();
    inode.size = (12 + NUMBERS + NUMBERS * NUMBERS) * BLOCK;
    inode.blocks = 1 + geometry.reserved_blocks * geometry.copies().count() as u64;
    put(&mut inode.map, DOUBLE, (layout.resize as u32).to_le_bytes());
    inode
}

/// The blocks of the resize inode: where each is, and its bytes.
pub(super) fn resize_blocks(layout: &Layout) -> Vec<(u64, Vec<u8>)> {
    let geometry = &layout.geometry;
    let first = 1 + geometry.descriptor_blocks;
    let copies: Vec<u64> = geometry.copies().skip(1).map(|group| group * GROUP).collect();
    let mut double = vec![0; BLOCK as usize];
    let mut blocks = Vec::new();
    for block in first..first + geometry.reserved_blocks {
        put(&mut double, 4 * ((block - 1) % NUMBERS) as usize, (block as u32).to_le_bytes());
        let mut numbers = vec![0; BLOCK as usize];
        for (i, copy) in copies.iter().enumerate() {
            put(&mut numbers, 4 * i, ((copy + block) as u32).to_le_bytes());
        }
        blocks.push((block, numbers));
    }
    blocks.push((layout.resize, double));
    blocks
}

/// The first block of an empty journal (Documentation/filesystems/ext4/journal.rst), whose others are zeros.
pub(super) fn journal(blocks: u64, uuid: [u8; 16]) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    // Block size, number of blocks, first of them that logs, first number of a commit.
    let numbers = [(0x0c, BLOCK), (0x10, blocks), (0x14, 1), (0x18, 1), (0x40, 1)];
    put(&mut block, 0x00, JOURNAL_MAGIC.to_be_bytes());
    put(&mut block, 0x04, JOURNAL_SUPERBLOCK.to_be_bytes());
    for (at, number) in numbers {
        put(&mut block, at, (number as u32).to_be_bytes());
    }
    put(&mut block, 0x30, uuid);
    block
}

/// A block of an orphan file in which there is nothing (Documentation/filesystems/ext4/orphan.rst).
pub(super) fn no_orphans(place: u64, number: u32, seed: Seed) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    let end = BLOCK as usize - 8;
    let sum = crc32c(crc32c(seed.of_inode(number).0, &place.to_le_bytes()), &block[..end]);
    put(&mut block, end, ORPHANS_MAGIC.to_le_bytes());
    put(&mut block, end + 4, sum.to_le_bytes());
    block
}
