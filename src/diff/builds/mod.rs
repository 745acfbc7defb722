//! Two builds of one lock, in a store each, to what differs: stage by stage, path by path, and whose the path is.
//!
//! A later stage does not tell again of the paths that an earlier one told of.

mod origin;
pub mod text;

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use self::origin::Origins;
pub use self::origin::{Origin, Source};
use super::{bytes, tree};
use crate::artifact::Artifact;
use crate::assemble::{self, Merged};
use crate::digest::Sha256;
use crate::finalize;
use crate::import;
use crate::lock::{Lock, Package};
use crate::manifest::{Manifest, OutputFormat};
use crate::store::{Store, StoredTree};

/// How many paths of each stage are told about.
const TOLD: usize = 20;

/// One of two builds.
pub struct Build<'a> {
    /// What its outputs are made of, the store first of all.
    pub request: finalize::Request<'a>,
    /// Its outputs that are files, in the order of the other build's.
    pub artifacts: Vec<(OutputFormat, Artifact)>,
}

/// What two builds have in common and what not.
#[derive(Debug)]
pub struct Comparison {
    /// How many packages were imported by both.
    pub packages: usize,
    /// Those whose import differs.
    pub imports: Vec<Import>,
    /// The tree before any script has run.
    pub merged: Paths,
    /// The configured tree.
    pub configured: Paths,
    /// The first build's commit of it.
    pub commit: Sha256,
    /// The outputs.
    pub outputs: Vec<Output>,
}

/// A package whose import differs.
#[derive(Debug)]
pub struct Import {
    /// The package, as messages show it.
    pub package: String,
    /// Below `control/` and `data/`, and the `index`.
    pub paths: Paths,
}

/// The paths in which two trees differ.
#[derive(Debug, Default)]
pub struct Paths {
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub told: Vec<Path>,
}

/// A path that differs.
#[derive(Debug)]
pub struct Path {
    /// How.
    pub difference: tree::Difference,
    /// Whose it is.
    pub origin: Origin,
    /// Which bytes, where two files have different ones.
    pub bytes: Option<bytes::Difference>,
}

/// An output of both builds.
#[derive(Debug)]
pub struct Output {
    /// The file's name.
    pub name: String,
    /// The first build's and the second's.
    pub artifacts: [Artifact; 2],
    /// The first place where they differ, and what lies there; none when they are the same.
    pub difference: Option<(bytes::Bytes, Option<String>)>,
}

impl Comparison {
    /// The stages in which the builds differ, as messages call them.
    pub fn different_stages(&self) -> Vec<&str> {
        let stages = [
            ("import", self.imports.is_empty()),
            ("merge", self.merged.count == 0),
            ("configure", self.configured.count == 0),
        ];
        let outputs = self.outputs.iter().map(|output| (output.name.as_str(), output.difference.is_none()));
        stages.into_iter().chain(outputs).filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// Compares two builds of a lock, which have these packages imported.
pub fn compare(manifest: &Manifest, lock: &Lock, packages: &[&Package], builds: [&Build<'_>; 2]) -> Result<Comparison> {
    let stores = builds.map(|build| build.request.store);
    let (imports, merged, mut told) = (imports(lock, packages, stores)?, merge(lock, stores)?, BTreeSet::new());
    let mut origins = Origins { manifest, lock, store: stores[0], merged: &merged[0], scripts: None };
    let mut merged_paths = Paths::default();
    if merged[0].tree != merged[1].tree {
        let sides = [stored_side(stores[0], &merged[0])?, stored_side(stores[1], &merged[1])?];
        let different = tree::compare(&sides[0], &sides[1])?;
        told.extend(different.iter().map(|difference| difference.path.clone()));
        merged_paths = paths(different, &sides, &mut |path| Ok(origins.before_scripts(path)))?;
    }
    let commits = builds.map(|build| build.request.commit);
    let mut configured = Paths::default();
    if commits[0] != commits[1] {
        let sides = [side(stores[0], commits[0])?, side(stores[1], commits[1])?];
        let mut different = tree::compare(&sides[0], &sides[1])?;
        different.retain(|difference| !told.contains(&difference.path));
        configured = paths(different, &sides, &mut |path| origins.after_scripts(path))?;
    }
    let pairs = builds[0].artifacts.iter().zip(&builds[1].artifacts);
    let outputs = pairs.map(|((format, first), (_, second))| output(builds[0], *format, [first, second]));
    Ok(Comparison {
        packages: packages.len(),
        imports,
        merged: merged_paths,
        configured,
        commit: commits[0],
        outputs: outputs.collect::<Result<_>>()?,
    })
}

fn imports(lock: &Lock, packages: &[&Package], stores: [&Store; 2]) -> Result<Vec<Import>> {
    let mut different = Vec::new();
    let [first, second] = [
        import::look_up(stores[0], lock.format, packages)?.commits,
        import::look_up(stores[1], lock.format, packages)?.commits,
    ];
    for package in packages {
        let of = |commits: &import::Commits| {
            commits.get(&package.sha256).copied().with_context(|| format!("{} is not imported", package.describe()))
        };
        let commits = [of(&first)?, of(&second)?];
        if commits[0] != commits[1] {
            let sides = [side(stores[0], commits[0])?, side(stores[1], commits[1])?];
            let origin = Origin { source: Source::Package(package.describe()), named_in: Vec::new() };
            let paths = paths(tree::compare(&sides[0], &sides[1])?, &sides, &mut |_| Ok(origin.clone()))?;
            different.push(Import { package: package.describe(), paths });
        }
    }
    Ok(different)
}

fn merge(lock: &Lock, stores: [&Store; 2]) -> Result<[Merged; 2]> {
    let merged = |store| assemble::merged(store, lock.format, &lock.packages);
    Ok([merged(stores[0])?, merged(stores[1])?])
}

fn side(store: &Store, commit: Sha256) -> Result<tree::Side> {
    Ok(tree::Side { reader: store.reader(), tree: store.find_tree(commit)? })
}

/// A merged tree, whose directories are in no store yet.
fn stored_side(store: &Store, merged: &Merged) -> Result<tree::Side> {
    let root = store.writer().write_tree(&merged.tree)?;
    Ok(tree::Side { reader: store.reader(), tree: StoredTree { root, extras: merged.tree.extras.clone() } })
}

fn paths(
    different: Vec<tree::Difference>,
    sides: &[tree::Side; 2],
    origin_of: &mut dyn FnMut(&str) -> Result<Origin>,
) -> Result<Paths> {
    let count = different.len();
    let told = different.into_iter().take(TOLD).map(|difference| {
        let contents = [&difference.first, &difference.second].map(|entry| entry.as_ref().map(|entry| &entry.content));
        let bytes = match contents {
            [Some(tree::Content::File(first, _)), Some(tree::Content::File(second, _))] => {
                bytes::compare(&sides[0].reader.path(*first), &sides[1].reader.path(*second))?
            }
            _ => None,
        };
        Ok(Path { origin: origin_of(&difference.path)?, difference, bytes })
    });
    Ok(Paths { count, told: told.collect::<Result<_>>()? })
}

fn output(build: &Build<'_>, format: OutputFormat, artifacts: [&Artifact; 2]) -> Result<Output> {
    let [first, second] = artifacts;
    let difference = if first.digest == second.digest {
        None
    } else {
        let bytes = bytes::first_difference(&first.path, &second.path)?;
        let bytes = bytes.with_context(|| format!("{} was changed after it was built", first.path.display()))?;
        let place = finalize::path_at(&build.request, format, &first.path, bytes.offset)?;
        Some((bytes, place))
    };
    let name = first.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Output { name, artifacts: artifacts.map(Clone::clone), difference })
}
