//! A header as any rpm wrote it, read in place: regions, tags that were added behind one, texts in several languages and in no
//! known encoding.
//!
//! Refused is what rpm's own `hdrblobInit` refuses, so that its memory and time are bounded by its size. The `rpm` crate reads
//! headers, too; it takes tags apart into values of its own, while an import keeps the bytes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::header::{Header, INTRO_SIZE, alignment, be_u32};
use super::tag;

/// Bytes of an entry of the index, and of a region's data.
const ENTRY: usize = 16;
/// The most tags that rpm takes.
const MOST_TAGS: usize = 0xffff;
/// The first number of a tag that is no region's.
const FIRST_TAG: u32 = tag::I18NTABLE;
/// The type `BIN`, which regions have.
const BINARY: u32 = 7;

/// Where the data of a tag is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

/// A header in its own bytes.
#[derive(Clone, Debug)]
pub struct Blob {
    bytes: Vec<u8>,
    /// Where the data begin.
    data: usize,
    entries: BTreeMap<u32, Entry>,
}

impl Blob {
    /// Reads a header that ends where `bytes` do. `region` is [`tag::IMMUTABLE`] or [`tag::SIGNATURES`]: it has one of that
    /// number, or none at all, as before rpm 4.
    pub fn parse(region: u32, bytes: Vec<u8>) -> Result<Self> {
        let size = Header::size(&bytes)?;
        ensure!(bytes.len() == size, "it has {} bytes, expected {size}", bytes.len());
        let tags = be_u32(&bytes[8..]) as usize;
        ensure!(tags <= MOST_TAGS, "it has {tags} tags, more than rpm takes");
        let start = INTRO_SIZE + tags * ENTRY;
        let mut blob = Self { data: start, entries: BTreeMap::new(), bytes };
        let mut index = blob.bytes[INTRO_SIZE..start].chunks_exact(ENTRY).map(numbers).peekable();
        let of_region = index.next_if(|[number, ..]| *number < FIRST_TAG);
        let mut trailer = None;
        if let Some([number, kind, offset, count]) = of_region {
            ensure!(number == region, "its region is {number}, expected {region}");
            ensure!((kind, count as usize) == (BINARY, ENTRY), "its region's entry is damaged");
            let offset = offset as usize;
            let found = blob.bytes[start..].get(offset..offset + ENTRY).map(numbers);
            let [last, kind, back, count] = found.context("its region lies outside")?;
            // The trailer's number may be that of the region's copy in rpm's database.
            let back = back.wrapping_neg() as usize;
            let sound = (last == number || last == tag::IMAGE) && (kind, count as usize) == (BINARY, ENTRY);
            ensure!(
                sound && back.is_multiple_of(ENTRY) && (ENTRY..=tags * ENTRY).contains(&back),
                "its region is damaged"
            );
            trailer = Some(offset);
        }
        let (mut entries, mut end) = (BTreeMap::new(), 0);
        for [number, kind, offset, count] in index {
            let entry = Entry { kind, offset: offset as usize, count: count as usize };
            // Between tags of the region and those behind it stands the region's own data.
            if trailer.is_some_and(|at| end <= at && entry.offset >= at + ENTRY) {
                end = end.max(trailer.unwrap_or_default() + ENTRY);
            }
            let read = || -> Result<usize> {
                ensure!(number >= FIRST_TAG, "its number is none of a tag");
                ensure!(
                    entry.offset.is_multiple_of(alignment(kind)),
                    "its data stand at {offset}, where they cannot be"
                );
                ensure!(entry.offset >= end, "its data are another tag's, too");
                ensure!(entry.count > 0, "it is empty");
                let data = blob.bytes[start..].get(entry.offset..).context("its data lie outside")?;
                Ok(entry.offset + length(entry, data)?)
            };
            end = read().with_context(|| format!("its tag {number} cannot be read"))?;
            entries.entry(number).or_insert(entry);
        }
        blob.entries = entries;
        Ok(blob)
    }

    /// All bytes of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it has a tag.
    pub fn has(&self, tag: u32) -> bool {
        self.entries.contains_key(&tag)
    }

    /// The texts of a tag, none where it has no such tag.
    pub fn texts(&self, tag: u32) -> Result<Vec<&[u8]>> {
        let Some((entry, data)) = self.find(tag) else { return Ok(Vec::new()) };
        match entry.kind {
            6 | 8 | 9 => Ok(data.split(|byte| *byte == 0).take(entry.count).collect()),
            other => bail!("its tag {tag} has the type {other}, expected texts"),
        }
    }

    /// The first text of a tag.
    pub fn text(&self, tag: u32) -> Result<Option<&[u8]>> {
        Ok(self.texts(tag)?.into_iter().next())
    }

    /// The numbers of a tag, none where it has no such tag.
    pub fn numbers(&self, tag: u32) -> Result<Vec<u64>> {
        let Some((entry, data)) = self.find(tag) else { return Ok(Vec::new()) };
        let width = match entry.kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            other => bail!("its tag {tag} has the type {other}, expected numbers"),
        };
        let read = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Ok(data[..entry.count * width].chunks_exact(width).map(read).collect())
    }

    /// The bytes of a tag.
    pub fn binary(&self, tag: u32) -> Option<&[u8]> {
        self.find(tag).filter(|(entry, _)| entry.kind == BINARY).map(|(entry, data)| &data[..entry.count])
    }

    fn find(&self, tag: u32) -> Option<(Entry, &[u8])> {
        let entry = self.entries.get(&tag)?;
        Some((*entry, &self.bytes[self.data + entry.offset..]))
    }
}

fn numbers(bytes: &[u8]) -> [u32; 4] {
    [0, 4, 8, 12].map(|at| be_u32(&bytes[at..]))
}

/// How many of these bytes an entry's data are.
fn length(entry: Entry, data: &[u8]) -> Result<usize> {
    let width = match entry.kind {
        1 | 2 | 7 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        6 | 8 | 9 => {
            ensure!(entry.kind != 6 || entry.count == 1, "it has {} texts, expected one", entry.count);
            let ends = memchr::memchr_iter(0, data).nth(entry.count - 1);
            return ends.map(|end| end + 1).context("a text does not end");
        }
        other => bail!("it has the unknown type {other}"),
    };
    entry.count.checked_mul(width).filter(|length| *length <= data.len()).context("its data end early")
}

#[cfg(test)]
mod tests {
    use super::super::header::Value;
    use super::*;

    fn sample() -> Vec<u8> {
        let mut header = Header::new(tag::IMMUTABLE);
        header.set(tag::NAME, Value::Text("name".to_owned()));
        header.set(tag::FILEMODES, Value::Int16(vec![1, 2]));
        header.set(tag::LONGSIZE, Value::Int64(vec![1 << 40]));
        header.set(tag::BASENAMES, Value::Texts(vec!["a".to_owned(), String::new()]));
        header.set(tag::RSAHEADER, Value::Binary(vec![0, 1]));
        header.to_bytes()
    }

    /// The sample with one tag behind its region.
    fn with_another() -> Vec<u8> {
        let mut bytes = sample();
        let (tags, data) = (be_u32(&bytes[8..]) as usize, be_u32(&bytes[12..]) as usize);
        let entry = [1009, 4, data.next_multiple_of(4) as u32, 1].map(u32::to_be_bytes).concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(7_u32.to_be_bytes());
        let end = INTRO_SIZE + tags * ENTRY;
        bytes.splice(end..end, entry);
        let size = (bytes.len() - end - ENTRY) as u32;
        bytes[8..12].copy_from_slice(&(tags as u32 + 1).to_be_bytes());
        bytes[12..16].copy_from_slice(&size.to_be_bytes());
        bytes
    }

    #[test]
    fn tags_are_read_by_their_types() {
        let blob = Blob::parse(tag::IMMUTABLE, sample()).unwrap();
        assert_eq!(blob.text(tag::NAME).unwrap(), Some(&b"name"[..]));
        assert_eq!(blob.numbers(tag::FILEMODES).unwrap(), [1, 2]);
        assert_eq!(blob.numbers(tag::LONGSIZE).unwrap(), [1 << 40]);
        assert_eq!(blob.texts(tag::BASENAMES).unwrap(), [&b"a"[..], b""]);
        assert_eq!(blob.binary(tag::RSAHEADER), Some(&[0, 1][..]));
        assert!(blob.texts(tag::SUMMARY).unwrap().is_empty() && !blob.has(tag::SUMMARY));
        assert!(blob.texts(tag::FILEMODES).is_err() && blob.numbers(tag::NAME).is_err());
        let more = Blob::parse(tag::IMMUTABLE, with_another()).unwrap();
        assert_eq!(more.numbers(tag::SIZE).unwrap(), [7]);
        assert_eq!(more.text(tag::NAME).unwrap(), Some(&b"name"[..]));
    }

    #[test]
    fn no_bytes_make_it_read_elsewhere() {
        for whole in [sample(), with_another()] {
            assert!(Blob::parse(tag::SIGNATURES, whole.clone()).is_err());
            for at in 0..whole.len() {
                for bit in [1, 0x80] {
                    let mut changed = whole.clone();
                    changed[at] ^= bit;
                    if let Ok(blob) = Blob::parse(tag::IMMUTABLE, changed) {
                        for tag in blob.entries.keys() {
                            let _ = (blob.texts(*tag), blob.numbers(*tag), blob.binary(*tag));
                        }
                    }
                }
                assert!(Blob::parse(tag::IMMUTABLE, whole[..at].to_vec()).is_err());
            }
        }
    }
}
