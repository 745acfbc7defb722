//! Names of machine architectures, as Debian spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The architectures that can be built, by Debian's name (`dpkg-architecture -L`).
const KNOWN: &[&str] = &["amd64", "arm64", "armel", "armhf", "i386", "mips64el", "ppc64el", "riscv64", "s390x"];

/// An architecture that a root file system can have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Architecture(Name);

/// A row of [`KNOWN`].
type Name = std::borrow::Cow<'static, str>;

impl Architecture {
    /// The names of all architectures, sorted.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().copied()
    }

    /// Debian's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The architecture this program was compiled for, when a root can have it.
    pub fn host() -> Option<Self> {
        let name = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "i386",
            "aarch64" => "arm64",
            "arm" => "armhf",
            "powerpc64" => "ppc64el",
            other => other,
        };
        name.parse().ok()
    }
}

/// Why a text names no architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{name}`: expected one of {}", KNOWN.join(", "))]
pub struct UnknownArchitecture {
    /// The text.
    pub name: String,
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        KNOWN
            .iter()
            .find(|known| **known == name)
            .map(|known| Self(Name::Borrowed(known)))
            .ok_or_else(|| UnknownArchitecture { name: name.to_owned() })
    }
}

impl TryFrom<String> for Architecture {
    type Error = UnknownArchitecture;

    fn try_from(name: String) -> Result<Self, UnknownArchitecture> {
        name.parse()
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.0.into_owned()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
