//! Writing past the page cache. Nobody here reads back what was written: to copy it there, and to wait until the kernel has
//! written it out, takes longer than to make it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{FallocateFlags, fallocate};

/// What memory, offsets and lengths must be multiples of (`O_DIRECT` in open(2)): as many bytes as no file system asks more than.
const BLOCK: usize = 4096;
/// How many bytes of a stream are written at once.
const PART: usize = 1 << 20;

/// A file that is written past the page cache where the file system can, and the bytes lie so that it can.
pub(super) struct DirectFile<'a> {
    file: &'a File,
    direct: Option<File>,
}

impl<'a> DirectFile<'a> {
    /// An open file, opened once more.
    pub(super) fn new(file: &'a File) -> Self {
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        Self { file, direct: File::options().write(true).custom_flags(libc::O_DIRECT).open(itself).ok() }
    }

    /// Writes bytes to their place.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len() - bytes.len() % BLOCK;
        let written = if self.write_directly(offset, &bytes[..whole]) { whole } else { 0 };
        let (offset, rest) = (offset + written as u64, &bytes[written..]);
        if !rest.is_empty() {
            self.file.write_all_at(rest, offset)?;
            begin_writeback(self.file, offset, rest.len() as u64);
        }
        Ok(())
    }

    /// Tells whether that went well.
    fn write_directly(&self, offset: u64, bytes: &[u8]) -> bool {
        let lies_well = bytes.as_ptr().addr().is_multiple_of(BLOCK) && offset.is_multiple_of(BLOCK as u64);
        let Some(file) = self.direct.as_ref().filter(|_| lies_well && !bytes.is_empty()) else { return false };
        // Writes into a hole wait for each other.
        let _ = fallocate(file, FallocateFlags::empty(), offset, bytes.len() as u64);
        file.write_all_at(bytes, offset).is_ok()
    }
}

/// Has the disk begin with what was written, so that less is left to wait for when the file is made durable.
fn begin_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else { return };
    // SAFETY: the call takes no memory of ours. Where it is not supported, fsync(2) does it all.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Memory for a part of a file, which lies so that it can be written past the page cache.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    size: usize,
}

impl Buffer {
    /// Of so many bytes, zeros.
    pub(super) fn new(size: usize) -> Self {
        let bytes = vec![0; size + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start, size }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.size]
    }
}

/// Writes a file from its beginning to its end.
pub(super) struct Stream<'a> {
    file: DirectFile<'a>,
    /// How many bytes are in the file.
    offset: u64,
    buffer: Buffer,
    /// How many bytes of the buffer are yet to be written.
    filled: usize,
}

impl<'a> Stream<'a> {
    /// To an empty file.
    pub(super) fn new(file: &'a File) -> Self {
        Self { file: DirectFile::new(file), offset: 0, buffer: Buffer::new(PART), filled: 0 }
    }

    /// Writes the rest.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_out()
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write(self.offset, &self.buffer.as_mut()[..self.filled])?;
        self.offset += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PART - self.filled);
        self.buffer.as_mut()[self.filled..][..count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        if self.filled == PART {
            self.write_out()?;
        }
        Ok(count)
    }

    /// What is not a whole part waits for [`Self::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut buffer = Buffer::new(BLOCK);
        for bytes in [&mut *buffer.as_mut(), &mut [1; 3]] {
            assert_eq!(DirectFile::new(&full).write(0, bytes).unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
    }

    /// In `/tmp`, on disk as a rule, and in memory.
    #[test]
    fn files_hold_what_was_written_wherever_it_lies() {
        let bytes: Vec<u8> = (0..3 * PART as u32 / 2).map(|n| (n / 7) as u8).collect();
        for place in ["/tmp", "/dev/shm"] {
            for size in [0, 1, BLOCK - 1, BLOCK, PART, PART + 1, bytes.len() - 1] {
                let file = tempfile::NamedTempFile::new_in(place).unwrap();
                let mut stream = Stream::new(file.as_file());
                stream.write_all(&bytes[..size]).unwrap();
                stream.finish().unwrap();
                assert!(std::fs::read(file.path()).unwrap() == bytes[..size], "{size} bytes in {place}");
            }
            let file = tempfile::NamedTempFile::new_in(place).unwrap();
            let direct = DirectFile::new(file.as_file());
            let mut buffer = Buffer::new(2 * BLOCK);
            buffer.as_mut().copy_from_slice(&bytes[..2 * BLOCK]);
            for (offset, from) in [(0, 0), (3 * BLOCK, 0), (6 * BLOCK + 1, 0), (9 * BLOCK, 1)] {
                direct.write(offset as u64, &buffer.as_mut()[from..]).unwrap();
                let found = std::fs::read(file.path()).unwrap();
                assert!(found[offset..] == bytes[from..2 * BLOCK], "from {from} to {offset} in {place}");
            }
        }
    }
}
