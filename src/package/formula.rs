//! Conditions on which candidates are chosen, and the same as clauses.

use super::universe::Candidate;

/// How many clauses a condition may become.
const CLAUSES: usize = 4096;

/// A condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Formula {
    /// One of these is chosen.
    Any(Vec<Candidate>),
    /// All of these hold.
    All(Vec<Formula>),
    /// One of these holds.
    Either(Vec<Formula>),
    /// It does not hold.
    Not(Box<Formula>),
}

/// Where all of `given` are chosen, one of `options` has to be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Clause {
    /// On what it depends; sorted.
    pub given: Vec<Candidate>,
    /// What will do; sorted.
    pub options: Vec<Candidate>,
}

impl Formula {
    /// Whether it holds for a choice.
    pub fn holds(&self, chosen: &dyn Fn(Candidate) -> bool) -> bool {
        match self {
            Self::Any(candidates) => candidates.iter().any(|candidate| chosen(*candidate)),
            Self::All(parts) => parts.iter().all(|part| part.holds(chosen)),
            Self::Either(parts) => parts.iter().any(|part| part.holds(chosen)),
            Self::Not(part) => !part.holds(chosen),
        }
    }

    /// The candidates that it speaks of and that make it hold.
    pub fn candidates(&self) -> Vec<Candidate> {
        match self {
            Self::Any(candidates) => candidates.clone(),
            Self::All(parts) | Self::Either(parts) => parts.iter().flat_map(Self::candidates).collect(),
            Self::Not(_) => Vec::new(),
        }
    }

    /// Clauses that hold together where it does; none for a condition that would be more than some thousand clauses.
    pub fn clauses(&self) -> Option<Vec<Clause>> {
        self.normal(true)
    }

    fn normal(&self, holds: bool) -> Option<Vec<Clause>> {
        match (self, holds) {
            (Self::Any(candidates), true) => {
                let mut options = candidates.clone();
                options.sort_unstable();
                options.dedup();
                Some(vec![Clause { given: Vec::new(), options }])
            }
            (Self::Any(candidates), false) => {
                let clause = |candidate: &Candidate| Clause { given: vec![*candidate], options: Vec::new() };
                Some(candidates.iter().map(clause).collect())
            }
            (Self::Not(part), _) => part.normal(!holds),
            (Self::All(parts), true) | (Self::Either(parts), false) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.normal(holds)?);
                }
                // What never holds is that alone: within another condition, its other parts are to attract nothing.
                if all.iter().any(Clause::is_never) {
                    all = vec![Clause::default()];
                }
                (all.len() <= CLAUSES).then_some(all)
            }
            (Self::All(parts), false) | (Self::Either(parts), true) => {
                let mut all = vec![Clause::default()];
                for part in parts {
                    let more = part.normal(holds)?;
                    if all.len() * more.len() > CLAUSES {
                        return None;
                    }
                    let joined = all.iter().flat_map(|one| more.iter().filter_map(|other| one.or(other)));
                    all = joined.collect();
                }
                Some(all)
            }
        }
    }
}

impl Clause {
    /// Whether nothing makes it hold.
    fn is_never(&self) -> bool {
        self.given.is_empty() && self.options.is_empty()
    }

    /// The clause that holds where either does; none where that is always.
    fn or(&self, other: &Self) -> Option<Self> {
        let union = |a: &[Candidate], b: &[Candidate]| {
            let mut union = [a, b].concat();
            union.sort_unstable();
            union.dedup();
            union
        };
        let clause = Self { given: union(&self.given, &other.given), options: union(&self.options, &other.options) };
        (!clause.given.iter().any(|given| clause.options.contains(given))).then_some(clause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(candidates: &[u32]) -> Formula {
        Formula::Any(candidates.iter().copied().map(Candidate).collect())
    }

    #[test]
    fn clauses_say_the_same() {
        let formulas = [
            Formula::Either(vec![any(&[0, 1]), Formula::Not(Box::new(any(&[2, 3])))]),
            Formula::All(vec![any(&[0]), Formula::Not(Box::new(Formula::All(vec![any(&[1]), any(&[2])])))]),
            Formula::Either(vec![Formula::All(vec![any(&[0]), any(&[1, 3])]), Formula::All(vec![any(&[2]), any(&[])])]),
            Formula::Either(vec![any(&[1]), Formula::Not(Box::new(any(&[1])))]),
        ];
        for formula in formulas {
            let clauses = formula.clauses().unwrap();
            for set in 0_u32..16 {
                let chosen = |candidate: Candidate| set >> candidate.0 & 1 == 1;
                let hold = clauses.iter().all(|clause| {
                    !clause.given.iter().all(|c| chosen(*c)) || clause.options.iter().any(|c| chosen(*c))
                });
                assert_eq!(hold, formula.holds(&chosen), "{formula:?} {set}");
            }
        }
        let never = Formula::All(vec![any(&[]), any(&[1])]);
        let clause = Clause { given: Vec::new(), options: vec![Candidate(2)] };
        assert_eq!(Formula::Either(vec![never, any(&[2])]).clauses(), Some(vec![clause]));
        let wide = Formula::Either((0..20).map(|n| Formula::All(vec![any(&[n]), any(&[n + 20])])).collect());
        assert_eq!(wide.clauses(), None);
    }
}
