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
}

impl Bug {
    /// Tracker and number for people. There is no `#` in it, which a forge would take for one of its own issues.
    pub fn describe(self) -> String {
        match self.tracker {
            Tracker::Debian => format!("Debian {}", self.number),
            Tracker::Launchpad => format!("Launchpad {}", self.number),
        }
    }

    /// Its page.
    pub fn uri(self) -> String {
        match self.tracker {
            Tracker::Debian => format!("https://bugs.debian.org/{}", self.number),
            Tracker::Launchpad => format!("https://bugs.launchpad.net/bugs/{}", self.number),
        }
    }
}
