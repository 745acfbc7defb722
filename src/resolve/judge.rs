//! Which packages of the archives cannot be installed by anybody, and why.
//!
//! A package can be installed when some set of packages has it and those of every root, has all that its members need, and
//! nothing that they exclude. Every such set proves all its members, so the sets are made as large as can be:
//! packages are added one after the other, each with the first choices that fit, and what does not fit waits for the next
//! set. What needs something that no archive has is sorted out before. What then fits into no set is given to
//! `solve`, which searches completely. Which packages are found depends on none of these steps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::explain::{explain, explain_candidate};
use super::facts::{Fact, Facts};
use super::graph::Graph;
use super::solve::solve;
use super::walk::{Granted, RelationsCache};
use crate::arch::Architecture;
use crate::package::Format;
use crate::package::universe::{Candidate, Requirement, Strength, Universe};
use crate::source::Index;

/// Who has the essential packages, as explanations say.
const EVERY_ROOT: &str = "every root";

/// What is known of all packages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How many packages there are.
    pub judged: usize,
    /// Those that cannot be installed, sorted.
    pub uninstallable: Vec<Uninstallable>,
}

/// A package that cannot be installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uninstallable {
    /// Its name, with its architecture where that is not the root's own, and its version.
    pub package: String,
    /// The proof: a tree of packages, versions and relations, its branches indented.
    pub proof: String,
}

/// Judges every version of every package of the indexes, each by itself beside the essential packages.
pub fn judge(format: Format, architecture: &Architecture, indexes: &[Index]) -> Result<Verdict> {
    let universe = format.universe_of_every_version(indexes, architecture)?;
    let universe = universe.as_ref();
    let essential = essential(universe);
    let cache = RefCell::new(RelationsCache::new(universe, Granted::default()));
    let requests: Vec<&Requirement> = essential.iter().collect();
    let base = solve(&|candidate| cache.borrow_mut().get(candidate), &requests, &[]).map_err(|facts| {
        let proof = explain(EVERY_ROOT, &facts.irreducible(), universe);
        anyhow!("the essential packages cannot be installed together:\n{proof}")
    })?;
    let standing = vec![Standing::Open; universe.len()];
    let mut judge = Judge { universe, graph: Graph::read(universe), essential, base, standing, cache };
    judge.find_hopeless();
    judge.pack();
    judge.search();
    Ok(Verdict { judged: universe.len(), uninstallable: judge.report() })
}

/// The essential packages, each in any version.
fn essential(universe: &dyn Universe) -> Vec<Requirement> {
    let mut versions: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
    for candidate in universe.in_every_root() {
        versions.entry(universe.identity(candidate).name).or_default().push(candidate);
    }
    let need = |(name, options): (&str, Vec<Candidate>)| Requirement {
        verb: "has the essential package",
        text: name.to_owned(),
        strength: Strength::Needed,
        options,
        given: Vec::new(),
    };
    versions.into_iter().map(need).collect()
}

/// What is known of one candidate.
#[derive(Clone)]
enum Standing {
    Open,
    Installable,
    /// Nothing that can be installed satisfies one of its requirements, given by its place; the proof has so many facts.
    Hopeless {
        need: usize,
        facts: u32,
    },
    /// A search has proved that it cannot be installed.
    Refuted(Facts),
}

struct Judge<'a> {
    universe: &'a dyn Universe,
    graph: Graph,
    essential: Vec<Requirement>,
    /// Packages that meet what is essential.
    base: Vec<Candidate>,
    standing: Vec<Standing>,
    cache: RefCell<RelationsCache<'a>>,
}

impl Judge<'_> {
    fn open(&self) -> Vec<u32> {
        let all = 0..self.universe.len();
        all.filter(|at| matches!(self.standing[*at], Standing::Open)).map(|at| at as u32).collect()
    }

    /// How many facts prove that a candidate cannot be installed; `None` when nothing does so far.
    fn cost(&self, candidate: u32) -> Option<u32> {
        match &self.standing[candidate as usize] {
            Standing::Open | Standing::Installable => None,
            Standing::Hopeless { facts, .. } => Some(*facts),
            Standing::Refuted(facts) => Some(facts.len() as u32),
        }
    }

    /// Finds all candidates of which a requirement that always counts is met only by candidates that cannot be installed, the
    /// shortest chains first.
    fn find_hopeless(&mut self) {
        loop {
            let found: Vec<(u32, Standing)> = self
                .open()
                .into_iter()
                .filter_map(|candidate| {
                    let always = self.graph.needs(candidate).enumerate().filter(|(_, need)| need.given.is_empty());
                    let costs = always.filter_map(|(number, need)| {
                        let facts =
                            need.options.iter().try_fold(1_u32, |sum, o| Some(sum.saturating_add(self.cost(*o)?)));
                        Some((facts?, number))
                    });
                    costs.min().map(|(facts, need)| (candidate, Standing::Hopeless { need, facts }))
                })
                .collect();
            if found.is_empty() {
                return;
            }
            for (candidate, standing) in found {
                self.standing[candidate as usize] = standing;
            }
        }
    }

    /// Makes sets of packages that can be installed together until one proves nothing new.
    fn pack(&mut self) {
        loop {
            let chosen = vec![false; self.standing.len()];
            let mut packing = Packing { judge: self, chosen, order: Vec::new(), conditional: Vec::new() };
            for candidate in &self.base {
                packing.choose(candidate.0);
            }
            for candidate in self.open() {
                packing.add(candidate);
            }
            let chosen = packing.order;
            let before = self.open().len();
            for candidate in chosen {
                self.standing[candidate as usize] = Standing::Installable;
            }
            if self.open().len() == before {
                return;
            }
        }
    }

    /// Searches completely for each candidate that is left.
    fn search(&mut self) {
        for number in 0..self.universe.len() {
            if !matches!(self.standing[number], Standing::Open) {
                continue;
            }
            let own = self.request(Candidate(number as u32));
            let requests: Vec<&Requirement> = self.essential.iter().chain([&own]).collect();
            match solve(&|candidate| self.cache.borrow_mut().get(candidate), &requests, &[]) {
                Ok(chosen) => {
                    for candidate in chosen {
                        self.standing[candidate.index()] = Standing::Installable;
                    }
                }
                Err(facts) => {
                    self.standing[number] = Standing::Refuted(facts.irreducible());
                    self.find_hopeless();
                }
            }
        }
    }

    /// The candidates that cannot be installed, each with its proof.
    fn report(&self) -> Vec<Uninstallable> {
        let all = (0..self.universe.len()).map(|at| Candidate(at as u32));
        let mut report: Vec<Uninstallable> = all
            .filter(|candidate| self.cost(candidate.0).is_some())
            .map(|candidate| Uninstallable {
                package: self.universe.identity(candidate).to_string(),
                proof: explain_candidate(candidate, EVERY_ROOT, &self.facts(candidate), self.universe),
            })
            .collect();
        report.sort_by(|a, b| a.package.cmp(&b.package));
        report
    }

    /// What proves that a candidate cannot be installed, without the request for it.
    fn facts(&self, candidate: Candidate) -> Facts {
        let request = |owner| Fact::Need { owner: None, requirement: self.request(owner) };
        let mut facts = Facts::default();
        facts.extend([request(candidate)]);
        let mut reached = vec![candidate];
        let mut next = 0;
        let mut joined = false;
        while let Some(owner) = reached.get(next).copied() {
            next += 1;
            match &self.standing[owner.index()] {
                Standing::Open | Standing::Installable => {}
                Standing::Hopeless { need, .. } => {
                    let requirement = self.cache.borrow_mut().get(owner).requirements[*need].clone();
                    let new = requirement.options.iter().filter(|option| !reached.contains(option));
                    let new: Vec<Candidate> = new.copied().collect();
                    reached.extend(new);
                    facts.extend([Fact::Need { owner: Some(owner), requirement }]);
                }
                Standing::Refuted(own) => {
                    joined |= owner != candidate;
                    facts.extend(own.clone().without(&request(owner)).iter().cloned());
                }
            }
        }
        // Proofs that are irreducible each need not be so together.
        if joined {
            facts = facts.irreducible();
        }
        facts.without(&request(candidate))
    }

    fn request(&self, candidate: Candidate) -> Requirement {
        let text = self.universe.identity(candidate).name.to_owned();
        Requirement {
            verb: "would have",
            text,
            strength: Strength::Needed,
            options: vec![candidate],
            given: Vec::new(),
        }
    }
}

/// A set of candidates that can be installed together.
struct Packing<'j, 'a> {
    judge: &'j Judge<'a>,
    chosen: Vec<bool>,
    order: Vec<u32>,
    /// The members with requirements that count only beside others.
    conditional: Vec<u32>,
}

impl Packing<'_, '_> {
    /// Adds a candidate with all it needs, or leaves the set as it was.
    fn add(&mut self, candidate: u32) -> bool {
        let start = self.order.len();
        if self.chosen[candidate as usize] {
            return true;
        }
        let complete = self.take(&[candidate]) && self.complete(start);
        if !complete {
            for candidate in self.order.drain(start..).rev() {
                self.chosen[candidate as usize] = false;
                self.conditional.pop_if(|last| *last == candidate);
            }
        }
        complete
    }

    /// Takes the first of the options that excludes nothing chosen.
    fn take(&mut self, options: &[u32]) -> bool {
        let graph = &self.judge.graph;
        let fits = |option: u32| {
            self.judge.cost(option).is_none() && !graph.exclusions(option).iter().any(|o| self.chosen[*o as usize])
        };
        let Some(option) = options.iter().copied().find(|option| fits(*option)) else { return false };
        self.choose(option);
        true
    }

    fn choose(&mut self, candidate: u32) {
        self.chosen[candidate as usize] = true;
        self.order.push(candidate);
        if self.judge.graph.needs(candidate).any(|need| !need.given.is_empty()) {
            self.conditional.push(candidate);
        }
    }

    /// Meets the requirements of all members from `next` on, and those of others that count from now on.
    fn complete(&mut self, mut next: usize) -> bool {
        loop {
            while let Some(candidate) = self.order.get(next).copied() {
                if !self.meet(candidate, false) {
                    return false;
                }
                next += 1;
            }
            if !(0..self.conditional.len()).all(|at| self.meet(self.conditional[at], true)) {
                return false;
            }
            if next == self.order.len() {
                return true;
            }
        }
    }

    /// Meets the requirements of a member that count, or of these those that do so only beside others.
    fn meet(&mut self, candidate: u32, beside_others: bool) -> bool {
        let judge = self.judge;
        judge.graph.needs(candidate).filter(|need| !beside_others || !need.given.is_empty()).all(|need| {
            let has = |other: &u32| self.chosen[*other as usize];
            !need.given.iter().all(has) || need.options.iter().any(has) || self.take(need.options)
        })
    }
}
