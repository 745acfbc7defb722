//! Commits as single files: ostree's static deltas (`ostree static-delta generate --inline`), against another commit or nothing.
//! What stands beside a commit comes with it.
//!
//! A delta is applied by libostree to a repository of its own, whose parent is the store. Only what is found to have the
//! checksums of its names goes from there to the store, the commit last.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use glib::prelude::*;
use glib::variant::Variant;
use glib::{Bytes, VariantDict, VariantTy};
use rayon::prelude::*;

use super::{Directory, Store, StoredCommit, commit, is_kept_xattr, object, scrub, tree};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;
use crate::run_folder::RunFolder;

/// `OSTREE_STATIC_DELTA_SUPERBLOCK_FORMAT` in libostree's ostree-repo-static-delta-private.h: metadata, time, the commits from
/// and to which it leads, the latter's object, deltas to apply first, parts, and objects to be had elsewhere.
const SUPERBLOCK: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";

/// What a delta says it is.
#[derive(Clone, Debug)]
pub struct Delta {
    file: PathBuf,
    /// The commit that it needs.
    pub from: Option<Sha256>,
    /// The commit that it makes.
    pub to: Sha256,
    /// That commit, whose checksum is right.
    pub commit: StoredCommit,
    /// What is to stand beside it.
    beside: Option<Variant>,
}

impl Delta {
    /// Reads the front of a file.
    pub fn open(path: &Path) -> Result<Self> {
        let superblock = map(path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = || -> Result<Self> {
            let (from, object) = (superblock.child_value(2), superblock.child_value(4));
            let to = tree::checksum_of(&superblock.child_value(3))?;
            let found = Sha256::of(object.data());
            ensure!(found == to, "its commit has SHA-256 {found}, expected {to}");
            let from = if from.n_children() == 0 { None } else { Some(tree::checksum_of(&from)?) };
            // Under the path that it would have in a repository of deltas.
            let is_beside = |key: &Variant| key.str().is_some_and(|key| key.ends_with("/commitmeta"));
            let metadata = superblock.child_value(0);
            let entry = metadata.iter().find(|entry| is_beside(&entry.child_value(0)));
            let beside = entry.and_then(|entry| entry.child_value(1).as_variant());
            let beside = beside.filter(|beside| beside.type_() == VariantTy::VARDICT && beside.is_normal_form());
            Ok(Self { file: path.to_owned(), from, to, commit: commit::parse(&object)?, beside })
        };
        read().with_context(|| format!("{} is no static delta of ostree, or is damaged", path.display()))
    }
}

impl Delta {
    /// Bytes that are to be kept beside the commit, as [`Store::attached`].
    pub fn attached(&self, name: &str) -> Option<Vec<u8>> {
        commit::attached_in(self.beside.as_ref()?, name)
    }
}

impl Store {
    /// Writes a commit to a file, as what makes it of the commit `from`, or of nothing. The same commits give the same bytes.
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
        let date = self.load_commit(to)?.date;
        let make = || -> Result<()> {
            let from = from.map(Sha256::to_hex);
            let how = ostree::StaticDeltaGenerateOpt::Major;
            let (to, options) = (to.to_hex(), options.end());
            self.repo.static_delta_generate(how, from.as_deref(), &to, None, Some(&options), gio::Cancellable::NONE)?;
            set_time(&whole, date)
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
        let kind_is = |path: &Path, kind: &str| path.extension().is_some_and(|found| found == kind);
        // What stands beside the commit is taken from what was checked.
        made.retain(|path| !kind_is(path, "commitmeta"));
        let (commits, objects): (Vec<PathBuf>, _) = made.into_iter().partition(|path| kind_is(path, "commit"));
        let place = &self.objects;
        objects.par_iter().try_for_each(|path| take(path, place)).with_context(failed)?;
        self.check_complete(&delta.commit).with_context(failed)?;
        rustix::fs::syncfs(&self.objects_fd).with_context(failed)?;
        if let Some(beside) = &delta.beside {
            durable::write(&object::path(place, delta.to, "commitmeta"), beside.data()).with_context(failed)?;
        }
        let commit = commits.iter().find(|path| scrub::checksum_in(path) == Some(delta.to));
        take(commit.with_context(failed)?, place).with_context(failed)?;
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

/// Gives a delta a time, which libostree takes from the clock: an aligned number behind the metadata.
fn set_time(path: &Path, date: Timestamp) -> Result<()> {
    let at = map(path)?.child_value(0).size().next_multiple_of(8);
    let file = File::options().write(true).open(path)?;
    file.write_all_at(&u64::try_from(date.seconds()).unwrap_or(0).to_be_bytes(), at as u64)?;
    Ok(file.sync_all()?)
}

/// A delta's superblock, mapped.
fn map(path: &Path) -> Result<Variant> {
    let file = File::open(path)?;
    // SAFETY: whatever another process does to the file meanwhile, the variant's readers stay within the map, and
    // nothing is kept of it but values that are checked.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Variant::from_bytes_with_type(&Bytes::from_owned(map), VariantTy::new(SUPERBLOCK)?))
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
