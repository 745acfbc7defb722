//! What a Release file says (Debian repository format, "Release files"), and whether it may be believed now: the right
//! suite, not expired, not from the future, not older than one already seen.
//!
//! The text is one stanza, as control files have it.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::package::deb::control::Stanza;

/// How far `Date` may be ahead of this host's clock, in seconds: apt's `Acquire::Max-FutureTime` (apt.conf(5)).
const FUTURE_TOLERANCE: i64 = 10;

/// The values of a Release file that matter here.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "they are the format's own yes-or-no fields")]
pub struct Release {
    /// Who made the archive.
    pub origin: Option<String>,
    /// Name of the suite, such as `stable`.
    pub suite: Option<String>,
    /// Code name of the suite, such as `trixie`.
    pub codename: Option<String>,
    /// When it was made.
    pub date: Timestamp,
    /// Until when it may be used.
    pub valid_until: Option<Timestamp>,
    /// Whether index files can be had by their hash.
    pub acquire_by_hash: bool,
    /// Whether packages of this suite have to be asked for (`apt_preferences(5)`).
    pub not_automatic: bool,
    /// Whether packages once asked for are upgraded nevertheless.
    pub but_automatic_upgrades: bool,
    /// Whether packages of architecture `all` stand in each architecture's index, so that theirs adds nothing:
    /// `No-Support-for-Architecture-all: Packages`.
    pub all_in_each: bool,
    /// Architectures that have indexes.
    pub architectures: Vec<String>,
    /// Components that have indexes.
    pub components: Vec<String>,
    /// The index files: size and SHA-256 by path relative to the Release file.
    pub files: BTreeMap<String, (u64, Sha256)>,
}

/// Why a Release file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not written as it should be.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// It is another suite's.
    #[error("it is for another suite: expected `{expected}`, found {found}")]
    WrongSuite {
        /// What was asked for.
        expected: String,
        /// What the file says it is.
        found: String,
    },
    /// Its time is over.
    #[error("it has expired: valid until {valid_until}, and now is {now}")]
    Expired {
        /// `Valid-Until`.
        valid_until: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// Its time has not come.
    #[error("it is from the future: dated {date}, and now is {now}")]
    Future {
        /// `Date`.
        date: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// A newer one was seen before.
    #[error("it is older than one seen before: dated {date}, after one of {newest}")]
    Replayed {
        /// `Date`.
        date: Timestamp,
        /// The newest `Date` seen.
        newest: Timestamp,
    },
}

impl Release {
    /// Reads the text of a Release file, without any signature around it.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let malformed = |e: &dyn std::fmt::Display| Error::Malformed(e.to_string());
        let text = std::str::from_utf8(text).map_err(|e| malformed(&e))?;
        let stanzas: Vec<_> = Stanza::all(text).collect();
        let &[file] = stanzas.as_slice() else {
            return Err(Error::Malformed(format!("it has {} paragraphs, expected one", stanzas.len())));
        };
        let string = |name: &str| file.get(name).map(str::to_owned).filter(|value| !value.is_empty());
        let words = |name: &str| -> Vec<String> {
            file.get(name).map(|v| v.split_ascii_whitespace().map(str::to_owned).collect()).unwrap_or_default()
        };
        let is = |name: &str, value: &str| file.get(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
        let date =
            |name: &str| string(name).map(|v| Timestamp::parse_rfc2822(&v)).transpose().map_err(|e| malformed(&e));
        let listed = file.get("SHA256").ok_or_else(|| Error::Malformed("it has no field `SHA256`".to_owned()))?;
        let lines = listed.lines().filter(|line| !line.trim().is_empty());
        let files = lines.map(read_entry).collect::<Result<_, _>>()?;
        Ok(Self {
            origin: string("Origin"),
            suite: string("Suite"),
            codename: string("Codename"),
            date: date("Date")?.ok_or_else(|| Error::Malformed("it has no field `Date`".to_owned()))?,
            valid_until: date("Valid-Until")?,
            acquire_by_hash: is("Acquire-By-Hash", "yes"),
            not_automatic: is("NotAutomatic", "yes"),
            but_automatic_upgrades: is("ButAutomaticUpgrades", "yes"),
            all_in_each: words("No-Support-for-Architecture-all").iter().any(|word| word == "Packages"),
            architectures: words("Architectures"),
            components: words("Components"),
            files,
        })
    }

    /// Whether this is the Release file of the suite asked for, by name or code name. A flat repository (its suite is a
    /// path that ends with `/`) has no such name, and a file that names none is taken by its signature alone.
    pub fn check_suite(&self, expected: &str) -> Result<(), Error> {
        let mut names: Vec<&str> = [&self.suite, &self.codename].into_iter().flatten().map(String::as_str).collect();
        names.dedup();
        if expected.ends_with('/') || names.is_empty() || names.contains(&expected) {
            return Ok(());
        }
        let found = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        Err(Error::WrongSuite { expected: expected.to_owned(), found })
    }

    /// Whether the file may be used at `now`; `check_valid_until` is apt's `Check-Valid-Until`.
    pub fn check_time(&self, now: Timestamp, check_valid_until: bool) -> Result<(), Error> {
        if self.date.seconds() > now.seconds() + FUTURE_TOLERANCE {
            return Err(Error::Future { date: self.date, now });
        }
        match self.valid_until {
            Some(valid_until) if check_valid_until && valid_until < now => Err(Error::Expired { valid_until, now }),
            _ => Ok(()),
        }
    }

    /// Whether the file is at least as new as the newest one seen before.
    pub fn check_replay(&self, newest: Option<Timestamp>) -> Result<(), Error> {
        match newest {
            Some(newest) if self.date < newest => Err(Error::Replayed { date: self.date, newest }),
            _ => Ok(()),
        }
    }
}

/// A line of the list of index files: digest, size, path.
fn read_entry(line: &str) -> Result<(String, (u64, Sha256)), Error> {
    let read = || {
        let mut words = line.split_ascii_whitespace();
        let (digest, size, path) = (words.next()?, words.next()?, words.next()?);
        words.next().is_none().then_some(())?;
        Some((path.to_owned(), (size.parse().ok()?, digest.to_ascii_lowercase().parse().ok()?)))
    };
    read().ok_or_else(|| Error::Malformed(format!("`{}` is not SHA-256, size and path", line.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 14 Nov 2026 09:12:44 UTC
Valid-Until: Sat, 21 Nov 2026 09:12:44 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main contrib
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855   123456 main/binary-amd64/Packages.zst
";

    const BAD_SIZE: &str = "it cannot be read: `e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855   x \
                            main/binary-amd64/Packages.zst` is not SHA-256, size and path";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_is_read() {
        let release = Release::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(release.suite.as_deref(), Some("stable"));
        assert_eq!(release.codename.as_deref(), Some("trixie"));
        assert_eq!(release.date, at("2026-11-14T09:12:44Z"));
        assert_eq!(release.valid_until, Some(at("2026-11-21T09:12:44Z")));
        assert!(release.acquire_by_hash && release.all_in_each && !release.not_automatic);
        assert_eq!(release.components, ["main", "contrib"]);
        assert_eq!(release.files.len(), 2);
        assert_eq!(release.files["main/binary-amd64/Packages.zst"], (123_456, Sha256::of(b"")));
    }

    #[test]
    fn what_is_no_release_is_refused() {
        let rows = [
            (TEXT.replace("Date: Sat, 14 Nov 2026 09:12:44 UTC\n", ""), "it cannot be read: it has no field `Date`"),
            (
                TEXT.replace("Sat, 14 Nov", "Sun, 32 Nov"),
                "it cannot be read: `Sun, 32 Nov 2026 09:12:44 UTC` is not a date and time",
            ),
            (TEXT.replace("SHA256:", "SHA1:"), "it cannot be read: it has no field `SHA256`"),
            (format!("{TEXT}\nSuite: other\n"), "it cannot be read: it has 2 paragraphs, expected one"),
            (String::new(), "it cannot be read: it has 0 paragraphs, expected one"),
            (TEXT.replace(" 123456 main", " x main"), BAD_SIZE),
        ];
        for (text, error) in rows {
            assert_eq!(Release::parse(text.as_bytes()).unwrap_err().to_string(), error);
        }
        assert!(Release::parse(b"\xff\xfe").is_err());
    }

    #[test]
    fn a_suite_goes_by_either_name() {
        let release = Release::parse(TEXT.as_bytes()).unwrap();
        for name in ["stable", "trixie", "./", "some/path/"] {
            release.check_suite(name).unwrap();
        }
        assert_eq!(
            release.check_suite("bookworm").unwrap_err().to_string(),
            "it is for another suite: expected `bookworm`, found `stable` or `trixie`"
        );
    }

    #[test]
    fn times_are_checked() {
        let release = Release::parse(TEXT.as_bytes()).unwrap();
        let rows = [
            (
                "2026-11-14T09:12:33Z",
                true,
                "it is from the future: dated 2026-11-14T09:12:44Z, and now is 2026-11-14T09:12:33Z",
            ),
            ("2026-11-14T09:12:34Z", true, ""),
            ("2026-11-21T09:12:44Z", true, ""),
            (
                "2026-11-21T09:12:45Z",
                true,
                "it has expired: valid until 2026-11-21T09:12:44Z, and now is 2026-11-21T09:12:45Z",
            ),
            ("2026-11-21T09:12:45Z", false, ""),
        ];
        for (now, check, error) in rows {
            let found = release.check_time(at(now), check).err().map(|e| e.to_string()).unwrap_or_default();
            assert_eq!(found, error, "{now}");
        }
        release.check_replay(None).unwrap();
        release.check_replay(Some(at("2026-11-14T09:12:44Z"))).unwrap();
        assert_eq!(
            release.check_replay(Some(at("2026-11-14T09:12:45Z"))).unwrap_err().to_string(),
            "it is older than one seen before: dated 2026-11-14T09:12:44Z, after one of 2026-11-14T09:12:45Z"
        );
    }
}
