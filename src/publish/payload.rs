//! The payload of a template package: the image's archive in parts, and the small files beside them, as cpio in zstd.
//!
//! It is written in one go, without a copy of the image in between. Its bytes depend on no number of threads: zstd cuts what
//! several threads compress into jobs of a size that is fixed here, and compresses them alike with one worker or with many.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use anyhow::{Context, Result};
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::files::{Content, PackagedFile};
use super::sparse::SparseTar;
use crate::digest::{Hasher, Sha256};
use crate::package::rpm::cpio;

/// zstd's level. Of Debian's minimal root, level 9 makes 12 % less than level 3 (zstd's own) does; level 19, rpm's choice on
/// Fedora, 12 % less again in ten times the time and three times the memory.
pub const LEVEL: i32 = 9;
/// What each thread compresses at once, in bytes.
const JOB: u32 = 8 << 20;
/// The most threads: each takes about 25 MB, beside 80 MB for the first.
const MOST_THREADS: usize = 4;

/// What the header tells of a payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The digests of regular files, none for all others; in the order of the files.
    pub files: Vec<Option<Sha256>>,
    /// Digest and size in bytes as it stands in the package.
    pub compressed: (Sha256, u64),
    /// Digest and size in bytes of the cpio archive.
    pub archive: (Sha256, u64),
}

/// Writes the payload to a file, from where it stands. `prefix` is the folder of the files, in the form of cpio's paths; every
/// time is that of `mtime`, in seconds since 1970.
pub fn write(
    output: &mut File,
    prefix: &str,
    files: &[PackagedFile],
    image: &SparseTar<'_>,
    mtime: u32,
    threads: usize,
) -> Result<Payload> {
    let mut encoder = Encoder::new(Counted::new(output), LEVEL)?;
    encoder.multithread(threads.clamp(1, MOST_THREADS) as u32)?;
    encoder.set_parameter(CParameter::JobSize(JOB))?;
    let mut archive = Archive { output: Counted::new(encoder), prefix, files, mtime, digests: Vec::new() };
    let (mut image, mut number) = (Some(image), 0);
    while let Some(file) = files.get(number) {
        match &file.content {
            Content::Part(_) => {
                let image = image.take().context("parts of the image stand apart")?;
                let mut parts = Parts { archive: &mut archive, number, current: None };
                image.write(&mut parts)?;
                number = parts.finish()?;
            }
            Content::Bytes(bytes) => {
                archive.begin(number, bytes.len() as u32)?;
                archive.output.write_all(bytes)?;
                archive.end(bytes.len() as u64, Some(Sha256::of(bytes)))?;
                number += 1;
            }
            Content::Directory => {
                archive.begin(number, 0)?;
                archive.end(0, None)?;
                number += 1;
            }
            Content::Ghost => {
                archive.digests.push(None);
                number += 1;
            }
        }
    }
    cpio::finish(&mut archive.output)?;
    let Archive { output, digests, .. } = archive;
    let (encoder, archive) = output.finish();
    let (_, compressed) = encoder.finish()?.finish();
    Ok(Payload { files: digests, compressed, archive })
}

/// What the header tells, with zeros for digests: its size is known from the files alone.
pub fn unknown(files: &[PackagedFile]) -> Payload {
    let zero = Sha256::from_bytes([0; 32]);
    let has_digest = |file: &PackagedFile| matches!(file.content, Content::Part(_) | Content::Bytes(_)).then_some(zero);
    Payload { files: files.iter().map(has_digest).collect(), compressed: (zero, 0), archive: (zero, 0) }
}

/// Leaves room ahead of the payload.
pub fn leave_room(output: &mut File, size: u64) -> Result<()> {
    Ok(output.seek(SeekFrom::Start(size)).map(drop)?)
}

/// The cpio archive while it is written.
struct Archive<'a, W: Write> {
    output: Counted<W>,
    prefix: &'a str,
    files: &'a [PackagedFile],
    mtime: u32,
    digests: Vec<Option<Sha256>>,
}

impl<W: Write> Archive<'_, W> {
    fn begin(&mut self, number: usize, size: u32) -> io::Result<()> {
        let PackagedFile { name, mode, .. } = &self.files[number];
        let path = if name.is_empty() { self.prefix.to_owned() } else { format!("{}/{name}", self.prefix) };
        let inode = number as u32 + 1;
        let entry = cpio::Entry { path: &path, inode, mode: u32::from(*mode), mtime: self.mtime, size };
        cpio::begin(&mut self.output, &entry)
    }

    fn end(&mut self, size: u64, digest: Option<Sha256>) -> io::Result<()> {
        self.digests.push(digest);
        cpio::pad(&mut self.output, size)
    }
}

/// Takes the image's archive and cuts it into the files for its parts.
struct Parts<'a, 'b, W: Write> {
    archive: &'a mut Archive<'b, W>,
    /// The file that comes next.
    number: usize,
    /// What the part being written still lacks, its size, and the digest of what it has.
    current: Option<(u64, u64, Hasher)>,
}

impl<W: Write> Parts<'_, '_, W> {
    fn end_part(&mut self) -> io::Result<()> {
        if let Some((_, size, hasher)) = self.current.take() {
            self.archive.end(size, Some(hasher.finish()))?;
        }
        Ok(())
    }

    /// The number of the file behind the parts.
    fn finish(mut self) -> io::Result<usize> {
        self.end_part()?;
        Ok(self.number)
    }
}

impl<W: Write> Write for Parts<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.as_ref().is_none_or(|(rest, ..)| *rest == 0) {
            self.end_part()?;
            let Some(Content::Part(size)) = self.archive.files.get(self.number).map(|file| &file.content) else {
                return Err(io::Error::other("the image's archive has more bytes than its parts"));
            };
            self.archive.begin(self.number, *size as u32)?;
            self.current = Some((*size, *size, Hasher::default()));
            self.number += 1;
        }
        let Some((rest, _, hasher)) = &mut self.current else { return Ok(0) };
        let length = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
        hasher.update(&bytes[..length]);
        self.archive.output.write_all(&bytes[..length])?;
        *rest -= length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts and hashes what passes through.
struct Counted<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    fn finish(self) -> (W, (Sha256, u64)) {
        let size = self.hasher.size();
        (self.inner, (self.hasher.finish(), size))
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
