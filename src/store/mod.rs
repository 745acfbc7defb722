//! The store: one ostree repository (mode `bare`) and the folders beside it.
//!
//! ```text
//! STORE/
//!   boot             the boot of the last run
//!   lock             held shared by every run, exclusively by what deletes
//!   repo/            ostree repository; refs:
//!                      package/<format>/<sha256>       one package: control/, data/, index
//!                      cache/<stage>/<key>             results of stages
//!                      template/<name>/<architecture>  a history of configured trees
//!                      tag/<name>/<architecture>/<tag> one of its commits
//!   files/           downloaded packages, named by SHA-256
//!   archives/        verified metadata of archives
//!   locks/           notes of the locks that builds used
//!   stages/          records of files that stages wrote outside the store
//!   work/            folders of runs; those of ended runs are removed at the next opening
//! ```
//!
//! libostree (through the `ostree` crate) makes the repository, sets refs and checks objects. Objects are written here
//! directly, because libostree 2022's writer hashes with a portable SHA-256 at a fifth of the speed of the processor's
//! own instructions and takes a lock per object; the objects are byte for byte those that libostree writes.

mod checkout;
mod commit;
mod copy;
mod delta;
mod gvariant;
mod locks;
mod object;
mod objects;
mod prune;
mod put;
mod scrub;
mod tree;
mod upper;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

pub use checkout::{Layers, check_out, set_directory_attributes};
pub use commit::{NewCommit, StoredCommit};
pub use copy::copy_out;
pub use delta::Delta;
pub use locks::{remember_lock, remembered_locks};
pub use object::{Attributes, Content, Object, ObjectReader, ObjectWriter, Xattrs, is_kept_xattr};
pub use objects::Objects;
pub use prune::Freed;
pub use put::{link, put, set_modified};
pub use tree::{Directory, Entries, Extras, Leaf, Node, StoredTree, Tree, split};
pub use upper::{Entry, FileTime, Inode, NOW, apply_upper};

use crate::digest::Sha256;
use crate::package::Format;
use crate::run_folder::RunFolder;
use crate::timing::Timings;

/// The store, open for one run.
pub struct Store {
    root: PathBuf,
    repo: ostree::Repo,
    objects: PathBuf,
    /// The folder of objects and that of this run, open: names in them then need no walk from the root.
    objects_fd: Arc<OwnedFd>,
    work_fd: Arc<OwnedFd>,
    work: RunFolder,
    removals: RefCell<Vec<JoinHandle<()>>>,
    unsynced: Cell<bool>,
    timings: Arc<Timings>,
    _lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Commits whose refs are not set yet.
#[derive(Debug)]
pub struct PendingRefs {
    refs: Vec<(String, Sha256)>,
    durable: JoinHandle<rustix::io::Result<()>>,
}

impl PendingRefs {
    /// The refs to be and their commits.
    pub fn refs(&self) -> &[(String, Sha256)] {
        &self.refs
    }
}

impl Store {
    /// Opens the store at `root`, making it when it is not there, and takes a share in its lock.
    pub fn open(root: &Path) -> Result<Self> {
        let lock = hold(root)?;
        Self::open_locked(root, lock)
    }

    /// Opens the store at `root` once no other run has it open, and keeps others out. `wait` is called when one has.
    pub fn open_alone(root: &Path, wait: impl FnOnce()) -> Result<Self> {
        let lock = lock_file(root)?;
        match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                wait();
                lock.lock()
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        }
        .with_context(|| format!("cannot lock the store {}", root.display()))?;
        Self::open_locked(root, lock)
    }

    fn open_locked(root: &Path, lock: File) -> Result<Self> {
        let failed = || format!("cannot open the store {}", root.display());
        for folder in ["repo", "files", "archives", "stages", "work"] {
            fs::create_dir_all(root.join(folder)).with_context(failed)?;
        }
        let root = fs::canonicalize(root).with_context(failed)?;
        // Other users of the host are kept from the set-id programs of roots.
        for folder in ["repo", "work"] {
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o700)).with_context(failed)?;
        }
        let repo = ostree::Repo::new_for_path(root.join("repo"));
        // Completes a repository whose making was interrupted, and leaves a complete one alone.
        repo.create(ostree::RepoMode::Bare, gio::Cancellable::NONE).with_context(failed)?;
        // Durability is by one syncfs before refs appear, not by an fsync for each object.
        repo.set_disable_fsync(true);
        let objects = root.join("repo/objects");
        object::make_folders(&objects).with_context(failed)?;
        scrub::after_power_failure(&root).with_context(failed)?;
        let work = RunFolder::new(&root.join("work"), "run-").with_context(failed)?;
        // So that files made in it are root's whatever group or access list the store's folder hands down.
        chown(work.path(), Some(0), Some(0)).with_context(failed)?;
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o700)).with_context(failed)?;
        let _ = rustix::fs::removexattr(work.path(), "system.posix_acl_default");
        let open = |folder: &Path| File::open(folder).map(|file| Arc::new(OwnedFd::from(file)));
        let objects_fd = open(&objects).with_context(failed)?;
        let work_fd = open(work.path()).with_context(failed)?;
        let (removals, unsynced, timings) = (RefCell::default(), Cell::new(false), Arc::default());
        Ok(Self { root, repo, objects, objects_fd, work_fd, work, removals, unsynced, timings, _lock: lock })
    }

    /// Removes a folder of this run in the background; it is gone when the store is closed.
    pub fn discard(&self, folder: PathBuf) {
        // What is left in case of an error goes with the run's folder.
        self.removals.borrow_mut().push(std::thread::spawn(move || drop(checkout::remove(&folder))));
    }

    /// The store's folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder for this run alone, in the file system of the objects.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// What the parts of this run took so far.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// What threads need to add objects.
    pub fn writer(&self) -> ObjectWriter {
        self.unsynced.set(true);
        ObjectWriter::new(self.objects_fd.clone(), self.work_fd.clone(), self.timings.clone())
    }

    /// The commit a ref points to.
    pub fn resolve(&self, name: &str) -> Result<Option<Sha256>> {
        let rev = self.repo.resolve_rev(name, true).with_context(|| format!("cannot read the ref {name}"))?;
        rev.map(|text| text.as_str().parse().with_context(|| format!("the ref {name} is damaged"))).transpose()
    }

    /// All refs below a prefix, with their commits.
    pub fn refs(&self, prefix: &str) -> Result<BTreeMap<String, Sha256>> {
        let refs = self
            .repo
            .list_refs(Some(prefix), gio::Cancellable::NONE)
            .with_context(|| format!("cannot list the refs below {prefix}"))?;
        refs.into_iter()
            .map(|(name, rev)| {
                Ok((
                    format!("{prefix}/{}", name.strip_prefix(prefix).unwrap_or(&name).trim_start_matches('/')),
                    rev.parse()?,
                ))
            })
            .collect()
    }

    /// Writes commits and points their refs to them, all or none, once everything written so far is durable.
    pub fn commit(&self, commits: &[NewCommit]) -> Result<Vec<Sha256>> {
        let pending = self.write_commits(commits)?;
        let checksums = pending.refs.iter().map(|(_, checksum)| *checksum).collect();
        self.set_refs(pending)?;
        Ok(checksums)
    }

    /// Writes commits, whose refs are to be set by [`Self::set_refs`], and begins to make everything written so far
    /// durable in the background.
    pub fn write_commits(&self, commits: &[NewCommit]) -> Result<PendingRefs> {
        self.writer().write_commits(commits).with_context(|| self.cannot_commit())
    }

    /// Waits until the commits are durable, then points their refs to them in one transaction.
    pub fn set_refs(&self, pending: PendingRefs) -> Result<()> {
        let failed = || self.cannot_commit();
        pending.durable.join().map_err(|_| anyhow!("a thread panicked"))?.with_context(failed)?;
        let (transaction, _alone) = self.transaction().with_context(failed)?;
        for (name, checksum) in &pending.refs {
            self.repo.transaction_set_ref(None, name, Some(&checksum.to_hex()));
        }
        transaction.commit(gio::Cancellable::NONE).with_context(failed)?;
        self.unsynced.set(true);
        Ok(())
    }

    /// Points refs to commits that are durable already, or removes them, in one transaction that is durable at once.
    pub fn change_refs(&self, changes: &[(String, Option<Sha256>)]) -> Result<()> {
        let failed = || format!("cannot change refs of the store {}", self.root.display());
        let (transaction, _alone) = self.transaction().with_context(failed)?;
        for (name, commit) in changes {
            self.repo.transaction_set_ref(None, name, commit.map(Sha256::to_hex).as_deref());
        }
        transaction.commit(gio::Cancellable::NONE).with_context(failed)?;
        rustix::fs::syncfs(&self.objects_fd).with_context(failed)
    }

    /// Begins a transaction, which no other run's overlaps while the file is open: libostree takes a folder that another
    /// transaction has just made, and not locked yet, for an abandoned one, and removes it.
    fn transaction(&self) -> Result<(ostree::TransactionGuard<'_>, File)> {
        let alone = File::open(self.root.join("repo/tmp"))?;
        alone.lock()?;
        Ok((self.repo.auto_transaction(gio::Cancellable::NONE)?, alone))
    }

    /// Keeps other runs from changing histories while the file is open: what follows a ref's commit is read before it is set.
    pub fn hold_histories(&self) -> Result<File> {
        let hold = || {
            let refs = File::open(self.root.join("repo/refs"))?;
            refs.lock().map(|()| refs)
        };
        hold().with_context(|| format!("cannot lock the refs of the store {}", self.root.display()))
    }

    fn cannot_commit(&self) -> String {
        format!("cannot commit to the store {}", self.root.display())
    }

    /// The root directory's tree and meta objects, and the metadata under `compose.`, of a commit.
    pub fn read_commit(&self, commit: Sha256) -> Result<((Sha256, Sha256), BTreeMap<String, String>)> {
        let StoredCommit { root, metadata, .. } = self.load_commit(commit)?;
        Ok((root, metadata))
    }

    /// The tree of a commit, of which no directory is read yet.
    pub fn find_tree(&self, commit: Sha256) -> Result<StoredTree> {
        let (root, facts) = self.read_commit(commit)?;
        Ok(StoredTree { root, extras: tree::extras_from(&facts)? })
    }

    /// Reads the tree of a commit.
    pub fn read_tree(&self, commit: Sha256) -> Result<Tree> {
        let StoredTree { root, extras } = self.find_tree(commit)?;
        Ok(Tree { root: tree::read_directory(&self.objects, root.0, root.1)?, extras })
    }

    /// What threads need to read objects.
    pub fn reader(&self) -> ObjectReader {
        ObjectReader::new(self.objects.clone(), self.objects_fd.clone())
    }

    /// The object of one file of a commit, found without reading more directories than its path has.
    pub fn find_file(&self, commit: Sha256, path: &str) -> Result<Option<Sha256>> {
        let ((root, _), _) = self.read_commit(commit)?;
        tree::find_file(&self.objects, root, path)
    }

    /// Checks every object that a ref needs, as `ostree fsck` does, and of histories those of all commits that are here;
    /// gives the number of refs.
    pub fn verify(&self) -> Result<usize> {
        let refs = self.repo.list_refs(None, gio::Cancellable::NONE)?;
        let mut seen = std::collections::HashSet::new();
        for (name, rev) in &refs {
            let broken = || format!("{name} is damaged");
            for object in self.repo.traverse_commit(rev, -1, gio::Cancellable::NONE).with_context(broken)? {
                if seen.insert((object.checksum().to_string(), format!("{:?}", object.object_type()))) {
                    self.repo
                        .fsck_object(object.object_type(), object.checksum(), gio::Cancellable::NONE)
                        .with_context(broken)?;
                }
            }
        }
        Ok(refs.len())
    }
}

/// Takes a share in the lock of the store at `root`, making its folder when it is not there: nothing is deleted from it
/// while the file is open.
pub fn hold(root: &Path) -> Result<File> {
    let lock = lock_file(root)?;
    lock.lock_shared().with_context(|| format!("cannot lock the store {}", root.display()))?;
    Ok(lock)
}

fn lock_file(root: &Path) -> Result<File> {
    let open = || {
        fs::create_dir_all(root)?;
        File::create(root.join("lock"))
    };
    open().with_context(|| format!("cannot open the store {}", root.display()))
}

impl Drop for Store {
    fn drop(&mut self) {
        for removal in self.removals.take() {
            let _ = removal.join();
        }
        // A run that ends leaves nothing for `scrub` to find.
        if self.unsynced.get()
            && let Ok(objects) = File::open(&self.objects)
        {
            let _ = rustix::fs::syncfs(objects);
        }
    }
}

impl ObjectWriter {
    /// As [`Store::write_commits`], for threads.
    pub fn write_commits(&self, commits: &[NewCommit]) -> Result<PendingRefs> {
        let mut refs = Vec::with_capacity(commits.len());
        for commit in commits {
            let checksum = self.write_metadata(commit::variant_of(commit).data(), "commit")?;
            refs.push((commit.name.clone(), checksum));
        }
        let objects = self.file_system()?;
        let durable = std::thread::spawn(move || rustix::fs::syncfs(objects.as_fd()));
        Ok(PendingRefs { refs, durable })
    }
}

/// The ref of an imported package.
pub fn package_ref(format: Format, sha256: Sha256) -> String {
    format!("package/{}/{sha256}", format.as_str())
}

/// The ref of a cached stage result.
pub fn cache_ref(stage: &str, key: Sha256) -> String {
    format!("cache/{stage}/{key}")
}
