//! Rpm repositories: each is brought up to date by its `repomd.xml`, then what it lists is read, and file lists only where a
//! relation asks for a file that primary metadata need not list.

mod metadata;
pub mod places;
mod repomd;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use rayon::prelude::*;

use self::repomd::{Found, Source, Updated};
use super::{Asked, Context, Index};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::{Manifest, RequestKind};
use crate::package::Table;
use crate::package::rpm::repodata::filelists::Files;
use crate::package::rpm::repodata::primary::{self, Field};
use crate::package::rpm::repodata::{Contents, Repository};
use crate::package::rpm::rich::Rich;

/// How many repositories are fetched at a time; the wait is for mirrors, not for this host.
const CONNECTIONS: usize = 8;

/// The files among what a manifest asks for.
pub fn paths_asked_for(manifest: &Manifest) -> impl Iterator<Item = String> {
    let packages = manifest.packages.iter().filter(|request| request.kind == RequestKind::Package);
    packages.map(|request| request.name.clone()).filter(|name| name.starts_with('/'))
}

/// The index of each repository for its architecture, in the order asked for; none where it may have nothing for it and has not.
/// A repository that is asked for more than once is loaded once.
pub fn load(asked: &[Asked<'_>], paths: &BTreeSet<String>, context: &Context<'_>) -> Result<Vec<Option<Index>>> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut distinct: Vec<&Asked<'_>> = Vec::new();
    for one in asked {
        match distinct.iter_mut().find(|known| is_same(known, one)) {
            Some(known) if known.optional => *known = one,
            Some(_) => {}
            None => distinct.push(one),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(CONNECTIONS)
        .build()
        .context("cannot start the threads that load repositories")?;
    let loaded = pool.install(|| load_all(&distinct, paths, context))?;
    let of = |one: &Asked<'_>| {
        let at = distinct.iter().position(|known| is_same(known, one)).unwrap_or_default();
        loaded[at].clone()
    };
    Ok(asked.iter().map(of).collect())
}

fn is_same(a: &Asked<'_>, b: &Asked<'_>) -> bool {
    a.archive == b.archive && a.architecture == b.architecture
}

fn load_all(asked: &[&Asked<'_>], paths: &BTreeSet<String>, context: &Context<'_>) -> Result<Vec<Option<Index>>> {
    // Where nobody says where one is, nothing is fetched of the others either.
    let sources: Vec<Result<Source<'_>>> = asked.par_iter().map(|asked| Source::new(asked, context)).collect();
    let sources = sources.into_iter().collect::<Result<Vec<_>>>()?;
    let found = here(sources.into_par_iter().map(|source| source.update(context)).collect())?;
    let are_there: Vec<bool> = found.iter().map(Option::is_some).collect();
    let updated: Vec<Updated<'_>> = found.into_iter().flatten().collect();
    let contents = here(updated.par_iter().map(|updated| metadata::contents(updated, context)).collect())?;
    let wanted = unlisted(&contents, paths);
    let files = |(updated, contents): (&Updated<'_>, &Arc<Contents>)| {
        if wanted.is_empty() {
            return Ok(Found::Here(Files::default()));
        }
        metadata::files(updated, &wanted, contents.packages.packages.len(), context)
    };
    let files = here(updated.par_iter().zip(&contents).map(files).collect())?;
    for one in &updated {
        metadata::forget_old(one)?;
    }
    let mut all = updated.iter().zip(contents).zip(files);
    let mut next = || all.next().map(|((updated, contents), files)| index(updated, contents, files)).transpose();
    are_there.into_iter().map(|is_there| if is_there { next() } else { Ok(None) }).collect()
}

/// What is here; the first error, or that something is missing offline.
fn here<T>(results: Vec<Result<Found<T>>>) -> Result<Vec<T>> {
    let (mut things, mut missing) = (Vec::new(), Vec::new());
    for result in results {
        match result? {
            Found::Here(thing) => things.push(thing),
            Found::Missing(name) => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(things);
    }
    Err(anyhow!("not in the cache, and offline nothing is fetched: {}", missing.join(", ")))
        .hint(|| "run the same command without --offline")
}

/// The files that relations of any package or the manifest name and that primary metadata need not list.
fn unlisted(contents: &[Arc<Contents>], paths: &BTreeSet<String>) -> BTreeSet<String> {
    let is_one = |name: &str| name.starts_with('/') && !primary::lists(name);
    let mut wanted: BTreeSet<String> = paths.iter().filter(|path| is_one(path)).cloned().collect();
    let fields =
        [Field::Requires, Field::Conflicts, Field::Recommends, Field::Suggests, Field::Supplements, Field::Enhances];
    for contents in contents {
        let rows = &contents.packages;
        let mut seen = vec![false; rows.texts() as usize];
        for package in &rows.packages {
            for stored in fields.iter().flat_map(|field| rows.relations(package, *field)) {
                if std::mem::replace(&mut seen[stored.name as usize], true) {
                    continue;
                }
                let name = rows.text(stored.name);
                if is_one(name) {
                    wanted.insert(name.to_owned());
                } else if Rich::is_rich(name)
                    && let Ok(rich) = Rich::parse(name)
                {
                    let named = rich.relations().into_iter().map(|relation| relation.name).filter(|name| is_one(name));
                    wanted.extend(named.map(str::to_owned));
                }
            }
        }
    }
    wanted
}

fn index(updated: &Updated<'_>, contents: Arc<Contents>, files: Files) -> Result<Index> {
    let Source { asked, repository, .. } = &updated.source;
    let repository = Repository {
        contents,
        files: Arc::new(files),
        excluded: repository.excludepkgs.clone(),
        included: repository.includepkgs.clone(),
        module_hotfixes: repository.module_hotfixes,
    };
    let date = Timestamp::from_seconds(updated.list.time);
    Ok(Index {
        archive: asked.archive.id.clone(),
        suite: String::new(),
        codename: String::new(),
        priority: asked.archive.priority,
        not_automatic: false,
        but_automatic_upgrades: false,
        architecture: asked.architecture.clone(),
        date: date.with_context(|| format!("the repository `{}` has no time that can be read", asked.archive.id))?,
        sha256: updated.list.files.get("primary").map_or_else(|| Sha256::of(b""), |file| file.sha256),
        table: Arc::new(Table::Rpm(repository)),
    })
}
