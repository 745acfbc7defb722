//! From the text of an index to the bytes of a table.
//!
//! Names are numbered in the order in which apt would meet them reading the file, fields in the order of apt's
//! apt-pkg/deb/deblistparser.cc: apt's last resort between providers of a virtual package is that number.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use anyhow::{Context, Result, bail};
use zerocopy::IntoBytes;

use super::{Alternative, ESSENTIAL, Field, Header, KEPT_FIELDS, MAGIC, PROTECTED, Row, SECTIONS, Text};
use crate::digest::Sha256;
use crate::package::deb::control::Stanza;
use crate::package::deb::relation::{Relation, members};

/// The relation fields in which apt meets names, in its order; those without a [`Field`] only number names.
const RELATIONS: [(&str, Option<Field>); 9] = [
    ("Pre-Depends", Some(Field::PreDepends)),
    ("Depends", Some(Field::Depends)),
    ("Conflicts", Some(Field::Conflicts)),
    ("Breaks", Some(Field::Breaks)),
    ("Recommends", Some(Field::Recommends)),
    ("Suggests", Some(Field::Suggests)),
    ("Replaces", None),
    ("Enhances", None),
    ("Provides", Some(Field::Provides)),
];

/// The most bytes that a stanza may have; Debian's largest have some 100,000.
const STANZA: usize = 16 << 20;

/// All fields that are read.
const FIELDS: [&str; 23] = [
    "Package",
    "Version",
    "Architecture",
    "Filename",
    "Source",
    "Task",
    "Size",
    "Installed-Size",
    "SHA256",
    "Essential",
    "Protected",
    "Important",
    "Multi-Arch",
    "Priority",
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Recommends",
    "Suggests",
    "Replaces",
    "Enhances",
    "Provides",
];

/// Reads an index to its end and gives its table's bytes, with their SHA-256 after them. Stanzas without a name or a
/// version are left out. Memory grows with the table, not with the text.
pub fn compile(mut text: &mut dyn BufRead) -> Result<Vec<u8>> {
    let mut compiler = Compiler::default();
    let mut stanza = Vec::new();
    loop {
        let start = stanza.len();
        let rest = (STANZA + 1 - start) as u64;
        let read = (&mut text).take(rest).read_until(b'\n', &mut stanza).context("cannot read an index")?;
        if stanza.len() > STANZA {
            bail!("an index has a stanza of more than {STANZA} bytes");
        }
        let blank = stanza[start..].trim_ascii().is_empty();
        if blank && start > 0 {
            let text = std::str::from_utf8(&stanza).context("an index is not UTF-8")?;
            compiler.add(Stanza::parse(text))?;
        }
        if read == 0 {
            return compiler.finish();
        }
        if blank {
            stanza.clear();
        }
    }
}

#[derive(Default)]
struct Compiler {
    names: Vec<Text>,
    numbers: HashMap<Box<str>, u32>,
    rows: Vec<Row>,
    members: Vec<u32>,
    alternatives: Vec<Alternative>,
    pool: String,
    pooled: HashMap<Box<str>, Text>,
}

impl Compiler {
    fn add(&mut self, stanza: Stanza<'_>) -> Result<()> {
        let mut values = [""; FIELDS.len()];
        for (field, text) in stanza.fields() {
            let known = FIELDS.iter().position(|known| known.eq_ignore_ascii_case(field));
            if let Some(at) = known.filter(|at| values[*at].is_empty()) {
                values[at] = text;
            }
        }
        let value = |field: &str| FIELDS.iter().position(|known| *known == field).map_or("", |at| values[at]);
        let (name, version) = (value("Package"), value("Version"));
        if name.is_empty() || version.is_empty() {
            return Ok(());
        }
        let number = self.number(name)?;
        let mut boundaries = [0; KEPT_FIELDS + 1];
        for (field, kept) in RELATIONS {
            if let Some(kept) = kept {
                boundaries[kept as usize] = self.members.len() as u32;
            }
            for member in members(value(field)) {
                self.add_member(member, kept.is_some())?;
            }
        }
        boundaries[KEPT_FIELDS] = self.members.len() as u32;
        let yes = |field: &str| value(field) == "yes";
        let size: u64 = value("Size").parse().unwrap_or(u64::MAX);
        let source = value("Source").split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
        let row = Row {
            name: number,
            version: self.pool(version)?,
            architecture: self.pool(value("Architecture"))?,
            path: self.append(&plain_path(value("Filename")))?,
            source: self.pool(if source == name { "" } else { source })?,
            task: self.pool(value("Task"))?,
            size: [(size >> 32) as u32, size as u32],
            installed_kib: value("Installed-Size").parse().unwrap_or(0),
            sha256: value("SHA256").parse::<Sha256>().map_or([0; 32], |sha256| *sha256.as_bytes()),
            members: boundaries,
            flags: if yes("Essential") { ESSENTIAL } else { 0 }
                | if yes("Protected") || yes("Important") { PROTECTED } else { 0 },
            multi_arch: match value("Multi-Arch") {
                "same" => 1,
                "foreign" => 2,
                "allowed" => 3,
                _ => 0,
            },
            priority: match value("Priority") {
                "required" => 0,
                "important" => 1,
                "standard" => 2,
                "extra" => 4,
                _ => 3,
            },
            padding: 0,
        };
        self.rows.push(row);
        Ok(())
    }

    /// Adds a member of a field; of one that is not kept, only the names.
    fn add_member(&mut self, member: &str, kept: bool) -> Result<()> {
        if kept {
            self.members.push(self.alternatives.len() as u32);
        }
        for alternative in member.split('|') {
            // What cannot be read is a package that no archive has, under that text as its name.
            let text = alternative.trim();
            let relation = Relation::parse(text).unwrap_or(Relation { name: text, qualifier: None, version: None });
            let name = self.number(relation.name)?;
            if !kept {
                continue;
            }
            let (operator, version) = match relation.version {
                Some((operator, version)) => (operator as u32 + 1, version),
                None => (0, ""),
            };
            let qualifier = relation.qualifier.unwrap_or_default();
            let alternative =
                Alternative { name, version: self.pool(version)?, operator, qualifier: self.pool(qualifier)? };
            self.alternatives.push(alternative);
        }
        Ok(())
    }

    /// The number of a name.
    fn number(&mut self, name: &str) -> Result<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.names.len() as u32;
        let text = self.append(name)?;
        self.names.push(text);
        self.numbers.insert(name.into(), number);
        Ok(number)
    }

    /// Text that is likely to come again.
    fn pool(&mut self, text: &str) -> Result<Text> {
        if text.is_empty() {
            return Ok(Text::default());
        }
        if let Some(known) = self.pooled.get(text) {
            return Ok(*known);
        }
        let new = self.append(text)?;
        self.pooled.insert(text.into(), new);
        Ok(new)
    }

    fn append(&mut self, text: &str) -> Result<Text> {
        let start = u32::try_from(self.pool.len()).context("an index has more than 4 GiB of text")?;
        self.pool.push_str(text);
        Ok(Text { start, length: text.len() as u32 })
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        drop((std::mem::take(&mut self.numbers), std::mem::take(&mut self.pooled)));
        let Self { names, mut rows, mut members, alternatives, pool, .. } = self;
        let text = |text: Text| &pool.as_bytes()[text.start as usize..][..text.length as usize];
        let mut sorted: Vec<u32> = (0..names.len() as u32).collect();
        sorted.sort_unstable_by_key(|number| text(names[*number as usize]));
        rows.sort_by_key(|row| text(names[row.name as usize]));
        members.push(u32::try_from(alternatives.len()).context("an index has too many relations")?);
        let lengths = [names.len(), sorted.len(), rows.len(), members.len(), alternatives.len(), pool.len()];
        let mut header = Header { magic: MAGIC, lengths: [0; SECTIONS.len()] };
        for (out, length) in header.lengths.iter_mut().zip(lengths) {
            *out = u32::try_from(length).context("an index is too large")?;
        }
        let size: usize = lengths.iter().zip(SECTIONS).map(|(length, size)| length * size).sum();
        let mut bytes = Vec::with_capacity(size_of::<Header>() + size + 32);
        let sections = [
            header.as_bytes(),
            names.as_bytes(),
            sorted.as_bytes(),
            rows.as_bytes(),
            members.as_bytes(),
            alternatives.as_bytes(),
            pool.as_bytes(),
        ];
        for section in sections {
            bytes.extend_from_slice(section);
        }
        let digest = Sha256::of(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        Ok(bytes)
    }
}

/// A path without `.` and empty parts, which the indexes of flat repositories have.
fn plain_path(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}
