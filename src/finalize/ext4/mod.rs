//! An ext4 file system, written straight from the store's objects in one go: first everything is given its place, then every
//! part is written and hashed by itself, in as many threads as there are.
//!
//! It is written here, and not by the `mke2fs` of e2fsprogs, because the contents of a root are most of an image: a tar stream
//! through a sandbox copies each byte four times, in one thread, and another time for the digest. What mke2fs(8) 1.47 would make
//! of the same volume is the model: an empty file system of several groups has the same bytes, but for the count of what was
//! written to it so far. Features, sizes and places are those of its defaults, with room for descriptors of more groups.
//!
//! The format is that of Documentation/filesystems/ext4 in Linux; where that is silent, what e2fsck(8) accepts. Every byte is a
//! function of the tree, the label, the identity, the date and the size.

mod checksum;
mod content;
mod directory;
mod extents;
mod geometry;
mod hash;
mod inode;
mod layout;
mod own;
mod superblock;
mod walk;
mod write;
mod xattr;

use anyhow::{Result, bail};
use uuid::Uuid;

use super::labels::Labels;
use super::sparse::SparseFile;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::store::{ObjectReader, Objects, Tree};
use content::{Item, path_of};
use geometry::{BLOCK, Geometry};
use layout::Layout;
use superblock::Identity;

const MIB: u64 = 1 << 20;
/// The largest volume, in bytes.
const LARGEST: u64 = 1 << 44;

/// What a file system is made like.
#[derive(Clone, Copy)]
pub(super) struct FileSystem<'a> {
    /// Volume label, at most 16 bytes.
    pub(super) label: &'a str,
    /// What its UUID and hash seed are made of.
    pub(super) identity: Sha256,
    /// Every time in it.
    pub(super) date: Timestamp,
}

/// A tree as it will be in a file system.
pub(super) struct Contents<'a> {
    items: Vec<Item<'a>>,
    identity: Identity<'a>,
}

impl<'a> Contents<'a> {
    /// What a tree has, with labels if there are any, and where its files have holes.
    pub(super) fn of(
        reader: &ObjectReader,
        tree: (&'a Tree, &'a Objects),
        labels: Option<&Labels>,
        file_system: FileSystem<'a>,
    ) -> Result<Self> {
        let FileSystem { label, identity, date } = file_system;
        let hash_seed = uuid(Sha256::of(format!("hash-seed {identity}").as_bytes())).into_bytes();
        let identity = Identity { label, uuid: uuid(identity).into_bytes(), hash_seed, time: date.seconds() };
        let items = content::of(reader, tree, labels, identity.hash_words())?;
        Ok(Self { items, identity })
    }

    /// The least size in bytes, whole MiB, of a volume for this with so much free space.
    pub(super) fn size_to_fit(&self, slack: u64) -> Result<u64> {
        let (needed, slack) = (self.blocks(), slack.div_ceil(BLOCK));
        let mut size = ((needed + slack) * BLOCK).next_multiple_of(MIB);
        while size <= LARGEST {
            let free =
                Geometry::new(size, layout::wanted(size, self.items.len() as u64)).map_or(0, |g| g.free_for_files());
            let missing = (needed + slack).saturating_sub(free);
            if missing == 0 && Layout::new(size, &self.items).is_some_and(|layout| layout.free() >= slack) {
                return Ok(size);
            }
            size += (missing * BLOCK).next_multiple_of(MIB).max(MIB);
        }
        bail!("files that need {} bytes do not fit in an ext4 file system of 16 TiB", needed * BLOCK)
    }

    /// Finds a place for everything in a volume of so many bytes.
    pub(super) fn lay_out(&self, bytes: u64) -> Result<Volume<'_>> {
        match Layout::new(bytes, &self.items) {
            Some(layout) => Ok(Volume { items: &self.items, identity: self.identity, layout }),
            None => bail!(
                "an ext4 file system of {bytes} bytes has no room for {} files that need {}",
                self.items.len(),
                self.blocks() * BLOCK
            ),
        }
    }

    /// How many blocks the items take.
    fn blocks(&self) -> u64 {
        self.items.iter().map(Item::blocks).sum()
    }
}

/// A file system with everything in its place.
pub(super) struct Volume<'a> {
    items: &'a [Item<'a>],
    identity: Identity<'a>,
    layout: Layout,
}

impl Volume<'_> {
    /// Writes it to the part of a file that begins at a byte and is all zeros.
    pub(super) fn write(&self, reader: &ObjectReader, file: &SparseFile<'_>, start: u64) -> Result<()> {
        let Self { items, identity, layout } = self;
        write::Writer { reader, items, layout, identity: *identity, file, start }.write()
    }

    /// What lies at a byte: a path, or a word for what belongs to no path.
    pub(super) fn path_at(&self, offset: u64) -> Option<String> {
        let superblock = superblock::PLACE as u64;
        if (superblock..superblock + superblock::SIZE as u64).contains(&offset) {
            return Some("the superblock".to_owned());
        }
        let item = self.layout.item_at(offset)?;
        Some(path_of(item, |item| (self.items[item].parent, self.items[item].name)))
    }
}

/// A UUID of version 8 (RFC 9562, 5.8) made of a digest.
pub(super) fn uuid(digest: Sha256) -> Uuid {
    uuid::Builder::from_custom_bytes(std::array::from_fn(|i| digest.as_bytes()[i])).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_uuids() {
        assert_eq!(uuid(Sha256::of(b"")).to_string(), "e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    }
}
