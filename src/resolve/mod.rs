//! Manifest and indexes to lock: which packages a root consists of, and why nothing can when nothing can.
//!
//! What apt would choose is found as apt finds it, by the walk in `walk`. Where that ends in a state that is not consistent,
//! `solve` searches completely, and the walk is done again among what it found; where it finds nothing, it has a proof.
//! So the result is a function of manifest and indexes.

mod changes;
mod explain;
mod score;
mod solve;
mod walk;

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use indexmap::IndexMap;

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::error::Hint;
use crate::lock::{self, Asked, Lock};
use crate::manifest::{Base, Manifest, OutputFormat};
use crate::package::universe::{Candidate, Requirement, Universe};
use crate::source::Index;
use walk::RelationsCache;

pub use changes::{Change, changes};

/// Pins the packages of a root and of the programs that shape its image.
///
/// `tools_indexes` are those of the manifest's tools archives, or empty to take tools from `indexes`. `previous` is the
/// lock there was: when no package moves, its date stays.
pub fn run(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &[Index],
    tools_indexes: &[Index],
    previous: Option<&Lock>,
) -> Result<Lock> {
    let packages = resolve_packages(manifest, architecture, indexes)
        .with_context(|| format!("cannot resolve {} for {architecture}", manifest.name))?;
    let own = manifest.tools.archives.is_empty();
    let tools = resolve_tools(manifest, architecture, if own { indexes } else { tools_indexes })
        .with_context(|| format!("cannot resolve the tools of {} for {architecture}", manifest.name))?;
    let used: Vec<&Index> = if own { indexes.iter().collect() } else { indexes.iter().chain(tools_indexes).collect() };
    Ok(Lock {
        version: lock::VERSION,
        manifest: manifest.name.clone(),
        manifest_sha256: manifest.digest,
        format: manifest.format,
        architecture: architecture.clone(),
        date: date(&used, &packages, &tools, previous)?,
        packages,
        tools,
    })
}

/// The newest Release among the indexes; the date there was, when every package stays.
fn date(
    indexes: &[&Index],
    packages: &[lock::Package],
    tools: &[lock::Package],
    previous: Option<&Lock>,
) -> Result<Timestamp> {
    match previous {
        Some(lock) if lock.packages == packages && lock.tools == tools => Ok(lock.date),
        _ => indexes.iter().map(|index| index.date).max().context("no archive has an index for this architecture"),
    }
}

fn resolve_packages(manifest: &Manifest, architecture: &Architecture, indexes: &[Index]) -> Result<Vec<lock::Package>> {
    let universe = manifest.format.universe(indexes, architecture, &manifest.packages, &manifest.exclude)?;
    let universe = universe.as_ref();
    let mut requests: Vec<(Asked, Requirement)> = Vec::new();
    for candidate in universe.base(manifest.base) {
        let requirement = Requirement {
            verb: "has in its base",
            text: universe.identity(candidate).name.to_owned(),
            necessary: true,
            options: vec![candidate],
        };
        requests.push((Asked::Base, requirement));
    }
    for request in &manifest.packages {
        requests.push((Asked::Manifest, universe.request(request)?));
    }
    if manifest.base != Base::None && requests.is_empty() {
        return Err(anyhow!("no package of the archives belongs to the base"));
    }
    choose(universe, &requests, manifest.recommends)
}

fn resolve_tools(manifest: &Manifest, architecture: &Architecture, indexes: &[Index]) -> Result<Vec<lock::Package>> {
    if !manifest.outputs.contains(&OutputFormat::RootImg) {
        return Ok(Vec::new());
    }
    let tools = manifest.format.image_tools();
    let mut requests = Vec::new();
    for tool in tools {
        requests.push(manifest.format.parse_request(tool.request).map_err(|message| anyhow!(message))?);
    }
    let universe = manifest.format.universe(indexes, architecture, &requests, &[])?;
    let mut requirements = Vec::new();
    for (tool, request) in tools.iter().zip(&requests) {
        let requirement = universe.request(request).context(tool.reason).hint(
            || "name an archive that has it under `tools: archives:` in the manifest, in the form of `archives:`",
        )?;
        requirements.push((Asked::Manifest, requirement));
    }
    choose(universe.as_ref(), &requirements, false)
}

/// Chooses what satisfies the requests, as lock entries sorted by name and architecture.
fn choose(universe: &dyn Universe, requests: &[(Asked, Requirement)], recommends: bool) -> Result<Vec<lock::Package>> {
    let mut cache = RelationsCache::new(universe, recommends);
    // In the order asked for, as apt treats its command line: which alternative is there first depends on it.
    let mut roots: IndexMap<Candidate, Asked> = IndexMap::new();
    for (asked, request) in requests {
        if let Some(root) = request.options.first() {
            // What the manifest names stays when the base no longer has it.
            roots.entry(*root).and_modify(|before| *before = (*before).max(*asked)).or_insert(*asked);
        }
    }
    let asked = roots;
    let roots: Vec<Candidate> = asked.keys().copied().collect();
    let mut chosen = walk::walk(&mut cache, &roots, None);
    if !walk::is_consistent(&mut cache, &roots, &chosen) {
        let requests: Vec<&Requirement> = requests.iter().map(|(_, request)| request).collect();
        let solution = solve::solve(universe, &requests, &chosen)
            .map_err(|proof| anyhow!("nothing satisfies the manifest:\n{proof}"))?;
        chosen = walk::walk(&mut cache, &roots, Some(&solution));
    }
    lock_entries(universe, &mut cache, &chosen, &asked)
}

fn lock_entries(
    universe: &dyn Universe,
    cache: &mut RelationsCache<'_>,
    chosen: &[Candidate],
    asked: &IndexMap<Candidate, Asked>,
) -> Result<Vec<lock::Package>> {
    let names: Vec<&str> = chosen.iter().map(|candidate| universe.identity(*candidate).name).collect();
    let label = |candidate: Candidate| {
        let identity = universe.identity(candidate);
        match names.iter().filter(|name| **name == identity.name).count() {
            1 => identity.name.to_owned(),
            _ => format!("{}:{}", identity.name, identity.architecture),
        }
    };
    let mut packages = Vec::new();
    for &candidate in chosen {
        let mut package = universe.record(candidate)?;
        package.asked = asked.get(&candidate).copied();
        let relations = cache.get(candidate);
        let satisfying = |necessary: bool| -> BTreeSet<Candidate> {
            let requirements = relations.requirements.iter().filter(|requirement| requirement.necessary == necessary);
            let options = requirements.flat_map(|requirement| requirement.options.iter().copied());
            options.filter(|option| *option != candidate && chosen.binary_search(option).is_ok()).collect()
        };
        let labels = |candidates: &mut dyn Iterator<Item = &Candidate>| -> Vec<String> {
            let mut labels: Vec<String> = candidates.map(|candidate| label(*candidate)).collect();
            labels.sort();
            labels
        };
        let needed = satisfying(true);
        package.depends = labels(&mut needed.iter());
        package.recommends = labels(&mut satisfying(false).difference(&needed));
        packages.push(package);
    }
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    Ok(packages)
}
