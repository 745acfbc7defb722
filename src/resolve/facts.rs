//! What a proof rests on: requirements and exclusions that no choice of candidates fits all together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::solve::{RelationsOf, solve};
use crate::package::universe::{Candidate, Exclusion, Relations, Requirement};

/// One thing that the archives or the manifest say.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Fact {
    /// A candidate, or for `None` the root itself, needs something.
    Need {
        /// Who needs it.
        owner: Option<Candidate>,
        /// What it needs.
        requirement: Requirement,
    },
    /// A candidate cannot be chosen together with another.
    Exclusion {
        /// Whose relation it is.
        owner: Candidate,
        /// The relation's verb and text.
        said: (&'static str, String),
        /// Who is ruled out.
        other: Candidate,
    },
}

impl Fact {
    fn owner(&self) -> Option<Candidate> {
        match self {
            Self::Need { owner, .. } => *owner,
            Self::Exclusion { owner, .. } => Some(*owner),
        }
    }
}

/// Facts, those nearest to the root first.
#[derive(Clone, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    /// The facts that count, of all that can be reached from the requests through such facts.
    pub(super) fn collect(
        requests: &[&Requirement],
        relations: RelationsOf<'_>,
        counts: &dyn Fn(&Fact) -> bool,
    ) -> Self {
        let mut facts = Vec::new();
        let mut known = BTreeSet::new();
        let mut next = VecDeque::from([None]);
        while let Some(owner) = next.pop_front() {
            let all = match owner {
                None => requests.iter().map(|request| Fact::Need { owner, requirement: (*request).clone() }).collect(),
                Some(owner) => facts_of(owner, &relations(owner)),
            };
            for fact in all.into_iter().filter(counts) {
                if let Fact::Need { requirement, .. } = &fact {
                    next.extend(requirement.options.iter().filter(|o| known.insert(**o)).map(|o| Some(*o)));
                }
                facts.push(fact);
            }
        }
        Self(facts)
    }

    /// As many as are left when none can be dropped: without any one of them, something could be chosen. Those farthest
    /// from the root are dropped first.
    pub(super) fn irreducible(mut self) -> Self {
        let mut needed = 0;
        while needed < self.0.len() {
            let mut fewer = self.clone();
            fewer.0.remove(self.0.len() - 1 - needed);
            match fewer.contradiction() {
                // What is needed in all facts is needed in fewer, and there it stands last as well.
                Some(left) => self = left,
                None => needed += 1,
            }
        }
        self
    }

    /// Those of the facts that no choice fits all together; `None` when there is a choice.
    fn contradiction(&self) -> Option<Self> {
        let mut requests = Vec::new();
        let mut relations: BTreeMap<Candidate, Relations> = BTreeMap::new();
        for fact in &self.0 {
            match fact {
                Fact::Need { owner: None, requirement } => requests.push(requirement),
                Fact::Need { owner: Some(owner), requirement } => {
                    relations.entry(*owner).or_default().requirements.push(requirement.clone());
                }
                Fact::Exclusion { owner, said: (verb, text), other } => {
                    let exclusion = Exclusion { verb, text: text.clone(), against: vec![*other] };
                    relations.entry(*owner).or_default().exclusions.push(exclusion);
                }
            }
        }
        let relations: BTreeMap<Candidate, Rc<Relations>> =
            relations.into_iter().map(|(owner, relations)| (owner, Rc::new(relations))).collect();
        let none = Rc::new(Relations::default());
        let of = |candidate| Rc::clone(relations.get(&candidate).unwrap_or(&none));
        let left = solve(&of, &requests, &[]).err()?;
        let mut facts = self.clone();
        facts.0.retain(|fact| left.0.contains(fact));
        Some(facts)
    }

    /// Adds facts that are not among these.
    pub(super) fn extend(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            if !self.0.contains(&fact) {
                self.0.push(fact);
            }
        }
    }

    /// All but one.
    pub(super) fn without(mut self, fact: &Fact) -> Self {
        self.0.retain(|other| other != fact);
        self
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }

    /// Those that a candidate states, or for `None` the root.
    pub(super) fn of(&self, owner: Option<Candidate>) -> impl Iterator<Item = &Fact> {
        self.0.iter().filter(move |fact| fact.owner() == owner)
    }

    /// The candidates that they name as a way to meet a requirement, those nearest to the root first.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for fact in &self.0 {
            if let Fact::Need { requirement, .. } = fact {
                let new = requirement.options.iter().filter(|option| !candidates.contains(option));
                let new: Vec<Candidate> = new.copied().collect();
                candidates.extend(new);
            }
        }
        candidates
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn facts_of(owner: Candidate, relations: &Relations) -> Vec<Fact> {
    let needs = relations.requirements.iter().filter(|requirement| requirement.is_necessary());
    let needs = needs.map(|requirement| Fact::Need { owner: Some(owner), requirement: requirement.clone() });
    let exclusions = relations.exclusions.iter().flat_map(|exclusion| {
        let said = (exclusion.verb, exclusion.text.clone());
        exclusion.against.iter().map(move |other| Fact::Exclusion { owner, said: said.clone(), other: *other })
    });
    exclusions.chain(needs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::universe::Strength;
    use crate::resolve::numbers::Numbers;

    fn requirement(text: String, options: Vec<Candidate>) -> Requirement {
        Requirement { verb: "depends on", text, strength: Strength::Needed, options, given: Vec::new() }
    }

    fn random_relations(numbers: &mut Numbers, count: u64) -> Vec<Rc<Relations>> {
        let relations = (0..count).map(|owner| {
            let mut relations = Relations::default();
            for at in 0..numbers.below(3) {
                let options = numbers.candidates(count, 3);
                relations.requirements.push(requirement(format!("{at}"), options));
            }
            let mut against = numbers.candidates(count, 1);
            against.retain(|other| u64::from(other.0) != owner);
            relations.exclusions.push(Exclusion { verb: "conflicts with", text: "x".to_owned(), against });
            Rc::new(relations)
        });
        relations.collect()
    }

    /// Whether some set of candidates fits all facts, by trying every set.
    fn some_set_fits(facts: &Facts, count: u32) -> bool {
        (0_u32..1 << count).any(|set| {
            let has = |candidate: &Candidate| set >> candidate.0 & 1 == 1;
            facts.0.iter().all(|fact| match fact {
                Fact::Need { owner, requirement } => {
                    owner.is_some_and(|owner| !has(&owner)) || requirement.options.iter().any(has)
                }
                Fact::Exclusion { owner, other, .. } => !(has(owner) && has(other)),
            })
        })
    }

    #[test]
    fn what_is_left_is_a_proof_and_without_any_fact_none() {
        let mut numbers = Numbers::new();
        let mut proofs = 0;
        for _ in 0..500 {
            let relations = random_relations(&mut numbers, 8);
            let of = |candidate: Candidate| Rc::clone(&relations[candidate.index()]);
            let request = requirement("request".to_owned(), vec![Candidate(0)]);
            let all = Facts::collect(&[&request], &of, &|_| true);
            let Err(facts) = solve(&of, &[&request], &[]) else {
                assert!(some_set_fits(&all, 8));
                continue;
            };
            proofs += 1;
            assert!(!some_set_fits(&all, 8));
            let facts = facts.irreducible();
            assert!(!some_set_fits(&facts, 8));
            for fact in facts.iter() {
                assert!(all.0.contains(fact));
                assert!(some_set_fits(&facts.clone().without(fact), 8));
            }
        }
        assert!(proofs > 50, "{proofs}");
    }
}
