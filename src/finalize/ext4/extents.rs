//! Which blocks of the volume a file has: extents, in the inode where there are at most four, else in a tree of blocks
//! (Documentation/filesystems/ext4/ifork.rst, "Extent Tree").

use super::checksum::{Seed, put};
use super::geometry::BLOCK;

/// What begins a node.
const MAGIC: u16 = 0xf30a;
/// How many entries an inode has room for.
const ROOT: usize = 4;
/// How many entries a block has room for, beside its header and checksum.
const NODE: usize = (BLOCK as usize - 12 - 4) / 12;
/// How many blocks an extent can have.
pub(super) const LONGEST: u64 = 1 << 15;

/// Blocks of a file that are side by side in the volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The first in the file.
    pub(super) logical: u32,
    /// The first in the volume.
    pub(super) physical: u64,
    /// How many, at most [`LONGEST`].
    pub(super) blocks: u32,
}

/// How many blocks the tree of so many extents takes beside the inode.
pub(super) fn tree_blocks(extents: usize) -> u64 {
    let (mut total, mut entries) = (0, extents);
    while entries > ROOT {
        entries = entries.div_ceil(NODE);
        total += entries as u64;
    }
    total
}

/// The root of a file's tree, which its inode has; its other nodes at their `places` go to `write`.
pub(super) fn root(extents: &[Extent], places: &[u64], seed: Seed, mut write: impl FnMut(u64, Vec<u8>)) -> [u8; 60] {
    // Each level of entries: the first block in the file, and the entry's bytes.
    let mut level: Vec<(u32, [u8; 12])> = extents.iter().map(|extent| (extent.logical, leaf(*extent))).collect();
    let (mut depth, mut places) = (0_u16, places.iter());
    while level.len() > ROOT {
        let nodes = level.chunks(NODE).zip(places.by_ref());
        level = nodes
            .map(|(entries, place)| {
                let mut block = vec![0; BLOCK as usize];
                fill(&mut block, entries, NODE, depth);
                let sum = super::checksum::crc32c(seed.0, &block[..12 + 12 * NODE]);
                put(&mut block, 12 + 12 * NODE, sum.to_le_bytes());
                write(*place, block);
                (entries[0].0, index(entries[0].0, *place))
            })
            .collect();
        depth += 1;
    }
    let mut root = [0; 60];
    fill(&mut root, &level, ROOT, depth);
    root
}

fn fill(node: &mut [u8], entries: &[(u32, [u8; 12])], most: usize, depth: u16) {
    put(node, 0, MAGIC.to_le_bytes());
    put(node, 2, (entries.len() as u16).to_le_bytes());
    put(node, 4, (most as u16).to_le_bytes());
    put(node, 6, depth.to_le_bytes());
    for (i, (_, entry)) in entries.iter().enumerate() {
        put(node, 12 + 12 * i, *entry);
    }
}

fn leaf(extent: Extent) -> [u8; 12] {
    let mut entry = [0; 12];
    put(&mut entry, 0, extent.logical.to_le_bytes());
    put(&mut entry, 4, (extent.blocks as u16).to_le_bytes());
    put(&mut entry, 6, ((extent.physical >> 32) as u16).to_le_bytes());
    put(&mut entry, 8, (extent.physical as u32).to_le_bytes());
    entry
}

fn index(logical: u32, place: u64) -> [u8; 12] {
    let mut entry = [0; 12];
    put(&mut entry, 0, logical.to_le_bytes());
    put(&mut entry, 4, (place as u32).to_le_bytes());
    put(&mut entry, 8, ((place >> 32) as u16).to_le_bytes());
    entry
}
