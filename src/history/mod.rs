//! The history of templates: `template/<name>/<architecture>` points to the newest of a chain of commits, each of which
//! follows the build before it. Tags, `tag/<name>/<architecture>/<tag>`, point to single ones.
//!
//! What identifies a template is its tree. Two commits of one tree differ where they say what came before them, which build of
//! how many they are, and which lock and program made them:
//!
//! | in the commit's metadata   | what it is                                                                             |
//! |----------------------------|----------------------------------------------------------------------------------------|
//! | `version`                  | ostree's own key: the user's version, else the build's number                           |
//! | `ostree.ref-binding`       | ostree's own key: the template's ref                                                    |
//! | `compose.build`            | the build's number: one more than that of the commit before                             |
//! | `compose.lock`             | SHA-256 of the lock's text                                                              |
//! | `compose.manifest`         | digest of the manifest with its includes                                                |
//! | `compose.program`          | the version of this program                                                             |
//! | `compose.restored`         | the commit whose tree a rollback took again                                             |
//! | `compose.extras`           | devices, pipes and hard links of the tree                                               |
//!
//! The lock's text, packages and all, stands beside the commit in ostree's detached metadata (`compose.lock-text`, in zstd):
//! a commit stays small, and pulls and static deltas bring it. `compose.lock` vouches for it.

mod exchange;
mod keep;
mod name;
mod record;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::lock::Lock;
use crate::store::{Store, StoredCommit};

pub use exchange::{export, import};
pub use keep::{Garbage, Keep, Removed, find_garbage};
pub use name::{Named, find_template, resolve};
pub use record::{Forgotten, Recorded, Version, delete_tag, forget, record, roll_back, set_tag};

/// What refs of templates and of tags begin with.
const TEMPLATES: &str = "template";
const TAGS: &str = "tag";
/// Keys of a commit's metadata.
const BUILD: &str = "build";
const LOCK: &str = "lock";
const MANIFEST: &str = "manifest";
const PROGRAM: &str = "program";
const RESTORED: &str = "restored";
/// What the lock's text is called beside a commit, and the most bytes that it may have.
const LOCK_TEXT: &str = "lock-text";
const LONGEST_LOCK: u64 = 64 << 20;

/// Whose history it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Template {
    /// The manifest's name.
    pub name: String,
    /// The root's architecture.
    pub architecture: Architecture,
}

impl Template {
    /// The template that a ref `template/<name>/<architecture>` is of.
    pub fn of_ref(name: &str) -> Option<Self> {
        let (name, architecture) = name.strip_prefix(TEMPLATES)?.strip_prefix('/')?.split_once('/')?;
        let architecture = architecture.parse().ok()?;
        (!name.is_empty()).then(|| Self { name: name.to_owned(), architecture })
    }

    /// Its ref.
    pub fn ref_name(&self) -> String {
        format!("{TEMPLATES}/{}/{}", self.name, self.architecture)
    }

    /// The ref of one of its tags; without a tag, what the refs of all begin with.
    pub fn tag_ref(&self, tag: &str) -> String {
        format!("{TAGS}/{}/{}/{tag}", self.name, self.architecture).trim_end_matches('/').to_owned()
    }

    /// Its newest commit.
    pub fn tip(&self, store: &Store) -> Result<Option<Sha256>> {
        store.resolve(&self.ref_name())
    }
}

/// The templates of a store and their newest commits, sorted.
pub fn templates(store: &Store) -> Result<Vec<(Template, Sha256)>> {
    let refs = store.refs(TEMPLATES)?;
    let mut found: Vec<_> = refs.into_iter().filter_map(|(name, tip)| Some((Template::of_ref(&name)?, tip))).collect();
    found.sort();
    Ok(found)
}

/// All tags: whose they are, their names and commits, sorted.
pub fn tags(store: &Store) -> Result<Vec<(Template, String, Sha256)>> {
    let of = |name: &str| {
        let (template, tag) = name.strip_prefix(TAGS)?.rsplit_once('/')?;
        Some((Template::of_ref(&format!("{TEMPLATES}{template}"))?, tag.to_owned()))
    };
    let refs = store.refs(TAGS)?;
    let mut found: Vec<_> = refs
        .into_iter()
        .filter_map(|(name, commit)| of(&name).map(|(template, tag)| (template, tag, commit)))
        .collect();
    found.sort();
    Ok(found)
}

/// A commit and those before it that the store has, the newest first.
pub fn log(store: &Store, newest: Sha256) -> Result<Vec<(Sha256, StoredCommit)>> {
    let (mut found, mut next) = (Vec::new(), Some(newest));
    while let Some(commit) = next.filter(|commit| found.is_empty() || store.has_commit(*commit)) {
        let stored = store.load_commit(commit)?;
        next = stored.parent;
        found.push((commit, stored));
    }
    Ok(found)
}

/// The lock that a commit was built from; none for commits that are no templates', or are older than history.
pub fn lock_of(store: &Store, commit: Sha256) -> Result<Option<Lock>> {
    let Some(text) = lock_text(store, commit)? else { return Ok(None) };
    let origin = format!("the lock of the commit {commit}");
    Lock::parse(&text, Path::new(&origin)).map(Some)
}

/// The text of that lock.
pub fn lock_text(store: &Store, commit: Sha256) -> Result<Option<String>> {
    let stored = store.load_commit(commit)?;
    let Some(packed) = store.attached(commit, LOCK_TEXT)? else { return Ok(None) };
    unpack_lock(&stored, &packed).with_context(|| format!("the lock kept with the commit {commit} is damaged"))
}

/// The text of a lock that is kept with a commit; none for one that is no template's.
fn unpack_lock(stored: &StoredCommit, packed: &[u8]) -> Result<Option<String>> {
    let Some(expected) = stored.metadata.get(LOCK) else { return Ok(None) };
    let mut text = Vec::new();
    let unpacked = zstd::stream::read::Decoder::new(packed)?;
    std::io::copy(&mut std::io::Read::take(unpacked, LONGEST_LOCK), &mut text)?;
    let found = Sha256::of(&text).to_hex();
    ensure!(found == *expected, "its text has SHA-256 {found}, the commit expects {expected}");
    Ok(Some(String::from_utf8(text)?))
}

/// Keeps the text of its lock beside a commit.
fn keep_lock(store: &Store, commit: Sha256, text: &str) -> Result<()> {
    let packed = zstd::bulk::compress(text.as_bytes(), 19).context("cannot compress a lock")?;
    store.attach(commit, LOCK_TEXT, &packed)
}
