//! A `Packages` file as a table (deb-control(5), and the repository format of the Debian wiki).
//!
//! The table holds what is asked of every package: a few offsets into the text per stanza. All else, relations first,
//! is read from the text when a package is visited. Its rows are plain numbers, so that they can be kept and mapped.

use super::control::Stanza;

/// A range of bytes of the text.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// The text it covers.
    pub fn of(self, text: &str) -> &str {
        &text[self.start as usize..(self.start + self.length) as usize]
    }

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

/// One stanza.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The whole stanza.
    pub stanza: Span,
    /// `Package`.
    pub name: Span,
    /// `Version`.
    pub version: Span,
    /// `Architecture`.
    pub architecture: Span,
    /// `Provides`; empty when there is none.
    pub provides: Span,
    /// `Priority`.
    pub priority: Priority,
    /// `Multi-Arch`.
    pub multi_arch: MultiArch,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Protected: yes` or `Important: yes`.
    pub protected: bool,
}

/// All stanzas of a text that name a package and a version, in order. Texts beyond 4 GiB are read up to there.
pub fn scan(text: &str) -> Vec<Row> {
    let mut rows = Vec::with_capacity(text.len() / 800);
    let limit = text.len().min(u32::MAX as usize);
    let bytes = &text.as_bytes()[..limit];
    let mut at = 0;
    while at < bytes.len() {
        let (row, next) = scan_stanza(bytes, at);
        rows.extend(row);
        at = next;
    }
    rows
}

/// Reads the stanza that begins at `start`; gives it, when it is complete, and where the next one begins.
fn scan_stanza(bytes: &[u8], start: usize) -> (Option<Row>, usize) {
    let mut row = Row {
        stanza: Span { start: start as u32, length: 0 },
        name: Span::default(),
        version: Span::default(),
        architecture: Span::default(),
        provides: Span::default(),
        priority: Priority::Optional,
        multi_arch: MultiArch::No,
        essential: false,
        protected: false,
    };
    let mut in_provides = false;
    let mut at = start;
    while at < bytes.len() && bytes[at] != b'\n' {
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
        let line = &bytes[at..end];
        // The first letter rules out most lines before any name is compared.
        match line.first() {
            Some(b'P') => {
                if let Some(span) = value(line, at, b"Package:") {
                    row.name = span;
                } else if let Some(span) = value(line, at, b"Provides:") {
                    row.provides = span;
                } else if let Some(span) = value(line, at, b"Priority:") {
                    row.priority = priority(slice(bytes, span));
                } else if let Some(span) = value(line, at, b"Protected:") {
                    row.protected |= slice(bytes, span) == b"yes";
                }
            }
            Some(b' ' | b'\t') if in_provides => row.provides.length = end as u32 - row.provides.start,
            Some(b'V') => row.version = value(line, at, b"Version:").unwrap_or(row.version),
            Some(b'A') => row.architecture = value(line, at, b"Architecture:").unwrap_or(row.architecture),
            Some(b'E') => row.essential |= value(line, at, b"Essential:").is_some_and(|v| slice(bytes, v) == b"yes"),
            Some(b'I') => row.protected |= value(line, at, b"Important:").is_some_and(|v| slice(bytes, v) == b"yes"),
            Some(b'M') => {
                if let Some(span) = value(line, at, b"Multi-Arch:") {
                    row.multi_arch = multi_arch(slice(bytes, span));
                }
            }
            _ => {}
        }
        in_provides = matches!(line.first(), Some(b' ' | b'\t')) && in_provides || line.starts_with(b"Provides:");
        at = (end + 1).min(bytes.len());
    }
    row.stanza.length = (at - start) as u32;
    let complete = !row.name.is_empty() && !row.version.is_empty();
    (complete.then_some(row), (at + 1).min(bytes.len()))
}

/// The trimmed value of a line that begins with `field`.
fn value(line: &[u8], at: usize, field: &[u8]) -> Option<Span> {
    let rest = line.strip_prefix(field)?;
    let value = rest.trim_ascii_start();
    let start = at + field.len() + (rest.len() - value.len());
    Some(Span { start: start as u32, length: value.trim_ascii_end().len() as u32 })
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    &bytes[span.start as usize..(span.start + span.length) as usize]
}

fn priority(word: &[u8]) -> Priority {
    match word {
        b"required" => Priority::Required,
        b"important" => Priority::Important,
        b"standard" => Priority::Standard,
        b"extra" => Priority::Extra,
        _ => Priority::Optional,
    }
}

fn multi_arch(word: &[u8]) -> MultiArch {
    match word {
        b"same" => MultiArch::Same,
        b"foreign" => MultiArch::Foreign,
        b"allowed" => MultiArch::Allowed,
        _ => MultiArch::No,
    }
}

impl Row {
    /// The stanza's fields.
    pub fn stanza(self, text: &str) -> Stanza<'_> {
        Stanza::parse(self.stanza.of(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_become_rows() {
        let text = "Package: a\nVersion: 1\nArchitecture: amd64\nEssential: yes\nPriority: required\n\n\
                    Package: half\n\n\
                    Package: b\nArchitecture: all\nVersion: 2-1\nProvides: c (= 1),\n d\nMulti-Arch: foreign\n\
                    Protected: yes\nDescription: x\n Package: not this\n";
        let rows = scan(text);
        let names: Vec<_> =
            rows.iter().map(|r| (r.name.of(text), r.version.of(text), r.architecture.of(text))).collect();
        assert_eq!(names, [("a", "1", "amd64"), ("b", "2-1", "all")]);
        assert!(rows[0].essential && !rows[0].protected && rows[1].protected);
        assert_eq!((rows[0].priority, rows[1].priority), (Priority::Required, Priority::Optional));
        assert_eq!(rows[1].multi_arch, MultiArch::Foreign);
        assert_eq!(rows[1].provides.of(text), "c (= 1),\n d");
        assert_eq!(rows[1].stanza(text).get("Description"), Some("x\n Package: not this"));
        assert!(scan("").is_empty());
    }
}
