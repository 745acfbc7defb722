//! The header structure: tags in ascending order over a store of their data, bound together by a region.
//!
//! Written is what rpmbuild writes for one region over all tags; read is nothing else, so that what was read and is written
//! again has the same bytes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// What each header begins with: magic, version, reserved bytes.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// Bytes before the index: the magic, the number of tags, the size of the data.
const INTRO: usize = 16;
/// Bytes of an entry of the index, and of a region's data.
const ENTRY: usize = 16;
/// The largest header read here, in bytes; rpm's own limit is 256 MiB.
const LARGEST: usize = 64 << 20;

/// The data of a tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `INT16`.
    Int16(Vec<u16>),
    /// `INT32`.
    Int32(Vec<u32>),
    /// `INT64`.
    Int64(Vec<u64>),
    /// `STRING`.
    Text(String),
    /// `BIN`.
    Binary(Vec<u8>),
    /// `STRING_ARRAY`.
    Texts(Vec<String>),
    /// `I18NSTRING`, in the one language `C`.
    Translated(String),
}

impl Value {
    fn kind(&self) -> u32 {
        match self {
            Self::Int16(_) => 3,
            Self::Int32(_) => 4,
            Self::Int64(_) => 5,
            Self::Text(_) => 6,
            Self::Binary(_) => 7,
            Self::Texts(_) => 8,
            Self::Translated(_) => 9,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Int16(all) => all.len(),
            Self::Int32(all) => all.len(),
            Self::Int64(all) => all.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Texts(all) => all.len(),
            Self::Text(_) | Self::Translated(_) => 1,
        }
    }

    fn append(&self, data: &mut Vec<u8>) {
        let mut text = |text: &str| data.extend(text.bytes().chain([0]));
        match self {
            Self::Int16(all) => all.iter().for_each(|n| data.extend(n.to_be_bytes())),
            Self::Int32(all) => all.iter().for_each(|n| data.extend(n.to_be_bytes())),
            Self::Int64(all) => all.iter().for_each(|n| data.extend(n.to_be_bytes())),
            Self::Binary(bytes) => data.extend(bytes),
            Self::Texts(all) => all.iter().for_each(|one| text(one)),
            Self::Text(one) | Self::Translated(one) => text(one),
        }
    }

    /// Reads data of a kind and count from the beginning of `data`; gives the number of bytes, too.
    fn read(kind: u32, count: usize, data: &[u8]) -> Result<(Self, usize)> {
        let bytes = |size: usize| {
            let length = count.checked_mul(size).filter(|length| *length <= data.len());
            length.map(|length| &data[..length]).context("its data ends early")
        };
        let texts = |count: usize| -> Result<(Vec<String>, usize)> {
            let (mut all, mut at) = (Vec::new(), 0);
            for _ in 0..count {
                let end = memchr::memchr(0, &data[at..]).context("a text does not end")?;
                all.push(std::str::from_utf8(&data[at..at + end]).context("a text is not UTF-8")?.to_owned());
                at += end + 1;
            }
            Ok((all, at))
        };
        let one = || -> Result<(String, usize)> {
            ensure!(count == 1, "it has {count} texts, expected one");
            let (mut all, length) = texts(1)?;
            Ok((all.remove(0), length))
        };
        Ok(match kind {
            3 => {
                (Self::Int16(bytes(2)?.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()), count * 2)
            }
            4 => (Self::Int32(bytes(4)?.chunks_exact(4).map(be_u32).collect()), count * 4),
            5 => {
                let number = |b: &[u8]| u64::from(be_u32(b)) << 32 | u64::from(be_u32(&b[4..]));
                (Self::Int64(bytes(8)?.chunks_exact(8).map(number).collect()), count * 8)
            }
            6 => one().map(|(text, length)| (Self::Text(text), length))?,
            7 => (Self::Binary(bytes(1)?.to_vec()), count),
            8 => texts(count).map(|(all, length)| (Self::Texts(all), length))?,
            9 => one().map(|(text, length)| (Self::Translated(text), length))?,
            other => bail!("its data has the unknown type {other}"),
        })
    }
}

/// A header: its region's tag, and all other tags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    region: u32,
    tags: BTreeMap<u32, Value>,
}

impl Header {
    /// A header without tags; `region` is [`super::tag::IMMUTABLE`] or [`super::tag::SIGNATURES`].
    pub fn new(region: u32) -> Self {
        Self { region, tags: BTreeMap::new() }
    }

    /// Sets a tag.
    pub fn set(&mut self, tag: u32, value: Value) {
        self.tags.insert(tag, value);
    }

    /// Removes a tag.
    pub fn remove(&mut self, tag: u32) {
        self.tags.remove(&tag);
    }

    /// Removes all tags but these.
    pub fn retain(&mut self, kept: &[u32]) {
        self.tags.retain(|tag, _| kept.contains(tag));
    }

    /// The data of a tag.
    pub fn get(&self, tag: u32) -> Option<&Value> {
        self.tags.get(&tag)
    }

    /// The text of a tag, of several the first.
    pub fn text(&self, tag: u32) -> Option<&str> {
        match self.get(tag)? {
            Value::Text(text) | Value::Translated(text) => Some(text),
            Value::Texts(all) => all.first().map(String::as_str),
            _ => None,
        }
    }

    /// The number of a tag, of several the first.
    pub fn number(&self, tag: u32) -> Option<u64> {
        match self.get(tag)? {
            Value::Int16(all) => all.first().map(|n| u64::from(*n)),
            Value::Int32(all) => all.first().map(|n| u64::from(*n)),
            Value::Int64(all) => all.first().copied(),
            _ => None,
        }
    }

    /// The header's bytes, from its magic on: what signatures and digests of a main header are of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (tag, value) in &self.tags {
            data.resize(data.len().next_multiple_of(alignment(value.kind())), 0);
            index.extend(entry(*tag, value.kind(), data.len() as u32, value.count() as u32));
            value.append(&mut data);
        }
        let tags = self.tags.len() + 1;
        let first = entry(self.region, 7, data.len() as u32, ENTRY as u32);
        // The region's own data is an entry whose offset leads back over the index.
        data.extend(entry(self.region, 7, ((tags * ENTRY) as u32).wrapping_neg(), ENTRY as u32));
        let counts = [(tags as u32).to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
        [&MAGIC[..], &counts, &first, &index, &data].concat()
    }

    /// Reads a header from the beginning of `bytes`; gives its size in bytes, too. A header that [`Self::to_bytes`] would write
    /// otherwise is refused.
    pub fn parse(region: u32, bytes: &[u8]) -> Result<(Self, usize)> {
        let size = Self::size(bytes)?;
        let whole = bytes.get(..size).context("it ends early")?;
        let tags = be_u32(&whole[8..]) as usize;
        let (index, data) = whole[INTRO..].split_at(tags * ENTRY);
        let (mut header, mut at, mut last) = (Self::new(region), 0, None);
        for entry in index.chunks_exact(ENTRY).skip(1) {
            let [tag, kind, offset, count] = [0, 4, 8, 12].map(|at| be_u32(&entry[at..]));
            // Where each byte is read for one tag alone, a header takes memory in proportion to its size.
            ensure!(last < Some(tag), "its tag {tag} is out of order");
            at = usize::next_multiple_of(at, alignment(kind));
            ensure!(offset as usize == at, "the data of its tag {tag} does not follow that of the tag before it");
            ensure!(count > 0, "its tag {tag} is empty");
            let read = || Value::read(kind, count as usize, data.get(at..).context("its data lies outside")?);
            let (value, length) = read().with_context(|| format!("its tag {tag} cannot be read"))?;
            header.tags.insert(tag, value);
            (at, last) = (at + length, Some(tag));
        }
        ensure!(header.to_bytes() == whole, "its region is another, or there is something between its tags");
        Ok((header, size))
    }

    /// The size in bytes of the header that begins with these, of which 16 are enough.
    pub fn size(bytes: &[u8]) -> Result<usize> {
        let intro = bytes.get(..INTRO).context("it ends early")?;
        ensure!(intro[..8] == MAGIC, "it does not begin as headers do");
        let [tags, data] = [8, 12].map(|at| be_u32(&intro[at..]) as usize);
        ensure!(tags > 0, "it has no region");
        let size = tags.checked_mul(ENTRY).and_then(|index| index.checked_add(data)?.checked_add(INTRO));
        match size {
            Some(size) if size <= LARGEST => Ok(size),
            _ => bail!("it has more than {LARGEST} bytes"),
        }
    }
}

/// How many bytes [`Header::size`] needs.
pub const INTRO_SIZE: usize = INTRO;

fn entry(tag: u32, kind: u32, offset: u32, count: u32) -> Vec<u8> {
    [tag, kind, offset, count].iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// What the offset of data of a kind is a multiple of.
pub(super) fn alignment(kind: u32) -> usize {
    match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        _ => 1,
    }
}

pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::super::tag;
    use super::*;

    fn sample() -> Header {
        let mut header = Header::new(tag::IMMUTABLE);
        header.set(tag::NAME, Value::Text("name".to_owned()));
        header.set(tag::SUMMARY, Value::Translated("one line".to_owned()));
        header.set(tag::FILEMODES, Value::Int16(vec![1, 2, 3]));
        header.set(tag::FILESIZES, Value::Int32(vec![4, 5]));
        header.set(tag::LONGSIZE, Value::Int64(vec![1 << 40]));
        header.set(tag::BASENAMES, Value::Texts(vec!["a".to_owned(), String::new()]));
        header.set(tag::RSAHEADER, Value::Binary(vec![0, 1]));
        header
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = sample().to_bytes();
        let more = [&bytes[..], b"more"].concat();
        assert_eq!(Header::parse(tag::IMMUTABLE, &more).unwrap(), (sample(), bytes.len()));
        assert_eq!(sample().number(tag::LONGSIZE), Some(1 << 40));
        assert_eq!((sample().text(tag::SUMMARY), sample().text(tag::LONGSIZE)), (Some("one line"), None));
    }

    #[test]
    fn no_changed_byte_of_the_index_goes_unseen() {
        let bytes = sample().to_bytes();
        for at in 0..INTRO + 8 * ENTRY {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = Header::parse(tag::IMMUTABLE, &changed);
            // Another tag's number between its neighbours' is another header, and a sound one.
            assert!(read.is_err() || read.is_ok_and(|(header, _)| header != sample()), "byte {at}");
        }
        for end in 0..bytes.len() {
            assert!(Header::parse(tag::IMMUTABLE, &bytes[..end]).is_err(), "{end} bytes");
        }
    }

    /// A header of these entries over this data, whose region is as it should be.
    fn header_of(entries: &[[u32; 4]], data: &[u8]) -> Vec<u8> {
        let tags = entries.len() + 1;
        let counts = [tags as u32, (data.len() + ENTRY) as u32].map(u32::to_be_bytes).concat();
        let index = entries.iter().flat_map(|[tag, kind, offset, count]| entry(*tag, *kind, *offset, *count));
        let first = entry(tag::IMMUTABLE, 7, data.len() as u32, ENTRY as u32);
        let region = entry(tag::IMMUTABLE, 7, ((tags * ENTRY) as u32).wrapping_neg(), ENTRY as u32);
        [&MAGIC[..], &counts, &first, &index.collect::<Vec<_>>(), data, &region].concat()
    }

    #[test]
    fn each_byte_of_data_is_of_one_tag() {
        let told = |entries: &[[u32; 4]]| {
            let bytes = header_of(entries, &[0; 64]);
            format!("{:#}", Header::parse(tag::IMMUTABLE, &bytes).unwrap_err())
        };
        // Sixteen thousand tags, each with all of the data: the memory of a header many times its size.
        let all: Vec<[u32; 4]> = (100..16_484).map(|tag| [tag, 8, 0, 64]).collect();
        let second = "the data of its tag 101 does not follow that of the tag before it";
        assert_eq!(told(&all), second);
        assert_eq!(told(&[[100, 7, 0, 8], [101, 7, 9, 1]]), second);
        assert_eq!(told(&[[100, 7, 0, 1], [101, 4, 1, 1]]), second);
        assert_eq!(told(&[[100, 7, 0, 1], [99, 7, 1, 1]]), "its tag 99 is out of order");
        assert_eq!(told(&[[100, 7, 0, 1], [100, 7, 1, 1]]), "its tag 100 is out of order");
        assert_eq!(told(&[[100, 7, 0, 0]]), "its tag 100 is empty");
        assert_eq!(told(&[[100, 4, 0, 1 << 30]]), "its tag 100 cannot be read: its data ends early");
        assert_eq!(told(&[[100, 7, 0, 63]]), "its region is another, or there is something between its tags");
        assert!(Header::parse(tag::IMMUTABLE, &header_of(&[[100, 7, 0, 64]], &[0; 64])).is_ok());
    }

    #[test]
    fn sizes_beyond_all_bounds_are_refused() {
        let huge = [&MAGIC[..], &u32::MAX.to_be_bytes(), &u32::MAX.to_be_bytes()].concat();
        assert!(Header::parse(tag::IMMUTABLE, &huge).is_err());
    }
}
