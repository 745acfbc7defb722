//! Manifest and indexes to lock: which packages a root consists of, and why nothing can when nothing can.
//!
//! What apt would choose is found as apt finds it, by the walk in `walk`. Where that ends in a state that is not consistent,
//! `solve` searches completely, and the walk is done again among what it found; where it finds nothing, it has a proof.
//! So the result is a function of manifest and indexes.
//!
//! Universes of other formats choose as libsolv does, in `decide`; `solve` then has the proof alone to find.
//!
//! The proof is made irreducible in `facts`, told as a tree by `explain`, and `advise` finds the changes of the manifest that
//! help. `judge` asks the same of every package of an archive, by itself.

mod advise;
mod decide;
mod explain;
mod facts;
mod graph;
mod judge;
#[cfg(test)]
mod numbers;
mod score;
mod solve;
mod walk;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};
use indexmap::IndexMap;

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::error::{Hint, with_hints};
use crate::lock::{self, Asked, Lock};
use crate::manifest::{Base, Manifest};
use crate::package::universe::{Attraction, Candidate, Requirement, Selection, Strategy, Strength, Universe};
use crate::source::{Index, Indexes};
use facts::{Fact, Facts};
use walk::{Granted, RelationsCache};

pub use judge::{Uninstallable, Verdict, judge};

/// The lock there was.
#[derive(Clone, Copy, Default, Debug)]
pub struct Previous<'a> {
    /// The lock, if there was one.
    pub lock: Option<&'a Lock>,
    /// The packages that are to move, and no other than needed; all are when missing.
    pub only: Option<&'a [String]>,
}

/// Pins the packages of a root and of the programs that shape its image.
///
/// When no package moves, the date of the previous lock stays.
pub fn run(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &Indexes,
    previous: &Previous<'_>,
) -> Result<Lock> {
    let (locked, locked_tools) = previous.lock.map(|lock| (&lock.packages[..], &lock.tools[..])).unwrap_or_default();
    let packages = keep_what_can_stay(locked, previous.only, |keep| {
        resolve_packages(manifest, architecture, &indexes.packages, keep)
    })
    .with_context(|| format!("cannot resolve {} for {architecture}", manifest.name))?;
    let own = manifest.tools.archives.is_empty();
    let indexes_of_tools = if own { &indexes.packages } else { &indexes.tools };
    let tools = keep_what_can_stay(locked_tools, previous.only, |keep| {
        resolve_tools(manifest, architecture, indexes_of_tools, keep)
    })
    .with_context(|| format!("cannot resolve the tools of {} for {architecture}", manifest.name))?;
    let locked_interpreters = previous.lock.map(|lock| &lock.interpreters[..]).unwrap_or_default();
    let interpreters = keep_what_can_stay(locked_interpreters, previous.only, |keep| {
        resolve_interpreters(manifest, architecture, &indexes.machines, keep).map(Attempt::Chosen)
    })
    .with_context(|| format!("cannot resolve the interpreters of {} for {architecture}", manifest.name))?;
    let lock = Lock {
        version: lock::VERSION,
        manifest: manifest.name.clone(),
        manifest_sha256: manifest.digest,
        format: manifest.format,
        architecture: architecture.clone(),
        date: date(indexes, &packages, &tools, previous.lock)?,
        packages,
        tools,
        interpreters,
    };
    lock.check().context("the packages chosen make no lock")?;
    Ok(lock)
}

/// The newest Release among the indexes; the date there was, when every package stays.
fn date(
    indexes: &Indexes,
    packages: &[lock::Package],
    tools: &[lock::Package],
    previous: Option<&Lock>,
) -> Result<Timestamp> {
    match previous {
        Some(lock) if lock.packages == packages && lock.tools == tools => Ok(lock.date),
        _ => indexes
            .packages
            .iter()
            .chain(&indexes.tools)
            .map(|index| index.date)
            .max()
            .context("no archive has an index for this architecture"),
    }
}

/// How an attempt to resolve while packages stay as they are has ended.
enum Attempt {
    /// With this choice.
    Chosen(Vec<lock::Package>),
    /// These names stand in the way.
    Blocked(BTreeSet<String>),
}

/// Makes attempts with ever fewer of the packages that are locked, until those that are kept stand in nobody's way.
fn keep_what_can_stay(
    locked: &[lock::Package],
    only: Option<&[String]>,
    attempt: impl Fn(&[&lock::Package]) -> Result<Attempt>,
) -> Result<Vec<lock::Package>> {
    let stays = |package: &&lock::Package| only.is_some_and(|names| !names.contains(&package.name));
    let mut keep: Vec<&lock::Package> = locked.iter().filter(stays).collect();
    loop {
        match attempt(&keep)? {
            Attempt::Chosen(packages) => return Ok(packages),
            Attempt::Blocked(names) => keep.retain(|package| !names.contains(&package.name)),
        }
    }
}

/// The names, of those that are kept, that facts rest on: who excludes something, or needs what nothing satisfies, moves;
/// when it is not kept itself, what it excludes or needs does.
fn in_the_way(facts: &Facts, universe: &dyn Universe, keep: &[&lock::Package]) -> BTreeSet<String> {
    let kept = |name: &&str| keep.iter().any(|package| package.name == **name);
    let name = |candidate: Candidate| universe.identity(candidate).name;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for fact in facts.iter() {
        match fact {
            Fact::Need { owner, requirement } if requirement.options.is_empty() => match owner.map(name).filter(kept) {
                Some(owner) => names.extend([owner]),
                None => names.extend(universe.names_in(&requirement.text).into_iter().filter(kept)),
            },
            Fact::Need { .. } => {}
            Fact::Exclusion { owner, other, .. } => {
                names.extend([name(*owner), name(*other)].iter().filter(|n| kept(n)));
            }
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

fn resolve_packages(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &[Index],
    keep: &[&lock::Package],
) -> Result<Attempt> {
    let selection = Selection { requests: &manifest.packages, exclude: &manifest.exclude, keep };
    let universe = manifest.format.universe(indexes, architecture, &selection)?;
    let universe = universe.as_ref();
    let helps = |change: &advise::Change<'_>| advise::can_be_satisfied(manifest, architecture, indexes, change);
    let mut requests = base_requests(universe, manifest.base);
    let mut granted = Granted { recommends: manifest.recommends, suggests: manifest.suggests, of: BTreeMap::new() };
    for request in &manifest.packages {
        let requirements = universe
            .request(request)
            .map_err(|error| with_hints(error, advise::remedies(&request.to_string(), universe, &helps)))?;
        let own = (request.recommends, request.suggests);
        for requirement in requirements {
            requirement.options.iter().for_each(|asked| granted.say(universe.identity(*asked).name, own));
            requests.push((Asked::Manifest, requirement));
        }
    }
    if manifest.base != Base::None && requests.is_empty() {
        return Err(anyhow!("no package of the archives belongs to the base"));
    }
    attempt(universe, granted, &requests, keep, &|facts| advise::hints(facts, universe, &helps))
}

fn base_requests(universe: &dyn Universe, base: Base) -> Vec<(Asked, Requirement)> {
    let request = |candidate| Requirement {
        verb: "has in its base",
        text: universe.identity(candidate).name.to_owned(),
        strength: Strength::Needed,
        options: vec![candidate],
        given: Vec::new(),
    };
    universe.base(base).into_iter().map(|candidate| (Asked::Base, request(candidate))).collect()
}

fn resolve_tools(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &[Index],
    keep: &[&lock::Package],
) -> Result<Attempt> {
    let tools = manifest.format.output_tools(&manifest.outputs, manifest.image.kernel);
    if tools.is_empty() {
        return Ok(Attempt::Chosen(Vec::new()));
    }
    let mut requests = Vec::new();
    for tool in &tools {
        requests.push(manifest.format.parse_request(tool.request).map_err(|message| anyhow!(message))?);
    }
    let selection = Selection { requests: &requests, exclude: &[], keep };
    let universe = manifest.format.universe(indexes, architecture, &selection)?;
    let mut requirements = Vec::new();
    for (tool, request) in tools.iter().zip(&requests) {
        let found = universe.request(request).context(tool.reason).hint(
            || "name an archive that has it under `tools: archives:` in the manifest, in the form of `archives:`",
        )?;
        requirements.extend(found.into_iter().map(|requirement| (Asked::Manifest, requirement)));
    }
    attempt(universe.as_ref(), Granted::default(), &requirements, keep, &|_| Vec::new())
}

/// The package that has the interpreter, for each machine whose archives have one. What it needs is in it.
fn resolve_interpreters(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &[Index],
    keep: &[&lock::Package],
) -> Result<Vec<lock::Package>> {
    let mut packages = Vec::new();
    for machine in manifest.machines(architecture) {
        let indexes: Vec<Index> = indexes.iter().filter(|index| index.architecture == machine).cloned().collect();
        if indexes.is_empty() {
            continue;
        }
        let keep: Vec<_> =
            keep.iter().copied().filter(|package| manifest.format.is_native(&package.architecture, &machine)).collect();
        for request in manifest.format.interpreters(architecture) {
            let request = manifest.format.parse_request(&request).map_err(|message| anyhow!(message))?;
            let selection = Selection { requests: std::slice::from_ref(&request), exclude: &[], keep: &keep };
            let universe = manifest.format.universe(&indexes, &machine, &selection)?;
            // An archive without any is one whose packages are built on their own machines alone.
            let found = universe.request(&request).ok();
            if let Some(found) = found.iter().flatten().find_map(|requirement| requirement.options.first()) {
                packages.push(universe.record(*found)?);
                break;
            }
        }
    }
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    Ok(packages)
}

/// Chooses what satisfies the requests while packages stay as they are. An error proves that nothing does, with what `hints`
/// says to that.
fn attempt(
    universe: &dyn Universe,
    granted: Granted<'_>,
    requests: &[(Asked, Requirement)],
    keep: &[&lock::Package],
    hints: &dyn Fn(&Facts) -> Vec<String>,
) -> Result<Attempt> {
    let mut cache = RelationsCache::new(universe, granted);
    cache.prefer(keep);
    match choose(&mut cache, requests) {
        Ok((roots, chosen)) => lock_entries(universe, &mut cache, &chosen, &roots).map(Attempt::Chosen),
        Err(facts) => match in_the_way(&facts, universe, keep) {
            names if names.is_empty() => {
                let proof = explain::explain("the manifest", &facts, universe);
                Err(with_hints(anyhow!("nothing satisfies the manifest:\n{proof}"), hints(&facts)))
            }
            names => Ok(Attempt::Blocked(names)),
        },
    }
}

/// Chooses what satisfies the requests. Gives the candidates asked for by themselves and all that are chosen, sorted; or
/// what proves that there is no choice.
fn choose(
    cache: &mut RelationsCache<'_>,
    requests: &[(Asked, Requirement)],
) -> Result<(IndexMap<Candidate, Asked>, Vec<Candidate>), Facts> {
    if cache.universe().strategy() == Strategy::Decide {
        return decide_for(cache, requests);
    }
    // In the order asked for, as apt treats its command line: which alternative is there first depends on it.
    let mut asked: IndexMap<Candidate, Asked> = IndexMap::new();
    for (who, request) in requests {
        if let Some(root) = request.options.first() {
            // What the manifest names stays when the base no longer has it.
            asked.entry(*root).and_modify(|before| *before = (*before).max(*who)).or_insert(*who);
        }
    }
    let roots: Vec<Candidate> = asked.keys().copied().collect();
    let mut chosen = walk::walk(cache, &roots, None);
    if !walk::is_consistent(cache, &roots, &chosen) {
        let requests: Vec<&Requirement> = requests.iter().map(|(_, request)| request).collect();
        let known = RefCell::new(&mut *cache);
        let solution = solve::solve(&|candidate| known.borrow_mut().get(candidate), &requests, &chosen);
        chosen = walk::walk(cache, &roots, Some(&solution.map_err(Facts::irreducible)?));
    }
    Ok((asked, chosen))
}

/// As [`choose`], in libsolv's way. Asked for by itself is what was chosen for a request.
fn decide_for(
    cache: &mut RelationsCache<'_>,
    requests: &[(Asked, Requirement)],
) -> Result<(IndexMap<Candidate, Asked>, Vec<Candidate>), Facts> {
    let all: Vec<&Requirement> = requests.iter().map(|(_, request)| request).collect();
    let chosen = if let Some(chosen) = decide::decide(cache, &all) {
        chosen
    } else {
        let known = RefCell::new(&mut *cache);
        solve::solve(&|candidate| known.borrow_mut().get(candidate), &all, &[]).map_err(Facts::irreducible)?
    };
    let mut asked: IndexMap<Candidate, Asked> = IndexMap::new();
    for (who, request) in requests {
        if let Some(root) = request.options.iter().find(|option| chosen.binary_search(option).is_ok()) {
            asked.entry(*root).and_modify(|before| *before = (*before).max(*who)).or_insert(*who);
        }
    }
    Ok((asked, chosen))
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
    let attracted = attracted(universe, cache, chosen);
    let mut packages = Vec::new();
    for &candidate in chosen {
        let mut package = universe.record(candidate)?;
        package.asked = asked.get(&candidate).copied();
        let relations = cache.get(candidate);
        let satisfying = |necessary: bool| -> BTreeSet<Candidate> {
            let has = |candidate: &Candidate| chosen.binary_search(candidate).is_ok();
            let counts = |requirement: &&Requirement| {
                requirement.is_necessary() == necessary && requirement.given.iter().all(has)
            };
            let requirements = relations.requirements.iter().filter(counts);
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
        let mut wished = satisfying(false);
        wished.extend(attracted.iter().filter(|(_, by)| by.contains(&candidate)).map(|(attracted, _)| *attracted));
        package.recommends = labels(&mut wished.difference(&needed));
        packages.push(package);
    }
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    Ok(packages)
}

/// The chosen candidates that asked to come along by themselves, each with the chosen ones that made it do so.
fn attracted(
    universe: &dyn Universe,
    cache: &RelationsCache<'_>,
    chosen: &[Candidate],
) -> Vec<(Candidate, BTreeSet<Candidate>)> {
    let has = |candidate: Candidate| chosen.binary_search(&candidate).is_ok();
    let grants = |attraction: &Attraction| {
        has(attraction.candidate)
            && cache.grants(universe.identity(attraction.candidate).name, attraction.strength)
            && attraction.set_off.holds(&has)
    };
    let come = universe.attractions().into_iter().filter(grants);
    come.map(|attraction| {
        let by = attraction.set_off.candidates().into_iter().filter(|by| has(*by) && *by != attraction.candidate);
        (attraction.candidate, by.collect())
    })
    .collect()
}
