//! apt's own way of choosing: a walk from what is asked for through the relations, depth first, that takes the first
//! candidate that can be had for each requirement and never takes a choice back.
//!
//! These are the rules of apt's `pkgDepCache::MarkInstall` (apt-pkg/depcache.cc) for a root in which nothing is installed.
//! What the walk leaves in conflict is dropped as apt's problem resolver drops it. That can end in a state that is not
//! consistent; [`is_consistent`] tells, and then the solver has to decide.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::score::scores;
use crate::lock;
use crate::package::universe::{Candidate, Relations, Requirement, Strength, Universe};

/// Which wishes of packages are granted.
#[derive(Clone, Default, Debug)]
pub struct Granted<'a> {
    /// Recommendations of all packages but those under `of`.
    pub recommends: bool,
    /// Suggestions likewise.
    pub suggests: bool,
    /// For some packages by name, their recommendations and suggestions.
    pub of: BTreeMap<&'a str, (Option<bool>, Option<bool>)>,
}

impl<'a> Granted<'a> {
    /// Takes up what is said of a package; what was said of it before stays where this says nothing.
    pub fn say(&mut self, name: &'a str, (recommends, suggests): (Option<bool>, Option<bool>)) {
        let said = self.of.entry(name).or_default();
        *said = (recommends.or(said.0), suggests.or(said.1));
    }

    fn grants(&self, name: &str, strength: Strength) -> bool {
        let (recommends, suggests) = self.of.get(name).copied().unwrap_or_default();
        match strength {
            Strength::Needed => true,
            Strength::Recommended => recommends.unwrap_or(self.recommends),
            Strength::Suggested => suggests.unwrap_or(self.suggests),
        }
    }
}

/// How often apt's problem resolver goes over all packages (`pkgProblemResolver::MaxCounter`).
const ROUNDS: usize = 20;

/// Relations of candidates, worked out once each.
pub struct RelationsCache<'a> {
    universe: &'a dyn Universe,
    known: Vec<Option<Rc<Relations>>>,
    granted: Granted<'a>,
    preferred: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> RelationsCache<'a> {
    /// An empty cache; wishes that are not granted are left out.
    pub fn new(universe: &'a dyn Universe, granted: Granted<'a>) -> Self {
        Self { universe, known: vec![None; universe.len()], granted, preferred: BTreeSet::new() }
    }

    /// Puts the candidates that have name and architecture of these packages first among all options, as apt does with
    /// what is installed.
    pub fn prefer(&mut self, packages: &[&'a lock::Package]) {
        self.preferred =
            packages.iter().map(|package| (package.name.as_str(), package.architecture.as_str())).collect();
    }

    /// Whether a candidate is to stay as it is.
    pub fn is_preferred(&self, candidate: Candidate) -> bool {
        let identity = self.universe.identity(candidate);
        self.preferred.contains(&(identity.name, identity.architecture))
    }

    /// Whether wishes of a package are granted.
    pub fn grants(&self, name: &str, strength: Strength) -> bool {
        self.granted.grants(name, strength)
    }

    /// Whose relations they are.
    pub fn universe(&self) -> &'a dyn Universe {
        self.universe
    }

    /// A candidate's relations.
    pub fn get(&mut self, candidate: Candidate) -> Rc<Relations> {
        let slot = &mut self.known[candidate.index()];
        if slot.is_none() {
            let mut relations = self.universe.relations(candidate);
            let name = self.universe.identity(candidate).name;
            relations.requirements.retain(|r| self.granted.grants(name, r.strength));
            if !self.preferred.is_empty() {
                for requirement in &mut relations.requirements {
                    requirement.options.sort_by_key(|option| {
                        let identity = self.universe.identity(*option);
                        !self.preferred.contains(&(identity.name, identity.architecture))
                    });
                }
            }
            *slot = Some(Rc::new(relations));
        }
        slot.clone().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Default)]
struct State {
    chosen: bool,
    /// Ruled out for good.
    refused: bool,
    /// Asked for by the user, or the only way to have what is: neither dropped nor taken against its state.
    protected: bool,
}

struct Walk<'c, 'a> {
    cache: &'c mut RelationsCache<'a>,
    states: Vec<State>,
}

/// Walks from `roots`, among `allowed` alone if given. Gives the chosen candidates, sorted.
pub fn walk(cache: &mut RelationsCache<'_>, roots: &[Candidate], allowed: Option<&[Candidate]>) -> Vec<Candidate> {
    let mut states = vec![State::default(); cache.universe.len()];
    if let Some(allowed) = allowed {
        for state in &mut states {
            state.refused = true;
        }
        for candidate in allowed {
            states[candidate.index()].refused = false;
        }
    }
    let mut walk = Walk { cache, states };
    for root in roots {
        let state = &mut walk.states[root.index()];
        (state.chosen, state.protected) = (true, true);
    }
    for root in roots {
        walk.choose(*root);
    }
    walk.settle(roots);
    walk.needed(roots)
}

impl Walk<'_, '_> {
    /// Takes a candidate with all it needs, if that can be; otherwise refuses it.
    fn choose(&mut self, candidate: Candidate) -> bool {
        let State { chosen, refused, protected } = self.states[candidate.index()];
        if refused || protected && !chosen {
            return false;
        }
        let relations = self.cache.get(candidate);
        if chosen && !protected && !self.is_broken(&relations) {
            return true;
        }
        let hopeless = |r: &Requirement| r.is_necessary() && !r.options.iter().any(|o| !self.states[o.index()].refused);
        if relations.requirements.iter().any(hopeless) {
            self.states[candidate.index()].refused |= !protected;
            return false;
        }
        let open: Vec<usize> = (0..relations.requirements.len())
            .filter(|&at| protected || !self.is_met(&relations.requirements[at]))
            .collect();
        if !self.rule_out(&relations, protected) && !protected {
            return false;
        }
        self.states[candidate.index()].chosen = true;
        self.states[candidate.index()].protected = true;
        let complete = self.meet(&relations, &open, protected);
        self.states[candidate.index()].protected = protected;
        if !complete && !protected {
            let state = &mut self.states[candidate.index()];
            (state.chosen, state.refused) = (false, true);
        }
        complete
    }

    fn is_met(&self, requirement: &Requirement) -> bool {
        requirement.options.iter().any(|option| self.states[option.index()].chosen)
    }

    fn is_broken(&self, relations: &Relations) -> bool {
        relations.requirements.iter().any(|r| r.is_necessary() && !self.is_met(r))
            || relations.exclusions.iter().flat_map(|e| &e.against).any(|other| self.states[other.index()].chosen)
    }

    /// Drops what a candidate excludes, relation by relation. What is protected stays, and then the candidate cannot be had:
    /// apt looks at that first (`CompareProviders`), so nothing else of the relation is dropped in vain.
    fn rule_out(&mut self, relations: &Relations, protected: bool) -> bool {
        let mut all = true;
        for exclusion in &relations.exclusions {
            let stays = |state: &State| state.chosen && state.protected;
            if exclusion.against.iter().any(|other| stays(&self.states[other.index()])) {
                all = false;
                if !protected {
                    break;
                }
            }
            for other in &exclusion.against {
                let state = &mut self.states[other.index()];
                if !stays(state) {
                    state.chosen = false;
                    if protected {
                        (state.refused, state.protected) = (true, true);
                    }
                }
            }
        }
        all
    }

    /// Meets the open requirements of a candidate, in order.
    fn meet(&mut self, relations: &Relations, open: &[usize], protected: bool) -> bool {
        let mut all = true;
        for requirement in open.iter().map(|at| &relations.requirements[*at]) {
            let possible: Vec<Candidate> =
                requirement.options.iter().copied().filter(|o| !self.states[o.index()].refused).collect();
            let only = requirement.is_necessary() && possible.len() == 1;
            if self.is_met(requirement) {
                if protected && only && !self.states[possible[0].index()].protected {
                    self.states[possible[0].index()].protected = true;
                    all &= self.choose(possible[0]);
                }
                continue;
            }
            let met = possible.into_iter().any(|option| {
                if protected && only {
                    let state = &mut self.states[option.index()];
                    (state.chosen, state.protected) = (true, true);
                }
                self.choose(option)
            });
            if !met && requirement.is_necessary() {
                all = false;
                if !protected {
                    break;
                }
            }
        }
        all
    }

    fn chosen(&self) -> Vec<Candidate> {
        let chosen = (0u32..).zip(&self.states).filter(|(_, state)| state.chosen);
        chosen.map(|(number, _)| Candidate(number)).collect()
    }

    /// Drops candidates until no chosen one that may be dropped is broken, beginning with the worthiest
    /// (`pkgProblemResolver::ResolveInternal` in apt-pkg/algorithms.cc).
    fn settle(&mut self, roots: &[Candidate]) {
        let mut chosen = self.chosen();
        let broken = |candidate: &Candidate| {
            let relations = self.cache.get(*candidate);
            self.is_broken(&relations)
        };
        if !chosen.iter().any(broken) {
            return;
        }
        let scores = scores(self.cache, roots, &chosen);
        chosen.sort_by_key(|candidate| (Reverse(scores[candidate]), *candidate));
        for _ in 0..ROUNDS {
            let mut changed = false;
            for candidate in &chosen {
                changed |= self.settle_one(*candidate, &scores);
            }
            if !changed {
                break;
            }
        }
    }

    /// Drops a broken candidate for what it misses; else what it excludes and is worth less, or itself for what is not.
    fn settle_one(&mut self, candidate: Candidate, scores: &HashMap<Candidate, i32>) -> bool {
        let State { chosen, protected, .. } = self.states[candidate.index()];
        let relations = self.cache.get(candidate);
        if !chosen || !self.is_broken(&relations) {
            return false;
        }
        let excluded = relations.exclusions.iter().flat_map(|exclusion| &exclusion.against).copied();
        let excluded: Vec<Candidate> = excluded.filter(|other| self.states[other.index()].chosen).collect();
        let misses = relations.requirements.iter().any(|r| r.is_necessary() && !self.is_met(r));
        if !protected && (misses || excluded.iter().any(|other| scores[&candidate] <= scores[other])) {
            self.states[candidate.index()].chosen = false;
            return true;
        }
        let losing: Vec<Candidate> = excluded
            .into_iter()
            .filter(|other| scores[&candidate] > scores[other] && !self.states[other.index()].protected)
            .collect();
        for other in &losing {
            self.states[other.index()].chosen = false;
        }
        !losing.is_empty()
    }

    /// The chosen candidates that something chosen has a use for, beginning with the roots: what a choice that failed
    /// has left behind is dropped, as apt drops it (`MarkRequired` in its depcache.cc). What is essential, or at least
    /// recommended or suggested by something that stays, is not.
    fn needed(&mut self, roots: &[Candidate]) -> Vec<Candidate> {
        let mut needed = self.reachable(roots, false);
        let chosen = self.chosen();
        if needed.len() < chosen.len() {
            let essential = chosen.iter().filter(|candidate| self.cache.universe.is_essential(**candidate));
            let roots: Vec<Candidate> = roots.iter().chain(essential).copied().collect();
            needed = self.reachable(&roots, true);
        }
        needed.sort_unstable();
        needed
    }

    /// The chosen candidates that requirements lead to, and weak relations too if wanted.
    fn reachable(&mut self, roots: &[Candidate], weakly: bool) -> Vec<Candidate> {
        let mut seen = vec![false; self.states.len()];
        let mut next: Vec<Candidate> = roots.to_vec();
        let mut reached = Vec::new();
        while let Some(candidate) = next.pop() {
            if std::mem::replace(&mut seen[candidate.index()], true) || !self.states[candidate.index()].chosen {
                continue;
            }
            reached.push(candidate);
            next.extend(self.cache.get(candidate).requirements.iter().flat_map(|r| r.options.iter().copied()));
            if weakly {
                next.extend(self.cache.universe.weakly_related(candidate));
            }
        }
        reached
    }
}

/// Whether a set of candidates has all that its members need and nothing that they exclude.
pub fn is_consistent(cache: &mut RelationsCache<'_>, roots: &[Candidate], chosen: &[Candidate]) -> bool {
    let has = |candidate: &Candidate| chosen.binary_search(candidate).is_ok();
    roots.iter().all(has)
        && chosen.iter().all(|candidate| {
            let relations = cache.get(*candidate);
            relations.requirements.iter().all(|r| !r.is_necessary() || r.options.iter().any(has))
                && !relations.exclusions.iter().flat_map(|e| &e.against).any(has)
        })
}
