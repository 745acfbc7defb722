//! What the package formats' own manuals say, one folder per format, behind one set of types.
//! Nothing here knows of stages, stores or sandboxes.

pub mod deb;
pub mod universe;

use serde::{Deserialize, Serialize};

use crate::arch::Architecture;
use crate::manifest::PackageRequest;
use crate::source::Index;
use universe::Universe;

/// A package format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian binary packages, deb(5).
    Deb,
}

impl Format {
    /// The name in manifests, locks and refs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
        }
    }

    /// The order of two versions.
    pub fn compare_versions(self, a: &str, b: &str) -> std::cmp::Ordering {
        match self {
            Self::Deb => deb::version::compare(a, b),
        }
    }

    /// Reads a request for a package, `foo`, `foo (>= 1.2)` or `foo=1.2-3`, or tells what is wrong with it.
    pub fn parse_request(self, text: &str) -> Result<PackageRequest, String> {
        match self {
            Self::Deb => deb::request::parse(text),
        }
    }

    /// All packages of some indexes as things to choose from for one architecture. What `requests` say of versions
    /// decides which version of a package stands for it; `exclude` names packages that cannot be chosen.
    pub fn universe<'a>(
        self,
        indexes: &'a [Index],
        architecture: &'a Architecture,
        requests: &[PackageRequest],
        exclude: &[String],
    ) -> anyhow::Result<Box<dyn Universe + 'a>> {
        match self {
            Self::Deb => Ok(Box::new(deb::universe::DebUniverse::new(indexes, architecture, requests, exclude)?)),
        }
    }

    /// The packages that the program writing `root.img` consists of, and why they are asked for that way.
    pub fn image_tools(self) -> &'static [Tool] {
        match self {
            Self::Deb => deb::request::IMAGE_TOOLS,
        }
    }
}

/// A package of a program that shapes output bytes.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The request, as in a manifest.
    pub request: &'static str,
    /// Why it is needed, and in this version.
    pub reason: &'static str,
}
