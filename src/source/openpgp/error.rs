//! Why something is not taken for signed by a key of the keyring.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// Why a text or a package is not taken for signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keyring cannot be read.
    #[error("cannot read the keyring {}: {error}", path.display())]
    NoKeyring {
        /// The keyring file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The keyring holds no keys.
    #[error("{} is not a keyring: no OpenPGP key was found in it", path.display())]
    NotAKeyring {
        /// The file.
        path: PathBuf,
    },
    /// There is something before or after the signed text, or a second one.
    #[error("there is text outside the signature{}", place(*line))]
    OutsideSignature {
        /// The first line that is outside, counted from 1.
        line: Option<usize>,
    },
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed, but only by keys that the keyring does not have.
    #[error("it is signed by {}, and the keyring {} has only {}", list(signers), keyring.display(), list(known))]
    UnknownKey {
        /// Who signed.
        signers: Vec<String>,
        /// The keyring file.
        keyring: PathBuf,
        /// The keys it has.
        known: Vec<String>,
    },
    /// There are signatures of known keys, and none is good.
    #[error("it has no good signature: {}", reasons.join("; "))]
    BadSignature {
        /// What is wrong with each.
        reasons: Vec<String>,
    },
    /// The signature's data cannot be read.
    #[error("its signature cannot be read: {0}")]
    Malformed(String),
}

impl Error {
    /// Why none of several signatures of the same thing is good, if there are any.
    pub fn summed_up(errors: Vec<Self>) -> Self {
        let (mut all_reasons, mut unknown, mut other) = (Vec::new(), None, None);
        for error in errors {
            match (error, &mut unknown) {
                (Self::BadSignature { reasons }, _) => all_reasons.extend(reasons),
                (Self::UnknownKey { signers, .. }, Some(Self::UnknownKey { signers: known, .. })) => {
                    known.extend(signers);
                }
                (error @ Self::UnknownKey { .. }, _) => unknown = Some(error),
                (error, _) => other = other.or(Some(error)),
            }
        }
        if !all_reasons.is_empty() {
            all_reasons.dedup();
            return Self::BadSignature { reasons: all_reasons };
        }
        if let Some(Self::UnknownKey { signers, .. }) = &mut unknown {
            signers.dedup();
        }
        unknown.or(other).unwrap_or(Self::Unsigned)
    }
}

fn place(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

fn list(keys: &[String]) -> String {
    let mut text = String::from(if keys.len() == 1 { "key " } else { "keys " });
    let _ = write!(text, "{}", keys.join(", "));
    text
}
