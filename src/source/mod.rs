//! Where packages can come from: the archives of a manifest as verified package indexes.
//!
//! Nothing that came from a mirror is parsed before it is verified: a Release file by its signature ([`openpgp`]), an index
//! by the SHA-256 that the Release file gives it ([`apt`]). What was verified is kept in a cache, and verified
//! again when it is read from there.

pub mod apt;
pub mod http;
pub mod mirrors;
pub mod openpgp;
pub mod release;
pub mod rpm;

mod cache;
mod pool;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::{Archive, Manifest, Repository};
use crate::package::Table;
use crate::progress::Progress;

pub use cache::unneeded_indexes;
use http::Client;
use mirrors::Mirrors;

/// What loading indexes needs besides the archives.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Fetches files.
    pub client: &'a Client,
    /// Where archives are.
    pub mirrors: &'a Mirrors,
    /// The folder of the cache, `archives/` in the store's folder.
    pub cache: &'a Path,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// The time at which metadata has to be valid.
    pub now: Timestamp,
    /// Where to report to.
    pub progress: &'a dyn Progress,
}

/// A verified package index.
#[derive(Clone, PartialEq, Debug)]
pub struct Index {
    /// `ARCHIVE/SUITE/COMPONENT` as the lock writes it; `ARCHIVE/PATH` for a flat repository.
    pub archive: String,
    /// The suite's name as its Release file gives it, or as the manifest does where that gives none.
    pub suite: String,
    /// The suite's code name, likewise.
    pub codename: String,
    /// The manifest's pin, as in `apt_preferences(5)`.
    pub priority: Option<i32>,
    /// The Release file's `NotAutomatic`.
    pub not_automatic: bool,
    /// The Release file's `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: bool,
    /// The architecture asked for; packages for all architectures are among its.
    pub architecture: Architecture,
    /// The Release file's `Date`.
    pub date: Timestamp,
    /// SHA-256 of the index file as the archive has it, compressed; for package files, of the text made of them.
    pub sha256: Sha256,
    /// What it says of each package.
    pub table: Arc<Table>,
}

impl Index {
    /// The archive of package files that a manifest names one by one: a place relative to the manifest, which no archive's
    /// id can be.
    pub const LOCAL: &str = ".";
}

/// What a manifest's lock for one architecture is resolved from.
#[derive(Clone, Debug)]
pub struct Indexes {
    /// The indexes of the manifest's archives for the root's architecture, then for the foreign ones; each in the
    /// manifest's order. Package files that the manifest names come first.
    pub packages: Vec<Index>,
    /// Those of its tools archives; empty when tools come from `packages`.
    pub tools: Vec<Index>,
    /// Those of the archives that tools come from, for machines of other architectures.
    pub machines: Vec<Index>,
}

/// The package indexes for each manifest and architecture. What several need is loaded once.
///
/// A package can stand in more than one index: name, version and architecture then mean the same file (Debian
/// repository format, "Duplicate Packages").
pub fn load_indexes(wanted: &[(&Manifest, &Architecture)], context: &Context<'_>) -> Result<Vec<Indexes>> {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let machines: Vec<_> = wanted.iter().map(|(manifest, own)| manifest.machines(own)).collect();
    let paths: BTreeSet<String> = wanted.iter().flat_map(|(manifest, _)| rpm::paths_asked_for(manifest)).collect();
    for ((manifest, own), machines) in wanted.iter().zip(&machines) {
        let of_root = architectures(manifest, own);
        asked.extend(of_root.flat_map(|architecture| {
            let optional = architecture != *own;
            manifest.archives.iter().map(move |archive| Asked { archive, architecture, optional })
        }));
        let tools = manifest.tools.archives.iter();
        asked.extend(tools.map(|archive| Asked { archive, architecture: own, optional: false }));
        asked.extend(machines.iter().flat_map(|architecture| {
            archives_of_tools(manifest).iter().map(move |archive| Asked { archive, architecture, optional: true })
        }));
    }
    let mut loaded = load_archives(&asked, &paths, context)?.into_iter();
    let mut all = Vec::new();
    for ((manifest, own), machines) in wanted.iter().zip(&machines) {
        let mut packages = Vec::new();
        for architecture in architectures(manifest, own) {
            packages.extend(pool::load_files(manifest, architecture)?);
        }
        for architecture in architectures(manifest, own) {
            let found: Vec<Index> = loaded.by_ref().take(manifest.archives.len()).flatten().collect();
            if found.is_empty() {
                let path = manifest.path.display();
                return Err(anyhow!("no archive of {path} has packages for {architecture}"))
                    .hint(|| "check `foreign-architectures:` in the manifest");
            }
            packages.extend(found);
        }
        let tools = loaded.by_ref().take(manifest.tools.archives.len()).flatten().collect();
        let count = machines.len() * archives_of_tools(manifest).len();
        let machines = loaded.by_ref().take(count).flatten().collect();
        all.push(Indexes { packages, tools, machines });
    }
    Ok(all)
}

/// The archives that have the programs which write outputs.
fn archives_of_tools(manifest: &Manifest) -> &[Archive] {
    let own = manifest.tools.archives.as_slice();
    if own.is_empty() { &manifest.archives } else { own }
}

/// The root's architecture, then the foreign ones.
fn architectures<'a>(manifest: &'a Manifest, own: &'a Architecture) -> impl Iterator<Item = &'a Architecture> {
    [own].into_iter().chain(manifest.foreign_architectures.iter().filter(move |foreign| *foreign != own))
}

/// An archive that is asked for its packages for one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The archive.
    pub archive: &'a Archive,
    /// The architecture.
    pub architecture: &'a Architecture,
    /// Whether the archive may have nothing for the architecture.
    pub optional: bool,
}

/// The package indexes of each archive for its architecture: of all its suites and components, in their order. `paths` are
/// files that a manifest asks for, which an index may tell of only when asked.
pub fn load_archives(asked: &[Asked<'_>], paths: &BTreeSet<String>, context: &Context<'_>) -> Result<Vec<Vec<Index>>> {
    let (repositories, others): (Vec<Asked<'_>>, Vec<_>) =
        asked.iter().partition(|asked| asked.archive.repository.is_some());
    let mut repositories = rpm::load(&repositories, paths, context)?.into_iter();
    let mut others = apt::load(&others, context)?.into_iter();
    let with_pools = asked.iter().map(|asked| match (&asked.archive.pool, &asked.archive.repository) {
        (_, Some(_)) => Ok(repositories.next().flatten().into_iter().collect()),
        (Some(found), None) => {
            others.next();
            Ok(vec![pool::load_folder(asked.archive, found, asked.architecture)?])
        }
        (None, None) => Ok(others.next().unwrap_or_default()),
    });
    with_pools.collect()
}

/// Where the files of an archive are: the mirrors of all `archives` with this id, each with its own URIs and list of mirrors, for
/// any of these architectures.
pub fn mirrors_of(
    id: &str,
    archives: &[Archive],
    architectures: &[Architecture],
    mirrors: &Mirrors,
    client: &Client,
) -> Result<Vec<String>> {
    let archives = || archives.iter().filter(|archive| archive.id == id);
    let own: Vec<String> = archives().flat_map(|archive| archive.uris.clone()).collect();
    let repositories: Vec<&Repository> = archives().filter_map(|archive| archive.repository.as_ref()).collect();
    if repositories.is_empty() {
        return mirrors.find(id, &own);
    }
    let pairs = || repositories.iter().flat_map(|repository| architectures.iter().map(move |a| (*repository, a)));
    let found = mirrors.find_repository(id, &own, || {
        let (mut all, mut failed) = (Vec::new(), None);
        for (repository, architecture) in pairs() {
            match rpm::places::listed(id, repository, architecture, client) {
                Ok(listed) => all.extend(listed.mirrors),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        // Those of another architecture may do.
        match failed {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    })?;
    let mut all: Vec<String> = Vec::new();
    for uri in &found {
        for (repository, architecture) in pairs() {
            let expanded = repository.expand(uri, architecture);
            if !all.contains(&expanded) {
                all.push(expanded);
            }
        }
    }
    Ok(all)
}

/// All archives that the files of a manifest's locks can come from. Those of package files have their folders' URIs, and
/// repositories those of each architecture.
pub fn archives_of_files(manifest: &Manifest) -> Vec<Archive> {
    let uris = |folder: &Path| {
        let folder = std::path::absolute(folder.join(".")).unwrap_or_else(|_| folder.to_owned());
        vec![http::join("file://", folder.to_string_lossy().trim_start_matches('/'))]
    };
    let mut archives = [manifest.archives.as_slice(), &manifest.tools.archives].concat();
    for archive in &mut archives {
        if let Some(repository) = &archive.repository {
            let mut uris = Vec::new();
            for architecture in &manifest.architectures_of_files() {
                uris.extend(archive.uris.iter().map(|uri| repository.expand(uri, architecture)));
            }
            uris.dedup();
            archive.uris = uris;
        }
        if let Some(pool) = &archive.pool {
            archive.uris = uris(&pool.folder);
        }
    }
    archives.push(Archive { id: Index::LOCAL.to_owned(), uris: uris(manifest.root()), ..Archive::default() });
    archives
}
