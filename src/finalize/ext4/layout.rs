//! Where everything of a tree lies in a volume: all that decides an image's bytes but the files' own.

use std::ops::Range;

use super::content::Item;
use super::extents::{self, Extent, LONGEST};
use super::geometry::{BLOCK, GROUP, Geometry, INODE, joined};

/// The root directory's inode.
const ROOT: u64 = 2;
/// The inode of `lost+found`, the last that a file system always has.
pub(super) const FOUND: u64 = 11;

/// Where an inode's blocks are.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    pub(super) extents: Vec<Extent>,
    /// Those of the tree that tells the extents.
    pub(super) tree: Vec<u64>,
    /// That of attributes.
    pub(super) attributes: Option<u64>,
}

impl Blocks {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        let data: u64 = self.extents.iter().map(|extent| u64::from(extent.blocks)).sum();
        data + self.tree.len() as u64 + u64::from(self.attributes.is_some())
    }

    /// Whether one of them is this.
    pub(super) fn have(&self, block: u64) -> bool {
        let within = |extent: &Extent| (extent.physical..extent.physical + u64::from(extent.blocks)).contains(&block);
        self.attributes == Some(block) || self.tree.contains(&block) || self.extents.iter().any(within)
    }
}

/// A volume with everything in its place.
pub(super) struct Layout {
    pub(super) geometry: Geometry,
    /// The blocks of each item.
    pub(super) items: Vec<Blocks>,
    /// The block by which the resize inode has the room for descriptors.
    pub(super) resize: u64,
    pub(super) journal: Blocks,
    pub(super) orphans: Blocks,
    /// All blocks that are taken, ascending.
    pub(super) taken: Vec<Range<u64>>,
    /// How many inodes are.
    pub(super) inodes: u64,
}

impl Layout {
    /// Of a volume of so many bytes; none where the items do not fit.
    pub(super) fn new(bytes: u64, items: &[Item<'_>]) -> Option<Self> {
        let files = items.len() as u64;
        let geometry = Geometry::new(bytes, wanted(bytes, files))?;
        let inodes = files - 2 + FOUND + u64::from(geometry.orphans > 0);
        if inodes > geometry.inodes_per_group * geometry.groups {
            return None;
        }
        let mut free = Free { used: geometry.used.clone(), next: 0, at: 0, end: geometry.blocks };
        let mut of_items = vec![Blocks::default(); items.len()];
        for (blocks, item) in of_items.iter_mut().zip(items).take(2) {
            *blocks = free.take_item(item)?;
        }
        let resize = free.take(1)?[0].start;
        let journal = free.take_far(geometry.middle(), geometry.journal)?;
        let orphans = free.take_data(&[(0, geometry.orphans)])?;
        // Directories first, so that whoever looks for names finds them close together.
        for directories in [true, false] {
            for (blocks, item) in of_items.iter_mut().zip(items).skip(2) {
                if item.is_directory() == directories {
                    *blocks = free.take_item(item)?;
                }
            }
        }
        let taken = free.taken();
        Some(Self { geometry, items: of_items, resize, journal, orphans, taken, inodes })
    }

    /// The inode of an item; none has a number beyond 32 bits.
    pub(super) fn inode_of(&self, item: usize) -> u32 {
        (match item as u64 {
            0 => ROOT,
            1 => FOUND,
            item => self.first() + item - 2,
        }) as u32
    }

    /// The item of an inode, where the file system does not have it for itself.
    pub(super) fn item_of(&self, inode: u32) -> Option<usize> {
        match u64::from(inode) {
            ROOT => Some(0),
            FOUND => Some(1),
            inode => inode.checked_sub(self.first()).map(|item| item as usize + 2),
        }
    }

    /// The first inode of those that are numbered through.
    fn first(&self) -> u64 {
        FOUND + 1 + u64::from(self.geometry.orphans > 0)
    }

    /// The item that has a byte of the volume: in one of its blocks, or in its inode.
    pub(super) fn item_at(&self, offset: u64) -> Option<usize> {
        let (block, table) = (offset / BLOCK, self.geometry.table());
        let tables = (0..).zip(&self.geometry.tables);
        for (group, tables) in tables.take_while(|(group, _)| group * self.geometry.inodes_per_group < self.inodes) {
            if (tables.inodes..tables.inodes + table).contains(&block) {
                let inode = group * self.geometry.inodes_per_group + (offset - tables.inodes * BLOCK) / INODE + 1;
                return self.item_of(u32::try_from(inode).ok()?).filter(|_| inode <= self.inodes);
            }
        }
        self.items.iter().position(|blocks| blocks.have(block))
    }

    /// How many blocks are free.
    pub(super) fn free(&self) -> u64 {
        self.geometry.blocks - self.taken.iter().map(|taken| taken.end - taken.start).sum::<u64>()
    }
}

/// What is free, taken from the beginning on.
struct Free {
    /// What is not, ascending.
    used: Vec<Range<u64>>,
    /// The first of these that ends behind `at`.
    next: usize,
    at: u64,
    end: u64,
}

impl Free {
    /// So many blocks.
    fn take(&mut self, mut count: u64) -> Option<Vec<Range<u64>>> {
        let mut taken = Vec::new();
        while count > 0 {
            while let Some(used) = self.used.get(self.next).filter(|used| used.start <= self.at) {
                self.at = self.at.max(used.end);
                self.next += 1;
            }
            let end = self.used.get(self.next).map_or(self.end, |used| used.start);
            let some = count.min(end.checked_sub(self.at).filter(|some| *some > 0)?);
            taken.push(self.at..self.at + some);
            self.at += some;
            count -= some;
        }
        Some(taken)
    }

    /// Blocks for runs of a file, and for the tree that tells them.
    fn take_data(&mut self, runs: &[(u64, u64)]) -> Option<Blocks> {
        let mut extents = Vec::new();
        for (first, count) in runs {
            let mut logical = *first;
            for place in self.take(*count)? {
                for physical in place.clone().step_by(LONGEST as usize) {
                    let blocks = LONGEST.min(place.end - physical);
                    extents.push(Extent { logical: u32::try_from(logical).ok()?, physical, blocks: blocks as u32 });
                    logical += blocks;
                }
            }
        }
        let tree = self.take(extents::tree_blocks(extents.len()))?.into_iter().flatten().collect();
        Some(Blocks { extents, tree, attributes: None })
    }

    fn take_item(&mut self, item: &Item<'_>) -> Option<Blocks> {
        let mut blocks = self.take_data(&item.data().1)?;
        if item.attributes.needs_block() {
            blocks.attributes = Some(self.take(1)?[0].start);
        }
        Some(blocks)
    }

    /// Blocks from `start` on, or where the others are when there are too few.
    fn take_far(&mut self, start: u64, count: u64) -> Option<Blocks> {
        if start <= self.at {
            return self.take_data(&[(0, count)]);
        }
        let next = self.used.partition_point(|used| used.end <= start);
        let mut far = Self { used: self.used.clone(), next, at: start, end: self.end };
        let Some(blocks) = far.take_data(&[(0, count)]) else { return self.take_data(&[(0, count)]) };
        self.used.extend(blocks.extents.iter().map(|e| e.physical..e.physical + u64::from(e.blocks)));
        self.used.extend(blocks.tree.iter().map(|block| *block..block + 1));
        self.used.sort_by_key(|used| used.start);
        self.used = joined(std::mem::take(&mut self.used));
        self.next = self.used.partition_point(|used| used.end <= self.at);
        Some(blocks)
    }

    /// All that is not free.
    fn taken(self) -> Vec<Range<u64>> {
        let rest = self.used.into_iter().filter(|used| used.end > self.at);
        joined(std::iter::once(0..self.at).chain(rest.map(|used| used.start.max(self.at)..used.end)).collect())
    }
}

/// Sets the bits of a group's blocks that are taken, and of those that are not in the volume.
pub(super) fn bitmap(taken: &[Range<u64>], group: Range<u64>) -> Vec<u8> {
    let mut bits = vec![0; BLOCK as usize];
    let first = taken.partition_point(|taken| taken.end <= group.start);
    for taken in taken[first..].iter().take_while(|taken| taken.start < group.end) {
        set(&mut bits, taken.start.max(group.start) - group.start..taken.end.min(group.end) - group.start);
    }
    set(&mut bits, group.end - group.start..GROUP);
    bits
}

/// Sets bits.
pub(super) fn set(bits: &mut [u8], range: Range<u64>) {
    let mut at = range.start;
    while at < range.end {
        if at.is_multiple_of(8) && range.end - at >= 8 {
            bits[(at / 8) as usize] = 0xff;
            at += 8;
        } else {
            bits[(at / 8) as usize] |= 1 << (at % 8);
            at += 1;
        }
    }
}

/// How many inodes to ask for, for so many files: half as many again, where the volume's size does not give them anyway.
pub(super) fn wanted(bytes: u64, files: u64) -> Option<u64> {
    /// mke2fs's own ratio for volumes that are not small.
    const BYTES_PER_INODE: u64 = 16384;
    Some(files + files / 2).filter(|wanted| *wanted > bytes / BYTES_PER_INODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_lies_around_what_is_used() {
        let mut free = Free { used: vec![0..3, 5..6, 40..41], next: 0, at: 0, end: 50 };
        assert_eq!(free.take(3), Some(vec![3..5, 6..7]));
        let far = free.take_far(38, 4).unwrap();
        let places: Vec<(u32, u64, u32)> = far.extents.iter().map(|e| (e.logical, e.physical, e.blocks)).collect();
        assert_eq!(places, [(0, 38, 2), (2, 41, 2)]);
        let mut rest = Free { used: free.used.clone(), ..free };
        assert_eq!(rest.take(32), Some(vec![7..38, 43..44]));
        assert_eq!(rest.take(7), None);
        assert_eq!(free.taken(), [0..7, 38..43]);
    }

    #[test]
    fn bitmaps_have_a_bit_for_each_block() {
        let bits = bitmap(&[0..3, GROUP + 9..GROUP + 26], GROUP..GROUP + 30);
        assert_eq!(bits[..4], [0, 0xfe, 0xff, 0xc3]);
        assert!(bits[4..].iter().all(|byte| *byte == 0xff));
    }
}
