//! Debian changelogs, deb-changelog(5): where a package has its own (Debian Policy 12.7), and their entries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

use super::archive;
use crate::package::changelog::{add, cves, digits};
use crate::package::{Bug, Entry, Member, MemberKind, MemberSink, Part, Tracker, printable};

/// How many bytes of a changelog are looked at. The newest entries stand first, and this much holds years of them.
const LIMIT: u64 = 1 << 20;

/// See [`crate::package::Format::changelog`].
pub fn read(file: &mut File, package: &str) -> Result<Vec<Entry>> {
    let mut finder = Finder { folder: format!("usr/share/doc/{package}/"), found: BTreeMap::new() };
    archive::unpack(file, &mut finder)?;
    let mut found = finder.found;
    // Where a package has both, `changelog` is that of the authors, who need not be Debian's.
    if found.contains_key(&Role::Debian) {
        found.remove(&Role::Native);
    }
    Ok(found.values().flat_map(|text| parse(text)).collect())
}

/// What a file among a package's documents is, in the order that entries are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Entries of a rebuild for one architecture.
    Rebuild,
    /// The changelog of a package whose authors have one of their own.
    Debian,
    /// The changelog of a package made for Debian, or that of the authors.
    Native,
}

struct Finder {
    folder: String,
    found: BTreeMap<Role, String>,
}

impl MemberSink for Finder {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        let (Part::Data, MemberKind::File(_)) = (member.part, &member.kind) else { return Ok(()) };
        let Some(name) = member.path.strip_prefix(&self.folder) else { return Ok(()) };
        let plain = name.strip_suffix(".gz");
        let role = match plain.unwrap_or(name) {
            "changelog.Debian" => Role::Debian,
            "changelog" => Role::Native,
            other if other.starts_with("changelog.Debian.") && !other.contains('/') => Role::Rebuild,
            _ => return Ok(()),
        };
        let mut bytes = Vec::new();
        match plain {
            Some(_) => flate2::read::MultiGzDecoder::new(content).take(LIMIT).read_to_end(&mut bytes),
            None => content.take(LIMIT).read_to_end(&mut bytes),
        }
        .with_context(|| format!("cannot read {name}"))?;
        self.found.insert(role, String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    }
}

/// The entries of a changelog, in its order. What is no entry, and an entry without its last line, is passed over.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(version) = head(line) {
            open = Some((version.to_owned(), String::new()));
        }
        let Some((_, text)) = &mut open else { continue };
        text.push_str(&printable(line));
        text.push('\n');
        if line.starts_with(" -- ")
            && let Some((version, text)) = open.take()
        {
            entries.push(Entry { cves: cves(&text), bugs: bugs(&text), version: printable(&version), text });
        }
    }
    entries
}

/// The version in an entry's first line, `SOURCE (VERSION) DISTRIBUTION…; KEY=VALUE…`.
fn head(line: &str) -> Option<&str> {
    let (source, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    let complete = source.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_name(source) && rest.contains(';');
    let complete = complete && !version.is_empty() && !version.contains([' ', '\t', '(']);
    complete.then_some(version)
}

/// Bugs, as dpkg-parsechangelog(1) finds them: `Closes: #1, bug 2` and `LP: #3, #4`, in any case and over line breaks.
fn bugs(text: &str) -> Vec<Bug> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for (word, tracker) in [("closes:", Tracker::Debian), ("lp:", Tracker::Launchpad)] {
        for (at, _) in lower.match_indices(word) {
            if lower[..at].ends_with(|c: char| c.is_alphanumeric()) {
                continue;
            }
            let mut rest = &lower[at + word.len()..];
            while let Some((number, after)) = bug_number(rest.trim_start(), tracker) {
                add(&mut found, Bug { tracker, number });
                let Some(next) = after.trim_start().strip_prefix(',') else { break };
                rest = next;
            }
        }
    }
    found
}

/// A bug's number at the beginning of a text in small letters, and what follows it.
fn bug_number(text: &str, tracker: Tracker) -> Option<(u64, &str)> {
    let text = if tracker == Tracker::Debian {
        let text = text.strip_prefix("bug").unwrap_or(text).trim_start();
        text.strip_prefix('#').unwrap_or(text).trim_start()
    } else {
        text.strip_prefix('#')?
    };
    let number = digits(text);
    Some((number.parse().ok()?, &text[number.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
openssl (3.0.16-1~deb12u1) bookworm-security; urgency=medium

  * Fix CVE-2024-13176, CVE-2024-9143 and CVE-2024-13176 (Closes: #1094027,
    bug#1085378). LP: #2076340, #7
  * No bugs: CVE-1-2, CVE-20245-12345, closes: none, lp: 5, encloses: #3.

 -- Maintainer <m@example.org>  Sun, 16 Feb 2025 17:24:28 +0100

openssl (3.0.15-1) bookworm; urgency=medium

  * \u{1b}[31mred\u{202e}\u{7}

 -- Maintainer <m@example.org>  Sun, 06 Oct 2024 18:43:26 +0200

# Older entries have been removed from this changelog.
openssl (3.0.14-1) bookworm; urgency=medium

  * cut he";

    #[test]
    fn entries_are_told_apart() {
        let entries = parse(TEXT);
        let versions: Vec<_> = entries.iter().map(|entry| entry.version.as_str()).collect();
        assert_eq!(versions, ["3.0.16-1~deb12u1", "3.0.15-1"]);
        assert!(entries[0].text.starts_with("openssl (3.0.16"), "{}", entries[0].text);
        assert!(entries[0].text.ends_with("+0100\n"), "{}", entries[0].text);
        assert!(entries[1].text.contains("  * \u{fffd}[31mred\u{fffd}\u{fffd}\n"), "{:?}", entries[1].text);
    }

    #[test]
    fn cves_and_bugs_are_found_once() {
        let entry = &parse(TEXT)[0];
        assert_eq!(entry.cves, ["CVE-2024-13176", "CVE-2024-9143"]);
        let bugs: Vec<_> = entry.bugs.iter().map(|bug| bug.describe()).collect();
        assert_eq!(bugs, ["Debian 1094027", "Debian 1085378", "Launchpad 2076340", "Launchpad 7"]);
    }

    #[test]
    fn only_heads_are_heads() {
        for (line, version) in [
            ("a (1) unstable; urgency=low", Some("1")),
            ("a+b.c (1:2-3) a b;", Some("1:2-3")),
            (" a (1) unstable; urgency=low", None),
            ("a (1 2) unstable; urgency=low", None),
            ("a () unstable; urgency=low", None),
            ("Changes in 1.2 (2020)", None),
            ("* a (1) b; c", None),
        ] {
            assert_eq!(head(line), version, "{line}");
        }
    }
}
