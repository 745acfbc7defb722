//! Commits as single files: ostree's static deltas (`ostree static-delta generate --inline`), against another commit or nothing.
//! What stands beside a commit comes with it.
//!
//! A delta is applied by libostree to a repository of its own, whose parent is the store. Only what is found to have the
//! checksums of its names goes from there to the store, the commit last.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use glib::prelude::*;
use glib::variant::Variant;
use glib::{Bytes, VariantDict, VariantTy};
use rayon::prelude::*;

use super::{Directory, Store, StoredCommit, commit, is_kept_xattr, object, scrub, tree};
use crate::digest::Sha256;
use crate::durable;
use crate::run_folder::RunFolder;

/// `OSTREE_STATIC_DELTA_SUPERBLOCK_FORMAT` in libostree's ostree-repo-static-delta-private.h: metadata, time, the commits from
/// and to which it leads, the latter's object, deltas to apply first, parts, and objects to be had elsewhere.
const SUPERBLOCK: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";

/// What a delta says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    file: PathBuf,
    /// The commit that it needs.
    pub from: Option<Sha256>,
    /// The commit that it makes.
    pub to: Sha256,
    /// That commit, whose checksum is right.
    pub commit: StoredCommit,
}

impl Delta {
    /// Reads the front of a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        // SAFETY: whatever another process does to the file meanwhile, the variant's readers stay within the map, and
        // nothing is kept of it but values that are checked.
        let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("cannot read {}", path.display()))?;
        let read = || -> Result<Self> {
            let superblock = Variant::from_bytes_with_type(&Bytes::from_owned(map), VariantTy::new(SUPERBLOCK)?);
            let (from, object) = (superblock.child_value(2), superblock.child_value(4));
            let to = tree::checksum_of(&superblock.child_value(3))?;
            let found = Sha256::of(object.data());
            ensure!(found == to, "its commit has SHA-256 {found}, expected {to}");
            let from = if from.n_children() == 0 { None } else { Some(tree::checksum_of(&from)?) };
            Ok(Self { file: path.to_owned(), from, to, commit: commit::parse(&object)? })
        };
        read().with_context(|| format!("{} is no static delta of ostree, or is damaged", path.display()))
    }
}

impl Store {
    /// Writes a commit to a file, as what makes it of the commit `from`, or of nothing.
    pub fn write_delta(&self, from: Option<Sha256>, to: Sha256, file: &Path) -> Result<()> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let temporary = RunFolder::new(folder, ".compose-")?;
        let whole = temporary.path().join("delta");
        let options = VariantDict::new(None);
        options.insert("inline-parts", true);
        // Nothing is to be fetched from elsewhere.
        options.insert("min-fallback-size", 0_u32);
        let mut name = std::os::unix::ffi::OsStrExt::as_bytes(whole.as_os_str()).to_vec();
        name.push(0);
        options.insert_value("filename", &glib::variant::FixedSizeVariantArray::from(name).to_variant());
        let make = || -> Result<()> {
            let from = from.map(Sha256::to_hex);
            let how = ostree::StaticDeltaGenerateOpt::Major;
            let (to, options) = (to.to_hex(), options.end());
            self.repo.static_delta_generate(how, from.as_deref(), &to, None, Some(&options), gio::Cancellable::NONE)?;
            Ok(File::open(&whole)?.sync_all()?)
        };
        make().with_context(|| format!("cannot write the commit {to} to {}", file.display()))?;
        durable::rename(&whole, file)
    }

    /// Makes the commit of a delta, unless the store has it. No ref points to it yet; everything is durable.
    pub fn apply_delta(&self, delta: &Delta) -> Result<()> {
        if self.has_commit(delta.to) {
            return Ok(());
        }
        self.unsynced.set(true);
        let failed = || format!("cannot apply {}", delta.file.display());
        let folder = self.work.path().join("delta");
        self.execute(delta, &folder)
            .with_context(|| format!("{} is damaged", delta.file.display()))
            .with_context(failed)?;
        let mut made = Vec::new();
        for first in fs::read_dir(folder.join("objects")).with_context(failed)? {
            for object in fs::read_dir(first.with_context(failed)?.path()).with_context(failed)? {
                made.push(object.with_context(failed)?.path());
            }
        }
        made.par_iter().try_for_each(|path| check_object(path)).with_context(failed)?;
        let is_commit = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "commit" || kind == "commitmeta");
        let (commits, objects): (Vec<PathBuf>, Vec<PathBuf>) = made.into_iter().partition(is_commit);
        let place = &self.objects;
        objects.par_iter().try_for_each(|path| take(path, place)).with_context(failed)?;
        self.check_complete(&delta.commit).with_context(failed)?;
        rustix::fs::syncfs(&self.objects_fd).with_context(failed)?;
        let own = |path: &&PathBuf| object::path(&self.objects, delta.to, "").file_stem() == path.file_stem();
        let mut commits: Vec<&PathBuf> = commits.iter().filter(own).collect();
        // What stands beside a commit comes before it.
        commits.sort_by_key(|path| path.extension().is_some_and(|kind| kind == "commit"));
        commits.into_iter().try_for_each(|path| take(path, place)).with_context(failed)?;
        self.discard(folder);
        rustix::fs::syncfs(&self.objects_fd).with_context(failed)
    }

    /// Applies a delta to a repository of its own.
    fn execute(&self, delta: &Delta, folder: &Path) -> Result<()> {
        fs::create_dir(folder)?;
        let parent = self.root.join("repo");
        let parent = parent.to_str().filter(|path| !path.contains('\n')).context("the store's path is not UTF-8")?;
        let config = format!("[core]\nrepo_version=1\nmode=bare\nparent={}\n", parent.replace('\\', "\\\\"));
        durable::write(&folder.join("config"), config.as_bytes())?;
        for name in
            ["objects", "tmp", "tmp/cache", "extensions", "state", "refs", "refs/heads", "refs/mirrors", "refs/remotes"]
        {
            fs::create_dir(folder.join(name))?;
        }
        let repo = ostree::Repo::new_for_path(folder);
        repo.open(gio::Cancellable::NONE)?;
        repo.set_disable_fsync(true);
        let transaction = repo.auto_transaction(gio::Cancellable::NONE)?;
        let file = gio::File::for_path(&delta.file);
        repo.static_delta_execute_offline(&file, false, gio::Cancellable::NONE)?;
        transaction.commit(gio::Cancellable::NONE)?;
        Ok(())
    }

    /// That the store has all of a commit's tree, and that the tree can be told of in files.
    fn check_complete(&self, stored: &StoredCommit) -> Result<()> {
        let tree = super::Tree {
            root: tree::read_directory(&self.objects, stored.root.0, stored.root.1)?,
            extras: tree::extras_from(&stored.metadata)?,
        };
        let mut leaves = Vec::new();
        tree.root.for_each_file(&mut |path, leaf| leaves.push((path.to_owned(), leaf)));
        let objects = &self.objects;
        let missing =
            leaves.par_iter().find_any(|(_, leaf)| fs::symlink_metadata(object::path(objects, *leaf, "file")).is_err());
        if let Some((path, leaf)) = missing {
            bail!("the object {leaf} of /{path} is missing");
        }
        check_attributes(&tree.root)?;
        tree.check()
    }
}

/// Gives a file of another repository its name among the objects.
fn take(path: &Path, objects: &Path) -> Result<()> {
    let name = path.file_name().zip(path.parent().and_then(Path::file_name));
    let (name, first) = name.ok_or_else(|| anyhow!("{} is no object", path.display()))?;
    let target = objects.join(first).join(name);
    fs::rename(path, &target).with_context(|| format!("cannot create {}", target.display()))
}

/// That directories have no attributes but those that trees here have: others could mean something to overlayfs.
fn check_attributes(dir: &Directory) -> Result<()> {
    if let Some(name) = dir.attributes.xattrs.keys().find(|name| !is_kept_xattr(name)) {
        bail!("a directory has the extended attribute `{}`, which no tree here has", name.escape_debug());
    }
    dir.directories.values().try_for_each(check_attributes)
}

/// That a file's content, owner, mode and attributes are those of its name. Attributes that no tree here has make it another.
fn check_object(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|kind| kind == "commitmeta") {
        return Ok(());
    }
    let found = scrub::digest_of(path)?;
    let expected = scrub::checksum_in(path);
    ensure!(expected == Some(found), "the object {} has SHA-256 {found}", path.display());
    Ok(())
}
