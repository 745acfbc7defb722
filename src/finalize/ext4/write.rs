//! A laid out volume on its way to the image: every part by itself, in any order, in as many threads as there are.

use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::checksum::Seed;
use super::content::{Item, Kind, path_of};
use super::extents::{self, Extent};
use super::geometry::{BLOCK, INODE};
use super::inode::{self, EXTENTS, INDEX, Inode};
use super::layout::{Blocks, Layout};
use super::own;
use super::superblock::{self, Identity, JOURNAL, ORPHANS};
use crate::finalize::direct::Buffer;
use crate::finalize::sparse::SparseFile;
use crate::store::{Leaf, ObjectReader};

/// How many blocks are written at once.
const PART: u64 = 128;
/// How many inodes are.
const INODES: u64 = PART * BLOCK / INODE;

/// A volume and where it goes.
pub(super) struct Writer<'a> {
    pub(super) reader: &'a ObjectReader,
    pub(super) items: &'a [Item<'a>],
    pub(super) layout: &'a Layout,
    pub(super) identity: Identity<'a>,
    pub(super) file: &'a SparseFile<'a>,
    /// Where the volume begins, in bytes.
    pub(super) start: u64,
}

/// A part of a file's content, side by side in the file and in the volume.
#[derive(Clone, Copy)]
struct Piece {
    item: usize,
    leaf: Leaf,
    size: u64,
    extent: Extent,
}

impl Writer<'_> {
    /// Writes all of it.
    pub(super) fn write(&self) -> Result<()> {
        // A thread that writes past the page cache waits for the disk; others use the processor meanwhile.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2 * rayon::current_num_threads()).build()?;
        let (contents, rest) = pool.join(
            || {
                let buffer = || Buffer::new((PART * BLOCK) as usize);
                self.parts().par_iter().try_for_each_init(buffer, |buffer, part| self.write_part(part, buffer.as_mut()))
            },
            || self.write_own().context("cannot write the file system's own structures"),
        );
        contents.and(rest)
    }

    fn put(&self, block: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write(self.start + block * BLOCK, bytes)
    }

    fn seed(&self) -> Seed {
        Seed::of(self.identity.uuid)
    }

    /// The contents of files as parts of the volume, each of pieces that are side by side in it.
    fn parts(&self) -> Vec<Vec<Piece>> {
        let mut parts: Vec<Vec<Piece>> = Vec::new();
        let (mut end, mut count) = (0, 0);
        for (index, (item, blocks)) in self.items.iter().zip(&self.layout.items).enumerate() {
            let Kind::File { leaf, size, .. } = item.kind else { continue };
            for extent in blocks.extents.iter().flat_map(split) {
                let piece = Piece { item: index, leaf, size, extent };
                match parts.last_mut() {
                    Some(part) if extent.physical == end && count + u64::from(extent.blocks) <= PART => {
                        part.push(piece);
                    }
                    _ => {
                        parts.push(vec![piece]);
                        count = 0;
                    }
                }
                count += u64::from(extent.blocks);
                end = extent.physical + u64::from(extent.blocks);
            }
        }
        parts
    }

    /// Writes a part through a buffer of [`PART`] blocks, whatever is in it.
    fn write_part(&self, part: &[Piece], buffer: &mut [u8]) -> Result<()> {
        let mut at = 0;
        for piece in part {
            let start = u64::from(piece.extent.logical) * BLOCK;
            let room = u64::from(piece.extent.blocks) * BLOCK;
            let (content, rest) = buffer[at..at + room as usize].split_at_mut(room.min(piece.size - start) as usize);
            let read = self.reader.open(piece.leaf).and_then(|file| file.read_exact_at(content, start));
            read.with_context(|| {
                let path = path_of(piece.item, |i| (self.items[i].parent, self.items[i].name));
                format!("cannot read the object {} of {path}, {} bytes", piece.leaf, piece.size)
            })?;
            rest.fill(0);
            at += room as usize;
        }
        self.put(part[0].extent.physical, &buffer[..at]).context("cannot write the content of files")
    }

    /// Writes all but the contents of files.
    fn write_own(&self) -> Result<()> {
        let Layout { geometry, journal, orphans, inodes, .. } = self.layout;
        let per_group = geometry.inodes_per_group;
        let in_group =
            |group: u64| (group * per_group..((group + 1) * per_group).min(*inodes)).step_by(INODES as usize);
        let starts: Vec<u64> = (0..inodes.div_ceil(per_group)).flat_map(in_group).collect();
        starts.into_par_iter().try_for_each(|first| self.write_inodes(first))?;
        let mut resize = Gathered::new(self);
        for (block, bytes) in own::resize_blocks(self.layout) {
            resize.put(block, &bytes)?;
        }
        resize.flush()?;
        if let Some(first) = journal.extents.first() {
            self.put(first.physical, &own::journal(geometry.journal, self.identity.uuid))?;
        }
        for extent in orphans.extents.iter().flat_map(split) {
            let places = extent.physical..extent.physical + u64::from(extent.blocks);
            let blocks = places.map(|place| own::no_orphans(place, ORPHANS, self.seed()));
            self.put(extent.physical, &blocks.collect::<Vec<_>>().concat())?;
        }
        self.write_groups()
    }

    fn write_groups(&self) -> Result<()> {
        let geometry = &self.layout.geometry;
        let directories = superblock::directories(self.items, self.layout);
        let mut descriptors = Vec::with_capacity((geometry.descriptor_blocks * BLOCK) as usize);
        // Those of some groups are side by side, of one kind and then of the other.
        let (mut of_blocks, mut of_inodes) = (Gathered::new(self), Gathered::new(self));
        for (number, directories) in (0..).zip(directories) {
            let group = superblock::group(self.layout, number, directories, self.seed());
            let tables = geometry.tables[number as usize];
            for (bitmaps, place, bitmap) in [
                (&mut of_blocks, tables.block_bitmap, group.blocks),
                (&mut of_inodes, tables.inode_bitmap, group.inodes),
            ] {
                if let Some(bitmap) = bitmap {
                    bitmaps.put(place, &bitmap)?;
                }
            }
            descriptors.extend_from_slice(&group.descriptor);
        }
        of_blocks.flush()?;
        of_inodes.flush()?;
        descriptors.resize((geometry.descriptor_blocks * BLOCK) as usize, 0);
        let mut beside = Gathered::new(self);
        let journal = self.own_map(JOURNAL, &self.layout.journal, &mut beside)?;
        beside.flush()?;
        for group in geometry.copies() {
            let superblock =
                superblock::superblock(self.layout, &self.identity, &(journal, geometry.journal * BLOCK), group);
            let mut block = vec![0; BLOCK as usize];
            // The first block of the volume is a boot loader's to begin with.
            let at = if group == 0 { superblock::PLACE } else { 0 };
            block[at..at + superblock.len()].copy_from_slice(&superblock);
            let first = geometry.group(group).start;
            self.put(first, &block)?;
            self.put(first + 1, &descriptors)?;
        }
        Ok(())
    }

    /// Writes inodes of one group, and what they have of blocks that are not contents of files.
    fn write_inodes(&self, first: u64) -> Result<()> {
        let mut beside = Gathered::new(self);
        let geometry = &self.layout.geometry;
        let (group, within) = (first / geometry.inodes_per_group, first % geometry.inodes_per_group);
        let end = (first + INODES).min((group + 1) * geometry.inodes_per_group).min(self.layout.inodes);
        let mut bytes = Buffer::new((INODES * INODE) as usize);
        for (inode, number) in bytes.as_mut().chunks_mut(INODE as usize).zip(first + 1..=end) {
            inode.copy_from_slice(&self.inode(number as u32, &mut beside)?);
        }
        beside.flush()?;
        let table = geometry.tables[group as usize].inodes;
        let size = ((end - first) * INODE).next_multiple_of(BLOCK);
        Ok(self.put(table + within * INODE / BLOCK, &bytes.as_mut()[..size as usize])?)
    }

    fn inode(&self, number: u32, beside: &mut Gathered<'_>) -> Result<[u8; INODE as usize]> {
        let Layout { journal, orphans, geometry, .. } = self.layout;
        let inode = match number {
            own::RESIZE => own::resize_inode(self.layout),
            JOURNAL if geometry.journal > 0 => own::inode(journal, self.own_map(JOURNAL, journal, beside)?),
            ORPHANS if geometry.orphans > 0 => own::inode(orphans, self.own_map(ORPHANS, orphans, beside)?),
            number => match self.layout.item_of(number) {
                Some(item) => self.inode_of(item, beside)?,
                None => return Ok(inode::unused(number, self.identity.time, self.seed())),
            },
        };
        Ok(inode.encode(number, self.identity.time, self.seed()))
    }

    fn inode_of(&self, index: usize, beside: &mut Gathered<'_>) -> Result<Inode<'_>> {
        let (item, blocks) = (&self.items[index], &self.layout.items[index]);
        let (own_seed, mut flags) = (self.seed().of_inode(self.layout.inode_of(index)), EXTENTS);
        let map = match &item.kind {
            Kind::Device(device) => {
                flags = 0;
                inode::device(*device)
            }
            Kind::Link(target) if blocks.extents.is_empty() => {
                flags = 0;
                let mut map = [0; 60];
                map[..target.len()].copy_from_slice(target);
                map
            }
            Kind::Link(_) | Kind::Directory { .. } | Kind::File { .. } => Self::map(blocks, own_seed, beside)?,
        };
        match &item.kind {
            Kind::Directory { names, packed, least } => {
                flags |= if packed.is_tree() { INDEX } else { 0 };
                let number = |item| self.layout.inode_of(item);
                let bytes = packed.encode(names, (index, item.parent), *least, &number, own_seed);
                let mut rest = bytes.as_slice();
                for extent in &blocks.extents {
                    let (part, more) = rest.split_at((u64::from(extent.blocks) * BLOCK) as usize);
                    beside.put(extent.physical, part)?;
                    rest = more;
                }
            }
            Kind::Link(target) if !blocks.extents.is_empty() => {
                let mut block = target.to_vec();
                block.resize(BLOCK as usize, 0);
                beside.put(blocks.extents[0].physical, &block)?;
            }
            _ => {}
        }
        if let Some(place) = blocks.attributes {
            beside.put(place, &item.attributes.block(place, self.seed()))?;
        }
        Ok(Inode {
            mode: item.mode,
            uid: item.uid,
            gid: item.gid,
            size: item.data().0,
            links: item.links,
            blocks: blocks.count(),
            flags,
            map,
            attributes: Some(&item.attributes),
            attribute_block: blocks.attributes.unwrap_or(0),
        })
    }

    fn own_map(&self, number: u32, blocks: &Blocks, beside: &mut Gathered<'_>) -> Result<[u8; 60]> {
        Self::map(blocks, self.seed().of_inode(number), beside)
    }

    /// The root of the tree of extents, whose other nodes are written.
    fn map(blocks: &Blocks, seed: Seed, beside: &mut Gathered<'_>) -> Result<[u8; 60]> {
        let mut written = Ok(());
        let map = extents::root(&blocks.extents, &blocks.tree, seed, |place, block| {
            if written.is_ok() {
                written = beside.put(place, &block);
            }
        });
        Ok(written.map(|()| map)?)
    }
}

/// Blocks on their way to the volume, written when one comes that is not the next.
struct Gathered<'w> {
    writer: &'w Writer<'w>,
    first: u64,
    count: u64,
    bytes: Buffer,
}

impl<'w> Gathered<'w> {
    fn new(writer: &'w Writer<'w>) -> Self {
        Self { writer, first: 0, count: 0, bytes: Buffer::new((PART * BLOCK) as usize) }
    }

    fn put(&mut self, block: u64, bytes: &[u8]) -> io::Result<()> {
        for (block, bytes) in (block..).zip(bytes.chunks(BLOCK as usize)) {
            if block != self.first + self.count || self.count == PART {
                self.flush()?;
                self.first = block;
            }
            self.bytes.as_mut()[(self.count * BLOCK) as usize..][..bytes.len()].copy_from_slice(bytes);
            self.count += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.put(self.first, &self.bytes.as_mut()[..(self.count * BLOCK) as usize])?;
        self.count = 0;
        Ok(())
    }
}

/// An extent in parts that are written at once.
fn split(extent: &Extent) -> impl Iterator<Item = Extent> + use<> {
    let Extent { logical, physical, blocks } = *extent;
    (0..blocks).step_by(PART as usize).map(move |at| Extent {
        logical: logical + at,
        physical: physical + u64::from(at),
        blocks: (blocks - at).min(PART as u32),
    })
}
