//! A sparse file's digest, and its holes: what reads only what was written.
//!
//! The digest is that of Linux's fs-verity (Documentation/filesystems/fsverity.rst) with SHA-256, blocks of 4096 bytes and no
//! salt, as `fsverity digest` prints it: SHA-256 of a descriptor with the file's size and the root of a hash tree over its blocks. It
//! is a function of the bytes alone, and equal parts have equal hashes, so that a hole costs nothing. SHA-256 of the whole
//! would have to run over every zero.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use rayon::prelude::*;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::sparse::Hashes;
use crate::digest::Sha256;

/// A block of data and of hashes, in bytes.
pub(super) const BLOCK: u64 = 4096;
/// How many hashes a block has.
pub(super) const ARITY: u64 = BLOCK / 32;
/// Levels of the tree that are more than a file can have.
const LEVELS: usize = 10;
/// A node of this level (64 MiB of data) is work for one thread.
const SHARE: usize = 2;

/// The hash of a block of zeros.
pub(super) static ZERO: LazyLock<Sha256> = LazyLock::new(|| ZEROS[0]);

/// The hash of a node of each level below which there are only zeros; level 0 is a block of data.
static ZEROS: LazyLock<[Sha256; LEVELS]> = LazyLock::new(|| {
    let mut hashes = [Sha256::of(&[0; BLOCK as usize]); LEVELS];
    for level in 1..LEVELS {
        hashes[level] = Sha256::of(&hashes[level - 1].as_bytes().repeat(ARITY as usize));
    }
    hashes
});

/// Makes a hole of every block of zeros, where the file system has holes; gives the digest and the size. What has hashes already
/// is not read, and has no blocks of zeros.
pub(super) fn seal(file: &File, known: &Hashes) -> io::Result<(Sha256, u64)> {
    let size = file.metadata()?.len();
    let data = data_of(file, size)?;
    Ok((measure(file, size, data, known, true)?, size))
}

/// The digest of a file, which stays as it is.
pub(super) fn digest(file: &File) -> io::Result<Sha256> {
    let size = file.metadata()?.len();
    measure(file, size, data_of(file, size)?, &Hashes::new(), false)
}

fn measure(file: &File, size: u64, data: Vec<Range<u64>>, known: &Hashes, digs: bool) -> io::Result<Sha256> {
    let blocks = size.div_ceil(BLOCK);
    let mut height = 0;
    while span(height) < blocks {
        height += 1;
    }
    let root = match size {
        0 => [0; 32],
        _ => *Tree { file, size, blocks, data, known, digs }.node(height, 0)?.as_bytes(),
    };
    // struct fsverity_descriptor: version, SHA-256, the block size's logarithm, no salt, 4 reserved bytes, size, root.
    let mut descriptor = [0; 256];
    descriptor[..3].copy_from_slice(&[1, 1, BLOCK.ilog2() as u8]);
    descriptor[8..16].copy_from_slice(&size.to_le_bytes());
    descriptor[16..48].copy_from_slice(&root);
    Ok(Sha256::of(&descriptor))
}

/// How many blocks of data a node of a level has below it.
fn span(level: usize) -> u64 {
    ARITY.pow(level as u32)
}

/// What of the file is no hole, in bytes, ascending.
fn data_of(file: &File, size: u64) -> io::Result<Vec<Range<u64>>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        at = seek(file, SeekFrom::Hole(start))?;
        found.push(start..at);
    }
    Ok(found)
}

struct Tree<'a> {
    file: &'a File,
    size: u64,
    blocks: u64,
    data: Vec<Range<u64>>,
    known: &'a Hashes,
    /// Whether blocks of zeros become holes.
    digs: bool,
}

impl Tree<'_> {
    /// The hash of a node by its number in its level.
    fn node(&self, level: usize, number: u64) -> io::Result<Sha256> {
        let first = number * span(level);
        let last = (first + span(level)).min(self.blocks);
        if last == first + span(level) && last * BLOCK <= self.size && !self.has_data(first * BLOCK..last * BLOCK) {
            return Ok(ZEROS[level]);
        }
        if level == 0 {
            let mut block = [0; BLOCK as usize];
            let length = BLOCK.min(self.size - first * BLOCK) as usize;
            self.file.read_exact_at(&mut block[..length], first * BLOCK)?;
            return Ok(Sha256::of(&block));
        }
        if let (1, Some(hashes)) = (level, self.known.get(&number)) {
            return Ok(of_hashes(hashes));
        }
        if level == 1 {
            return self.leaves(first, last);
        }
        let children = number * ARITY..(number * ARITY + ARITY).min(self.blocks.div_ceil(span(level - 1)));
        let hashes: Vec<Sha256> = if level > SHARE {
            children.map(|child| self.node(level - 1, child)).collect::<io::Result<_>>()?
        } else {
            children.into_par_iter().map(|child| self.node(level - 1, child)).collect::<io::Result<_>>()?
        };
        Ok(of_hashes(&hashes))
    }

    /// The hash of a node above blocks of data, of which those of zeros may become holes.
    fn leaves(&self, first: u64, last: u64) -> io::Result<Sha256> {
        let start = first * BLOCK;
        let mut bytes = vec![0; ((last - first) * BLOCK) as usize];
        let length = (self.size - start).min(bytes.len() as u64) as usize;
        self.file.read_exact_at(&mut bytes[..length], start)?;
        let (mut hashes, mut zeros) = (Vec::with_capacity(ARITY as usize), 0..0);
        for (offset, block) in (start..).step_by(BLOCK as usize).zip(bytes.chunks_exact(BLOCK as usize)) {
            if block.iter().all(|byte| *byte == 0) {
                hashes.push(ZEROS[0]);
                if zeros.end != offset {
                    self.dig(zeros.clone())?;
                    zeros.start = offset;
                }
                zeros.end = offset + BLOCK;
            } else {
                hashes.push(Sha256::of(block));
            }
        }
        self.dig(zeros)?;
        Ok(of_hashes(&hashes))
    }

    fn dig(&self, zeros: Range<u64>) -> io::Result<()> {
        if self.digs { dig(self.file, zeros) } else { Ok(()) }
    }

    fn has_data(&self, place: Range<u64>) -> bool {
        let at = self.data.partition_point(|data| data.end <= place.start);
        self.data.get(at).is_some_and(|data| data.start < place.end)
    }
}

/// Makes a hole of zeros.
fn dig(file: &File, zeros: Range<u64>) -> io::Result<()> {
    if zeros.is_empty() {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, zeros.start, zeros.end - zeros.start) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The hash of a block of hashes, filled up.
fn of_hashes(hashes: &[Sha256]) -> Sha256 {
    let mut block = [0; BLOCK as usize];
    for (place, hash) in block.chunks_exact_mut(32).zip(hashes) {
        place.copy_from_slice(hash.as_bytes());
    }
    Sha256::of(&block)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::sparse::SparseFile;
    use super::*;

    /// A file of so many bytes with these in it.
    fn file(size: u64, pieces: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    fn hex(size: u64, pieces: &[(u64, &[u8])]) -> String {
        seal(&file(size, pieces), &Hashes::new()).unwrap().0.to_hex()
    }

    /// What fsverity(1) 1.5 prints for such files.
    #[test]
    fn digests_are_those_of_fsverity() {
        for (size, pieces, expected) in [
            (0, &[] as &[(u64, &[u8])], "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"),
            (1, &[(0, b"a")], "bce75948b9e7510293f8f2720412af9697c1479281323f3f220623fb8e94b557"),
            (4096, &[(0, b"a")], "0cabc033ffe3bc3b85fb7c47add0c593b321b49c06c128b206d2a5f65dfa3006"),
            (4097, &[(0, b"a")], "1a9b5381e3c80dfdf28f58d014539072d5fc63edeae262bfacc1a27c257d5ee3"),
            (524_288, &[(5000, b"b")], "429c31ba1c8b7cf949e89773b6261c690c6740fb34f4f019ecfdcea24cfa31b2"),
            (524_289, &[(5000, b"b")], "87701422ee55eade918dafea3ff98661606ea5a12e68760a722ed73693d2a697"),
            (
                20 << 30,
                &[((20 << 30) - 1, b"c"), (212_860_928, b"d")],
                "8df1e13bb9bed40b2471829fa577e1b229069c09c02c749e6fbe98d3d30ec822",
            ),
        ] {
            assert_eq!(hex(size, pieces), expected, "{size}");
        }
    }

    #[test]
    fn zeros_become_holes_and_digests_stay() {
        let data = vec![7; 9000];
        let holes = file(3 << 20, &[(1 << 20, &data)]);
        let zeros = file(3 << 20, &[(0, &vec![0; 3 << 20]), (1 << 20, &data)]);
        let expected = seal(&holes, &Hashes::new()).unwrap();
        assert_eq!(seal(&zeros, &Hashes::new()).unwrap(), expected);
        assert_eq!(seal(&zeros, &Hashes::new()).unwrap(), expected);
        assert!(zeros.metadata().unwrap().blocks() * 512 < 1 << 20, "or this file system has no holes");
    }

    #[test]
    fn what_is_hashed_while_it_is_written_has_the_same_digest() {
        let written = file(3 << 20, &[((3 << 20) - 5, b"table")]);
        let sparse = SparseFile::new(&written);
        let bytes: Vec<u8> = [vec![7; 5000], vec![0; 20_000], vec![8; 600_000]].concat();
        let whole = bytes.len() / 4096 * 4096;
        sparse.write(1 << 20, &bytes[..whole]).unwrap();
        sparse.write(4096, &[1; 4096]).unwrap();
        let hashes = sparse.finish();
        assert_eq!(seal(&written, &hashes).unwrap(), seal(&written, &Hashes::new()).unwrap());
        assert!(written.metadata().unwrap().blocks() * 512 < 650_000, "or this file system has no holes");
    }
}
