//! A configured tree to what the user takes away: `root.img` and volumes beside it, archives and file systems of other
//! kinds, or the ref alone.
//!
//! Images are sparse files: what is free in them is holes, and they are named by a digest that skips those (see `verity`).

mod direct;
mod disk;
mod efi;
mod ext4;
mod file_contexts;
mod grub;
mod hashed;
mod image;
mod labels;
mod oci;
mod packed;
mod sparse;
mod tar;
mod tools;
mod verity;
mod volumes;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use crate::artifact::{Artifact, Place};
use crate::digest::{FileDigest, Sha256};
use crate::lock::Lock;
use crate::manifest::{Manifest, OutputFormat};
use crate::progress::{Progress, Unit};
use crate::run_folder::RunFolder;
use crate::sandbox::Program;
use crate::store::{Objects, Store, Tree};
use labels::Labels;
use sparse::Hashes;

pub use disk::{BESIDE_ROOT, ROOT_NAME, ROOT_PARTITION};
pub use grub::ARCHITECTURE as OWN_KERNEL_ARCHITECTURE;
pub use labels::{
    CONFIG as SELINUX_CONFIG, Mode as SelinuxMode, configured as selinux_configured, rules as selinux_rules,
};

/// Part of every key; to be raised when the same inputs give other bytes than before.
const VERSION: u32 = 4;

/// What an output is made of.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The store.
    pub store: &'a Store,
    /// What starts sandboxes.
    pub program: &'a Program,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its lock.
    pub lock: &'a Lock,
    /// The commit of the configured tree.
    pub commit: Sha256,
    /// Where outputs go; absolute.
    pub folder: &'a Path,
}

/// Where an output goes.
fn place(request: &Request<'_>, ending: &str, identity: Sha256) -> Place {
    let Request { store, lock, folder, .. } = request;
    let path = folder.join(format!("{}.{}.{ending}", lock.manifest, lock.architecture));
    Place::new(store, path, identity).made_of(request.commit)
}

/// The output, when it stands as [`run`] wrote it.
pub fn standing(request: &Request<'_>, format: OutputFormat) -> Result<Option<Artifact>> {
    let Some(ending) = ending(format) else { return Ok(None) };
    Ok(place(request, ending, identity(request, format)?).standing())
}

/// The end of an output's file name, for those that are files of this stage.
fn ending(format: OutputFormat) -> Option<&'static str> {
    (!matches!(format, OutputFormat::QubesTemplate | OutputFormat::Ostree)).then(|| format.as_str())
}

/// What is known of the tree that outputs are made of.
#[derive(Default)]
pub struct KnownTree {
    tree: OnceLock<Tree>,
    objects: OnceLock<Objects>,
    labels: OnceLock<Option<Labels>>,
}

impl From<Tree> for KnownTree {
    fn from(tree: Tree) -> Self {
        Self { tree: tree.into(), ..Self::default() }
    }
}

/// An output that stands, or that is written and not yet where it was asked for.
pub enum Output {
    /// It stands.
    Standing(Artifact),
    /// It is written. What is not put in its place is gone.
    Written(Written),
}

/// A complete file beside its place.
pub struct Written {
    place: Place,
    file: PathBuf,
    digest: FileDigest,
    _folder: RunFolder,
}

impl Output {
    /// Puts what is written in its place.
    pub fn put(self) -> Result<Artifact> {
        match self {
            Self::Standing(artifact) => Ok(artifact),
            Self::Written(Written { place, file, digest, .. }) => place.put(&file, digest),
        }
    }
}

/// Writes one output, to be put at `FOLDER/NAME.ARCHITECTURE.FORMAT`; nothing for those that are no file of this stage.
pub fn run(
    request: &Request<'_>,
    format: OutputFormat,
    tree: &KnownTree,
    progress: &dyn Progress,
) -> Result<Option<Output>> {
    let Some(ending) = ending(format) else { return Ok(None) };
    let Request { store, lock, folder, .. } = request;
    let identity = identity(request, format)?;
    let place = place(request, ending, identity);
    if let Some(standing) = place.standing() {
        return Ok(Some(Output::Standing(standing)));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let _task = progress.task(ending, Unit::Items, 0);
    let temporary = RunFolder::new(folder, ".compose-")?;
    let file = temporary.path().join("output");
    let options = &request.manifest.image;
    let mut written = Hashes::new();
    match format {
        OutputFormat::RootImg => written = image::write(request, tree, identity, &file)?,
        OutputFormat::PrivateImg => written = volumes::write_private(request, options.private, identity, &file)?,
        OutputFormat::SwapImg => volumes::write_swap(options.swap, identity, &file)?,
        OutputFormat::Erofs => packed::write_erofs(request, tree, identity, &file)?,
        OutputFormat::Squashfs => packed::write_squashfs(request, tree, &file)?,
        OutputFormat::Tar | OutputFormat::Oci | OutputFormat::QubesTemplate | OutputFormat::Ostree => {}
    }
    let digest = match format {
        OutputFormat::Tar => {
            let labelled = (read_tree(request, tree)?, labels(request, tree)?);
            let write = |output| tar::write(&store.reader(), labelled, lock.date, output);
            FileDigest::Sha256(hashed::write(&file, write)?.0)
        }
        OutputFormat::Oci => FileDigest::Sha256(oci::write(request, read_tree(request, tree)?, &file)?.0),
        OutputFormat::Erofs | OutputFormat::Squashfs => {
            let hashed = File::open(&file).and_then(Sha256::of_reader);
            FileDigest::Sha256(hashed.with_context(|| format!("cannot read {}", place.path.display()))?.0)
        }
        _ => {
            let sealed =
                File::options().read(true).write(true).open(&file).and_then(|file| verity::seal(&file, &written));
            FileDigest::Verity(sealed.with_context(|| format!("cannot read {}", place.path.display()))?.0)
        }
    };
    Ok(Some(Output::Written(Written { place, file, digest, _folder: temporary })))
}

/// Writes `root.img` to a file that must not exist, for outputs that are made of it.
pub fn write_image(request: &Request<'_>, tree: &KnownTree, file: &Path) -> Result<()> {
    let identity = identity(request, OutputFormat::RootImg)?;
    image::write(request, tree, identity, file).map(drop)
}

/// The tree, read when it is not yet.
pub fn read_tree<'a>(request: &Request<'_>, tree: &'a KnownTree) -> Result<&'a Tree> {
    if let Some(tree) = tree.tree.get() {
        return Ok(tree);
    }
    let read = request.store.read_tree(request.commit)?;
    Ok(tree.tree.get_or_init(|| read))
}

/// The tree's objects, looked at when they are not yet.
pub fn look<'a>(request: &Request<'_>, tree: &'a KnownTree) -> Result<&'a Objects> {
    if let Some(objects) = tree.objects.get() {
        return Ok(objects);
    }
    let found = Objects::of(&request.store.reader(), read_tree(request, tree)?)?;
    Ok(tree.objects.get_or_init(|| found))
}

/// The labels of the tree's files, read when they are not yet.
fn labels<'a>(request: &Request<'_>, tree: &'a KnownTree) -> Result<Option<&'a Labels>> {
    if let Some(labels) = tree.labels.get() {
        return Ok(labels.as_ref());
    }
    let found = Labels::of(&request.store.reader(), read_tree(request, tree)?)?;
    Ok(tree.labels.get_or_init(|| found).as_ref())
}

/// What lies at a byte of an output that [`run`] wrote: a path, or a word for what belongs to no path, where it is known.
pub fn path_at(request: &Request<'_>, format: OutputFormat, file: &Path, offset: u64) -> Result<Option<String>> {
    let identity = identity(request, format)?;
    match format {
        OutputFormat::RootImg => image::path_at(request, identity, file, offset),
        OutputFormat::PrivateImg => volumes::path_at(request, request.manifest.image.private, identity, offset),
        OutputFormat::Tar => tar::path_at(file, offset),
        OutputFormat::SwapImg
        | OutputFormat::Erofs
        | OutputFormat::Squashfs
        | OutputFormat::Oci
        | OutputFormat::QubesTemplate
        | OutputFormat::Ostree => Ok(None),
    }
}

/// The digest of a sparse file as [`FileDigest::Verity`] has it; the file stays as it is.
pub fn sparse_digest(file: &File) -> std::io::Result<Sha256> {
    verity::digest(file)
}

/// The digest of everything that shapes an output's bytes; also where file systems get their UUIDs from.
pub fn identity(request: &Request<'_>, format: OutputFormat) -> Result<Sha256> {
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
    let tools = if format.needs_tools(image.kernel) { request.lock.tools.as_slice() } else { &[] };
    let (root, facts) = request.store.read_commit(request.commit)?;
    let inputs = Inputs {
        version: VERSION,
        format,
        root,
        facts,
        date: request.lock.date,
        shape,
        tools: tools.iter().map(|tool| tool.sha256).collect(),
    };
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}
