//! The payload: a cpio archive (cpio(5)), compressed as the header says.
//!
//! Entries are of the form `newc`, with or without checksums; or, for files of 4 GiB and more, of rpm's own form, which has a
//! file's number in the header in place of all that the header has (`lib/cpio.c`).

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};

use super::blob::Blob;
use super::tag;

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The longest name that rpm takes, in bytes.
const LONGEST: usize = 4096;

/// The reader of a payload by what its header says of the compression.
pub(super) fn decompress<'a>(header: &Blob, payload: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let format = header.text(tag::PAYLOADFORMAT)?.unwrap_or(b"cpio");
    ensure!(
        format == b"cpio",
        "its payload is of the form `{}`, expected `cpio`: only whole packages can be installed",
        String::from_utf8_lossy(format)
    );
    Ok(match header.text(tag::PAYLOADCOMPRESSOR)?.unwrap_or(b"gzip") {
        // What is not compressed passes through zlib as it is, and some packages count on it.
        b"gzip" => {
            let (first, payload) = peek(payload, 2)?;
            if first == [0x1f, 0x8b] { Box::new(flate2::read::MultiGzDecoder::new(payload)) } else { Box::new(payload) }
        }
        b"bzip2" => Box::new(bzip2::read::MultiBzDecoder::new(payload)),
        b"xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(payload)),
        b"lzma" => {
            let stream =
                liblzma::stream::Stream::new_lzma_decoder(u64::MAX).context("cannot start the lzma decoder")?;
            Box::new(liblzma::read::XzDecoder::new_stream(payload, stream))
        }
        b"zstd" => Box::new(zstd::Decoder::new(payload)?),
        b"none" | b"identity" => Box::new(payload),
        other => bail!(
            "its payload has the unknown compression `{}`: expected gzip, bzip2, xz, lzma, zstd or none",
            String::from_utf8_lossy(other)
        ),
    })
}

fn peek(mut reader: impl Read, count: u64) -> io::Result<(Vec<u8>, impl Read)> {
    let mut first = Vec::new();
    reader.by_ref().take(count).read_to_end(&mut first)?;
    Ok((first.clone(), io::Cursor::new(first).chain(reader)))
}

/// Which file of the header an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// By its path.
    Path(Vec<u8>),
    /// By its number.
    Number(usize),
}

/// The head of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub which: Which,
    /// Bytes of content; none where the header has them alone.
    pub size: Option<u64>,
}

/// An archive that is read from its beginning to its end.
pub(super) struct Archive<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: Read> Archive<R> {
    pub fn new(input: R) -> Self {
        Self { input, at: 0 }
    }

    /// The next entry, whose content is to be read with [`Self::content`]; none at the end.
    pub fn next(&mut self) -> Result<Option<Head>> {
        self.align()?;
        let magic = self.take::<6>()?;
        match &magic {
            b"070701" | b"070702" => {
                let mut fields = [0; 13];
                for field in &mut fields {
                    *field = self.number()?;
                }
                let (size, length) = (fields[6], fields[11] as usize);
                ensure!((1..=LONGEST).contains(&length), "an entry's name has {length} bytes");
                let mut name = vec![0; length];
                self.fill(&mut name)?;
                ensure!(name.pop() == Some(0), "an entry's name does not end");
                if name == TRAILER {
                    return Ok(None);
                }
                self.align()?;
                Ok(Some(Head { which: Which::Path(name), size: Some(u64::from(size)) }))
            }
            b"07070X" => {
                let number = self.number()? as usize;
                self.align()?;
                Ok(Some(Head { which: Which::Number(number), size: None }))
            }
            other => bail!("an entry begins with `{}`, where it has to begin as cpio's do", other.escape_ascii()),
        }
    }

    /// The content of the entry, so many bytes: all of it has to be read.
    pub fn content(&mut self, size: u64) -> io::Take<&mut R> {
        self.at += size;
        self.input.by_ref().take(size)
    }

    /// Reads what is left, so that what the compression checks last is checked.
    pub fn finish(mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink()).context("the compressed data are damaged or truncated")?;
        Ok(())
    }

    fn align(&mut self) -> Result<()> {
        let padding = self.at.next_multiple_of(4) - self.at;
        self.fill(&mut [0; 3][..padding as usize])
    }

    fn number(&mut self) -> Result<u32> {
        let digits = self.take::<8>()?;
        let number = std::str::from_utf8(&digits).ok().filter(|digits| !digits.starts_with('+'));
        let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.with_context(|| format!("an entry has `{}` for a number", digits.escape_ascii()))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input.read_exact(bytes).context("the payload is damaged or ends early")?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
