//! A file that is a hole but for what is written to it, by any number of threads, and whose blocks are hashed while they are in
//! the processor's cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::direct::DirectFile;
use super::verity::{ARITY, BLOCK, ZERO};
use crate::digest::Sha256;

/// The hashes of blocks that were written, by 128 that are side by side; of others among these, that of zeros.
pub(super) type Hashes = BTreeMap<u64, Vec<Sha256>>;

/// A file and the hashes of its blocks so far.
pub(super) struct SparseFile<'a> {
    file: DirectFile<'a>,
    hashes: Mutex<Hashes>,
}

impl<'a> SparseFile<'a> {
    /// A file in which every 512 KiB that are written to here are zeros, and written to here alone.
    pub(super) fn new(file: &'a File) -> Self {
        Self { file: DirectFile::new(file), hashes: Mutex::default() }
    }

    /// Writes whole blocks from the beginning of one on; blocks of zeros stay holes.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = offset / BLOCK;
        let mut hashes = Vec::with_capacity(bytes.len() / BLOCK as usize);
        let mut start = None;
        for (at, block) in (0..).step_by(BLOCK as usize).zip(bytes.chunks(BLOCK as usize)) {
            if block.iter().all(|byte| *byte == 0) {
                self.write_run(offset, bytes, start.take(), at)?;
            } else {
                start.get_or_insert(at);
                hashes.push((first + at as u64 / BLOCK, Sha256::of(block)));
            }
        }
        self.write_run(offset, bytes, start, bytes.len())?;
        let mut known = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        for (block, hash) in hashes {
            let side_by_side = known.entry(block / ARITY).or_insert_with(|| vec![*ZERO; ARITY as usize]);
            side_by_side[(block % ARITY) as usize] = hash;
        }
        Ok(())
    }

    fn write_run(&self, offset: u64, bytes: &[u8], start: Option<usize>, end: usize) -> io::Result<()> {
        start.map_or(Ok(()), |start| self.file.write(offset + start as u64, &bytes[start..end]))
    }

    /// The hashes of all that was written.
    pub(super) fn finish(self) -> Hashes {
        self.hashes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
