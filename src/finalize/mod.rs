//! A configured tree to what the user takes away: `root.img` and volumes beside it, archives and file systems of other kinds, or the ref
//! alone.
//!
//! What was written is recorded in the store under a key of all inputs and the file's place, with the file's stamp. As
//! long as the stamp holds, the file is not made again.
//!
//! Images are sparse files: what is free in them is holes, and they are named by a digest that skips those (see `verity`).

mod disk;
mod efi;
mod ext4;
mod grub;
mod hashed;
mod image;
mod oci;
mod packed;
mod tar;
mod tools;
mod verity;
mod volumes;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest::{FileDigest, Sha256};
use crate::durable;
use crate::lock::Lock;
use crate::manifest::{Manifest, OutputFormat};
use crate::progress::{Progress, Unit};
use crate::run_folder::RunFolder;
use crate::store::{Store, Tree};

/// Part of every key; to be raised when the same inputs give other bytes than before.
const VERSION: u32 = 2;

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
        return Ok(Some(Artifact { size: record.stamp.size, digest: record.digest, path, reused: true }));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let _task = progress.task(ending, Unit::Items, 0);
    let temporary = RunFolder::new(folder, ".compose-")?;
    let file = temporary.path().join("output");
    let options = &request.manifest.image;
    match format {
        OutputFormat::RootImg => image::write(request, tree_of(request, tree)?, identity, &file)?,
        OutputFormat::PrivateImg => volumes::write_private(request, options.private, identity, &file)?,
        OutputFormat::SwapImg => volumes::write_swap(options.swap, identity, &file)?,
        OutputFormat::Erofs => packed::write_erofs(request, tree_of(request, tree)?, identity, &file)?,
        OutputFormat::Squashfs => packed::write_squashfs(request, tree_of(request, tree)?, &file)?,
        OutputFormat::Tar | OutputFormat::Oci | OutputFormat::Ostree => {}
    }
    let (digest, size) = match format {
        OutputFormat::Tar => {
            let tree = tree_of(request, tree)?;
            let (digest, size) = hashed::write(&file, |output| tar::write(&store.reader(), tree, lock.date, output))?;
            (FileDigest::Sha256(digest), size)
        }
        OutputFormat::Oci => {
            let (digest, size) = oci::write(request, tree_of(request, tree)?, &file)?;
            (FileDigest::Sha256(digest), size)
        }
        OutputFormat::Erofs | OutputFormat::Squashfs => {
            let hashed = File::open(&file).and_then(Sha256::of_reader);
            let (digest, size) = hashed.with_context(|| format!("cannot read {}", path.display()))?;
            (FileDigest::Sha256(digest), size)
        }
        _ => {
            let sealed = File::options().read(true).write(true).open(&file).and_then(|file| verity::seal(&file));
            let (digest, size) = sealed.with_context(|| format!("cannot read {}", path.display()))?;
            (FileDigest::Verity(digest), size)
        }
    };
    let written = File::open(&file)?;
    written.sync_all()?;
    durable::rename(&file, &path)?;
    // Of the open file, since another run may have put its own at the path by now.
    let stamp = Stamp::of(&written.metadata()?);
    durable::write(&record_path, &serde_json::to_vec(&Record { digest, stamp })?)?;
    Ok(Some(Artifact { path, size, digest, reused: false }))
}

/// The configured tree, read where no earlier stage made it.
fn tree_of<'a>(request: &Request<'_>, tree: &'a mut Option<Tree>) -> Result<&'a Tree> {
    match tree {
        Some(tree) => Ok(tree),
        None => Ok(tree.insert(request.store.read_tree(request.commit)?)),
    }
}

/// What lies at a byte of an output that [`run`] wrote: a path, or a word for what belongs to no path, where it is known.
pub fn path_at(request: &Request<'_>, format: OutputFormat, file: &Path, offset: u64) -> Result<Option<String>> {
    match format {
        OutputFormat::RootImg => image::path_at(request, file, offset),
        OutputFormat::PrivateImg => ext4::path_at(request, file, 0, offset),
        OutputFormat::Tar => tar::path_at(file, offset),
        _ => Ok(None),
    }
}

fn read_record(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The digest of everything that shapes an output's bytes; also where file systems get their UUIDs from.
fn identity(request: &Request<'_>, format: OutputFormat) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs {
        version: u32,
        format: OutputFormat,
        root: (Sha256, Sha256),
        facts: std::collections::BTreeMap<String, String>,
        date: crate::clock::Timestamp,
        shape: serde_json::Value,
        tools: Vec<Sha256>,
    }
    let image = &request.manifest.image;
    let shape = match format {
        OutputFormat::RootImg => json!([image.size, image.slack, image.label, image.partitions, image.kernel]),
        OutputFormat::PrivateImg => json!(image.private),
        OutputFormat::SwapImg => json!(image.swap),
        _ => json!(null),
    };
    let (root, facts) = request.store.read_commit(request.commit)?;
    let inputs = Inputs {
        version: VERSION,
        format,
        root,
        facts,
        date: request.lock.date,
        shape,
        tools: request.lock.tools.iter().map(|t| t.sha256).collect(),
    };
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}
