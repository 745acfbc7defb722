//! What the inodes of a tree hold: every file, link, directory and device of it once, in the order of their inodes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use rayon::prelude::*;
use rustix::fs::{SeekFrom, seek};

use super::directory::{Name, Packed};
use super::extents::{self, LONGEST};
use super::geometry::BLOCK;
use super::inode;
use super::walk::{FOUND_NAME, Found, Place, Walk};
use super::xattr::Placed;
use crate::finalize::labels::Labels;
use crate::store::{Attributes, Directory, Leaf, ObjectReader, Objects, Tree, Xattrs};

/// How many blocks `lost+found` has at least, so that e2fsck(8) need not find more.
const FOUND_BLOCKS: u64 = 4;
/// Zeros in a file that are so many blocks long take none.
const HOLE: u64 = 16;
/// Files with fewer blocks than this have no holes.
const LEAST_WITH_HOLES: u64 = 2 * HOLE;
/// A link's target that is shorter stands in its inode.
const SHORT: usize = 60;

/// An inode of the tree.
pub(super) struct Item<'a> {
    /// The item of the directory that it was found in first, and its name there.
    pub(super) parent: usize,
    pub(super) name: &'a str,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) attributes: Placed,
    pub(super) kind: Kind<'a>,
}

/// What an inode holds.
pub(super) enum Kind<'a> {
    Directory {
        names: Vec<Name<'a>>,
        packed: Packed,
        /// How many blocks it has at least.
        least: u64,
    },
    /// A file that the store has, its size in bytes, and its blocks that are no hole, in the file.
    File {
        leaf: Leaf,
        size: u64,
        data: Vec<(u64, u64)>,
    },
    /// A link's target.
    Link(&'a [u8]),
    Device((u32, u32)),
}

impl Item<'_> {
    /// Its type as directories have it (`ftype`).
    fn kind(&self) -> u8 {
        match self.mode >> 12 {
            0o10 => 1,
            0o04 => 2,
            0o02 => 3,
            0o06 => 4,
            0o01 => 5,
            0o14 => 6,
            0o12 => 7,
            _ => 0,
        }
    }

    /// Whether it is a directory.
    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory { .. })
    }

    /// How many blocks it takes where no extent has to be split.
    pub(super) fn blocks(&self) -> u64 {
        let data = self.data().1;
        let extents: u64 = data.iter().map(|(_, count)| count.div_ceil(LONGEST)).sum();
        let tree = extents::tree_blocks(usize::try_from(extents).unwrap_or(usize::MAX));
        data.iter().map(|(_, count)| count).sum::<u64>() + tree + u64::from(self.attributes.needs_block())
    }

    /// Its size in bytes, and its blocks that are no holes: where each run of them begins, and how many it has.
    pub(super) fn data(&self) -> (u64, Vec<(u64, u64)>) {
        match &self.kind {
            Kind::Directory { packed, least, .. } => {
                let blocks = packed.blocks().max(*least);
                (blocks * BLOCK, vec![(0, blocks)])
            }
            Kind::File { size, data, .. } => (*size, data.clone()),
            Kind::Link(target) if target.len() < SHORT => (target.len() as u64, Vec::new()),
            Kind::Link(target) => (target.len() as u64, vec![(0, 1)]),
            Kind::Device(_) => (0, Vec::new()),
        }
    }
}

/// The items of a tree, with labels if there are any: its root, `lost+found`, then others.
pub(super) fn of<'a>(
    reader: &ObjectReader,
    (tree, objects): (&'a Tree, &'a Objects),
    labels: Option<&Labels>,
    seed: [u32; 4],
) -> Result<Vec<Item<'a>>> {
    let Walk { places, names, .. } = Walk::over(tree)?;
    let path = |index| path_of(index, |i| (places[i].parent, places[i].name));
    let look = |(index, names): (usize, Vec<Name<'a>>)| {
        let label = |attributes: &Attributes| match labels {
            Some(labels) => labels.with(&attributes.xattrs, &tree.extras, &path(index)[1..], attributes.mode).map(Some),
            None => Ok(None),
        };
        look(reader, objects, &places[index], names, seed, &label)
            .with_context(|| format!("cannot put {} into an ext4 file system", path(index)))
    };
    let mut items: Vec<Item<'a>> = names.into_par_iter().enumerate().map(look).collect::<Result<_>>()?;
    // What is behind a name is known only now.
    let kinds: Vec<u8> = items.iter().map(Item::kind).collect();
    items.par_iter_mut().for_each(|item| {
        if let Kind::Directory { names, .. } = &mut item.kind {
            for name in names {
                name.kind = kinds[name.item];
            }
        }
    });
    Ok(items)
}

/// The path of an item, given each item's parent and name.
pub(super) fn path_of<'a>(mut index: usize, entry: impl Fn(usize) -> (usize, &'a str)) -> String {
    let mut names = Vec::new();
    while index != 0 {
        let (parent, name) = entry(index);
        names.push(name);
        index = parent;
    }
    names.iter().rev().fold(String::new(), |path, name| path + "/" + name) + if names.is_empty() { "/" } else { "" }
}

fn look<'a>(
    reader: &ObjectReader,
    objects: &'a Objects,
    place: &Place<'a>,
    names: Vec<Name<'a>>,
    seed: [u32; 4],
    label: &dyn Fn(&Attributes) -> Result<Option<Xattrs>>,
) -> Result<Item<'a>> {
    let item = |attributes: &Attributes, kind: Kind<'a>| -> Result<Item<'a>> {
        let labelled = label(attributes)?;
        let Attributes { uid, gid, mode, xattrs } = attributes;
        let Place { parent, name, links, .. } = *place;
        let attributes = Placed::new(labelled.as_ref().unwrap_or(xattrs), inode::ROOM)?;
        Ok(Item { parent, name, mode: *mode, uid: *uid, gid: *gid, links, attributes, kind })
    };
    match place.found {
        Found::Directory(Directory { attributes, .. }) => {
            let packed = Packed::new(&names, seed)?;
            let least = if place.name == FOUND_NAME && place.parent == 0 { FOUND_BLOCKS } else { 1 };
            item(attributes, Kind::Directory { names, packed, least })
        }
        Found::Node(node) => {
            let attributes = Attributes { uid: node.uid, gid: node.gid, mode: node.mode, xattrs: Xattrs::new() };
            item(&attributes, Kind::Device(node.device))
        }
        Found::Leaf(leaf) => {
            let object = objects.get(leaf)?;
            let kind = match &object.target {
                Some(target) => Kind::Link(target),
                None => Kind::File { leaf, size: object.size, data: data_of(reader, leaf, object.size)? },
            };
            item(&object.attributes, kind)
        }
    }
}

/// The runs of blocks of a file that are not zeros, or short runs of zeros: where each begins, and how many it has. They go by
/// the file's bytes alone.
fn data_of(reader: &ObjectReader, leaf: Leaf, size: u64) -> Result<Vec<(u64, u64)>> {
    let blocks = size.div_ceil(BLOCK);
    if blocks < LEAST_WITH_HOLES {
        return Ok(if blocks > 0 { vec![(0, blocks)] } else { Vec::new() });
    }
    let failed = || format!("cannot read the object {leaf}");
    let file = reader.open(leaf).with_context(failed)?;
    find_data(&file, size).with_context(failed)
}

fn find_data(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    let blocks = size.div_ceil(BLOCK);
    let (mut runs, mut start, mut at) = (Vec::new(), 0, 0);
    // Zeros of that length have a block whose number is a multiple of it.
    while at < blocks {
        if !is_zero(file, at, size)? {
            at += HOLE;
            continue;
        }
        let (mut first, mut end) = (at, at + 1);
        while first > start && is_zero(file, first - 1, size)? {
            first -= 1;
        }
        while end < blocks && is_zero(file, end, size)? {
            // Holes of the store's file are zeros, and need not be read.
            end = match seek(file, SeekFrom::Data((end + 1) * BLOCK)) {
                Ok(data) => (data / BLOCK).clamp(end + 1, blocks),
                Err(rustix::io::Errno::NXIO) => blocks,
                Err(e) => return Err(e.into()),
            };
        }
        if end - first >= HOLE {
            if first > start {
                runs.push((start, first - start));
            }
            start = end;
        }
        at = end.next_multiple_of(HOLE);
    }
    if start < blocks {
        runs.push((start, blocks - start));
    }
    Ok(runs)
}

fn is_zero(file: &File, block: u64, size: u64) -> io::Result<bool> {
    let length = BLOCK.min(size - block * BLOCK) as usize;
    let mut bytes = [0; BLOCK as usize];
    // Nearly every block that has data has some at its beginning.
    for part in [0..length.min(64), 0..length] {
        file.read_exact_at(&mut bytes[part.clone()], block * BLOCK)?;
        if bytes[part].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of blocks that are zeros or not, and a last one of a few bytes.
    fn runs(blocks: &[bool], with_holes: bool) -> Vec<(u64, u64)> {
        let file = tempfile::tempfile().unwrap();
        let size = blocks.len() as u64 * BLOCK - 4000;
        file.set_len(size).unwrap();
        for (number, has_data) in (0..).zip(blocks) {
            let mut block = [0; BLOCK as usize];
            if *has_data {
                block[90] = 1;
            }
            if *has_data || !with_holes {
                file.write_all_at(&block[..(size - number * BLOCK).min(BLOCK) as usize], number * BLOCK).unwrap();
            }
        }
        find_data(&file, size).unwrap()
    }

    #[test]
    fn long_zeros_alone_are_holes_however_the_file_is_stored() {
        let mut draw = 1_u32;
        for case in 0..60 {
            let mut blocks = Vec::new();
            while blocks.len() < 20 + 4 * case {
                draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let count = 1 + (draw >> 20) as usize % 24;
                blocks.extend(std::iter::repeat_n(draw >> 31 == 1, count));
            }
            let mut expected: Vec<(u64, u64)> = Vec::new();
            let mut at = 0;
            for run in blocks.chunk_by(|a, b| a == b) {
                let length = run.len() as u64;
                if run[0] || length < HOLE {
                    match expected.last_mut() {
                        Some((first, count)) if *first + *count == at => *count += length,
                        _ => expected.push((at, length)),
                    }
                }
                at += length;
            }
            for with_holes in [false, true] {
                assert_eq!(runs(&blocks, with_holes), expected, "{blocks:?}");
            }
        }
    }
}
