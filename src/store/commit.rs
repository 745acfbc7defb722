//! Commit objects, `(a{sv}aya(say)sstayay)` in `OSTREE_COMMIT_GVARIANT_FORMAT` of ostree-core.h, and what is kept beside
//! them (`.commitmeta`): what is too large to be read with every commit. Static deltas and pulls bring both.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use glib::VariantDict;
use glib::prelude::*;
use glib::variant::{DictEntry, FixedSizeVariantArray, Variant};

use super::{Store, object, tree};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;

/// ostree's own key of the version that users know a commit by (`OSTREE_COMMIT_META_KEY_VERSION`).
const VERSION: &str = "version";
/// ostree's own key of the refs that a commit belongs to (`OSTREE_COMMIT_META_KEY_REF_BINDING`).
const REFS: &str = "ostree.ref-binding";
/// What the keys of this program begin with.
const OWN: &str = "compose.";

/// A commit to be written.
#[derive(Debug)]
pub struct NewCommit {
    /// The ref that will point to it.
    pub name: String,
    /// The commit it follows.
    pub parent: Option<Sha256>,
    /// One line.
    pub subject: String,
    /// Facts that belong to the commit, in ostree's commit metadata under `compose.NAME`.
    pub metadata: BTreeMap<String, String>,
    /// The version that users know it by. Such a commit also says which ref it was made for.
    pub version: Option<String>,
    /// The root directory's tree and meta objects.
    pub root: (Sha256, Sha256),
    /// The commit's time.
    pub date: Timestamp,
}

/// A commit as the store has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredCommit {
    /// The commit it follows, which the store need not have.
    pub parent: Option<Sha256>,
    /// Facts that belong to the commit, in ostree's commit metadata under `compose.NAME`.
    pub metadata: BTreeMap<String, String>,
    /// The version that users know it by.
    pub version: Option<String>,
    /// The refs that it was made for.
    pub refs: Vec<String>,
    /// The root directory's tree and meta objects.
    pub root: (Sha256, Sha256),
    /// The commit's time.
    pub date: Timestamp,
}

impl Store {
    /// Reads a commit.
    pub fn load_commit(&self, commit: Sha256) -> Result<StoredCommit> {
        let damaged = || format!("the commit {commit} in {} is damaged", self.root.display());
        let variant = self.repo.load_variant(ostree::ObjectType::Commit, &commit.to_hex()).with_context(damaged)?;
        parse(&variant).with_context(damaged)
    }

    /// Whether the store has a commit's own object.
    pub fn has_commit(&self, commit: Sha256) -> bool {
        object::path(&self.objects, commit, "commit").exists()
    }

    /// The commits whose checksum begins with these digits, sorted.
    pub fn commits_starting_with(&self, digits: &str) -> Result<Vec<Sha256>> {
        let found = self.repo.list_commit_objects_starting_with(Some(digits), gio::Cancellable::NONE)?;
        let mut commits: Vec<Sha256> = found.iter().map(|hex| hex.parse()).collect::<Result<_, _>>()?;
        commits.sort_unstable();
        Ok(commits)
    }

    /// Keeps bytes beside a commit, under `compose.NAME` in ostree's detached metadata. They are durable at once.
    pub fn attach(&self, commit: Sha256, name: &str, bytes: &[u8]) -> Result<()> {
        let failed = || format!("cannot keep the {name} of the commit {commit}");
        let beside = VariantDict::new(self.read_beside(commit).with_context(failed)?.as_ref());
        beside.insert_value(&format!("{OWN}{name}"), &FixedSizeVariantArray::from(bytes.to_vec()).to_variant());
        durable::write(&object::path(&self.objects, commit, "commitmeta"), beside.end().data()).with_context(failed)
    }

    /// Bytes that are kept beside a commit, which nothing vouches for.
    pub fn attached(&self, commit: Sha256, name: &str) -> Result<Option<Vec<u8>>> {
        let failed = || format!("cannot read the {name} of the commit {commit}");
        let Some(beside) = self.read_beside(commit).with_context(failed)? else { return Ok(None) };
        Ok(attached_in(&beside, name))
    }

    fn read_beside(&self, commit: Sha256) -> Result<Option<Variant>, glib::Error> {
        self.repo.read_commit_detached_metadata(&commit.to_hex(), gio::Cancellable::NONE)
    }
}

/// Bytes in what stands beside a commit.
pub(super) fn attached_in(beside: &Variant, name: &str) -> Option<Vec<u8>> {
    let bytes = VariantDict::new(Some(beside)).lookup_value(&format!("{OWN}{name}"), None)?;
    bytes.fixed_array::<u8>().ok().map(<[u8]>::to_vec)
}

/// The object of a commit.
pub(super) fn variant_of(commit: &NewCommit) -> Variant {
    let bytes = |b: &[u8]| FixedSizeVariantArray::from(b.to_vec()).to_variant();
    let mut metadata: Vec<DictEntry<String, Variant>> = Vec::new();
    for (key, value) in &commit.metadata {
        metadata.push(DictEntry::new(format!("{OWN}{key}"), value.to_variant()));
    }
    if let Some(version) = &commit.version {
        metadata.push(DictEntry::new(REFS.to_owned(), vec![commit.name.as_str()].to_variant()));
        metadata.push(DictEntry::new(VERSION.to_owned(), version.to_variant()));
    }
    let parent = commit.parent.map_or_else(Vec::new, |p| p.as_bytes().to_vec());
    let related = Variant::array_from_iter_with_type(
        glib::VariantTy::new("(say)").unwrap_or(glib::VariantTy::TUPLE),
        [] as [Variant; 0],
    );
    let seconds = u64::try_from(commit.date.seconds()).unwrap_or(0).to_be();
    Variant::tuple_from_iter([
        metadata.to_variant(),
        bytes(&parent),
        related,
        commit.subject.to_variant(),
        String::new().to_variant(),
        seconds.to_variant(),
        bytes(commit.root.0.as_bytes()),
        bytes(commit.root.1.as_bytes()),
    ])
}

/// Reads a commit object.
pub(super) fn parse(commit: &Variant) -> Result<StoredCommit> {
    let dict = VariantDict::new(Some(&commit.child_value(0)));
    let mut metadata = BTreeMap::new();
    for entry in commit.child_value(0).iter() {
        let key: String = entry.child_value(0).get().context("a key is no text")?;
        if let Some(name) = key.strip_prefix(OWN)
            && let Ok(Some(value)) = dict.lookup::<String>(&key)
        {
            metadata.insert(name.to_owned(), value);
        }
    }
    let parent = match commit.child_value(1).n_children() {
        0 => None,
        _ => Some(tree::checksum_of(&commit.child_value(1))?),
    };
    let seconds = u64::from_be(commit.child_value(5).get().context("the time is no number")?);
    Ok(StoredCommit {
        parent,
        metadata,
        version: dict.lookup(VERSION).ok().flatten(),
        refs: dict.lookup(REFS).ok().flatten().unwrap_or_default(),
        root: (tree::checksum_of(&commit.child_value(6))?, tree::checksum_of(&commit.child_value(7))?),
        date: i64::try_from(seconds).ok().and_then(Timestamp::from_seconds).context("the time is out of range")?,
    })
}
