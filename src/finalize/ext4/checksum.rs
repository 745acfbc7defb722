//! The checksums of ext4's structures (Documentation/filesystems/ext4/checksums.rst in Linux): CRC-32C that begins with the
//! file system's seed, and what of it goes before each structure's own bytes.

/// CRC-32C without the inversions at its ends, going on from `before`.
pub(super) fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!before, bytes)
}

/// The seed of a file system's checksums (`s_checksum_seed`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seed(pub(super) u32);

impl Seed {
    /// Of a UUID, as mke2fs(8) makes it.
    pub(super) fn of(uuid: [u8; 16]) -> Self {
        Self(crc32c(!0, &uuid))
    }

    /// The checksum of bytes that belong to nothing else.
    pub(super) fn over(self, bytes: &[u8]) -> u32 {
        crc32c(self.0, bytes)
    }

    /// What the checksums of an inode and of its blocks begin with; every generation here is 0.
    pub(super) fn of_inode(self, number: u32) -> Self {
        Self(crc32c(self.over(&number.to_le_bytes()), &[0; 4]))
    }
}

/// Puts little-endian numbers at their places in a structure.
pub(super) fn put<const N: usize>(structure: &mut [u8], at: usize, bytes: [u8; N]) {
    structure[at..at + N].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_raw_and_go_on() {
        // The catalogue's CRC-32/ISCSI of these digits is 0xe3069283, which has the inversion.
        assert_eq!(crc32c(!0, b"123456789"), !0xe306_9283);
        assert_eq!(crc32c(crc32c(!0, b"1234"), b"56789"), !0xe306_9283);
    }
}
