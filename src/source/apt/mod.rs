//! Archives in Debian's repository format: suites are brought up to date, then their package indexes.

mod index;
mod suite;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow};
use rayon::prelude::*;

use self::index::Wanted;
use self::suite::Suite;
use super::{Context, Index};
use crate::arch::Architecture;
use crate::error::Hint;
use crate::manifest::Archive;
use crate::progress::{Task, Unit};

/// How many suites or indexes are fetched at a time; the wait is for mirrors, not for this host.
const CONNECTIONS: usize = 8;

/// What a step can give besides an error.
enum Found<T> {
    /// The thing.
    Here(T),
    /// Its name: it is not in the cache, and the cache is all there is.
    Missing(String),
}

/// The package indexes of all archives for an architecture.
pub fn load(archives: &[Archive], architecture: &Architecture, context: &Context<'_>) -> Result<Vec<Index>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(CONNECTIONS)
        .build()
        .context("cannot start the threads that load indexes")?;
    pool.install(|| {
        let mut suites = Vec::new();
        for archive in archives {
            suites.extend(suite::suites_of(archive, context)?);
        }
        let (suites, mut missing) = split(suites.into_par_iter().map(|suite| suite.update(context)).collect())?;
        let mut wanted = Vec::new();
        for suite in &suites {
            wanted.extend(index::wanted(suite, architecture)?);
        }
        let (indexes, missing_indexes) = split(load_wanted(&wanted, architecture, context))?;
        missing.extend(missing_indexes);
        if !missing.is_empty() {
            return Err(anyhow!("not in the cache, and offline nothing is fetched: {}", missing.join(", ")))
                .hint(|| "run the same command without --offline");
        }
        suites.iter().try_for_each(forget_old_indexes)?;
        Ok(indexes)
    })
}

fn load_wanted(wanted: &[Wanted<'_>], architecture: &Architecture, context: &Context<'_>) -> Vec<Result<Found<Index>>> {
    let to_fetch: u64 = wanted.iter().filter(|wanted| !wanted.is_cached()).map(|wanted| wanted.size).sum();
    let task: Option<Box<dyn Task>> =
        (to_fetch > 0 && !context.offline).then(|| context.progress.task("package indexes", Unit::Bytes, to_fetch));
    let task = task.as_deref().unwrap_or(&crate::progress::Silent);
    wanted.par_iter().map(|wanted| wanted.load(architecture, context, task)).collect()
}

/// The things here and the names of those missing; the first error, if there is one.
fn split<T>(results: Vec<Result<Found<T>>>) -> Result<(Vec<T>, Vec<String>)> {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for result in results {
        match result? {
            Found::Here(thing) => here.push(thing),
            Found::Missing(name) => missing.push(name),
        }
    }
    Ok((here, missing))
}

fn forget_old_indexes(suite: &Suite<'_>) -> Result<()> {
    let named: BTreeSet<_> = suite.release.files.values().map(|(_, sha256)| *sha256).collect();
    suite.source.cache.remove_indexes_except(&named)
}
