//! A `Packages` file as a table (deb-control(5), and the repository format of the Debian wiki): what resolving asks of
//! every package, as arrays of plain numbers over one pool of text, so that a later run maps it and reads nothing twice.
//!
//! [`compile()`] writes tables, [`Table`] holds one, [`View`] reads it. Descriptions and all else that no choice depends on
//! are left out.

mod compile;

use std::fmt;
use std::fs::File;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use memmap2::Mmap;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::relation::{Operator, Relation};
use crate::digest::Sha256;

pub use compile::compile;

/// Changes with the layout, so that tables of other versions of this program are made anew.
const MAGIC: [u8; 8] = *b"debtab02";

/// A range of bytes of the pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Text {
    start: u32,
    length: u32,
}

impl Text {
    /// Whether it covers nothing.
    pub fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// Priority (Debian Policy 2.5), the most important first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Priority {
    /// `required`
    Required,
    /// `important`
    Important,
    /// `standard`
    Standard,
    /// `optional`, and anything unknown
    Optional,
    /// `extra`
    Extra,
}

/// The field Multi-Arch (deb-control(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultiArch {
    /// `no`, or no such field.
    No,
    /// Can be installed for several architectures at once.
    Same,
    /// Satisfies relations of any architecture.
    Foreign,
    /// Satisfies relations of any architecture that say `:any`.
    Allowed,
}

/// A relation field that the table keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `Pre-Depends`
    PreDepends,
    /// `Depends`
    Depends,
    /// `Conflicts`
    Conflicts,
    /// `Breaks`
    Breaks,
    /// `Recommends`
    Recommends,
    /// `Suggests`
    Suggests,
    /// `Provides`
    Provides,
}

const KEPT_FIELDS: usize = 7;

const ESSENTIAL: u8 = 1;
const PROTECTED: u8 = 2;

/// One stanza.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Row {
    /// Number of the name.
    pub name: u32,
    /// `Version`.
    pub version: Text,
    /// `Architecture`.
    pub architecture: Text,
    /// `Filename`.
    pub path: Text,
    /// `Source`, without its version; empty when it is the package's name.
    pub source: Text,
    /// `Task`.
    pub task: Text,
    /// `Size` in bytes; [`u64::MAX`] for none that can be read.
    size: [u32; 2],
    /// `Installed-Size` in KiB; 0 for none.
    pub installed_kib: u32,
    /// `SHA256`; zeros for none that can be read.
    sha256: [u8; 32],
    /// Where the members of each field begin among all members, and where those of the last end.
    members: [u32; KEPT_FIELDS + 1],
    flags: u8,
    multi_arch: u8,
    priority: u8,
    padding: u8,
}

impl Row {
    /// `Essential: yes`.
    pub fn essential(&self) -> bool {
        self.flags & ESSENTIAL != 0
    }

    /// `Protected: yes` or `Important: yes`.
    pub fn protected(&self) -> bool {
        self.flags & PROTECTED != 0
    }

    /// `Multi-Arch`.
    pub fn multi_arch(&self) -> MultiArch {
        match self.multi_arch {
            1 => MultiArch::Same,
            2 => MultiArch::Foreign,
            3 => MultiArch::Allowed,
            _ => MultiArch::No,
        }
    }

    /// `Priority`.
    pub fn priority(&self) -> Priority {
        match self.priority {
            0 => Priority::Required,
            1 => Priority::Important,
            2 => Priority::Standard,
            3 => Priority::Optional,
            _ => Priority::Extra,
        }
    }

    /// `Size` in bytes.
    pub fn size(&self) -> Option<u64> {
        let size = u64::from(self.size[0]) << 32 | u64::from(self.size[1]);
        (size != u64::MAX).then_some(size)
    }

    /// `SHA256`.
    pub fn sha256(&self) -> Option<Sha256> {
        (self.sha256 != [0; 32]).then_some(Sha256::from_bytes(self.sha256))
    }
}

/// One alternative of a member of a relation field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Alternative {
    /// Number of the name.
    pub name: u32,
    version: Text,
    /// 0 for none, else 1 more than the place in [`OPERATORS`].
    operator: u32,
    /// The architecture, `any` or `native`; empty for none.
    qualifier: Text,
}

const OPERATORS: [Operator; 5] =
    [Operator::Earlier, Operator::EarlierOrEqual, Operator::Equal, Operator::LaterOrEqual, Operator::Later];

/// The sections with the size of an element: names, names in order, rows, members, alternatives, pool.
const SECTIONS: [usize; 6] = [size_of::<Text>(), 4, size_of::<Row>(), 4, size_of::<Alternative>(), 1];

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// Elements of each section.
    lengths: [u32; SECTIONS.len()],
}

/// A table, in memory or mapped.
pub struct Table {
    bytes: Bytes,
    sections: [Range<usize>; SECTIONS.len()],
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Owned(owned) => owned,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} packages)", self.sections[2].len() / SECTIONS[2])
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Table {
    /// The table that [`compile()`] gives for a text.
    pub fn of(text: &str) -> Result<Self> {
        Self::open(Bytes::Owned(compile(&mut text.as_bytes())?))
    }

    /// The table with these bytes, which end with their SHA-256 as [`compile()`] gives them.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::open(Bytes::Owned(bytes))
    }

    /// Maps a file with such bytes. Nothing may write into the file while the table is used.
    pub fn map(file: &File) -> Result<Self> {
        #[allow(unsafe_code, reason = "a file can only be mapped so")]
        // SAFETY: the file appeared by rename and nothing ever writes into it.
        let mapped = unsafe { Mmap::map(file) }.context("cannot map a table of packages")?;
        Self::open(Bytes::Mapped(mapped))
    }

    fn open(bytes: Bytes) -> Result<Self> {
        let slice = bytes.as_slice();
        let (body, digest) = slice.split_last_chunk::<32>().context("a table of packages is cut short")?;
        if Sha256::of(body).as_bytes() != digest {
            bail!("a table of packages is damaged");
        }
        let (header, _) = Header::read_from_prefix(body).ok().context("a table of packages has no header")?;
        if header.magic != MAGIC {
            bail!("a table of packages was made by another version of compose");
        }
        let mut at = size_of::<Header>();
        let sections = std::array::from_fn(|n| {
            let start = at;
            at += header.lengths[n] as usize * SECTIONS[n];
            start..at
        });
        if at != body.len() {
            bail!("a table of packages has another length than its header says");
        }
        std::str::from_utf8(&body[sections[5].clone()]).context("a table of packages has text that is not UTF-8")?;
        Ok(Self { bytes, sections })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The table's arrays.
    pub fn view(&self) -> View<'_> {
        let bytes = self.bytes();
        let section = |n: usize| &bytes[self.sections[n].clone()];
        View {
            names: elements(section(0)),
            sorted: elements(section(1)),
            rows: elements(section(2)),
            members: elements(section(3)),
            alternatives: elements(section(4)),
            pool: std::str::from_utf8(section(5)).unwrap_or_default(),
        }
    }
}

/// A section as its elements. Sections are aligned as their elements are: the header and all elements before the pool
/// are multiples of four bytes.
fn elements<T: FromBytes + Immutable + KnownLayout>(section: &[u8]) -> &[T] {
    <[T]>::ref_from_bytes(section).unwrap_or_default()
}

/// A table's arrays, borrowed.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Names, in the order in which apt would meet them.
    pub names: &'a [Text],
    /// Numbers of names, in the order of the names' bytes.
    pub sorted: &'a [u32],
    /// The stanzas that have a name and a version, in the order of the names' bytes, and of the file within a name.
    pub rows: &'a [Row],
    members: &'a [u32],
    alternatives: &'a [Alternative],
    pool: &'a str,
}

impl<'a> View<'a> {
    /// A piece of the pool.
    pub fn text(&self, text: Text) -> &'a str {
        &self.pool[text.start as usize..][..text.length as usize]
    }

    /// A name by its number.
    pub fn name(&self, number: u32) -> &'a str {
        self.text(self.names[number as usize])
    }

    /// The members of a row's field, each as its alternatives.
    pub fn members(&self, row: &Row, field: Field) -> impl Iterator<Item = &'a [Alternative]> + use<'a> {
        let View { members, alternatives, .. } = *self;
        let (start, end) = (row.members[field as usize] as usize, row.members[field as usize + 1] as usize);
        (start..end).map(move |n| &alternatives[members[n] as usize..members[n + 1] as usize])
    }

    /// An alternative as a relation.
    pub fn relation(&self, alternative: &Alternative) -> Relation<'a> {
        let operator = (alternative.operator as usize).checked_sub(1).map(|n| OPERATORS[n]);
        Relation {
            name: self.name(alternative.name),
            qualifier: (!alternative.qualifier.is_empty()).then(|| self.text(alternative.qualifier)),
            version: operator.map(|operator| (operator, self.text(alternative.version))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: b\nArchitecture: all\nVersion: 2-1\nProvides: c (= 1),\n d\nMulti-Arch: foreign\n\
                        Protected: yes\nSource: bees (1)\nSize: 5000000000\nDescription: x\n Package: not this\n\n\n\
                        Package: half\n\n\
                        Package: a\nVersion: 1\nArchitecture: amd64\nEssential: yes\nPriority: required\n\
                        Replaces: z\nDepends: b:any (>= 2) | e, ?\n";

    #[test]
    fn stanzas_become_rows() {
        let table = Table::of(TEXT).unwrap();
        let view = table.view();
        let rows: Vec<_> =
            view.rows.iter().map(|r| (view.name(r.name), view.text(r.version), view.text(r.architecture))).collect();
        assert_eq!(rows, [("a", "1", "amd64"), ("b", "2-1", "all")]);
        let [a, b] = view.rows else { panic!() };
        assert!(a.essential() && !a.protected() && b.protected());
        assert_eq!((a.priority(), b.priority()), (Priority::Required, Priority::Optional));
        assert_eq!((a.multi_arch(), b.multi_arch()), (MultiArch::No, MultiArch::Foreign));
        assert_eq!((b.size(), a.size(), b.sha256()), (Some(5_000_000_000), None, None));
        assert_eq!(view.text(b.source), "bees");
        let field = |row, field| -> Vec<String> {
            let told = |a: &[Alternative]| a.iter().map(|a| view.relation(a).to_string()).collect::<Vec<_>>().join("|");
            view.members(row, field).map(told).collect()
        };
        assert_eq!(field(b, Field::Provides), ["c (= 1)", "d"]);
        assert_eq!(field(a, Field::Depends), ["b:any (>= 2)|e", "?"]);
        assert!(field(b, Field::Depends).is_empty());
    }

    #[test]
    fn names_are_numbered_as_apt_meets_them() {
        let table = Table::of(TEXT).unwrap();
        let view = table.view();
        let names: Vec<_> = (0..view.names.len() as u32).map(|number| view.name(number)).collect();
        assert_eq!(names, ["b", "c", "d", "a", "e", "?", "z"]);
        let sorted: Vec<_> = view.sorted.iter().map(|number| view.name(*number)).collect();
        assert_eq!(sorted, ["?", "a", "b", "c", "d", "e", "z"]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let bytes = compile(&mut TEXT.as_bytes()).unwrap();
        assert!(Table::from_bytes(bytes.clone()).is_ok());
        assert!(Table::from_bytes(bytes[..bytes.len() - 1].to_vec()).is_err());
        assert!(Table::from_bytes(Vec::new()).is_err());
        for at in [0, 9, bytes.len() / 2] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Table::from_bytes(damaged).is_err(), "{at}");
        }
        assert_eq!(Table::of("").unwrap().view().rows.len(), 0);
    }

    #[test]
    fn a_stanza_has_an_end() {
        let endless = format!("Package: a\nVersion: 1\nDescription: {}", "x".repeat(17 << 20));
        assert_eq!(Table::of(&endless).unwrap_err().to_string(), "an index has a stanza of more than 16777216 bytes");
    }
}
