//! Where ext4 has its own structures in a volume of some size, by the rules of mke2fs(8) 1.47: blocks of 4096 bytes, groups of
//! 32768 of them, sixteen groups with their bitmaps and inode tables side by side (`flex_bg`), copies of the superblock in
//! groups 0, 1 and the powers of 3, 5 and 7 (`sparse_super`), room for descriptors of a thousand times as many groups.

use std::ops::Range;

/// A block, in bytes.
pub(super) const BLOCK: u64 = 4096;
/// How many blocks a group has, one bit of a block for each.
pub(super) const GROUP: u64 = 8 * BLOCK;
/// How many groups have their tables side by side.
pub(super) const FLEX: u64 = 16;
/// An inode, in bytes.
pub(super) const INODE: u64 = 256;
/// How many inodes a block has.
const INODES_PER_BLOCK: u64 = BLOCK / INODE;
/// How many group descriptors a block has.
pub(super) const DESCRIPTORS: u64 = BLOCK / 64;
/// How many numbers of blocks a block of the resize inode has.
const NUMBERS: u64 = BLOCK / 4;
/// How many blocks a group must have beside its own structures to be worth having.
const WORTH: u64 = 50;
const MIB: u64 = (1 << 20) / BLOCK;

/// Bytes for each inode in volumes of up to so many blocks (`fs_types` of mke2fs.conf(5)).
const BYTES_PER_INODE: [(u64, u64); 5] =
    [(3 * MIB, 8192), (512 * MIB, 4096), (MIB << 22, 16384), (MIB << 24, 32768), (u64::MAX, 65536)];

/// Blocks of the journal in volumes of up to so many blocks; smaller ones than the first have none.
const JOURNAL: [(u64, u64); 9] = [
    (2048, 0),
    (32768, 1024),
    (256 << 10, 4096),
    (512 << 10, 8192),
    (4096 << 10, 16384),
    (8192 << 10, 32768),
    (16384 << 10, 65536),
    (32768 << 10, 131_072),
    (u64::MAX, 262_144),
];

/// The shape of a file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    /// How many blocks it has.
    pub(super) blocks: u64,
    /// How many groups.
    pub(super) groups: u64,
    /// How many inodes a group has.
    pub(super) inodes_per_group: u64,
    /// How many blocks the descriptors of all groups take.
    pub(super) descriptor_blocks: u64,
    /// How many blocks are kept for more descriptors.
    pub(super) reserved_blocks: u64,
    /// How many blocks the journal has; none without one.
    pub(super) journal: u64,
    /// How many blocks the orphan file has; none without a journal.
    pub(super) orphans: u64,
    /// Where the tables of each group are.
    pub(super) tables: Vec<Tables>,
    /// The blocks of all these structures, ascending, none next to another.
    pub(super) used: Vec<Range<u64>>,
}

/// Where a group's tables are, by block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tables {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inodes: u64,
}

impl Geometry {
    /// Of a volume of so many bytes, with as many inodes as mke2fs(8) gives it when asked for none or for so many. None where
    /// that cannot be.
    pub(super) fn new(bytes: u64, inodes: Option<u64>) -> Option<Self> {
        // One less than 32 bits can number, which is what the largest volume has.
        let mut blocks = (bytes / BLOCK).min(u64::from(u32::MAX));
        let ratio = under(&BYTES_PER_INODE, blocks);
        let wanted = inodes.unwrap_or(blocks * BLOCK / ratio).max(INODES_PER_BLOCK);
        loop {
            let groups = blocks.div_ceil(GROUP);
            if groups == 0 {
                return None;
            }
            let inodes_per_group = wanted.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK).min(GROUP);
            let descriptor_blocks = groups.div_ceil(DESCRIPTORS);
            let most = blocks.saturating_mul(1024).min(u64::from(u32::MAX)).div_ceil(GROUP).div_ceil(DESCRIPTORS);
            let shape = Self {
                blocks,
                groups,
                inodes_per_group,
                descriptor_blocks,
                reserved_blocks: most.saturating_sub(descriptor_blocks).min(NUMBERS),
                journal: under(&JOURNAL, blocks),
                orphans: if blocks < JOURNAL[0].0 { 0 } else { (blocks / 4096).clamp(32, 512) },
                tables: Vec::new(),
                used: Vec::new(),
            };
            let mut own = 2 + shape.table();
            if has_super(groups - 1) {
                own += shape.copy();
            }
            if own > GROUP || inodes_per_group * groups > u64::from(u32::MAX) {
                return None;
            }
            match blocks % GROUP {
                0 => return shape.place(),
                last if last >= own + WORTH => return shape.place(),
                last if groups == 1 && last >= own => return shape.place(),
                _ if groups == 1 => return None,
                last => blocks -= last,
            }
        }
    }

    /// How many blocks a group's inode table has.
    pub(super) fn table(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// How many blocks are left for directories and files.
    pub(super) fn free_for_files(&self) -> u64 {
        let own: u64 = self.used.iter().map(|used| used.end - used.start).sum();
        // With the block by which the resize inode has its others.
        self.blocks.saturating_sub(own + 1 + self.journal + self.orphans)
    }

    /// How many blocks the superblock, the descriptors and the room for more take where they are.
    pub(super) fn copy(&self) -> u64 {
        1 + self.descriptor_blocks + self.reserved_blocks
    }

    /// The groups that have the superblock.
    pub(super) fn copies(&self) -> impl Iterator<Item = u64> {
        (0..self.groups).filter(|group| has_super(*group))
    }

    /// The blocks of a group.
    pub(super) fn group(&self, group: u64) -> Range<u64> {
        group * GROUP..((group + 1) * GROUP).min(self.blocks)
    }

    /// Finds places for all tables.
    fn place(mut self) -> Option<Self> {
        let copies: Vec<Range<u64>> = self.copies().map(|group| group * GROUP..group * GROUP + self.copy()).collect();
        let mut used = copies.clone();
        for first in (0..self.groups).step_by(FLEX as usize) {
            let groups = FLEX.min(self.groups - first);
            let mut at = first * GROUP;
            let mut take = |count: u64| {
                for copy in &copies {
                    if copy.start < at + count && at < copy.end {
                        at = copy.end;
                    }
                }
                used.push(at..at + count);
                at += count;
                at - count
            };
            let bitmaps = (take(groups), take(groups));
            for group in 0..groups {
                let inodes = take(self.inodes_per_group / INODES_PER_BLOCK);
                let (block_bitmap, inode_bitmap) = (bitmaps.0 + group, bitmaps.1 + group);
                self.tables.push(Tables { block_bitmap, inode_bitmap, inodes });
            }
        }
        used.sort_by_key(|place| place.start);
        self.used = joined(used);
        let ends = self.used.windows(2).all(|pair| pair[0].end < pair[1].start);
        (ends && self.used.last()?.end <= self.blocks).then_some(self)
    }

    /// Where mke2fs(8) begins to look for a place for the journal: in the middle, where most is free.
    pub(super) fn middle(&self) -> u64 {
        let middle = self.blocks / 2 / GROUP;
        let mut start = if middle > FLEX { middle / FLEX * FLEX } else { middle.saturating_sub(1) };
        if middle > FLEX {
            start = (start..self.groups).find(|group| self.free_in(*group) > 0).unwrap_or(0);
        }
        let end = if middle + 1 < self.groups { middle + 1 } else { middle };
        let mut best = start;
        for group in start + 1..=end {
            if self.free_in(group) > self.free_in(best) {
                best = group;
            }
        }
        best * GROUP
    }

    /// How many blocks of a group no structure takes.
    fn free_in(&self, group: u64) -> u64 {
        self.free_of(&self.used, group)
    }

    /// How many blocks of a group are not among these, which ascend.
    pub(super) fn free_of(&self, taken: &[Range<u64>], group: u64) -> u64 {
        let place = self.group(group);
        let first = taken.partition_point(|taken| taken.end <= place.start);
        let within = taken[first..].iter().take_while(|taken| taken.start < place.end);
        let count: u64 = within.map(|taken| taken.end.min(place.end) - taken.start.max(place.start)).sum();
        place.end - place.start - count
    }
}

/// Whether a group has a copy of the superblock.
fn has_super(group: u64) -> bool {
    let power = |base: u64| {
        std::iter::successors(Some(base), |n| n.checked_mul(base)).take_while(|n| *n <= group).any(|n| n == group)
    };
    group <= 1 || [3, 5, 7].into_iter().any(power)
}

/// The value of the first row that is for more.
fn under(rows: &[(u64, u64)], blocks: u64) -> u64 {
    rows.iter().find(|(end, _)| blocks < *end).map_or(0, |(_, value)| *value)
}

/// Ascending ranges, with those that touch made one.
pub(super) fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_in_few_groups() {
        let groups: Vec<u64> = (0..400).filter(|group| has_super(*group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn structures_never_overlap_and_leave_the_rest() {
        let sizes = (0..300).map(|mib| mib << 20).chain((1..16).map(|shift| (1 << 44) >> shift)).chain([1 << 44]);
        for size in sizes {
            for inodes in [None, Some(3), Some(200_000)] {
                let Some(geometry) = Geometry::new(size, inodes) else { continue };
                let own: u64 = geometry.used.iter().map(|used| used.end - used.start).sum();
                let copies = geometry.copies().count() as u64 * geometry.copy();
                assert_eq!(own, copies + geometry.groups * (2 + geometry.table()), "{size} {inodes:?}");
                let free: u64 = (0..geometry.groups).map(|group| geometry.free_of(&geometry.used, group)).sum();
                assert_eq!(own + free, geometry.blocks, "{size} {inodes:?}");
            }
        }
        assert_eq!(Geometry::new(0, None), None);
        assert_eq!(Geometry::new(4096, None), None);
    }
}
