//! Changelogs in the headers of packages: a time, who wrote it and of which version, and the text, of each entry.
//!
//! An entry's version stands at the end of its head, where it stands at all, without the part of the release that tells the
//! distribution (`%{?dist}`), and often without the epoch.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Seek};

use anyhow::{Context, Result};

use super::version::{self, Evr};
use super::{archive, tag};
use crate::clock::Timestamp;
use crate::package::changelog::{add, cves, digits};
use crate::package::{Bug, Entry, Tracker, printable};

/// How many bytes of entries are looked at, as of Debian's changelogs; each has as many beside its texts.
const LIMIT: usize = 1 << 20;
const HEAD: usize = 32;

/// What names of distributions in releases begin with, ahead of a number.
const DISTRIBUTIONS: [&str; 8] = ["fc", "el", "azl", "cm", "amzn", "mga", "lp", "oe"];

/// What stands ahead of a bug's number, in any case, and whose bug it is then.
const BUGS: [(&str, Tracker); 4] =
    [("rhbz#", Tracker::RedHat), ("bsc#", Tracker::Suse), ("boo#", Tracker::Suse), ("bnc#", Tracker::Suse)];

/// See [`crate::package::Format::changelog`].
pub fn read(file: &mut File) -> Result<Vec<Entry>> {
    file.rewind()?;
    let header = archive::read_front(&mut BufReader::new(file))?.header;
    let text = |tag| -> Result<String> { Ok(lossy(header.text(tag)?.unwrap_or_default())) };
    let epoch = header.numbers(tag::EPOCH)?.first().map(u64::to_string).unwrap_or_default();
    let (version, release) = (text(tag::VERSION)?, text(tag::RELEASE)?);
    let own = Evr { epoch: &epoch, version: &version, release: Some(&release) };
    let times = header.numbers(tag::CHANGELOGTIME)?;
    let (names, texts) = (header.texts(tag::CHANGELOGNAME)?, header.texts(tag::CHANGELOGTEXT)?);
    let mut size = 0;
    let told = times.into_iter().zip(names).zip(texts).take_while(|((_, name), text)| {
        size += HEAD + name.len() + text.len();
        size <= LIMIT
    });
    let told: Vec<_> = told.map(|((time, name), text)| (time, lossy(name), lossy(text))).collect();
    let versions = versions(&own, &told.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>());
    let entry = |((time, name, text), version): (&(u64, String, String), String)| {
        let day = i64::try_from(*time).ok().and_then(Timestamp::from_seconds).context("an entry's time is none")?;
        let head = format!("* {} {name}", day.day());
        let text =
            [head.as_str()].into_iter().chain(text.lines()).map(|line| printable(line) + "\n").collect::<String>();
        Ok(Entry { version: printable(&version), cves: cves(&text), bugs: bugs(&text), text })
    };
    told.iter().zip(versions).map(entry).collect()
}

/// The order of the version of an entry and that of a package, which may be of another release of the distribution than the package
/// that has the entry.
pub fn compare(entry: &str, package: &str) -> Ordering {
    let (told, old) = (Evr::parse(entry), Evr::parse(package));
    let (Some(told), Some(release)) = (told.release, old.release) else { return version::compare(entry, package) };
    let mut parts = split(release);
    for (part, own) in parts.iter_mut().zip(split(told)) {
        if distribution(part).is_some() && distribution(part) == distribution(own) {
            *part = own;
        }
    }
    version::compare(entry, &join(&old, &parts.join(".")))
}

/// The name of the distribution that a part of a release tells.
fn distribution(part: &str) -> Option<&'static str> {
    let begins =
        |name: &&&str| part.strip_prefix(**name).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    DISTRIBUTIONS.iter().find(begins).copied()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The version of each entry, the newest first, in the form of the package's own. One that tells none is of the version of the
/// entry that came after it, if one before it tells one; else it is of none that is known, but for the newest.
fn versions(own: &Evr<'_>, heads: &[&str]) -> Vec<String> {
    let told: Vec<Option<Evr<'_>>> = heads.iter().map(|head| version(head)).collect();
    let dist = told.first().copied().flatten().and_then(|newest| dist(own, &newest)).unwrap_or_default();
    let oldest = told.iter().rposition(Option::is_some).unwrap_or(0);
    let mut last = join(own, own.release.unwrap_or_default());
    let full = |(number, told): (usize, &Option<Evr<'_>>)| {
        if let Some(evr) = told {
            let epoch = if evr.epoch.is_empty() { own.epoch } else { evr.epoch };
            let release = evr.release.map(|release| with_dist(release, &dist)).unwrap_or_default();
            last = join(&Evr { epoch, ..*evr }, &release);
        }
        if number <= oldest { last.clone() } else { String::new() }
    };
    told.iter().enumerate().map(full).collect()
}

/// The version at the end of an entry's head: `NAME <ADDRESS> - VERSION-RELEASE`, with or without the hyphen, or in brackets.
fn version(head: &str) -> Option<Evr<'_>> {
    let (who, rest) = head.rsplit_once('>').or_else(|| head.rsplit_once(" - "))?;
    let word = rest.split_whitespace().next_back()?.trim_matches(['[', ']', '(', ')']);
    let is_version = |c: char| c.is_ascii_alphanumeric() || "._+~^:-%".contains(c);
    let begins = word.starts_with(|c: char| c.is_ascii_digit());
    (!who.is_empty() && begins && word.chars().all(is_version)).then(|| Evr::parse(word))
}

/// The parts of the package's release that its newest entry leaves out, and ahead of which part they stand; none where it is
/// of another version.
fn dist(own: &Evr<'_>, newest: &Evr<'_>) -> Option<(usize, String)> {
    let (own_parts, parts) = (split(own.release?), split(newest.release?));
    let count = own_parts.len().checked_sub(parts.len()).filter(|_| own.version == newest.version)?;
    let fits = |at: &usize| own_parts[..*at] == parts[..*at] && own_parts[at + count..] == parts[*at..];
    let at = (0..=parts.len()).rev().find(fits)?;
    Some((at, own_parts[at..at + count].join(".")))
}

fn with_dist(release: &str, (at, dist): &(usize, String)) -> String {
    let mut parts = split(release);
    if !dist.is_empty() {
        parts.insert((*at).min(parts.len()), dist);
    }
    parts.join(".")
}

fn split(release: &str) -> Vec<&str> {
    release.split('.').collect()
}

fn join(evr: &Evr<'_>, release: &str) -> String {
    let epoch = if evr.epoch.is_empty() { String::new() } else { format!("{}:", evr.epoch) };
    let release = if release.is_empty() { String::new() } else { format!("-{release}") };
    format!("{epoch}{}{release}", evr.version)
}

fn bugs(text: &str) -> Vec<Bug> {
    let (lower, mut found) = (text.to_ascii_lowercase(), Vec::new());
    let named = |(word, tracker): &(&'static str, Tracker)| {
        lower.match_indices(word).map(|(at, word)| (at, at + word.len(), *tracker)).collect::<Vec<_>>()
    };
    let mut all: Vec<(usize, usize, Tracker)> = BUGS.iter().flat_map(named).collect();
    all.sort_unstable();
    for (at, end, tracker) in all {
        let is_word = !lower[..at].ends_with(|c: char| c.is_alphanumeric());
        if let (true, Ok(number)) = (is_word, digits(&lower[end..]).parse()) {
            add(&mut found, Bug { tracker, number });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(own: &str, heads: &[&str]) -> Vec<String> {
        versions(&Evr::parse(own), heads)
    }

    #[test]
    fn versions_are_those_of_packages() {
        let rows: [(&str, &[&str], &[&str]); 8] = [
            ("0.41-21.el7", &["A <a@b> - 0.41-21", "A <a@b> - 0.41-20"], &["0.41-21.el7", "0.41-20.el7"]),
            (
                "033-463.el7_3.2",
                &["A <a@b> - 033-463.2", "A <a@b> - 033-463.1", "A <a@b> 033-463"],
                &["033-463.el7_3.2", "033-463.el7_3.1", "033-463.el7_3"],
            ),
            (
                "1:4.0.0-1.el7",
                &["A <a@b> 1:4.0.0-1", "A <a@b> 4.0.0-0.2.rc2"],
                &["1:4.0.0-1.el7", "1:4.0.0-0.el7.2.rc2"],
            ),
            // Of a release without a distribution, and of one that the entries tell.
            ("2.0-1", &["A <a@b> [2.0-1]", "A <a@b>"], &["2.0-1", ""]),
            ("2.0-1.fc40", &["A <a@b> - 2.0-1.fc40", "A - 1.0-1.fc39"], &["2.0-1.fc40", "1.0-1.fc39"]),
            // One that tells no version is part of what came after it.
            (
                "1.2-3.el9",
                &["A <a@b> - 1.2-3", "A <a@b> - None", "A <a@b> - 1.2-2", "a@b.c"],
                &["1.2-3.el9", "1.2-3.el9", "1.2-2.el9", ""],
            ),
            // None does: the newest is the package's.
            ("4.8.21-2.1", &["a@suse.de", "b@suse.de"], &["4.8.21-2.1", ""]),
            // Of another version than its source.
            ("1:2.3.4-5.el9", &["A <a@b> - 3.3.3-3", "A <a@b> - 2.2.2-2"], &["1:3.3.3-3", "1:2.2.2-2"]),
        ];
        for (own, heads, expected) in rows {
            assert_eq!(found(own, heads), expected, "{own}");
        }
        assert_eq!(found("1-1", &[]), [""; 0]);
    }

    #[test]
    fn another_release_of_the_distribution_is_no_newer_version() {
        for (entry, package, order) in [
            ("2.0-3.fc40", "2.0-3.fc39", Ordering::Equal),
            ("2.0-4.fc40", "2.0-3.fc41", Ordering::Greater),
            ("033-463.el7_3.1", "033-463.el7_2.1", Ordering::Equal),
            ("033-463.el7_3.1", "033-463.el7_2.2", Ordering::Less),
            ("1:2.0-0.1.rc2", "1:2.0-0.1.rc1", Ordering::Greater),
            ("2.0", "2.0-1", Ordering::Less),
        ] {
            assert_eq!(compare(entry, package), order, "{entry} {package}");
        }
    }

    #[test]
    fn bugs_are_found_once_in_their_order() {
        let text = "- Fix boo#7 (RHBZ#12, rhbz#13)\n- bsc#7: bnc#8, rhbz#12, mozbz#1, xrhbz#2, bsc#, #99999";
        let told: Vec<String> = bugs(text).into_iter().map(Bug::describe).collect();
        assert_eq!(told, ["SUSE 7", "Red Hat 12", "Red Hat 13", "SUSE 8"]);
    }
}
