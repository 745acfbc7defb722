//! What a package's changelog says, whatever the format it is written in.

use serde::Serialize;

/// What one version changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The version, of the source package.
    pub version: String,
    /// The entry as it stands, its head and its date included; without control characters.
    pub text: String,
    /// CVE identifiers it names, in its order, each once.
    pub cves: Vec<String>,
    /// Bugs it says it closes, in its order, each once.
    pub bugs: Vec<Bug>,
}

/// A bug by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bug {
    /// Where it is kept.
    pub tracker: Tracker,
    /// Its number there.
    pub number: u64,
}

/// A place that keeps bugs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tracker {
    /// Debian's.
    Debian,
    /// Launchpad, Ubuntu's.
    Launchpad,
    /// Red Hat's, of Fedora, too.
    RedHat,
    /// SUSE's, of openSUSE, too.
    Suse,
}

impl Bug {
    /// Tracker and number for people. There is no `#` in it, which a forge would take for one of its own issues.
    pub fn describe(self) -> String {
        match self.tracker {
            Tracker::Debian => format!("Debian {}", self.number),
            Tracker::Launchpad => format!("Launchpad {}", self.number),
            Tracker::RedHat => format!("Red Hat {}", self.number),
            Tracker::Suse => format!("SUSE {}", self.number),
        }
    }

    /// Its page.
    pub fn uri(self) -> String {
        match self.tracker {
            Tracker::Debian => format!("https://bugs.debian.org/{}", self.number),
            Tracker::Launchpad => format!("https://bugs.launchpad.net/bugs/{}", self.number),
            Tracker::RedHat => format!("https://bugzilla.redhat.com/show_bug.cgi?id={}", self.number),
            Tracker::Suse => format!("https://bugzilla.suse.com/show_bug.cgi?id={}", self.number),
        }
    }
}

/// Identifiers `CVE-YEAR-NUMBER` in a text, in its order, each once.
pub(super) fn cves(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("CVE-") {
        let rest = &text[at + 4..];
        let year = digits(rest);
        let Some(rest) = rest[year.len()..].strip_prefix('-') else { continue };
        let number = digits(rest);
        if year.len() == 4 && (4..=8).contains(&number.len()) {
            add(&mut found, format!("CVE-{year}-{number}"));
        }
    }
    found
}

/// The digits that a text begins with.
pub(super) fn digits(text: &str) -> &str {
    &text[..text.bytes().take_while(u8::is_ascii_digit).count()]
}

/// Adds what a list does not have yet.
pub(super) fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
