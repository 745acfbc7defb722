//! The superblock and the descriptors of groups (`super.rst` and `group_descr.rst` among the documents), with the features
//! that mke2fs(8) 1.47 gives ext4.

use super::checksum::{Seed, crc32c, put};
use super::content::Item;
use super::geometry::{BLOCK, FLEX, GROUP, INODE};
use super::layout::{self, FOUND, Layout};

/// Where the superblock is in the first block, and its size, in bytes.
pub(super) const PLACE: usize = 1024;
pub(super) const SIZE: usize = 1024;
/// A descriptor, in bytes.
const DESCRIPTOR: usize = 64;

/// `has_journal` and `orphan_file`, which go together here.
const JOURNALLED: u32 = 0x4 | 0x1000;
/// `ext_attr`, `resize_inode`, `dir_index`.
const COMPATIBLE: u32 = 0x8 | 0x10 | 0x20;
/// `filetype`, `extent`, `64bit`, `flex_bg`, `metadata_csum_seed`.
const INCOMPATIBLE: u32 = 0x2 | 0x40 | 0x80 | 0x200 | 0x2000;
/// `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`, `metadata_csum`.
const READ_COMPATIBLE: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;
/// `user_xattr` and `acl`, without asking for them.
const MOUNT_OPTIONS: u32 = 0x4 | 0x8;

/// The journal's inode and the orphan file's.
pub(super) const JOURNAL: u32 = 8;
pub(super) const ORPHANS: u32 = 12;

/// Nothing of this is in use: a group's inodes, or its blocks; and its inode table is zeros.
const INODES_UNUSED: u16 = 1;
const BLOCKS_UNUSED: u16 = 2;
const TABLE_ZEROED: u16 = 4;

/// What is said of a volume as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub(super) label: &'a str,
    pub(super) uuid: [u8; 16],
    pub(super) hash_seed: [u8; 16],
    /// All times, in seconds since 1970.
    pub(super) time: i64,
}

impl Identity<'_> {
    /// The numbers with which hashes of names begin.
    pub(super) fn hash_words(&self) -> [u32; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.hash_seed.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        words
    }
}

/// The superblock as a group has it, given what the journal's inode says of its blocks and its size.
pub(super) fn superblock(
    layout: &Layout,
    identity: &Identity<'_>,
    journal: &([u8; 60], u64),
    group: u64,
) -> [u8; SIZE] {
    let Layout { geometry, inodes, .. } = layout;
    let (all, free) = (geometry.inodes_per_group * geometry.groups, layout.free());
    let mut bytes = [0; SIZE];
    let number = |number: u64| (number as u32).to_le_bytes();
    let half = |number: u64| (number as u16).to_le_bytes();
    let time = identity.time.clamp(0, (1 << 40) - 1).unsigned_abs();
    put(&mut bytes, 0x00, number(all));
    put(&mut bytes, 0x04, number(geometry.blocks));
    // One in twenty is for root alone.
    put(&mut bytes, 0x08, number(geometry.blocks / 20));
    put(&mut bytes, 0x0c, number(free));
    put(&mut bytes, 0x10, number(all - inodes));
    put(&mut bytes, 0x18, number(u64::from(BLOCK.ilog2() - 10)));
    put(&mut bytes, 0x1c, number(u64::from(BLOCK.ilog2() - 10)));
    put(&mut bytes, 0x20, number(GROUP));
    put(&mut bytes, 0x24, number(GROUP));
    put(&mut bytes, 0x28, number(geometry.inodes_per_group));
    // Never to be checked for its age or number of mounts.
    put(&mut bytes, 0x36, half(0xffff));
    put(&mut bytes, 0x38, half(0xef53));
    // Clean, which copies do not say; to go on after errors.
    put(&mut bytes, 0x3a, half(u64::from(group == 0)));
    put(&mut bytes, 0x3c, half(1));
    for (low, high) in [(0x30, 0x274), (0x40, 0x277), (0x108, 0x276)] {
        put(&mut bytes, low, number(time));
        bytes[high] = (time >> 32) as u8;
    }
    put(&mut bytes, 0x4c, number(1));
    put(&mut bytes, 0x54, number(FOUND));
    put(&mut bytes, 0x58, half(INODE));
    put(&mut bytes, 0x5a, half(group));
    put(&mut bytes, 0x5c, (COMPATIBLE | if geometry.journal > 0 { JOURNALLED } else { 0 }).to_le_bytes());
    put(&mut bytes, 0x60, INCOMPATIBLE.to_le_bytes());
    put(&mut bytes, 0x64, READ_COMPATIBLE.to_le_bytes());
    put(&mut bytes, 0x68, identity.uuid);
    let label = &identity.label.as_bytes()[..identity.label.len().min(16)];
    bytes[0x78..0x78 + label.len()].copy_from_slice(label);
    put(&mut bytes, 0xce, half(geometry.reserved_blocks));
    put(&mut bytes, 0xec, identity.hash_seed);
    bytes[0xfc] = 1;
    put(&mut bytes, 0xfe, half(DESCRIPTOR as u64));
    put(&mut bytes, 0x100, MOUNT_OPTIONS.to_le_bytes());
    if geometry.journal > 0 {
        put(&mut bytes, 0xe0, JOURNAL.to_le_bytes());
        bytes[0xfd] = 1;
        put(&mut bytes, 0x10c, journal.0);
        put(&mut bytes, 0x148, number(journal.1 >> 32));
        put(&mut bytes, 0x14c, number(journal.1));
        put(&mut bytes, 0x280, ORPHANS.to_le_bytes());
    }
    put(&mut bytes, 0x15c, half(32));
    put(&mut bytes, 0x15e, half(32));
    // Names are hashed as signed characters.
    put(&mut bytes, 0x160, number(1));
    bytes[0x174] = FLEX.ilog2() as u8;
    bytes[0x175] = 1;
    let own: u64 = geometry.used.iter().map(|used| used.end - used.start).sum();
    put(&mut bytes, 0x248, number(own + geometry.journal));
    put(&mut bytes, 0x270, Seed::of(identity.uuid).0.to_le_bytes());
    let sum = crc32c(!0, &bytes[..SIZE - 4]);
    put(&mut bytes, SIZE - 4, sum.to_le_bytes());
    bytes
}

/// A group's descriptor, and its bitmaps where they are not left out.
pub(super) struct Group {
    pub(super) descriptor: [u8; DESCRIPTOR],
    pub(super) blocks: Option<Vec<u8>>,
    pub(super) inodes: Option<Vec<u8>>,
}

/// A group, in which so many inodes are directories.
pub(super) fn group(layout: &Layout, number: u64, directories: u64, seed: Seed) -> Group {
    let Layout { geometry, taken, inodes, .. } = layout;
    let (place, tables) = (geometry.group(number), geometry.tables[number as usize]);
    let blocks = layout::bitmap(taken, place.clone());
    let free = geometry.free_of(taken, number);
    let all = geometry.inodes_per_group;
    let used = inodes.saturating_sub(number * all).min(all);
    let mut flags = TABLE_ZEROED;
    // The last group's bitmap always says what is beyond the volume.
    if free == place.end - place.start && number + 1 < geometry.groups {
        flags |= BLOCKS_UNUSED;
    }
    if used == 0 {
        flags |= INODES_UNUSED;
    }
    let mut bits = vec![0; BLOCK as usize];
    layout::set(&mut bits, 0..used);
    layout::set(&mut bits, all..GROUP);
    let blocks = (flags & BLOCKS_UNUSED == 0).then_some(blocks);
    let bits = (flags & INODES_UNUSED == 0).then_some(bits);
    let sums = [
        blocks.as_ref().map_or(0, |bits| seed.over(bits)),
        bits.as_ref().map_or(0, |bits| seed.over(&bits[..(all / 8) as usize])),
    ];
    let mut bytes = [0; DESCRIPTOR];
    let places = [tables.block_bitmap, tables.inode_bitmap, tables.inodes];
    for (i, place) in places.into_iter().enumerate() {
        put(&mut bytes, 4 * i, (place as u32).to_le_bytes());
        put(&mut bytes, 0x20 + 4 * i, ((place >> 32) as u32).to_le_bytes());
    }
    for (at, number) in [(0x0c, free), (0x0e, all - used), (0x10, directories), (0x1c, all - used)] {
        put(&mut bytes, at, (number as u16).to_le_bytes());
        let high = if at == 0x1c { 0x32 } else { at + 0x20 };
        put(&mut bytes, high, ((number >> 16) as u16).to_le_bytes());
    }
    put(&mut bytes, 0x12, flags.to_le_bytes());
    for (i, sum) in sums.into_iter().enumerate() {
        put(&mut bytes, 0x18 + 2 * i, (sum as u16).to_le_bytes());
        put(&mut bytes, 0x38 + 2 * i, ((sum >> 16) as u16).to_le_bytes());
    }
    let sum = crc32c(seed.over(&(number as u32).to_le_bytes()), &bytes);
    put(&mut bytes, 0x1e, (sum as u16).to_le_bytes());
    Group { descriptor: bytes, blocks, inodes: bits }
}

/// How many of each group's inodes are directories.
pub(super) fn directories(items: &[Item<'_>], layout: &Layout) -> Vec<u64> {
    let mut counts = vec![0; layout.geometry.groups as usize];
    for index in (0..items.len()).filter(|index| items[*index].is_directory()) {
        counts[((u64::from(layout.inode_of(index)) - 1) / layout.geometry.inodes_per_group) as usize] += 1;
    }
    counts
}
