//! The blocks of directories (Documentation/filesystems/ext4/directory.rst): one block is a list of names, more are a tree in
//! which names are found by their hash, packed as `e2fsck -D` packs it.

use std::ops::Range;

use anyhow::{Result, bail};

use super::checksum::{Seed, crc32c, put};
use super::geometry::BLOCK;
use super::hash;

/// What a block of names has at its end for its checksum.
const TAIL: usize = 12;
/// What a block has for entries.
const ROOM: usize = BLOCK as usize - TAIL;
/// What `.` and `..` take.
const DOTS: usize = 24;
/// Where the tree's root and its other nodes have their entries.
const ROOT_ENTRIES: usize = DOTS + 8;
const NODE_ENTRIES: usize = 8;
/// How many entries of 8 bytes they have room for, beside their checksum.
const ROOT: usize = (BLOCK as usize - ROOT_ENTRIES - 8) / 8;
const NODE: usize = (BLOCK as usize - NODE_ENTRIES - 8) / 8;
/// The number of `half_md4`.
const HALF_MD4: u8 = 1;

/// A name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    /// What it names, by its place among all items.
    pub(super) item: usize,
    /// The type of what it names, as `ftype` has it.
    pub(super) kind: u8,
}

impl Name<'_> {
    fn size(&self) -> usize {
        (8 + self.text.len()).next_multiple_of(4)
    }
}

/// How a directory's names lie in its blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Packed {
    /// The order of the names, with their hashes; as they come where there is one block.
    order: Vec<(u32, u32, u32)>,
    /// Which of the order each block of names has; none where there is one block.
    leaves: Vec<Range<usize>>,
}

impl Packed {
    /// Packs names.
    pub(super) fn new(names: &[Name<'_>], seed: [u32; 4]) -> Result<Self> {
        if DOTS + names.iter().map(Name::size).sum::<usize>() <= ROOM {
            return Ok(Self { order: Vec::new(), leaves: Vec::new() });
        }
        let mut order = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let (major, minor) = hash::hash(name.text.as_bytes(), seed);
            order.push((major, minor, u32::try_from(i)?));
        }
        order.sort_unstable();
        let (mut leaves, mut taken, mut start) = (Vec::new(), 0, 0);
        for (i, (_, _, name)) in order.iter().enumerate() {
            let size = names[*name as usize].size();
            if taken + size > ROOM {
                leaves.push(start..i);
                (taken, start) = (0, i);
            }
            taken += size;
        }
        leaves.push(start..order.len());
        if leaves.len() > ROOT * NODE {
            bail!("a directory has {} names, more than an ext4 file system can find in it", names.len());
        }
        Ok(Self { order, leaves })
    }

    /// How many blocks the directory has.
    pub(super) fn blocks(&self) -> u64 {
        1 + (self.leaves.len() + self.nodes()) as u64
    }

    /// Whether names are found by their hash.
    pub(super) fn is_tree(&self) -> bool {
        !self.leaves.is_empty()
    }

    /// How many nodes there are between the root and the blocks of names.
    fn nodes(&self) -> usize {
        if self.leaves.len() > ROOT { self.leaves.len().div_ceil(NODE) } else { 0 }
    }

    /// The blocks, for one item in another, and empty ones up to `least`; `number` gives an item's inode.
    pub(super) fn encode(
        &self,
        names: &[Name<'_>],
        (own, parent): (usize, usize),
        least: u64,
        number: &dyn Fn(usize) -> u32,
        seed: Seed,
    ) -> Vec<u8> {
        let blocks = self.blocks().max(least) as usize;
        let mut bytes = vec![0; blocks * BLOCK as usize];
        let mut parts = bytes.chunks_exact_mut(BLOCK as usize);
        let dots = [(".", own), ("..", parent)].map(|(text, item)| Name { text, item, kind: DIRECTORY });
        if self.is_tree() {
            self.encode_index(&dots, &mut parts, number, seed);
            for (leaf, block) in self.leaves.iter().zip(parts.by_ref()) {
                let of_leaf = self.order[leaf.clone()].iter().map(|(_, _, name)| names[*name as usize]);
                encode_names(of_leaf, block, number, seed);
            }
        } else if let Some(block) = parts.next() {
            encode_names(dots.into_iter().chain(names.iter().copied()), block, number, seed);
        }
        parts.for_each(|block| encode_names([].into_iter(), block, number, seed));
        bytes
    }

    fn encode_index<'a>(
        &self,
        dots: &[Name<'_>; 2],
        blocks: &mut impl Iterator<Item = &'a mut [u8]>,
        number: &dyn Fn(usize) -> u32,
        seed: Seed,
    ) {
        let nodes = self.nodes();
        // The hash at which each block of names begins; its last bit says that the block before ends with the same.
        let leaves: Vec<(u32, u32)> = (1 + nodes as u32..)
            .zip(&self.leaves)
            .map(|(block, leaf)| {
                let first = self.order[leaf.start].0;
                let goes_on = leaf.start > 0 && self.order[leaf.start - 1].0 == first;
                (first | u32::from(goes_on), block)
            })
            .collect();
        let Some(root) = blocks.next() else { return };
        encode_name(dots[0], &mut root[..], 12, number);
        encode_name(dots[1], &mut root[12..], BLOCK as usize - 12, number);
        root[DOTS + 4..DOTS + 8].copy_from_slice(&[HALF_MD4, 8, u8::from(nodes > 0), 0]);
        if nodes == 0 {
            return encode_entries(&leaves, root, ROOT_ENTRIES, ROOT, seed);
        }
        let above: Vec<(u32, u32)> = (1..).zip(leaves.chunks(NODE)).map(|(block, of)| (of[0].0, block)).collect();
        encode_entries(&above, root, ROOT_ENTRIES, ROOT, seed);
        for (entries, block) in leaves.chunks(NODE).zip(blocks) {
            // A name of no inode that takes all of the block.
            put(block, 4, (BLOCK as u16).to_le_bytes());
            encode_entries(entries, block, NODE_ENTRIES, NODE, seed);
        }
    }
}

/// The number of directories in `ftype`.
pub(super) const DIRECTORY: u8 = 2;

/// Writes the entries of a node of the tree: limit and count in the place of the first hash.
fn encode_entries(entries: &[(u32, u32)], block: &mut [u8], start: usize, limit: usize, seed: Seed) {
    for (i, (hash, target)) in entries.iter().enumerate() {
        put(block, start + 8 * i, hash.to_le_bytes());
        put(block, start + 8 * i + 4, target.to_le_bytes());
    }
    put(block, start, (limit as u16).to_le_bytes());
    put(block, start + 2, (entries.len() as u16).to_le_bytes());
    // Over the entries there are, and the tail with no sum in it.
    let sum = crc32c(crc32c(seed.0, &block[..start + 8 * entries.len()]), &[0; 8]);
    put(block, start + 8 * limit + 4, sum.to_le_bytes());
}

fn encode_names<'a>(
    names: impl Iterator<Item = Name<'a>>,
    block: &mut [u8],
    number: &dyn Fn(usize) -> u32,
    seed: Seed,
) {
    let (mut at, mut last) = (0, 0);
    for name in names {
        encode_name(name, &mut block[at..], name.size(), number);
        last = at;
        at += name.size();
    }
    // The last entry reaches to the checksum.
    put(block, last + 4, ((ROOM - last) as u16).to_le_bytes());
    put(block, ROOM + 4, (TAIL as u16).to_le_bytes());
    block[ROOM + 7] = 0xde;
    let sum = crc32c(seed.0, &block[..ROOM]);
    put(block, ROOM + 8, sum.to_le_bytes());
}

fn encode_name(name: Name<'_>, place: &mut [u8], size: usize, number: &dyn Fn(usize) -> u32) {
    put(place, 0, number(name.item).to_le_bytes());
    put(place, 4, (size as u16).to_le_bytes());
    place[6] = name.text.len() as u8;
    place[7] = name.kind;
    place[8..8 + name.text.len()].copy_from_slice(name.text.as_bytes());
}
