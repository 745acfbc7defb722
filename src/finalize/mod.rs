//! A configured tree to what the user takes away: `root.img`, `tar`, or the ref alone.
//!
//! What was written is recorded in the store under a key of all inputs and the file's place, with the file's stamp. As
//! long as the stamp holds, the file is not made again.

mod hashed;
mod image;
mod tar;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::durable;
use crate::lock::Lock;
use crate::manifest::{ImageOptions, Manifest, OutputFormat};
use crate::progress::{Progress, Unit};
use crate::run_folder::RunFolder;
use crate::store::{Store, Tree};

/// Part of every key; to be raised when the same inputs give other bytes than before.
const VERSION: u32 = 1;

/// An output that stands where it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    /// The file.
    pub path: PathBuf,
    /// Its apparent size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Whether it stood there before.
    pub reused: bool,
}

/// The record of a file in `stages/`.
#[derive(Serialize, Deserialize)]
struct Record {
    sha256: Sha256,
    stamp: Stamp,
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

/// What an output is made of.
pub struct Request<'a> {
    /// The store.
    pub store: &'a Store,
    /// This program's file.
    pub program: &'a Path,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its lock.
    pub lock: &'a Lock,
    /// The commit of the configured tree.
    pub commit: Sha256,
    /// Where outputs go; absolute.
    pub folder: &'a Path,
}

/// The file of an output and, when it stands as its record says, that record.
fn look_up(request: &Request<'_>, ending: &str, identity: Sha256) -> (PathBuf, PathBuf, Option<Record>) {
    let Request { store, lock, folder, .. } = request;
    let path = folder.join(format!("{}.{}.{ending}", lock.manifest, lock.architecture));
    let name = Sha256::of(format!("{identity} {}", path.display()).as_bytes()).to_hex();
    let record_path = store.root().join("stages").join(name);
    let record = read_record(&record_path)
        .filter(|record| fs::symlink_metadata(&path).is_ok_and(|m| Stamp::of(&m) == record.stamp));
    (path, record_path, record)
}

/// Whether [`run`] would have to write this output.
pub fn is_due(request: &Request<'_>, format: OutputFormat) -> Result<bool> {
    let Some(ending) = ending(format) else { return Ok(false) };
    Ok(look_up(request, ending, identity(request, format)?).2.is_none())
}

/// The end of an output's file name, for those that are files.
fn ending(format: OutputFormat) -> Option<&'static str> {
    (format != OutputFormat::Ostree).then(|| format.as_str())
}

/// Writes one output as `FOLDER/NAME.ARCHITECTURE.FORMAT`; nothing for [`OutputFormat::Ostree`].
pub fn run(
    request: &Request<'_>,
    format: OutputFormat,
    tree: &mut Option<Tree>,
    progress: &dyn Progress,
) -> Result<Option<Artifact>> {
    let Some(ending) = ending(format) else { return Ok(None) };
    let Request { store, lock, folder, .. } = request;
    let identity = identity(request, format)?;
    let (path, record_path, record) = look_up(request, ending, identity);
    if let Some(record) = record {
        return Ok(Some(Artifact { size: record.stamp.size, sha256: record.sha256, path, reused: true }));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let _task = progress.task(ending, Unit::Items, 0);
    let temporary = RunFolder::new(folder, ".compose-")?;
    let file = temporary.path().join("output");
    let tree = match tree {
        Some(tree) => tree,
        None => tree.insert(store.read_tree(request.commit)?),
    };
    let (sha256, size) = match format {
        OutputFormat::RootImg => {
            image::write(store, request.program, lock, &request.manifest.image, tree, identity, &file)?;
            Sha256::of_reader(File::open(&file)?).with_context(|| format!("cannot read {}", path.display()))?
        }
        OutputFormat::Tar => hashed::write(&file, |output| tar::write(&store.reader(), tree, lock.date, output))?,
        OutputFormat::Ostree => return Ok(None),
    };
    let written = File::open(&file)?;
    written.sync_all()?;
    durable::rename(&file, &path)?;
    // Of the open file, since another run may have put its own at the path by now.
    let stamp = Stamp::of(&written.metadata()?);
    durable::write(&record_path, &serde_json::to_vec(&Record { sha256, stamp })?)?;
    Ok(Some(Artifact { path, size, sha256, reused: false }))
}

/// What lies at a byte of an output that [`run`] wrote: a path, or a word for what belongs to no path, where it is known.
pub fn path_at(request: &Request<'_>, format: OutputFormat, file: &Path, offset: u64) -> Result<Option<String>> {
    match format {
        OutputFormat::RootImg => image::path_at(request.store, request.program, request.lock, file, offset),
        OutputFormat::Tar => tar::path_at(file, offset),
        OutputFormat::Ostree => Ok(None),
    }
}

fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The digest of everything that shapes an output's bytes; also where file systems get their UUIDs from.
fn identity(request: &Request<'_>, format: OutputFormat) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        format: OutputFormat,
        root: (Sha256, Sha256),
        facts: std::collections::BTreeMap<String, String>,
        date: crate::clock::Timestamp,
        image: &'a ImageOptions,
        tools: Vec<Sha256>,
    }
    let (root, facts) = request.store.read_commit(request.commit)?;
    let inputs = Inputs {
        version: VERSION,
        format,
        root,
        facts,
        date: request.lock.date,
        image: &request.manifest.image,
        tools: request.lock.tools.iter().map(|t| t.sha256).collect(),
    };
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}
