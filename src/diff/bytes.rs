//! Two files to what of their bytes differs: lines of text, or bytes from the first difference on.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// The largest file that is compared line by line, in bytes.
const TEXT: u64 = 256 << 10;
/// How many bytes are shown from the first difference on.
const SHOWN: u64 = 16;
/// Equal lines around different ones.
const CONTEXT: usize = 1;

/// How the contents of two files differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// The lines of a unified diff, without its two head lines.
    Text(Vec<String>),
    /// The first place where they differ.
    Bytes(Bytes),
}

/// The first place where two files differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes {
    /// How many bytes are the same before it.
    pub offset: u64,
    /// What the first file has from there on, cut off.
    pub first: Vec<u8>,
    /// What the second has.
    pub second: Vec<u8>,
}

/// Compares two files; none when they are the same.
pub fn compare(first: &Path, second: &Path) -> Result<Option<Difference>> {
    if let (Some(first), Some(second)) = (read_text(first)?, read_text(second)?) {
        return Ok((first != second).then(|| Difference::Text(unified(&first, &second))));
    }
    Ok(first_difference(first, second)?.map(Difference::Bytes))
}

/// The first place where two files differ; none when they are the same.
pub fn first_difference(first: &Path, second: &Path) -> Result<Option<Bytes>> {
    let ends = |a: &File, b: &File| -> io::Result<Option<Bytes>> {
        let Some(offset) = first_offset(BufReader::new(a), BufReader::new(b))? else { return Ok(None) };
        Ok(Some(Bytes { offset, first: read_at(a, offset)?, second: read_at(b, offset)? }))
    };
    let failed = || format!("cannot compare {} with {}", first.display(), second.display());
    ends(&open(first)?, &open(second)?).with_context(failed)
}

/// How many bytes two readers have in common before the first that differs; none when all do.
fn first_offset(mut first: impl Read, mut second: impl Read) -> io::Result<Option<u64>> {
    let mut buffers = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut offset = 0;
    loop {
        let [a, b] = &mut buffers;
        let (a, b) = (fill(&mut first, a)?, fill(&mut second, b)?);
        if a != b {
            let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            return Ok(Some(offset + same as u64));
        }
        if a.is_empty() {
            return Ok(None);
        }
        offset += a.len() as u64;
    }
}

/// As many bytes as the buffer holds, fewer at the end alone.
fn fill<'a>(reader: &mut impl Read, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(&buffer[..filled])
}

fn read_at(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(SHOWN.min(file.metadata()?.len().saturating_sub(offset))).unwrap_or(0)];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// A file's content, where it is text of an ordinary size.
fn read_text(path: &Path) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let failed = || format!("cannot read {}", path.display());
    open(path)?.take(TEXT + 1).read_to_end(&mut bytes).with_context(failed)?;
    let is_text = bytes.len() as u64 <= TEXT && !bytes.contains(&0);
    Ok(if is_text { String::from_utf8(bytes).ok() } else { None })
}

/// Opens a file; not what a link leads to.
fn open(path: &Path) -> Result<File> {
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    opened.with_context(|| format!("cannot open {}", path.display()))
}

fn unified(first: &str, second: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(first, second);
    let text = diff.unified_diff().context_radius(CONTEXT).to_string();
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable;

    fn difference(first: &[u8], second: &[u8]) -> Option<Difference> {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        durable::write(&a, first).unwrap();
        durable::write(&b, second).unwrap();
        compare(&a, &b).unwrap()
    }

    #[test]
    fn text_differs_by_lines() {
        let lines = ["@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"].map(str::to_owned).to_vec();
        assert_eq!(difference(b"a\nb\nc\nd\n", b"a\nx\nc\nd\n"), Some(Difference::Text(lines)));
        let end = ["@@ -1 +1 @@", "-a", "\\ No newline at end of file", "+a"].map(str::to_owned).to_vec();
        assert_eq!(difference(b"a", b"a\n"), Some(Difference::Text(end)));
        assert_eq!(difference(b"a\n", b"a\n"), None);
    }

    #[test]
    fn other_bytes_differ_from_an_offset_on() {
        let bytes = |offset, first: &[u8], second: &[u8]| {
            Some(Difference::Bytes(Bytes { offset, first: first.to_vec(), second: second.to_vec() }))
        };
        assert_eq!(difference(b"\0ab", b"\0ac"), bytes(2, b"b", b"c"));
        assert_eq!(difference(b"\0ab", b"\0a"), bytes(2, b"b", b""));
        assert_eq!(difference(b"\0ab", b"\0ab"), None);
        let mut long = vec![7; 1 << 20];
        let other = long.clone();
        long[700_000] = 8;
        let mut shown = vec![7; 16];
        shown[0] = 8;
        assert_eq!(difference(&long, &other), bytes(700_000, &shown, &[7; 16]));
    }
}
