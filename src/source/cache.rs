//! What is kept of an archive between runs, one folder per suite:
//!
//! ```text
//! <cache>/<archive>/<suite>/
//!     state.json               the newest Date verified, and what to ask the mirror for a change
//!     InRelease                or Release and Release.gpg; of an rpm repository repomd.xml and repomd.xml.asc
//!     <sha256>                 index files, compressed as the archive has them
//!     <sha256>.table           what resolving needs of them, to be mapped
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::http::Validators;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;
use crate::package::deb::table::Table;

/// A repository's list of files, and its signature.
const REPOMD: &str = "repomd.xml";
const REPOMD_SIGNATURE: &str = "repomd.xml.asc";
/// Stands where an rpm repository has nothing.
const NONE: &str = "none";

/// The two forms in which a Release file comes with its signature (Debian repository format, "Release files").
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signed {
    /// `InRelease`.
    Inline(Vec<u8>),
    /// `Release` and `Release.gpg`, which an archive trusted without a signature may lack.
    Detached(Vec<u8>, Option<Vec<u8>>),
}

/// What is known of a suite besides its files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// The newest `Date` of a Release file that was verified.
    pub date: Timestamp,
    /// Where the kept Release file came from.
    pub uri: String,
    /// What to send there to learn whether it has changed.
    pub validators: Validators,
}

/// The folder of one suite.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SuiteCache {
    folder: PathBuf,
}

impl SuiteCache {
    /// The folder of a suite of an archive below `root`; it need not exist.
    pub fn new(root: &Path, archive: &str, suite: &str) -> Self {
        Self { folder: root.join(file_name(archive)).join(file_name(suite)) }
    }

    /// The file that remembers the newest Date.
    pub fn state_path(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// What was last known of the suite. A file that cannot be read as such counts as none.
    pub fn state(&self) -> Option<State> {
        serde_json::from_slice(&fs::read(self.state_path()).ok()?).ok()
    }

    /// The kept Release file, unverified.
    pub fn signed(&self) -> Option<Signed> {
        let read = |name: &str| fs::read(self.folder.join(name)).ok();
        read("InRelease").map(Signed::Inline).or_else(|| Some(Signed::Detached(read("Release")?, read("Release.gpg"))))
    }

    /// Keeps a verified Release file.
    pub fn save(&self, signed: &Signed, state: &State) -> Result<()> {
        let (keep, outdated): (Vec<(&str, &[u8])>, _) = match signed {
            Signed::Inline(text) => (vec![("InRelease", text)], vec!["Release", "Release.gpg"]),
            Signed::Detached(text, Some(signature)) => {
                (vec![("Release", text), ("Release.gpg", signature)], vec!["InRelease"])
            }
            Signed::Detached(text, None) => (vec![("Release", text)], vec!["InRelease", "Release.gpg"]),
        };
        for (name, bytes) in keep {
            durable::write_if_changed(&self.folder.join(name), bytes)?;
        }
        for name in outdated {
            remove(&self.folder.join(name))?;
        }
        let state = serde_json::to_vec_pretty(state).context("cannot write the state of a suite as JSON")?;
        durable::write_if_changed(&self.state_path(), &state).map(drop)
    }

    /// The kept `repomd.xml` of an rpm repository and its signature, unverified.
    pub fn repomd(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let read = |name: &str| fs::read(self.folder.join(name)).ok();
        Some((read(REPOMD)?, read(REPOMD_SIGNATURE)))
    }

    /// Keeps a verified `repomd.xml`.
    pub fn save_repomd(&self, text: &[u8], signature: Option<&[u8]>, state: &State) -> Result<()> {
        durable::write_if_changed(&self.folder.join(REPOMD), text)?;
        match signature {
            Some(signature) => drop(durable::write_if_changed(&self.folder.join(REPOMD_SIGNATURE), signature)?),
            None => remove(&self.folder.join(REPOMD_SIGNATURE))?,
        }
        let state = serde_json::to_vec_pretty(state).context("cannot write the state of a repository as JSON")?;
        durable::write_if_changed(&self.state_path(), &state).map(drop)
    }

    /// Remembers that an rpm repository has nothing for the architecture.
    pub fn save_none(&self) -> Result<()> {
        [REPOMD, REPOMD_SIGNATURE].iter().try_for_each(|name| remove(&self.folder.join(name)))?;
        durable::write_if_changed(&self.folder.join(NONE), b"").map(drop)
    }

    /// Whether it had nothing when it was last asked.
    pub fn has_none(&self) -> bool {
        self.folder.join(NONE).exists() && self.repomd().is_none()
    }

    /// What was made of index files, by a name that has their digests, if it is whole.
    pub fn made(&self, name: &Sha256) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.table_path(name)).ok()?;
        let digest = bytes.split_off(bytes.len().checked_sub(32)?);
        (Sha256::of(&bytes).as_bytes()[..] == digest).then_some(bytes)
    }

    /// Keeps what was made of index files.
    pub fn save_made(&self, name: &Sha256, mut bytes: Vec<u8>) -> Result<()> {
        bytes.extend(*Sha256::of(&bytes).as_bytes());
        durable::write(&self.table_path(name), &bytes)
    }

    /// A kept index file, if its bytes still have this SHA-256; otherwise it is removed.
    pub fn index(&self, sha256: &Sha256) -> Result<Option<Vec<u8>>> {
        let path = self.folder.join(sha256.to_hex());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        if Sha256::of(&bytes) == *sha256 {
            return Ok(Some(bytes));
        }
        remove(&path).map(|()| None)
    }

    /// Whether an index file is kept, without a look at its bytes.
    pub fn has_index(&self, sha256: &Sha256) -> bool {
        self.folder.join(sha256.to_hex()).exists()
    }

    /// Keeps a verified index file.
    pub fn save_index(&self, sha256: &Sha256, bytes: &[u8]) -> Result<()> {
        durable::write(&self.folder.join(sha256.to_hex()), bytes)
    }

    /// The table of an index file, if an earlier run kept it and it is whole.
    pub fn table(&self, sha256: &Sha256) -> Option<Table> {
        Table::map(&File::open(self.table_path(sha256)).ok()?).ok()
    }

    /// Keeps the table of an index file.
    pub fn save_table(&self, sha256: &Sha256, bytes: Vec<u8>) -> Result<Table> {
        durable::write(&self.table_path(sha256), &bytes)?;
        Table::from_bytes(bytes)
    }

    fn table_path(&self, sha256: &Sha256) -> PathBuf {
        self.folder.join(format!("{sha256}.table"))
    }

    /// Removes the index files that the suite no longer names, with their tables.
    pub fn remove_indexes_except(&self, named: &BTreeSet<Sha256>) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if index_of(name).is_some_and(|sha256| !named.contains(&sha256)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// The index files, and their tables, of all archives but these, below [`Context::cache`](super::Context::cache). What is known
/// of the archives' age is none of them: it tells later whether a mirror shows an older state.
pub fn unneeded_indexes(root: &Path, archives: &BTreeSet<&str>) -> Result<Vec<PathBuf>> {
    let needed: BTreeSet<String> = archives.iter().map(|archive| file_name(archive)).collect();
    let read = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        Ok(paths)
    };
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut unneeded = Vec::new();
    for archive in read(root)?.into_iter().filter(|path| path.is_dir() && !needed.contains(&name_of(path))) {
        for suite in read(&archive)?.into_iter().filter(|path| path.is_dir()) {
            unneeded.extend(read(&suite)?.into_iter().filter(|path| index_of(&name_of(path)).is_some()));
        }
    }
    Ok(unneeded)
}

/// The index that a file is, or is the table of.
fn index_of(name: &str) -> Option<Sha256> {
    name.strip_suffix(".table").unwrap_or(name).parse().ok()
}

/// The name as one path component: a flat repository's suite is a path.
fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'~' => out.push(byte as char),
            b'.' if !out.is_empty() => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02x}");
            }
        }
    }
    out
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::table;

    #[test]
    fn names_stay_below_the_cache() {
        let rows = [("trixie-updates", "trixie-updates"), ("./", "%2e%2f"), ("../x", "%2e.%2fx"), ("a/b", "a%2fb")];
        for (name, file) in rows {
            assert_eq!(file_name(name), file);
        }
    }

    #[test]
    fn a_damaged_index_is_not_given_out() {
        let root = tempfile::tempdir().unwrap();
        let cache = SuiteCache::new(root.path(), "debian", "trixie");
        let sha256 = Sha256::of(b"index");
        assert_eq!(cache.index(&sha256).unwrap(), None);
        cache.save_index(&sha256, b"index").unwrap();
        assert_eq!(cache.index(&sha256).unwrap().as_deref(), Some(&b"index"[..]));
        cache.save_index(&sha256, b"damage").unwrap();
        assert_eq!(cache.index(&sha256).unwrap(), None);
        assert!(!cache.has_index(&sha256));
    }

    #[test]
    fn only_named_indexes_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = SuiteCache::new(root.path(), "debian", "trixie");
        let (old, new) = (Sha256::of(b"old"), Sha256::of(b"new"));
        cache.save_index(&old, b"old").unwrap();
        cache.save_index(&new, b"new").unwrap();
        for sha256 in [&old, &new] {
            cache.save_table(sha256, table::compile(&mut &b"Package: a\nVersion: 1\n"[..]).unwrap()).unwrap();
        }
        cache.remove_indexes_except(&BTreeSet::from([new])).unwrap();
        assert!(!cache.has_index(&old) && cache.has_index(&new));
        assert!(cache.table(&old).is_none() && cache.table(&new).is_some());
    }
}
