//! Users and groups that a package provides with a version that is a line of sysusers.d(5): rpm 4.19 and later have them made ahead
//! of all else that they do for the package (rpm-sysusers(7)).

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::package::rpm::blob::Blob;
use crate::package::rpm::tag;

/// What is provided, by the beginning of its name, and whether only rpm 4.20 and later make it.
const KINDS: [(&str, bool); 3] = [("user(", false), ("group(", false), ("groupmember(", true)];

/// The kind of a file's dependency that is something provided (`RPMTAG_DEPENDSDICT`: a letter, then a number of 24 bits).
const PROVIDE: u64 = b'P' as u64;

/// The lines that one call of the program gets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accounts {
    /// The file of the package that they are from; none where the package says so by itself.
    pub source: Option<String>,
    /// The lines, and whether only rpm 4.20 and later take them.
    pub lines: Vec<(String, bool)>,
}

/// What a header provides of these, in its order, together what is from one file. `files` are the paths of the header.
pub fn read(header: &Blob, provides: &[(String, u64, String)], files: &[String]) -> Result<Vec<Accounts>> {
    let mut all: Vec<Accounts> = Vec::new();
    let mut sources = None;
    for (number, (name, flags, version)) in provides.iter().enumerate() {
        let Some((_, is_late)) = KINDS.iter().find(|(begin, _)| name.starts_with(begin)) else { continue };
        if flags & u64::from(tag::EQUAL) == 0 {
            continue;
        }
        let Some(line) = line(version) else { continue };
        if sources.is_none() {
            sources = Some(sources_of(header)?);
        }
        let source = sources.iter().flatten().find(|(_, provided)| *provided == number);
        let source = source.and_then(|(file, _)| files.get(*file).cloned());
        let known = all.iter().position(|accounts| accounts.source == source).unwrap_or_else(|| {
            all.push(Accounts { source, lines: Vec::new() });
            all.len() - 1
        });
        all[known].lines.push((line, *is_late));
    }
    Ok(all)
}

/// The line in a version, which NUL bytes fill up so that the version needs no `=`.
fn line(version: &str) -> Option<String> {
    let bytes = STANDARD.decode(version).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Which file what is provided is from: pairs of numbers, in the order of files.
fn sources_of(header: &Blob) -> Result<Vec<(usize, usize)>> {
    let first = header.numbers(tag::FILEDEPENDSX)?;
    let count = header.numbers(tag::FILEDEPENDSN)?;
    let dictionary = header.numbers(tag::DEPENDSDICT)?;
    let mut pairs = Vec::new();
    for (file, (first, count)) in first.iter().zip(&count).enumerate() {
        let words = dictionary.iter().skip(*first as usize).take(*count as usize);
        let provided = words.filter(|word| **word >> 24 == PROVIDE).map(|word| (*word & 0xff_ffff) as usize);
        pairs.extend(provided.map(|number| (file, number)));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::rpm::header::{Header, Value};

    fn provided(name: &str, version: &str) -> (String, u64, String) {
        (name.to_owned(), u64::from(tag::EQUAL), version.to_owned())
    }

    #[test]
    fn lines_are_those_of_versions() {
        // The example of rpm's manual.
        let of_manual = "dSBkbnNtYXNxIC0gIkRuc21hc3EgREhDUCBhbmQgRE5TIHNlcnZlciIgL3Zhci9saWIvZG5zbWFzcQAA";
        let expected = "u dnsmasq - \"Dnsmasq DHCP and DNS server\" /var/lib/dnsmasq";
        assert_eq!(line(of_manual).as_deref(), Some(expected));
        assert_eq!(line("1.0-1"), None);
    }

    #[test]
    fn what_is_from_one_file_stands_together() {
        let mut header = Header::new(tag::IMMUTABLE);
        header.set(tag::FILEDEPENDSX, Value::Int32(vec![0, 0, 2]));
        header.set(tag::FILEDEPENDSN, Value::Int32(vec![0, 2, 2]));
        let provide = |number: u32| (u32::from(b'P') << 24) | number;
        let dictionary = vec![u32::from(b'R') << 24, provide(1), provide(3), provide(4)];
        header.set(tag::DEPENDSDICT, Value::Int32(dictionary));
        let header = Blob::parse(tag::IMMUTABLE, header.to_bytes()).unwrap();
        let provides = [
            provided("user(own)", &STANDARD.encode("u own -\0")),
            provided("user(eel)", &STANDARD.encode("u eel 77\0\0\0\0")),
            ("group(eel)".to_owned(), 0, String::new()),
            provided("group(pike)", &STANDARD.encode("g pike -\0")),
            provided("groupmember(eel/pike)", &STANDARD.encode("m eel pike\0\0")),
            provided("user-agent", &STANDARD.encode("u no 1")),
        ];
        let files = ["/a", "/b.conf", "/c.conf"].map(str::to_owned);
        let one = |source: Option<&str>, lines: &[(&str, bool)]| Accounts {
            source: source.map(str::to_owned),
            lines: lines.iter().map(|(line, is_late)| ((*line).to_owned(), *is_late)).collect(),
        };
        let expected = [
            one(None, &[("u own -", false)]),
            one(Some("/b.conf"), &[("u eel 77", false)]),
            one(Some("/c.conf"), &[("g pike -", false), ("m eel pike", true)]),
        ];
        assert_eq!(read(&header, &provides, &files).unwrap(), expected);
    }
}
