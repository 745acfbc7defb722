//! The complete search, for what the walk cannot find: the universe as a problem for the `resolvo` solver.
//!
//! Each candidate is a package of its own to the solver. A requirement is the union of its options in order of
//! preference, those that the walk chose first; an exclusion forbids each candidate it is against.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider, HintDependenciesAvailable, Interner,
    KnownDependencies, NameId, Problem, Requirement as Need, SolvableId, Solver, SolverCache, StringId,
    UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::explain::explain;
use super::walk::RelationsCache;
use crate::package::universe::{Candidate, Requirement, Universe};

/// What a relation means to the solver.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Set {
    /// One candidate.
    Only(Candidate),
    /// Everything but this one.
    AllBut(Candidate),
    /// Nothing: a requirement that no candidate satisfies.
    Nothing,
}

/// The tables behind the solver's numbers.
pub(super) struct Provider<'a> {
    universe: &'a dyn Universe,
    /// What would best be part of the solution.
    wishes: HashSet<Candidate>,
    relations: RefCell<RelationsCache<'a>>,
    sets: RefCell<Vec<(Set, Said)>>,
    unions: RefCell<Vec<(Vec<VersionSetId>, Said)>>,
    known: RefCell<HashMap<(Set, Said), VersionSetId>>,
}

/// A relation in words: verb and text.
pub(super) type Said = (&'static str, String);

impl<'a> Provider<'a> {
    pub(super) fn universe(&self) -> &'a dyn Universe {
        self.universe
    }

    /// What a requirement says.
    pub(super) fn said(&self, need: Need) -> Said {
        match need {
            Need::Single(set) => self.sets.borrow()[set.0 as usize].1.clone(),
            Need::Union(union) => self.unions.borrow()[union.0 as usize].1.clone(),
        }
    }

    fn set(&self, set: Set, said: &Said) -> VersionSetId {
        let key = (set, said.clone());
        *self.known.borrow_mut().entry(key.clone()).or_insert_with(|| {
            let mut sets = self.sets.borrow_mut();
            sets.push(key);
            VersionSetId(sets.len() as u32 - 1)
        })
    }

    fn need(&self, requirement: &Requirement) -> Need {
        let said = (requirement.verb, requirement.text.clone());
        match requirement.options.as_slice() {
            [] => self.set(Set::Nothing, &said).into(),
            [only] => self.set(Set::Only(*only), &said).into(),
            options => {
                let (wished, others): (Vec<Candidate>, Vec<Candidate>) =
                    options.iter().partition(|option| self.wishes.contains(option));
                let options = wished.into_iter().chain(others);
                let sets = options.map(|option| self.set(Set::Only(option), &said)).collect();
                let mut unions = self.unions.borrow_mut();
                unions.push((sets, said));
                VersionSetUnionId(unions.len() as u32 - 1).into()
            }
        }
    }
}

fn solvable(candidate: Candidate) -> SolvableId {
    SolvableId::from_raw(candidate.0)
}

/// The number after those of all candidates: the name that nothing has.
fn nothing(universe: &dyn Universe) -> NameId {
    NameId::from_raw(universe.len() as u32)
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.universe.identity(Candidate(solvable.into_raw()))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        let named = (name != nothing(self.universe)).then(|| Candidate(name.into_raw()));
        named.map_or("nothing", |candidate| self.universe.identity(candidate).name)
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        self.said(set.into()).1
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        match self.sets.borrow()[set.0 as usize].0 {
            Set::Only(candidate) | Set::AllBut(candidate) => NameId::from_raw(candidate.0),
            Set::Nothing => nothing(self.universe),
        }
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(solvable.into_raw())
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[union.0 as usize].0.clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no requirement here has a condition")
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let matches = matches!(self.sets.borrow()[set.0 as usize].0, Set::Only(_));
        if matches == inverse { Vec::new() } else { candidates.to_vec() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let candidates =
            if name == nothing(self.universe) { Vec::new() } else { vec![SolvableId::from_raw(name.into_raw())] };
        Some(Candidates {
            candidates,
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {}

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let relations = self.relations.borrow_mut().get(Candidate(solvable.into_raw()));
        let necessary = relations.requirements.iter().filter(|r| r.necessary);
        let excluded = relations.exclusions.iter().flat_map(|exclusion| {
            let said = (exclusion.verb, exclusion.text.clone());
            exclusion.against.iter().map(move |other| self.set(Set::AllBut(*other), &said))
        });
        Dependencies::Known(KnownDependencies {
            requirements: necessary.map(|r| self.need(r).into()).collect(),
            constrains: excluded.collect(),
        })
    }
}

/// Finds candidates that satisfy `requests` together, or the proof that there are none, in words.
/// `wishes` are taken too where they can be, and before other candidates that would do.
pub fn solve(
    universe: &dyn Universe,
    requests: &[&Requirement],
    wishes: &[Candidate],
) -> Result<Vec<Candidate>, String> {
    let provider = Provider {
        universe,
        wishes: wishes.iter().copied().collect(),
        relations: RefCell::new(RelationsCache::new(universe, false)),
        sets: RefCell::default(),
        unions: RefCell::default(),
        known: RefCell::default(),
    };
    let requirements = requests.iter().map(|request| provider.need(request).into()).collect();
    let mut solver = Solver::new(provider);
    let problem = Problem::new().requirements(requirements);
    match solver.solve(problem.soft_requirements(wishes.iter().copied().map(solvable))) {
        Ok(solution) => {
            let mut chosen: Vec<Candidate> = solution.into_iter().map(|s| Candidate(s.into_raw())).collect();
            chosen.sort_unstable();
            Ok(chosen)
        }
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => Err(explain(&conflict.graph(&solver), solver.provider())),
        Err(UnsolvableOrCancelled::Cancelled(_)) => unreachable!("nothing cancels the solver"),
    }
}
