//! Why a package is not taken for its makers' own, in the words of every format.

use crate::source::openpgp;

/// Why the signatures of a package do not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is no good signature by a key that counts.
    #[error(transparent)]
    Signature(#[from] openpgp::Error),
    /// A key that counts has signed a part of the package, and this part of it not.
    #[error("{0}")]
    Part(String),
    /// Its signatures cannot be found.
    #[error("it cannot be read: {0:#}")]
    Unreadable(anyhow::Error),
}
