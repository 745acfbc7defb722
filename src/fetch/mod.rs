//! From a lock to verified package files, `files/<first two digits>/<sha256>` in the store's folder.
//!
//! A file has its name only once its SHA-256 is right; until then it is `<sha256>.part`, which a later run continues.
//! Any mirror of the package's archive will do, and all failures of a run are told together.

mod download;
mod failure;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use self::download::Download;
use self::failure::{Failure, Kind};
use crate::digest::Sha256;
use crate::lock::Package;
use crate::manifest::Archive;
use crate::progress::{Progress, Task, Unit};
use crate::source::http::Client;
use crate::source::mirrors::Mirrors;

/// How many files are fetched at a time when nothing else is asked for.
pub const CONNECTIONS: usize = 8;

/// What fetching needs besides the names of the files.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Fetches files.
    pub client: &'a Client,
    /// Where archives are.
    pub mirrors: &'a Mirrors,
    /// The manifest's archives, tools' included, whose own URIs come into question.
    pub archives: &'a [Archive],
    /// The store's folder.
    pub store: &'a Path,
    /// The manifest, as hints name it.
    pub manifest: &'a Path,
    /// Whether only what is here may be used.
    pub offline: bool,
    /// How many files to fetch at a time.
    pub connections: usize,
    /// Tells of packages that need no file, because the store has them.
    pub already_have: &'a (dyn Fn(&Sha256) -> bool + Sync),
    /// Where to report to.
    pub progress: &'a dyn Progress,
}

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// How many files were fetched.
    pub fetched: usize,
    /// Bytes that came from mirrors for them.
    pub fetched_bytes: u64,
    /// How many were here already, as files or in the store.
    pub present: usize,
}

/// Where the file of a package is, or will be.
pub fn file_path(store: &Path, sha256: &Sha256) -> PathBuf {
    let name = sha256.to_hex();
    store.join("files").join(&name[..2]).join(name)
}

/// Makes sure that every package has its file, unless the store has the package.
pub fn run(files: &[&Package], context: &Context<'_>) -> Result<Report> {
    let mut wanted: Vec<&Package> = files
        .iter()
        .copied()
        .filter(|package| !file_path(context.store, &package.sha256).exists())
        .filter(|package| !(context.already_have)(&package.sha256))
        .collect();
    let mut report = Report { present: files.len() - wanted.len(), ..Report::default() };
    if wanted.is_empty() {
        return Ok(report);
    }
    // The largest first, so that no single one is left over at the end.
    wanted.sort_by(|a, b| b.size.cmp(&a.size).then(a.cmp(b)));
    let failures = if context.offline {
        wanted.iter().map(|package| Failure { package, kind: Kind::Offline }).collect()
    } else {
        fetch_all(&wanted, context, &mut report)
    };
    failure::report(failures, files.len(), context.manifest)?;
    Ok(report)
}

/// Fetches all files on threads of their own, which mostly wait; gives the failures in no order.
fn fetch_all<'a>(wanted: &[&'a Package], context: &Context<'_>, report: &mut Report) -> Vec<Failure<'a>> {
    let task = context.progress.task("packages", Unit::Bytes, wanted.iter().map(|package| package.size).sum());
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((Vec::new(), report));
    let work = || {
        while let Some(package) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = fetch_one(package, context, task.as_ref());
            let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match outcome {
                Ok(bytes) => {
                    shared.1.fetched += 1;
                    shared.1.fetched_bytes += bytes;
                }
                Err(kind) => shared.0.push(Failure { package, kind }),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..context.connections.clamp(1, wanted.len()) {
            scope.spawn(work);
        }
    });
    shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0
}

/// Brings one file from the first mirror that has the right bytes; gives the number of bytes fetched.
fn fetch_one(package: &Package, context: &Context<'_>, task: &dyn Task) -> Result<u64, Kind> {
    let own: Vec<String> =
        context.archives.iter().filter(|a| a.id == package.archive_id()).flat_map(|a| a.uris.clone()).collect();
    let mirrors = context.mirrors.find(package.archive_id(), &own).map_err(Kind::Broken)?;
    let path = file_path(context.store, &package.sha256);
    let Some(mut download) = Download::open(&path, package, task).map_err(Kind::Broken)? else { return Ok(0) };
    download.fetch_from_any(context.client, &mirrors)?;
    download.finish(&path).map_err(Kind::Broken)
}
