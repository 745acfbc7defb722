//! libsolv's own way of choosing: what must be follows from clauses; where there is a choice the universe ranks it; when
//! nothing needed is open, what is recommended comes along as far as it can. A choice that leads into a contradiction is
//! taken back and its reason learned, so the search is complete.
//!
//! These are the steps of libsolv's `solver_run_sat` for a root in which nothing is installed: requests, then requirements
//! in the order of its rules, then weak relations, then the exchange of choices for which a better option has shown. The
//! clauses and what follows from them stand in `clauses`.

mod clauses;

use std::collections::HashSet;

use self::clauses::{Clauses, Contradiction, Literal};
use super::walk::RelationsCache;
use crate::package::universe::{Attraction, Candidate, Purpose, Requirement, Strength};

/// How often a choice is exchanged at most.
const EXCHANGES: usize = 1000;

/// A choice among several that would do.
struct Branch {
    level: usize,
    taken: Candidate,
    others: Vec<Candidate>,
}

struct Search<'c, 'a> {
    cache: &'c mut RelationsCache<'a>,
    clauses: Clauses,
    /// The clauses of requests, then those of requirements with a choice, in the order to look at them.
    requests: Vec<usize>,
    choices: Vec<usize>,
    /// By candidate: its weak relations, and whether they are granted.
    weak: Vec<Vec<(bool, Requirement)>>,
    /// Who asks to come along, and whether that is granted.
    attractions: Vec<(bool, Attraction)>,
    branches: Vec<Branch>,
}

/// Candidates that satisfy the requests, sorted; nothing when none do.
pub fn decide(cache: &mut RelationsCache<'_>, requests: &[&Requirement]) -> Option<Vec<Candidate>> {
    let mut search = Search::new(cache, requests);
    search.run().ok()?;
    let mut chosen: Vec<Candidate> = search.clauses.chosen().collect();
    chosen.sort_unstable();
    Some(chosen)
}

impl<'c, 'a> Search<'c, 'a> {
    /// Gathers the clauses of all that the requests can lead to.
    fn new(cache: &'c mut RelationsCache<'a>, requests: &[&Requirement]) -> Self {
        let universe = cache.universe();
        let granted = |candidate: Candidate, strength| cache.grants(universe.identity(candidate).name, strength);
        let all = universe.attractions().into_iter();
        let attractions: Vec<(bool, Attraction)> = all.map(|a| (granted(a.candidate, a.strength), a)).collect();
        let mut weak = vec![Vec::new(); universe.len()];
        let mut met = vec![false; universe.len()];
        let mut open: Vec<Candidate> = requests.iter().flat_map(|request| request.options.iter().copied()).collect();
        open.extend(attractions.iter().filter(|(granted, _)| *granted).map(|(_, attraction)| attraction.candidate));
        let mut found: Vec<(Candidate, Vec<Literal>)> = Vec::new();
        while let Some(candidate) = open.pop() {
            if std::mem::replace(&mut met[candidate.index()], true) {
                continue;
            }
            let relations = universe.relations(candidate);
            for exclusion in relations.exclusions {
                let clause = |other| (candidate, vec![Literal::not(candidate), Literal::not(other)]);
                found.extend(exclusion.against.into_iter().filter(|other| *other != candidate).map(clause));
            }
            for requirement in relations.requirements {
                let granted = granted(candidate, requirement.strength);
                if granted {
                    open.extend(&requirement.options);
                }
                if !requirement.is_necessary() {
                    weak[candidate.index()].push((granted, requirement));
                } else if !requirement.options.contains(&candidate) {
                    found.push((candidate, literals(Some(candidate), &requirement)));
                }
            }
        }
        // libsolv's rules stand by the package they are of, the last one first, and then by what is in them.
        found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.cmp(other)));
        found.dedup();
        let mut clauses = Clauses::new(universe.len());
        let mut choices = Vec::new();
        for (_, literals) in found {
            let has_choice = literals.iter().filter(|literal| literal.is_positive()).count() > 1;
            let clause = clauses.add(literals);
            choices.extend(has_choice.then_some(clause));
        }
        let requests = requests.iter().map(|request| clauses.add(literals(None, request))).collect();
        Self { cache, clauses, requests, choices, weak, attractions, branches: Vec::new() }
    }

    fn run(&mut self) -> Result<(), Contradiction> {
        self.clauses.settle()?;
        let mut exchanges = 0;
        loop {
            if self.decide_requests()? || self.decide_requirements()? || self.take_weak()? {
                continue;
            }
            if exchanges < EXCHANGES && self.exchange()? {
                exchanges += 1;
                continue;
            }
            return Ok(());
        }
    }

    /// Makes one choice for a request that has none. Says whether there was one.
    fn decide_requests(&mut self) -> Result<bool, Contradiction> {
        for at in 0..self.requests.len() {
            if let Some(options) = self.clauses.open(self.requests[at]) {
                self.choose(options)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes choices for requirements, round after round. Says whether some choice was taken back.
    fn decide_requirements(&mut self) -> Result<bool, Contradiction> {
        let (mut at, mut idle) = (0, 0);
        while idle < self.choices.len() {
            if at == self.choices.len() {
                at = 0;
            }
            if let Some(options) = self.clauses.open(self.choices[at]) {
                let before = self.clauses.level();
                self.choose(options)?;
                if self.clauses.level() <= before {
                    return Ok(true);
                }
                idle = 0;
            } else {
                idle += 1;
            }
            at += 1;
        }
        Ok(false)
    }

    /// Takes one of several.
    fn choose(&mut self, mut options: Vec<Candidate>) -> Result<(), Contradiction> {
        self.rank(&mut options, Purpose::Choose);
        let others = options.split_off(1);
        if !others.is_empty() {
            self.branches.push(Branch { level: self.clauses.level() + 1, taken: options[0], others });
        }
        self.take(options[0])
    }

    fn take(&mut self, candidate: Candidate) -> Result<(), Contradiction> {
        let outcome = self.clauses.assume(Literal::of(candidate));
        let level = self.clauses.level();
        self.branches.retain(|branch| branch.level <= level);
        outcome
    }

    fn rank(&mut self, options: &mut Vec<Candidate>, purpose: Purpose) {
        if options.len() < 2 {
            return;
        }
        let stays = |cache: &RelationsCache<'_>, option: &Candidate| cache.is_preferred(*option);
        if options.iter().any(|option| stays(self.cache, option)) {
            options.retain(|option| stays(self.cache, option));
        }
        let all = options.clone();
        let wanted = |candidate: Candidate| self.wanted(candidate);
        self.cache.universe().rank(options, purpose, &wanted);
        if options.is_empty() {
            *options = all;
        }
    }

    /// How much something chosen would like to have a candidate.
    fn wanted(&self, candidate: Candidate) -> Option<Strength> {
        let is_chosen = |other: Candidate| self.clauses.is_chosen(other);
        let by_others = self.clauses.chosen().flat_map(|owner| &self.weak[owner.index()]).filter(|(_, requirement)| {
            requirement.options.contains(&candidate) && requirement.given.iter().all(|given| is_chosen(*given))
        });
        let by_others = by_others.map(|(_, requirement)| requirement.strength);
        let own = self.attractions.iter().filter(|(_, a)| a.candidate == candidate && a.when.holds(&is_chosen));
        by_others.chain(own.map(|(_, attraction)| attraction.strength)).min()
    }

    /// The undecided options of a weak relation that counts and that nothing chosen satisfies.
    fn unmet(&self, granted: bool, requirement: &Requirement) -> Vec<Candidate> {
        let is_chosen = |candidate: &Candidate| self.clauses.is_chosen(*candidate);
        if !granted || !requirement.given.iter().all(is_chosen) || requirement.options.iter().any(is_chosen) {
            return Vec::new();
        }
        requirement.options.iter().copied().filter(|option| self.clauses.is_undecided(*option)).collect()
    }

    /// Takes what is recommended, and what asks to come along. Says whether anything was decided.
    fn take_weak(&mut self) -> Result<bool, Contradiction> {
        let mut recommended: Vec<Candidate> = Vec::new();
        for owner in self.clauses.chosen() {
            for (granted, requirement) in &self.weak[owner.index()] {
                let new = self.unmet(*granted, requirement).into_iter().filter(|option| !recommended.contains(option));
                let new: Vec<Candidate> = new.collect();
                recommended.extend(new);
            }
        }
        let is_chosen = |candidate: Candidate| self.clauses.is_chosen(candidate);
        let name = |candidate: Candidate| self.cache.universe().identity(candidate).name;
        let names: HashSet<&str> = self.clauses.chosen().map(name).collect();
        // What has come for one architecture does not for another one by itself.
        let attracted = self.attractions.iter().filter(|(granted, attraction)| {
            *granted
                && self.clauses.is_undecided(attraction.candidate)
                && !names.contains(name(attraction.candidate))
                && attraction.set_off.holds(&is_chosen)
        });
        let mut attracted: Vec<Candidate> = attracted.map(|(_, attraction)| attraction.candidate).collect();
        attracted.sort_unstable();
        attracted.dedup();
        if recommended.is_empty() && attracted.is_empty() {
            return Ok(false);
        }
        self.rank(&mut recommended, Purpose::Recommend);
        self.rank(&mut attracted, Purpose::Recommend);
        self.rank(&mut attracted, Purpose::Attract);
        for candidate in attracted {
            if self.clauses.is_undecided(candidate) {
                let before = self.clauses.level();
                self.take(candidate)?;
                if self.clauses.level() <= before {
                    return Ok(true);
                }
            }
        }
        let owners: Vec<Candidate> = self.clauses.chosen().collect();
        for owner in owners {
            for at in 0..self.weak[owner.index()].len() {
                let (granted, requirement) = &self.weak[owner.index()][at];
                let mut options = self.unmet(*granted, requirement);
                options.retain(|option| recommended.contains(option));
                if options.is_empty() {
                    continue;
                }
                let before = self.clauses.level();
                self.choose(options)?;
                if self.clauses.level() <= before {
                    return Ok(true);
                }
            }
        }
        Ok(true)
    }

    /// Where a better option of a choice has shown, goes back and takes that one at once. Says whether there was such a
    /// choice.
    fn exchange(&mut self) -> Result<bool, Contradiction> {
        let mut branches = self.branches.iter().enumerate();
        let Some((at, other)) = branches.find_map(|(at, branch)| Some((at, self.better(branch)?))) else {
            return Ok(false);
        };
        self.branches.truncate(at + 1);
        let branch = &mut self.branches[at];
        branch.others.retain(|option| *option != other);
        branch.taken = other;
        self.clauses.back_to(branch.level - 1);
        self.take(other)?;
        Ok(true)
    }

    /// Another option of a choice: one that is chosen as well, so that the one taken may turn out needless; else one that
    /// something chosen would like to have, even where that rules it out, if nothing would like to have the one taken.
    fn better(&self, branch: &Branch) -> Option<Candidate> {
        let is_liked = |option: Candidate| self.wanted(option) == Some(Strength::Recommended);
        let mut others = branch.others.iter().copied();
        others.clone().find(|other| self.clauses.is_chosen(*other)).or_else(|| {
            let liked = others.find(|other| is_liked(*other));
            liked.filter(|_| !is_liked(branch.taken))
        })
    }
}

/// A requirement as a clause.
fn literals(owner: Option<Candidate>, requirement: &Requirement) -> Vec<Literal> {
    let needs = owner.iter().chain(&requirement.given).copied().map(Literal::not);
    let mut options = requirement.options.clone();
    options.sort_unstable();
    needs.chain(options.into_iter().map(Literal::of)).collect()
}
