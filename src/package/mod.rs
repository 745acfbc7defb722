//! What the package formats' own manuals say, one folder per format, behind one set of types.
//! Nothing here knows of stages, stores or sandboxes.

pub mod deb;

use serde::{Deserialize, Serialize};

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
}
