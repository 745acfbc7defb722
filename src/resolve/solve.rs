//! The complete search, for what the walk cannot find: the universe as a problem for the `resolvo` solver.
//!
//! Each candidate is a package of its own to the solver. A requirement is the union of its options in order of
//! preference, those that the walk chose first; an exclusion forbids each candidate it is against.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::rc::Rc;

use indexmap::IndexSet;
use resolvo::conflict::{ConflictCause, ConflictEdge, ConflictGraph, ConflictNode};
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, LogicalOperator, NameId, Problem, Requirement as Need,
    SolvableId, Solver, SolverCache, StringId, UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::facts::{Fact, Facts};
use crate::package::universe::{Candidate, Relations, Requirement, Strength};

/// Gives the necessary relations of a candidate.
pub(super) type RelationsOf<'a> = &'a dyn Fn(Candidate) -> Rc<Relations>;

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
struct Provider<'a> {
    relations: RelationsOf<'a>,
    /// What would best be part of the solution.
    wishes: HashSet<Candidate>,
    /// The candidates met, in the order of the solver's numbers for them.
    met: RefCell<IndexSet<Candidate>>,
    sets: RefCell<Vec<(Set, Said)>>,
    /// The options of requirements that have several, in the order to try them.
    unions: RefCell<Vec<(Vec<VersionSetId>, Requirement)>>,
    known: RefCell<HashMap<(Set, Said), VersionSetId>>,
    /// On what requirements depend.
    conditions: RefCell<Vec<Condition>>,
}

/// A relation in words: verb and text.
type Said = (&'static str, String);

/// The name that nothing has. A candidate's name has the number after the candidate's.
const NOTHING: u32 = 0;

impl Provider<'_> {
    fn solvable(&self, candidate: Candidate) -> SolvableId {
        SolvableId::from_raw(self.met.borrow_mut().insert_full(candidate).0 as u32)
    }

    fn candidate(&self, solvable: SolvableId) -> Candidate {
        self.met.borrow()[solvable.into_raw() as usize]
    }

    /// The requirement behind a need.
    fn requirement(&self, need: Need) -> Requirement {
        let set = match need {
            Need::Single(set) => set,
            Need::Union(union) => return self.unions.borrow()[union.0 as usize].1.clone(),
        };
        let (set, (verb, text)) = self.sets.borrow()[set.0 as usize].clone();
        let options = match set {
            Set::Only(candidate) => vec![candidate],
            Set::AllBut(_) | Set::Nothing => Vec::new(),
        };
        Requirement { verb, text, strength: Strength::Needed, options, given: Vec::new() }
    }

    /// What an exclusion says.
    fn said(&self, set: VersionSetId) -> Said {
        self.sets.borrow()[set.0 as usize].1.clone()
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
            [] if requirement.given.is_empty() => self.set(Set::Nothing, &said).into(),
            [only] if requirement.given.is_empty() => self.set(Set::Only(*only), &said).into(),
            options => {
                let (wished, others): (Vec<Candidate>, Vec<Candidate>) =
                    options.iter().partition(|option| self.wishes.contains(option));
                let options = wished.into_iter().chain(others);
                let mut sets: Vec<VersionSetId> = options.map(|option| self.set(Set::Only(option), &said)).collect();
                if sets.is_empty() {
                    sets.push(self.set(Set::Nothing, &said));
                }
                let mut unions = self.unions.borrow_mut();
                unions.push((sets, requirement.clone()));
                VersionSetUnionId(unions.len() as u32 - 1).into()
            }
        }
    }

    /// The need, where it counts.
    fn conditional(&self, requirement: &Requirement) -> ConditionalRequirement {
        let mut condition = None;
        for given in &requirement.given {
            let said = (requirement.verb, requirement.text.clone());
            let one = self.condition(Condition::Requirement(self.set(Set::Only(*given), &said)));
            condition = Some(match condition {
                None => one,
                Some(others) => self.condition(Condition::Binary(LogicalOperator::And, others, one)),
            });
        }
        ConditionalRequirement { condition, requirement: self.need(requirement) }
    }

    fn condition(&self, condition: Condition) -> ConditionId {
        let mut conditions = self.conditions.borrow_mut();
        conditions.push(condition);
        ConditionId::new(conditions.len() as u32 - 1)
    }
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.candidate(solvable).0
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        name.into_raw()
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        self.said(set).1
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        match self.sets.borrow()[set.0 as usize].0 {
            Set::Only(candidate) | Set::AllBut(candidate) => self.solvable_name(self.solvable(candidate)),
            Set::Nothing => NameId::from_raw(NOTHING),
        }
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(solvable.into_raw() + 1)
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[union.0 as usize].0.clone().into_iter()
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        self.conditions.borrow()[condition.as_u32() as usize].clone()
    }
}

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let matches = matches!(self.sets.borrow()[set.0 as usize].0, Set::Only(_));
        if matches == inverse { Vec::new() } else { candidates.to_vec() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let own = || vec![SolvableId::from_raw(name.into_raw() - 1)];
        let candidates = if name.into_raw() == NOTHING { Vec::new() } else { own() };
        Some(Candidates {
            candidates,
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {}

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let relations = (self.relations)(self.candidate(solvable));
        let necessary = relations.requirements.iter().filter(|r| r.is_necessary());
        let excluded = relations.exclusions.iter().flat_map(|exclusion| {
            let said = (exclusion.verb, exclusion.text.clone());
            exclusion.against.iter().map(move |other| self.set(Set::AllBut(*other), &said))
        });
        Dependencies::Known(KnownDependencies {
            requirements: necessary.map(|r| self.conditional(r)).collect(),
            constrains: excluded.collect(),
        })
    }
}

/// Finds candidates that satisfy `requests` together, or the facts that prove that there are none.
/// `wishes` are taken too where they can be, and before other candidates that would do.
pub(super) fn solve(
    relations: RelationsOf<'_>,
    requests: &[&Requirement],
    wishes: &[Candidate],
) -> Result<Vec<Candidate>, Facts> {
    let provider = Provider {
        relations,
        wishes: wishes.iter().copied().collect(),
        met: RefCell::default(),
        sets: RefCell::default(),
        unions: RefCell::default(),
        known: RefCell::default(),
        conditions: RefCell::default(),
    };
    let requirements = requests.iter().map(|request| provider.conditional(request)).collect();
    let wishes: Vec<SolvableId> = wishes.iter().map(|wish| provider.solvable(*wish)).collect();
    let mut solver = Solver::new(provider);
    match solver.solve(Problem::new().requirements(requirements).soft_requirements(wishes)) {
        Ok(solution) => {
            let mut chosen: Vec<Candidate> = solution.into_iter().map(|s| solver.provider().candidate(s)).collect();
            chosen.sort_unstable();
            Ok(chosen)
        }
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
            let involved = involved(&conflict.graph(&solver), solver.provider());
            Err(Facts::collect(requests, relations, &|fact| involved.contains(fact)))
        }
        Err(UnsolvableOrCancelled::Cancelled(_)) => unreachable!("nothing cancels the solver"),
    }
}

/// The facts that the solver's proof rests on.
fn involved(graph: &ConflictGraph<SolvableId>, provider: &Provider<'_>) -> HashSet<Fact> {
    let candidate = |node: usize| match graph.graph.raw_nodes()[node].weight {
        ConflictNode::Solvable(solvable) => Some(provider.candidate(solvable)),
        _ => None,
    };
    let mut facts = HashSet::new();
    for edge in graph.graph.raw_edges() {
        let owner = candidate(edge.source().index());
        match edge.weight {
            ConflictEdge::Requires(need) => {
                facts.insert(Fact::Need { owner, requirement: provider.requirement(need) });
            }
            ConflictEdge::Conflict(ConflictCause::Constrains(set)) => {
                if let (Some(owner), Some(other)) = (owner, candidate(edge.target().index())) {
                    facts.insert(Fact::Exclusion { owner, said: provider.said(set), other });
                }
            }
            ConflictEdge::Conflict(_) => {}
        }
    }
    facts
}
