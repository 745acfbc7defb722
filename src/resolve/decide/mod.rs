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
    /// What was taken, each in its turn.
    taken: Vec<Candidate>,
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
        let mut found: Vec<Vec<Literal>> = Vec::new();
        while let Some(candidate) = open.pop() {
            if std::mem::replace(&mut met[candidate.index()], true) {
                continue;
            }
            let relations = universe.relations(candidate);
            for exclusion in relations.exclusions {
                let clause = |other| vec![Literal::not(candidate.max(other)), Literal::not(candidate.min(other))];
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
                    found.push(literals(Some(candidate), &requirement));
                }
            }
        }
        // The order of libsolv's rules is that of what is in them.
        found.sort_unstable();
        found.dedup();
        let mut clauses = Clauses::new(universe.len());
        let mut choices = Vec::new();
        for literals in found {
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

    /// Makes choices for requirements, round after round: where one option is better than all others at once, and what else there is
    /// only when nothing of that kind is open, beginning with what was open first. Says whether some choice from before was taken back.
    fn decide_requirements(&mut self) -> Result<bool, Contradiction> {
        let before = self.clauses.level();
        let (mut at, mut idle, mut postponed, mut takes_all) = (0, 0, None, false);
        loop {
            if idle >= self.choices.len() {
                match postponed.take() {
                    Some(first) if !takes_all => (at, idle, takes_all) = (first, 0, true),
                    _ => return Ok(false),
                }
            }
            if at >= self.choices.len() {
                at = 0;
            }
            if let Some(mut options) = self.clauses.open(self.choices[at]) {
                self.rank(&mut options, Purpose::Choose);
                if takes_all || options.len() == 1 {
                    self.choose(options)?;
                    if self.clauses.level() < before {
                        return Ok(true);
                    }
                    idle = 0;
                    at += 1;
                    continue;
                }
                postponed.get_or_insert(at);
            }
            idle += 1;
            at += 1;
        }
    }

    /// Takes one of several.
    fn choose(&mut self, mut options: Vec<Candidate>) -> Result<(), Contradiction> {
        self.rank(&mut options, Purpose::Choose);
        let others = options.split_off(1);
        if !others.is_empty() {
            self.branches.push(Branch { level: self.clauses.level() + 1, taken: vec![options[0]], others });
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

    /// The undecided options of the parts of a weak relation that count and that nothing chosen satisfies, sorted.
    fn unmet(&self, parts: &[(bool, Requirement)]) -> Vec<Candidate> {
        let is_chosen = |candidate: &Candidate| self.clauses.is_chosen(*candidate);
        let is_unmet = |(granted, part): &&(bool, Requirement)| {
            *granted && part.given.iter().all(is_chosen) && !part.options.iter().any(is_chosen)
        };
        let options = parts.iter().filter(is_unmet).flat_map(|(_, part)| part.options.iter().copied());
        let mut options: Vec<Candidate> = options.filter(|option| self.clauses.is_undecided(*option)).collect();
        options.sort_unstable();
        options.dedup();
        options
    }

    /// Takes what is recommended, and what asks to come along. Says whether anything was decided.
    fn take_weak(&mut self) -> Result<bool, Contradiction> {
        let owners: Vec<Candidate> = self.clauses.chosen().collect();
        let mut weak: Vec<Candidate> = owners.iter().flat_map(|owner| self.unmet(&self.weak[owner.index()])).collect();
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
        weak.extend(&attracted);
        weak.sort_unstable();
        weak.dedup();
        if weak.is_empty() {
            return Ok(false);
        }
        self.rank(&mut weak, Purpose::Recommend);
        attracted.retain(|candidate| weak.contains(candidate));
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
        for owner in owners {
            let mut at = 0;
            while let Some((_, first)) = self.weak[owner.index()].get(at) {
                // One choice for all of a rich relation.
                let rest = self.weak[owner.index()][at..].iter();
                let end = at + rest.take_while(|(_, part)| part.text == first.text).count();
                let mut options = self.unmet(&self.weak[owner.index()][at..end]);
                at = end;
                options.retain(|option| weak.contains(option));
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
        branch.taken.push(other);
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
            let is_there = |taken: &Candidate| self.clauses.level_of(*taken) == Some(branch.level);
            liked.filter(|_| branch.taken.iter().any(|taken| is_there(taken) && !is_liked(*taken)))
        })
    }
}

/// A requirement as a clause.
fn literals(owner: Option<Candidate>, requirement: &Requirement) -> Vec<Literal> {
    let needs = owner.iter().chain(&requirement.given).copied().map(Literal::not);
    let mut literals: Vec<Literal> = needs.chain(requirement.options.iter().copied().map(Literal::of)).collect();
    literals.sort_unstable();
    literals.dedup();
    literals
}
