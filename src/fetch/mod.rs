//! From a lock to verified package files, `files/<first two digits>/<sha256>` in the store's folder.
//!
//! A file has its name only once its SHA-256 is right; until then it is `<sha256>.part`, which a later run continues.
//! Any mirror of the package's archive will do, and all failures of a run are told together. Packages that have to be signed
//! are, before anything but their signatures is parsed; a fetched file gets its name only then.

mod download;
mod failure;
pub mod signed;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use rayon::prelude::*;

use self::download::Download;
use self::failure::{Failure, Kind};
use self::signed::Signers;
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::error::{hints, with_hints};
use crate::lock::Package;
use crate::manifest::Archive;
use crate::package::{Format, SignatureError};
use crate::progress::{Progress, Task, Unit};
use crate::source::mirrors::Mirrors;
use crate::source::{self, http::Client};

/// How many files are fetched at a time when nothing else is asked for.
pub const CONNECTIONS: usize = 8;

/// What fetching needs besides the names of the files.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Fetches files.
    pub client: &'a Client,
    /// Where archives are.
    pub mirrors: &'a Mirrors,
    /// The packages' format.
    pub format: Format,
    /// The manifest's archives, tools' included, whose own URIs, lists of mirrors and keys come into question.
    pub archives: &'a [Archive],
    /// The manifest's architectures, for which these lists are.
    pub architectures: &'a [Architecture],
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

/// Makes sure that every package has its file, unless the store has the package, and that files are signed where they have to be.
pub fn run(files: &[&Package], context: &Context<'_>) -> Result<Report> {
    let signers = Signers::load(files, context.archives)?;
    let (here, elsewhere): (Vec<&Package>, Vec<&Package>) =
        files.iter().copied().partition(|package| file_path(context.store, &package.sha256).exists());
    let mut wanted: Vec<&Package> =
        elsewhere.into_iter().filter(|package| !(context.already_have)(&package.sha256)).collect();
    let mut report = Report { present: files.len() - wanted.len(), ..Report::default() };
    failure::report(
        here.par_iter().filter_map(|package| check_present(package, &signers, context)).collect(),
        files.len(),
        context.manifest,
    )?;
    if wanted.is_empty() {
        return Ok(report);
    }
    // The largest first, so that no single one is left over at the end.
    wanted.sort_by(|a, b| b.size.cmp(&a.size).then(a.cmp(b)));
    let failures = if context.offline {
        wanted.iter().map(|package| Failure { package, kind: Kind::Offline }).collect()
    } else {
        fetch_all(&wanted, &signers, context, &mut report)
    };
    failure::report(failures, files.len(), context.manifest)?;
    Ok(report)
}

/// What is wrong with the signature of a package whose file is here.
fn check_present<'a>(package: &'a Package, signers: &Signers, context: &Context<'_>) -> Option<Failure<'a>> {
    let keyring = signers.of(package)?;
    let path = file_path(context.store, &package.sha256);
    let look = || -> Result<Result<(), SignatureError>> {
        let mut file = File::open(&path)?;
        let (found, _) = Sha256::of_reader(&mut file)?;
        if found != package.sha256 {
            fs::remove_file(&path)?;
            bail!("it has SHA-256 {found}, the lock expects {}; the file has been removed", package.sha256);
        }
        Ok(context.format.check_signature(&mut file, keyring))
    };
    let kind = match look().with_context(|| format!("cannot read {}", path.display())) {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => Kind::Signature(error),
        Err(error) => Kind::Broken(error),
    };
    Some(Failure { package, kind })
}

/// Fetches all files on threads of their own, which mostly wait; gives the failures in no order.
fn fetch_all<'a>(
    wanted: &[&'a Package],
    signers: &Signers,
    context: &Context<'_>,
    report: &mut Report,
) -> Vec<Failure<'a>> {
    let task = context.progress.task("packages", Unit::Bytes, wanted.iter().map(|package| package.size).sum());
    let places = places(wanted, context);
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((Vec::new(), report));
    let work = || {
        while let Some(package) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = fetch_one(package, signers, &places, context, task.as_ref());
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

/// Where the files of each archive are.
type Places<'a> = BTreeMap<&'a str, Result<Vec<String>>>;

/// The mirrors of the archives of these files.
fn places<'a>(wanted: &[&'a Package], context: &Context<'_>) -> Places<'a> {
    let mut places = Places::new();
    for package in wanted {
        places.entry(package.archive_id()).or_insert_with_key(|id| {
            source::mirrors_of(id, context.archives, context.architectures, context.mirrors, context.client)
        });
    }
    places
}

/// Brings one file from the first mirror that has the right bytes; gives the number of bytes fetched.
fn fetch_one(
    package: &Package,
    signers: &Signers,
    places: &Places<'_>,
    context: &Context<'_>,
    task: &dyn Task,
) -> Result<u64, Kind> {
    let mirrors = match places.get(package.archive_id()) {
        Some(Ok(mirrors)) => mirrors.as_slice(),
        Some(Err(error)) => {
            return Err(Kind::Broken(with_hints(anyhow!("{error:#}"), hints(error).into_iter().map(str::to_owned))));
        }
        None => &[],
    };
    let path = file_path(context.store, &package.sha256);
    let Some(mut download) = Download::open(&path, package, task).map_err(Kind::Broken)? else { return Ok(0) };
    download.fetch_from_any(context.client, mirrors)?;
    if let Some(keyring) = signers.of(package) {
        download.check(|file| context.format.check_signature(file, keyring))?;
    }
    download.finish(&path).map_err(Kind::Broken)
}
