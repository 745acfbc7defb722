//! Outputs where the user asked for them, and the store's record of each: what stands as its record says is not made again.
//!
//! A record is kept in the store's `stages/`, under a key of all inputs and the file's place, with the file's stamp. As long as
//! the stamp holds, the file is the one that was written.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::digest::{FileDigest, Sha256};
use crate::durable;
use crate::finalize;
use crate::store::Store;

/// An output that stands where it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    /// The file.
    pub path: PathBuf,
    /// Its apparent size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: FileDigest,
    /// Whether it stood there before.
    pub reused: bool,
}

/// The record of a file in `stages/`.
#[derive(Serialize, Deserialize)]
struct Record {
    digest: FileDigest,
    stamp: Stamp,
    /// The commit of the tree that the file is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<Sha256>,
}

/// What changes when a file is written to or replaced.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &fs::Metadata) -> Self {
        Self { device: m.dev(), inode: m.ino(), size: m.size(), changed: (m.ctime(), m.ctime_nsec()) }
    }
}

/// The place of an output that is a function of `identity`, the digest of all its inputs.
pub struct Place {
    /// The file.
    pub path: PathBuf,
    record: PathBuf,
    commit: Option<Sha256>,
}

impl Place {
    /// The place of the file at an absolute path.
    pub fn new(store: &Store, path: PathBuf, identity: Sha256) -> Self {
        let name = Sha256::of(format!("{identity} {}", path.display()).as_bytes()).to_hex();
        Self { path, record: store.root().join("stages").join(name), commit: None }
    }

    /// The same place, of a file that is made of the tree of a commit.
    #[must_use]
    pub fn made_of(self, commit: Sha256) -> Self {
        Self { commit: Some(commit), ..self }
    }

    /// The output, when it stands as its record says.
    pub fn standing(&self) -> Option<Artifact> {
        let record: Record = serde_json::from_slice(&fs::read(&self.record).ok()?).ok()?;
        let stands = fs::symlink_metadata(&self.path).is_ok_and(|m| Stamp::of(&m) == record.stamp);
        let artifact =
            Artifact { path: self.path.clone(), size: record.stamp.size, digest: record.digest, reused: true };
        stands.then_some(artifact)
    }

    /// Puts a complete file with this digest there, from the same file system.
    pub fn put(self, file: &Path, digest: FileDigest) -> Result<Artifact> {
        let written = File::open(file)?;
        written.sync_all()?;
        durable::rename(file, &self.path)?;
        // Of the open file, since another run may have put its own at the path by now.
        let stamp = Stamp::of(&written.metadata()?);
        let size = stamp.size;
        durable::write(&self.record, &serde_json::to_vec(&Record { digest, stamp, commit: self.commit })?)?;
        Ok(Artifact { path: self.path, size, digest, reused: false })
    }
}

/// The commit of the tree that a file was made of: one that stands where the store wrote it, or a copy, which is known by its
/// digest. None for files that the store did not write.
pub fn commit_of(store: &Store, path: &Path) -> Result<Option<Sha256>> {
    let failed = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let stamp = Stamp::of(&file.metadata().with_context(failed)?);
    let mut same_size = Vec::new();
    for entry in fs::read_dir(store.root().join("stages"))? {
        let record = fs::read(entry?.path()).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let Some(Record { digest, stamp: written, commit: Some(commit) }) = record else { continue };
        if written == stamp {
            return Ok(Some(commit));
        }
        if written.size == stamp.size {
            same_size.push((digest, commit));
        }
    }
    let is = |kind: fn(&FileDigest) -> bool| same_size.iter().any(|(digest, _)| kind(digest));
    let mut digests = Vec::new();
    if is(|digest| matches!(digest, FileDigest::Verity(_))) {
        digests.push(FileDigest::Verity(finalize::sparse_digest(&file).with_context(failed)?));
    }
    if is(|digest| matches!(digest, FileDigest::Sha256(_))) {
        digests.push(FileDigest::Sha256(Sha256::of_reader(&file).with_context(failed)?.0));
    }
    Ok(same_size.into_iter().find(|(known, _)| digests.contains(known)).map(|(_, commit)| commit))
}
