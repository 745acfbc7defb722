//! Which packages have to be signed, and by whose keys: those of archives with `gpgcheck` (dnf.conf(5)).
//!
//! The keys are the manifest's, whose digest in the lock vouches for them; no clock is asked. So a lock and its manifest decide what
//! is good, and what was found good with the same keys before need not be checked again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::lock::Package;
use crate::manifest::{Archive, Repository};
use crate::package::Format;
use crate::source::openpgp::Keyring;
use crate::store::{self, Directory, Extras, NewCommit, Store, Tree};

/// The stage's name in refs.
const STAGE: &str = "signed";

/// What the form of the answer is, and what counts as good; to be raised when either changes.
const VERSION: u32 = 1;

/// The keys of archives whose packages have to be signed.
pub struct Signers(BTreeMap<String, Keyring>);

impl Signers {
    /// Reads the keys of those archives that the packages come from.
    pub fn load(packages: &[&Package], archives: &[Archive]) -> Result<Self> {
        let mut signers = BTreeMap::new();
        for (archive, repository) in with_signed_packages(packages, archives) {
            let id = &archive.id;
            let hint = || {
                format!(
                    "in the archive `{id}` of the manifest, `gpgkey:` names files with the keys of its packages; \
                     `gpgcheck: false` takes them unsigned"
                )
            };
            if repository.gpgkey.is_empty() {
                return Err(anyhow!("the packages of the archive `{id}` have to be signed, and no keys are known"))
                    .hint(hint);
            }
            let keyring = Keyring::load_all(&repository.gpgkey);
            let keyring = keyring.map_err(|error| anyhow!("cannot verify packages of the archive `{id}`: {error}"));
            signers.insert(id.clone(), keyring.hint(hint)?);
        }
        Ok(Self(signers))
    }

    /// The keys of which one has to have signed a package; [`None`] if none has to.
    pub fn of(&self, package: &Package) -> Option<&Keyring> {
        self.0.get(package.archive_id())
    }
}

/// Those of the packages that have to be signed.
pub fn have_to_be<'a>(packages: &[&'a Package], archives: &[Archive]) -> Vec<&'a Package> {
    let ids: BTreeSet<&str> =
        with_signed_packages(packages, archives).map(|(archive, _)| archive.id.as_str()).collect();
    packages.iter().copied().filter(|package| ids.contains(package.archive_id())).collect()
}

/// What the verdict on such packages depends on, as a key: their bytes, and the keys of their archives.
pub fn key(format: Format, packages: &[&Package], archives: &[Archive]) -> Result<Sha256> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        format: Format,
        archives: BTreeMap<&'a str, (&'a [Sha256], BTreeSet<Sha256>)>,
    }
    let mut inputs = Inputs { version: VERSION, format, archives: BTreeMap::new() };
    for (archive, repository) in with_signed_packages(packages, archives) {
        let own = packages.iter().filter(|package| package.archive_id() == archive.id);
        inputs.archives.insert(&archive.id, (&repository.keys, own.map(|package| package.sha256).collect()));
    }
    Ok(Sha256::of(&serde_json::to_vec(&inputs)?))
}

/// Whether packages were found good under this [`key`].
pub fn is_known(store: &Store, key: Sha256) -> Result<bool> {
    Ok(store.resolve(&store::cache_ref(STAGE, key))?.is_some())
}

/// Remembers that packages were found good under this [`key`], as an empty commit.
pub fn remember(store: &Store, key: Sha256) -> Result<()> {
    let tree = Tree { root: Directory::new(0o755), extras: Extras::default() };
    let commit = NewCommit {
        name: store::cache_ref(STAGE, key),
        parent: None,
        subject: key.to_hex(),
        metadata: BTreeMap::new(),
        version: None,
        root: store.writer().write_tree(&tree)?,
        date: Timestamp::from_seconds(0).context("1970 is a date")?,
    };
    store.commit(&[commit]).map(drop)
}

fn with_signed_packages<'a>(
    packages: &[&Package],
    archives: &'a [Archive],
) -> impl Iterator<Item = (&'a Archive, &'a Repository)> {
    let ids: BTreeSet<String> = packages.iter().map(|package| package.archive_id().to_owned()).collect();
    let wanted = archives.iter().filter(move |archive| ids.contains(&archive.id));
    wanted.filter_map(|archive| Some((archive, archive.repository.as_ref().filter(|r| r.gpgcheck)?)))
}
