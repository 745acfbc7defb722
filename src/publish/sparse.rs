//! A disk image as GNU tar's sparse archive (the format `gnu`, "Old GNU Format" in its manual) with the one member `root.img`.
//!
//! Blocks of zeros are left out by their content, wherever the file system that the image lies in has holes: so the same image is
//! the same archive everywhere. The member's own header is the archive's first block, which is all that qvm-template's import
//! reads of it before it unpacks the rest.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

/// The member's name.
const NAME: &str = "root.img";
/// What zeros are looked for in, in bytes: the block size of the file systems in images.
const GRAIN: u64 = 4096;
/// What is read at once, in bytes; a multiple of the grain.
const CHUNK: u64 = 1 << 20;
/// tar's block, and its record, which archives are padded to.
const BLOCK: u64 = 512;
const RECORD: u64 = 10240;

/// Bytes of the image that are not all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    offset: u64,
    length: u64,
}

/// An image and where it has content.
pub struct SparseTar<'a> {
    image: &'a File,
    size: u64,
    mtime: u64,
    extents: Vec<Extent>,
}

impl<'a> SparseTar<'a> {
    /// Finds the content of an image, which must not change from here on; `mtime` is the member's, in seconds since 1970.
    pub fn scan(image: &'a File, mtime: u64) -> Result<Self> {
        let size = image.metadata()?.len();
        let mut extents: Vec<Extent> = Vec::new();
        let mut buffer = vec![0; CHUNK as usize];
        let zeros = [0; GRAIN as usize];
        let mut at = 0;
        while let Some((from, to)) = data(image, at, size)? {
            at = from;
            while at < to {
                let chunk = &mut buffer[..CHUNK.min(to - at) as usize];
                image.read_exact_at(chunk, at).context("cannot read the image")?;
                for grain in chunk.chunks(GRAIN as usize) {
                    let length = grain.len() as u64;
                    if grain != &zeros[..grain.len()] {
                        match extents.last_mut().filter(|last| last.offset + last.length == at) {
                            Some(last) => last.length += length,
                            None => extents.push(Extent { offset: at, length }),
                        }
                    }
                    at += length;
                }
            }
        }
        // As GNU tar does it: the end of an image that ends in zeros is an extent of no bytes.
        if extents.last().is_none_or(|last| last.offset + last.length < size) {
            extents.push(Extent { offset: size, length: 0 });
        }
        Ok(Self { image, size, mtime, extents })
    }

    /// Bytes of content.
    pub fn content(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }

    /// Bytes of the archive.
    pub fn size(&self) -> u64 {
        let further = self.extents.len().saturating_sub(4).div_ceil(21) as u64;
        let member = (1 + further) * BLOCK + self.content().next_multiple_of(BLOCK);
        (member + 2 * BLOCK).next_multiple_of(RECORD)
    }

    /// Writes the archive.
    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        let headers = self.headers();
        output.write_all(&headers)?;
        let mut buffer = vec![0; CHUNK as usize];
        for Extent { offset, length } in &self.extents {
            let (mut at, end) = (*offset, offset + length);
            while at < end {
                let chunk = &mut buffer[..CHUNK.min(end - at) as usize];
                self.image.read_exact_at(chunk, at).context("cannot read the image")?;
                output.write_all(chunk)?;
                at += chunk.len() as u64;
            }
        }
        let rest = self.size() - headers.len() as u64 - self.content();
        Ok(io::copy(&mut io::Read::take(io::repeat(0), rest), output).map(drop)?)
    }

    /// The member's header with as many blocks of extents behind it as are needed.
    fn headers(&self) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_path(NAME).expect("the name is short");
        header.set_entry_type(EntryType::GNUSparse);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(self.content());
        let (own, further) = self.extents.split_at(self.extents.len().min(4));
        let gnu = header.as_gnu_mut().expect("it was made in that format");
        number(&mut gnu.realsize, self.size);
        fill(&mut gnu.sparse, own);
        gnu.isextended = [u8::from(!further.is_empty())];
        header.set_cksum();
        let mut blocks = header.as_bytes().to_vec();
        let mut rest = further.chunks(21).peekable();
        while let Some(extents) = rest.next() {
            let mut block = GnuExtSparseHeader::new();
            fill(&mut block.sparse, extents);
            block.isextended = [u8::from(rest.peek().is_some())];
            blocks.extend(block.as_bytes());
        }
        blocks
    }
}

/// The next bytes at or behind `at` that are not in a hole of the file, in whole grains.
fn data(image: &File, at: u64, size: u64) -> Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    match seek(image, SeekFrom::Data(at)) {
        Ok(from) => {
            let to = seek(image, SeekFrom::Hole(from)).context("cannot find holes in the image")?;
            Ok(Some(((from / GRAIN * GRAIN).max(at), to.next_multiple_of(GRAIN).min(size))))
        }
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e).context("cannot find holes in the image"),
    }
}

fn fill(headers: &mut [GnuSparseHeader], extents: &[Extent]) {
    for (header, Extent { offset, length }) in headers.iter_mut().zip(extents) {
        number(&mut header.offset, *offset);
        number(&mut header.numbytes, *length);
    }
}

/// A number as GNU tar writes it: eleven octal digits, or from 8 GiB on in binary.
fn number(field: &mut [u8; 12], value: u64) {
    if value < 1 << 33 {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        *field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: u64, content: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in content {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    fn archive(file: &File) -> Vec<u8> {
        let tar = SparseTar::scan(file, 7).unwrap();
        let mut bytes = Vec::new();
        tar.write(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, tar.size());
        bytes
    }

    #[test]
    fn content_counts_and_not_where_the_file_has_holes() {
        let size = 3 << 20;
        let holes = image(size, &[(8192, b"a"), (2 << 20, b"b")]);
        let full = image(size, &[(0, &vec![0; size as usize]), (8192, b"a"), (2 << 20, b"b")]);
        assert_eq!(archive(&holes), archive(&full));
        let extents = SparseTar::scan(&full, 7).unwrap().extents;
        let expected = [(8192, 4096), (2 << 20, 4096), (size, 0)];
        assert_eq!(extents.iter().map(|e| (e.offset, e.length)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_first_block_is_the_members_own_header() {
        let bytes = archive(&image(20 << 30, &[(0, b"a"), (19 << 30, b"b")]));
        assert_eq!((&bytes[..9], bytes[156], &bytes[257..265]), (&b"root.img\0"[..], b'S', &b"ustar  \0"[..]));
        assert_eq!(bytes[124..136], *b"00000020000\0");
        assert_eq!(bytes[483..495], [0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(bytes[482], 0, "three extents stand in the header");
    }

    #[test]
    fn many_extents_stand_in_blocks_of_21() {
        for count in [0_u64, 3, 4, 25, 26, 60] {
            let content: Vec<(u64, &[u8])> = (0..count).map(|n| (n * 8192, &b"x"[..])).collect();
            let bytes = archive(&image((count + 1) * 8192, &content));
            let mut tar = tar::Archive::new(&bytes[..]);
            let mut entries = tar.entries().unwrap();
            let mut entry = entries.next().unwrap().unwrap();
            let mut read = Vec::new();
            io::Read::read_to_end(&mut entry, &mut read).unwrap();
            assert_eq!(read.len() as u64, (count + 1) * 8192);
            assert!((0..count).all(|n| read[n as usize * 8192] == b'x'), "{count}");
            assert_eq!(read.iter().filter(|byte| **byte != 0).count() as u64, count);
        }
    }
}
