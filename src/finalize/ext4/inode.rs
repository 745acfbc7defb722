//! Inodes of 256 bytes (Documentation/filesystems/ext4/inodes.rst).

use super::checksum::{Seed, crc32c, put};
use super::geometry::{BLOCK, INODE};
use super::xattr::Placed;

/// How many bytes the fields behind the first 128 take.
const EXTRA: u16 = 32;
/// Where an inode has its attributes.
const ATTRIBUTES: usize = 128 + EXTRA as usize;
/// What an inode has for attributes.
pub(super) const ROOM: usize = INODE as usize - ATTRIBUTES;
/// More names than this are told as one (`dir_nlink`).
const MOST_LINKS: u32 = 65_000;

/// The blocks of the file are told by extents.
pub(super) const EXTENTS: u32 = 0x8_0000;
/// A directory's names are found by their hash.
pub(super) const INDEX: u32 = 0x1000;

/// What an inode says.
#[derive(Clone, Debug)]
pub(super) struct Inode<'a> {
    /// File type and permission bits, as in stat(2).
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// In bytes.
    pub(super) size: u64,
    pub(super) links: u32,
    /// All blocks that it takes.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    /// Extents, a link's target, or a device's number.
    pub(super) map: [u8; 60],
    pub(super) attributes: Option<&'a Placed>,
    /// The block of its other attributes.
    pub(super) attribute_block: u64,
}

impl Inode<'_> {
    /// Its bytes; all its times are `time`, in seconds since 1970.
    pub(super) fn encode(&self, number: u32, time: i64, seed: Seed) -> [u8; INODE as usize] {
        let mut bytes = [0; INODE as usize];
        let low = |number: u32| (number as u16).to_le_bytes();
        let high = |number: u32| ((number >> 16) as u16).to_le_bytes();
        let sectors = self.blocks * (BLOCK / 512);
        let (seconds, epoch) = time_of(time);
        put(&mut bytes, 0, low(self.mode));
        put(&mut bytes, 0x02, low(self.uid));
        put(&mut bytes, 0x04, (self.size as u32).to_le_bytes());
        for place in [0x08, 0x0c, 0x10, 0x90] {
            put(&mut bytes, place, seconds);
        }
        put(&mut bytes, 0x18, low(self.gid));
        put(&mut bytes, 0x1a, low(self.told_links()));
        put(&mut bytes, 0x1c, (sectors as u32).to_le_bytes());
        put(&mut bytes, 0x20, self.flags.to_le_bytes());
        put(&mut bytes, 0x28, self.map);
        put(&mut bytes, 0x68, (self.attribute_block as u32).to_le_bytes());
        put(&mut bytes, 0x6c, ((self.size >> 32) as u32).to_le_bytes());
        put(&mut bytes, 0x74, ((sectors >> 32) as u16).to_le_bytes());
        put(&mut bytes, 0x76, ((self.attribute_block >> 32) as u16).to_le_bytes());
        put(&mut bytes, 0x78, high(self.uid));
        put(&mut bytes, 0x7a, high(self.gid));
        put(&mut bytes, 0x80, EXTRA.to_le_bytes());
        for place in [0x84, 0x88, 0x8c, 0x94] {
            put(&mut bytes, place, epoch);
        }
        if let Some(attributes) = self.attributes {
            attributes.write_inside(&mut bytes[ATTRIBUTES..]);
        }
        seal(&mut bytes, number, seed);
        bytes
    }

    fn told_links(&self) -> u32 {
        if self.links > MOST_LINKS { 1 } else { self.links }
    }
}

/// The inode of bad blocks, which has none, and others that nothing uses yet.
pub(super) fn unused(number: u32, time: i64, seed: Seed) -> [u8; INODE as usize] {
    let mut bytes = [0; INODE as usize];
    if number == 1 {
        for place in [0x08, 0x0c, 0x10] {
            put(&mut bytes, place, time_of(time).0);
        }
    }
    seal(&mut bytes, number, seed);
    bytes
}

/// Puts the checksum in, of which short inodes have a half.
fn seal(bytes: &mut [u8; INODE as usize], number: u32, seed: Seed) {
    let sum = crc32c(seed.of_inode(number).0, bytes);
    put(bytes, 0x7c, (sum as u16).to_le_bytes());
    if bytes[0x80] != 0 {
        put(bytes, 0x82, ((sum >> 16) as u16).to_le_bytes());
    }
}

/// Seconds since 1970 as an inode has them: 32 bits with a sign, and two more that count on from 2038.
fn time_of(time: i64) -> ([u8; 4], [u8; 4]) {
    let time = time.clamp(-(1 << 31), (3 << 32) + (1 << 31) - 1);
    let low = time as i32;
    (low.to_le_bytes(), (((time - i64::from(low)) >> 32) as i32).to_le_bytes())
}

/// The number of a device: in 16 bits where that is enough, else in 32.
pub(super) fn device((major, minor): (u32, u32)) -> [u8; 60] {
    let mut map = [0; 60];
    if major < 256 && minor < 256 {
        put(&mut map, 0, (major << 8 | minor).to_le_bytes());
    } else {
        put(&mut map, 4, (minor & 0xff | major << 8 | (minor & !0xff) << 12).to_le_bytes());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Documentation/filesystems/ext4/inodes.rst, "Inode Timestamps".
    #[test]
    fn times_reach_from_1901_to_2446() {
        for (time, low, epoch) in [
            (-0x8000_0000, 0x8000_0000_u32, 0_u32),
            (-1, 0xffff_ffff, 0),
            (0x7fff_ffff, 0x7fff_ffff, 0),
            (0x8000_0000, 0x8000_0000, 1),
            (0x1_7fff_ffff, 0x7fff_ffff, 1),
            (0x3_7fff_ffff, 0x7fff_ffff, 3),
            (i64::MAX, 0x7fff_ffff, 3),
        ] {
            assert_eq!(time_of(time), (low.to_le_bytes(), epoch.to_le_bytes()), "{time:#x}");
        }
    }

    #[test]
    fn devices_have_the_numbers_that_linux_gives_them() {
        assert_eq!(device((1, 3))[..8], [3, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(device((259, 70_000))[..8], [0, 0, 0, 0, 0x70, 0x03, 0x11, 0x11]);
    }
}
