//! A file that is a hole but for what is written to it, by any number of threads, and whose blocks are hashed while they are in
//! the processor's cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

use super::verity::{ARITY, BLOCK, ZERO};
use crate::digest::Sha256;

/// The hashes of blocks that were written, by 128 that are side by side; of others among these, that of zeros.
pub(super) type Hashes = BTreeMap<u64, Vec<Sha256>>;

/// A file and the hashes of its blocks so far.
pub(super) struct SparseFile<'a> {
    file: &'a File,
    /// The same file, written past the page cache: copying there what nobody reads again, and waiting for the kernel to write it
    /// out, takes longer than all the rest. None where the file system cannot.
    direct: Option<File>,
    hashes: Mutex<Hashes>,
}

impl<'a> SparseFile<'a> {
    /// A file in which every 512 KiB that are written to here are zeros, and written to here alone.
    pub(super) fn new(file: &'a File) -> Self {
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = File::options().write(true).custom_flags(libc::O_DIRECT).open(itself).ok();
        Self { file, direct, hashes: Mutex::default() }
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
        let Some(start) = start else { return Ok(()) };
        let (first, run) = (offset + start as u64, &bytes[start..end]);
        if !self.write_directly(first, run) {
            self.file.write_all_at(run, first)?;
            begin_writeback(self.file, first, run.len() as u64);
        }
        Ok(())
    }

    /// Writes past the page cache; tells whether that went well.
    fn write_directly(&self, offset: u64, bytes: &[u8]) -> bool {
        let is_aligned = bytes.as_ptr().addr().is_multiple_of(BLOCK as usize);
        let Some(file) = self.direct.as_ref().filter(|_| is_aligned) else { return false };
        // Writes into a hole would wait for each other; where there can be no such room, they do.
        let _ = fallocate(file, FallocateFlags::empty(), offset, bytes.len() as u64);
        file.write_all_at(bytes, offset).is_ok()
    }

    /// The hashes of all that was written.
    pub(super) fn finish(self) -> Hashes {
        self.hashes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory for a part of a file, in which it can be written past the page cache.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Of so many bytes, zeros.
    pub(super) fn new(size: usize) -> Self {
        let bytes = vec![0; size + BLOCK as usize];
        let start = bytes.as_ptr().align_offset(BLOCK as usize);
        Self { bytes, start }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// Has the disk begin with what was written, so that less is left to wait for when the file is made durable.
fn begin_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else { return };
    // SAFETY: the call takes no memory of ours. Where it is not supported, fsync(2) does it all.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}
