//! Extended attributes in inodes and in blocks of their own (Documentation/filesystems/ext4/attributes.rst).

use anyhow::{Context, Result, bail};

use super::checksum::{Seed, put};
use super::geometry::BLOCK;
use crate::store::Xattrs;

/// What begins attributes, in inodes and in blocks.
const MAGIC: u32 = 0xea02_0000;
/// What goes before the entries of a block.
const BLOCK_HEADER: usize = 32;
/// An entry without its name.
const ENTRY: usize = 16;

/// Prefixes that are numbers on the disk, the longer of two that fit first, and whether what follows is left out.
const PREFIXES: [(&str, u8); 6] = [
    ("system.posix_acl_access", 2),
    ("system.posix_acl_default", 3),
    ("system.", 7),
    ("user.", 1),
    ("trusted.", 4),
    ("security.", 6),
];

/// An attribute as it is on the disk. Their order is that of a block's entries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Attribute {
    index: u8,
    length: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The attributes of a file: those that its inode has room for, and others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Placed {
    inside: Vec<Attribute>,
    outside: Vec<Attribute>,
}

impl Placed {
    /// Finds places for attributes where an inode has `room` bytes for them.
    pub(super) fn new(xattrs: &Xattrs, room: usize) -> Result<Self> {
        let mut all = Vec::with_capacity(xattrs.len());
        for (name, value) in xattrs {
            let read = || attribute(name, value);
            all.push(
                read().with_context(|| format!("the extended attribute {name} cannot be in an ext4 file system"))?,
            );
        }
        all.sort();
        let (mut placed, mut taken) = (Self::default(), 8);
        for attribute in all {
            if taken + attribute.size() <= room {
                taken += attribute.size();
                placed.inside.push(attribute);
            } else {
                placed.outside.push(attribute);
            }
        }
        let size: usize = placed.outside.iter().map(Attribute::size).sum();
        if BLOCK_HEADER + size + 4 > BLOCK as usize {
            bail!(
                "its extended attributes take {size} bytes, and an ext4 file system has one block of {BLOCK} for them"
            );
        }
        Ok(placed)
    }

    /// Whether a block is needed.
    pub(super) fn needs_block(&self) -> bool {
        !self.outside.is_empty()
    }

    /// Writes those inside to the end of an inode.
    pub(super) fn write_inside(&self, room: &mut [u8]) {
        if !self.inside.is_empty() {
            put(room, 0, MAGIC.to_le_bytes());
            write(&self.inside, &mut room[4..], 0, false);
        }
    }

    /// The block of the others, to be at a place.
    pub(super) fn block(&self, place: u64, seed: Seed) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        put(&mut block, 0, MAGIC.to_le_bytes());
        // One file has it, and it is one block.
        put(&mut block, 4, 1_u32.to_le_bytes());
        put(&mut block, 8, 1_u32.to_le_bytes());
        let hashes = write(&self.outside, &mut block, BLOCK_HEADER, true);
        let hash = hashes.into_iter().fold(0_u32, |all, hash| all.rotate_left(16) ^ hash);
        put(&mut block, 12, hash.to_le_bytes());
        let sum = super::checksum::crc32c(seed.over(&place.to_le_bytes()), &block);
        put(&mut block, 16, sum.to_le_bytes());
        block
    }
}

impl Attribute {
    /// What it takes of a place: entry and value.
    fn size(&self) -> usize {
        ENTRY + self.name.len().next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    /// The hash of its name and its value.
    fn hash(&self) -> u32 {
        let of_name = self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(of_name, |hash, word| {
            let mut bytes = [0; 4];
            bytes[..word.len()].copy_from_slice(word);
            hash.rotate_left(16) ^ u32::from_le_bytes(bytes)
        })
    }
}

/// Writes entries from `start` on and values from the end, whose places count from the beginning; gives their hashes.
fn write(attributes: &[Attribute], room: &mut [u8], start: usize, with_hashes: bool) -> Vec<u32> {
    let (mut at, mut end, mut hashes) = (start, room.len(), Vec::new());
    for attribute in attributes {
        let Attribute { index, name, value, .. } = attribute;
        end -= value.len().next_multiple_of(4);
        let hash = if with_hashes { attribute.hash() } else { 0 };
        room[at] = name.len() as u8;
        room[at + 1] = *index;
        put(room, at + 2, (if value.is_empty() { 0 } else { end as u16 }).to_le_bytes());
        put(room, at + 8, (value.len() as u32).to_le_bytes());
        put(room, at + 12, hash.to_le_bytes());
        room[at + ENTRY..at + ENTRY + name.len()].copy_from_slice(name);
        room[end..end + value.len()].copy_from_slice(value);
        at += ENTRY + name.len().next_multiple_of(4);
        hashes.push(hash);
    }
    hashes
}

fn attribute(name: &str, value: &[u8]) -> Result<Attribute> {
    let prefix = PREFIXES.iter().find_map(|(prefix, index)| Some((*index, name.strip_prefix(prefix)?)));
    let (index, name) = prefix.context("its name begins with none of user., trusted., security. and system.")?;
    if name.len() > 255 {
        bail!("its name has {} bytes, and 255 are possible", name.len());
    }
    let value = if matches!(index, 2 | 3) { access_list(value)? } else { value.to_vec() };
    Ok(Attribute { index, length: name.len(), name: name.as_bytes().to_vec(), value })
}

/// An access list as ext4 has it, of what getxattr(2) gives: version 2 with eight bytes for each entry to version 1, where only
/// entries for a user or group by number have one.
fn access_list(value: &[u8]) -> Result<Vec<u8>> {
    const USER: u16 = 2;
    const GROUP: u16 = 8;
    let entries = value.strip_prefix(&2_u32.to_le_bytes()).filter(|entries| entries.len() % 8 == 0);
    let mut list = 1_u32.to_le_bytes().to_vec();
    for entry in entries.context("it is no access list of version 2")?.chunks(8) {
        let numbered = matches!(u16::from_le_bytes([entry[0], entry[1]]), USER | GROUP);
        list.extend_from_slice(if numbered { entry } else { &entry[..4] });
    }
    Ok(list)
}
