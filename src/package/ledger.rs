//! What scripts ask a package database for, where it keeps all packages in one file: a script that asks for one package has
//! seen no other.

use serde::{Deserialize, Serialize};

/// A database that programs read whole, whatever they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ledger {
    /// Its file, relative to the root.
    pub file: &'static str,
    /// A folder of files that correct it, named by numbers of equal length, in their order.
    pub corrections: &'static str,
    /// What a program takes of it, by its path relative to the root and its arguments, its name first; none when that is
    /// not known.
    pub asked: fn(&str, &[String]) -> Option<Vec<Asked>>,
    /// What one of the files says, in its order; none when it is damaged.
    pub read: fn(&[u8]) -> Option<Vec<Said>>,
    /// Whether what is said of a package mentions a name. Who asks for one that is no package's can learn that it is mentioned.
    pub mentions: fn(&str, &str) -> bool,
}

/// A part of a [`Ledger`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Asked {
    /// All that it says of the packages of this name, or else of those that mention it.
    Package(String),
    /// Which packages have files, and in which order it names them.
    Installed,
}

/// What a [`Ledger`] says of one package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Whether files of it are there.
    pub installed: bool,
    /// All that is said.
    pub text: String,
}

impl Ledger {
    /// Whether a path is one of its files, or their folder.
    pub fn has(&self, path: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        path == self.file || path.strip_prefix(self.corrections).is_some_and(below)
    }
}
