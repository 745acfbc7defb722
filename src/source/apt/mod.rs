//! Archives in Debian's repository format: suites are brought up to date, then their package indexes.

mod index;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use rayon::prelude::*;

use self::index::Wanted;
use self::suite::{Suite, SuiteSource};
use super::cache::SuiteCache;
use super::{Asked, Context, Index};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::package::Table;
use crate::progress::{Task, Unit};

/// How many suites or indexes are fetched at a time; the wait is for mirrors, not for this host.
const CONNECTIONS: usize = 8;

/// Tables by the digests of their indexes.
type Tables = BTreeMap<Sha256, Arc<Table>>;

/// What a step can give besides an error.
enum Found<T> {
    /// The thing.
    Here(T),
    /// Its name: it is not in the cache, and the cache is all there is.
    Missing(String),
}

/// The package indexes of each archive for its architecture. A suite that several ask for is asked for once, and an index
/// held once.
pub fn load(asked: &[Asked<'_>], context: &Context<'_>) -> Result<Vec<Vec<Index>>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(CONNECTIONS)
        .build()
        .context("cannot start the threads that load indexes")?;
    pool.install(|| {
        let mut sources: Vec<SuiteSource<'_>> = Vec::new();
        for Asked { archive, .. } in asked.iter().filter(|asked| asked.archive.pool.is_none()) {
            for source in suite::suites_of(archive, context)? {
                if !sources.iter().any(|known| known.is_same(&source)) {
                    sources.push(source);
                }
            }
        }
        let (suites, mut missing) = split(sources.into_par_iter().map(|suite| suite.update(context)).collect())?;
        let mut indexes = Vec::new();
        for asked in asked {
            let mut of_archive = Vec::new();
            for name in &asked.archive.suites {
                if let Some(suite) = suites.iter().find(|suite| suite.source.is_of(asked.archive, name)) {
                    of_archive.extend(index::wanted(suite, asked)?);
                }
            }
            indexes.push(of_archive);
        }
        let (tables, missing_indexes) = load_tables(&indexes, context)?;
        missing.extend(missing_indexes);
        if !missing.is_empty() {
            return Err(anyhow!("not in the cache, and offline nothing is fetched: {}", missing.join(", ")))
                .hint(|| "run the same command without --offline");
        }
        forget_old_indexes(&suites)?;
        let index = |wanted: &Wanted<'_>| Some(wanted.index(tables.get(&wanted.sha256)?.clone()));
        Ok(indexes.iter().map(|of_archive| of_archive.iter().filter_map(index).collect()).collect())
    })
}

/// The tables of indexes by the indexes' digests, each held once; and the names of those missing. Every suite keeps its own
/// files, so that each can be used offline without the others.
fn load_tables(indexes: &[Vec<Wanted<'_>>], context: &Context<'_>) -> Result<(Tables, Vec<String>)> {
    let distinct: BTreeMap<(&SuiteCache, Sha256), &Wanted<'_>> =
        indexes.iter().flatten().map(|wanted| ((wanted.cache(), wanted.sha256), wanted)).collect();
    let to_fetch: u64 = distinct.values().filter(|wanted| !wanted.is_cached()).map(|wanted| wanted.size).sum();
    let task: Option<Box<dyn Task>> =
        (to_fetch > 0 && !context.offline).then(|| context.progress.task("package indexes", Unit::Bytes, to_fetch));
    let task = task.as_deref().unwrap_or(&crate::progress::Silent);
    let load = |wanted: &&&Wanted<'_>| {
        Ok(match wanted.load(context, task)? {
            Found::Here(table) => Found::Here((wanted.sha256, Arc::new(Table::Deb(table)))),
            Found::Missing(name) => Found::Missing(name),
        })
    };
    let (tables, missing) = split(distinct.values().collect::<Vec<_>>().par_iter().map(load).collect())?;
    Ok((tables.into_iter().collect(), missing))
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

/// Removes from each cache the indexes that no suite kept there names.
fn forget_old_indexes(suites: &[Suite<'_>]) -> Result<()> {
    let mut named: BTreeMap<&SuiteCache, BTreeSet<Sha256>> = BTreeMap::new();
    for Suite { source, release } in suites {
        named.entry(&source.cache).or_default().extend(release.files.values().map(|(_, sha256)| *sha256));
    }
    named.into_iter().try_for_each(|(cache, named)| cache.remove_indexes_except(&named))
}
