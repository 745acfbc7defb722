//! Clauses over candidates, what follows from them, and what is learned from a contradiction: the well-known search by
//! unit propagation with two watched literals and learning at the first unique implication point.

use std::cmp::Ordering;

use crate::package::universe::Candidate;

/// That a candidate is chosen, or that it is not. The order is libsolv's: first who is not, the last candidate first, then who
/// is, the first one first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Literal(u32);

impl Ord for Literal {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |literal: &Self| {
            let candidate = i64::from(literal.candidate().0) + 1;
            if literal.is_positive() { candidate } else { -candidate }
        };
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for Literal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Literal {
    /// It is chosen.
    pub fn of(candidate: Candidate) -> Self {
        Self(candidate.0 << 1)
    }

    /// It is not.
    pub fn not(candidate: Candidate) -> Self {
        Self(candidate.0 << 1 | 1)
    }

    /// Whether it says that a candidate is chosen.
    pub fn is_positive(self) -> bool {
        self.0 & 1 == 0
    }

    fn candidate(self) -> Candidate {
        Candidate(self.0 >> 1)
    }

    fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// Nothing satisfies the clauses.
#[derive(Debug)]
pub struct Contradiction;

/// Why a candidate is decided as it is.
#[derive(Clone, Copy)]
struct Decision {
    chosen: bool,
    level: u32,
    /// The clause that it follows from.
    because: Option<u32>,
}

/// The clauses, and what is decided.
pub struct Clauses {
    all: Vec<Vec<Literal>>,
    /// By literal: the clauses that watch it.
    watched: Vec<Vec<u32>>,
    decisions: Vec<Option<Decision>>,
    /// What is decided, in order.
    trail: Vec<Literal>,
    /// How much of the trail has been followed.
    followed: usize,
    /// Where each level begins in the trail.
    levels: Vec<usize>,
    /// Clauses that have less than two literals.
    short: Vec<u32>,
}

impl Clauses {
    /// No clauses, over so many candidates.
    pub fn new(candidates: usize) -> Self {
        Self {
            all: Vec::new(),
            watched: vec![Vec::new(); 2 * candidates],
            decisions: vec![None; candidates],
            trail: Vec::new(),
            followed: 0,
            levels: Vec::new(),
            short: Vec::new(),
        }
    }

    /// Adds a clause before anything is decided; gives its number.
    pub fn add(&mut self, literals: Vec<Literal>) -> usize {
        let number = self.all.len() as u32;
        match literals.as_slice() {
            [first, second, ..] => {
                self.watched[first.0 as usize].push(number);
                self.watched[second.0 as usize].push(number);
            }
            _ => self.short.push(number),
        }
        self.all.push(literals);
        number as usize
    }

    /// Follows what the clauses say by themselves.
    pub fn settle(&mut self) -> Result<(), Contradiction> {
        for number in std::mem::take(&mut self.short) {
            let Some(only) = self.all[number as usize].first().copied() else { return Err(Contradiction) };
            match self.value(only) {
                Some(false) => return Err(Contradiction),
                Some(true) => {}
                None => self.decide(only, Some(number)),
            }
        }
        if self.follow().is_some() { Err(Contradiction) } else { Ok(()) }
    }

    /// How many assumptions hold.
    pub fn level(&self) -> usize {
        self.levels.len()
    }

    /// The number of assumptions with which a candidate was chosen.
    pub fn level_of(&self, candidate: Candidate) -> Option<usize> {
        let decision = self.decisions[candidate.index()].filter(|decision| decision.chosen);
        decision.map(|decision| decision.level as usize)
    }

    /// Whether a candidate is chosen.
    pub fn is_chosen(&self, candidate: Candidate) -> bool {
        self.decisions[candidate.index()].is_some_and(|decision| decision.chosen)
    }

    /// Whether nothing is decided of a candidate.
    pub fn is_undecided(&self, candidate: Candidate) -> bool {
        self.decisions[candidate.index()].is_none()
    }

    /// The chosen candidates, in the order in which they were chosen.
    pub fn chosen(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.trail.iter().filter(|literal| literal.is_positive()).map(|literal| literal.candidate())
    }

    /// The candidates among which a clause leaves a choice, if it counts and nothing satisfies it as yet.
    pub fn open(&self, clause: usize) -> Option<Vec<Candidate>> {
        let literals = &self.all[clause];
        let counts = |literal: &Literal| match self.value(*literal) {
            Some(true) => false,
            Some(false) => true,
            None => literal.is_positive(),
        };
        if !literals.iter().all(counts) {
            return None;
        }
        let mut options: Vec<Candidate> =
            literals.iter().filter(|literal| self.value(**literal).is_none()).map(|l| l.candidate()).collect();
        options.sort_unstable();
        Some(options).filter(|options| !options.is_empty())
    }

    /// Assumes a literal and follows it. What contradicts is learned, and assumptions that do not stand are taken back.
    pub fn assume(&mut self, literal: Literal) -> Result<(), Contradiction> {
        self.levels.push(self.trail.len());
        self.decide(literal, None);
        while let Some(broken) = self.follow() {
            if self.levels.is_empty() {
                return Err(Contradiction);
            }
            let (learned, level) = self.learn(broken);
            self.back_to(level);
            let asserted = learned[0];
            let number = self.all.len() as u32;
            if let [first, second, ..] = learned.as_slice() {
                self.watched[first.0 as usize].push(number);
                self.watched[second.0 as usize].push(number);
            }
            self.all.push(learned);
            self.decide(asserted, Some(number));
        }
        Ok(())
    }

    /// Takes back all assumptions beyond the first so many.
    pub fn back_to(&mut self, level: usize) {
        if let Some(start) = self.levels.get(level).copied() {
            for literal in self.trail.drain(start..) {
                self.decisions[literal.candidate().index()] = None;
            }
            self.levels.truncate(level);
            self.followed = start;
        }
    }

    fn value(&self, literal: Literal) -> Option<bool> {
        self.decisions[literal.candidate().index()].map(|decision| decision.chosen == literal.is_positive())
    }

    fn decide(&mut self, literal: Literal, because: Option<u32>) {
        let level = self.levels.len() as u32;
        self.decisions[literal.candidate().index()] = Some(Decision { chosen: literal.is_positive(), level, because });
        self.trail.push(literal);
    }

    /// Decides what follows from what is decided; gives a clause that is broken, if one is.
    fn follow(&mut self) -> Option<u32> {
        while let Some(literal) = self.trail.get(self.followed).copied() {
            self.followed += 1;
            let gone = literal.negated();
            let watching = std::mem::take(&mut self.watched[gone.0 as usize]);
            let mut kept = Vec::with_capacity(watching.len());
            let mut broken = None;
            for (at, number) in watching.iter().copied().enumerate() {
                match self.move_watch(number, gone) {
                    Watch::Moved => {}
                    Watch::Stays => kept.push(number),
                    Watch::Broken => {
                        broken = Some(number);
                        kept.extend(&watching[at..]);
                        break;
                    }
                }
            }
            self.watched[gone.0 as usize].extend(kept);
            if broken.is_some() {
                return broken;
            }
        }
        None
    }

    /// Finds another literal of a clause to watch, or draws the conclusion.
    fn move_watch(&mut self, number: u32, gone: Literal) -> Watch {
        let mut clause = std::mem::take(&mut self.all[number as usize]);
        if clause[0] == gone {
            clause.swap(0, 1);
        }
        let first = clause[0];
        let mut outcome = Watch::Stays;
        if self.value(first) != Some(true) {
            match (2..clause.len()).find(|at| self.value(clause[*at]) != Some(false)) {
                Some(at) => {
                    clause.swap(1, at);
                    self.watched[clause[1].0 as usize].push(number);
                    outcome = Watch::Moved;
                }
                None if self.value(first) == Some(false) => outcome = Watch::Broken,
                None => self.decide(first, Some(number)),
            }
        }
        self.all[number as usize] = clause;
        outcome
    }

    /// What a broken clause teaches: a clause whose first literal follows once the assumptions after the given level are
    /// taken back.
    fn learn(&self, broken: u32) -> (Vec<Literal>, usize) {
        let now = self.levels.len() as u32;
        let mut seen = vec![false; self.decisions.len()];
        let mut learned = vec![Literal(0)];
        let (mut open, mut at, mut clause) = (0, self.trail.len(), broken);
        loop {
            for literal in &self.all[clause as usize] {
                let Some(decision) = self.decisions[literal.candidate().index()] else { continue };
                if self.value(*literal) == Some(true)
                    || decision.level == 0
                    || std::mem::replace(&mut seen[literal.candidate().index()], true)
                {
                    continue;
                }
                if decision.level == now {
                    open += 1;
                } else {
                    learned.push(*literal);
                }
            }
            let (literal, because) = loop {
                at -= 1;
                let literal = self.trail[at];
                if seen[literal.candidate().index()] {
                    break (literal, self.decisions[literal.candidate().index()].and_then(|decision| decision.because));
                }
            };
            open -= 1;
            match because {
                Some(reason) if open > 0 => clause = reason,
                _ => {
                    learned[0] = literal.negated();
                    break;
                }
            }
        }
        let level_of = |literal: &Literal| self.decisions[literal.candidate().index()].map_or(0, |d| d.level);
        if let Some(highest) = (1..learned.len()).max_by_key(|at| level_of(&learned[*at])) {
            learned.swap(1, highest);
        }
        let level = learned.get(1).map_or(0, level_of);
        (learned, level as usize)
    }
}

/// What has become of a clause that lost a literal it watched.
enum Watch {
    Moved,
    Stays,
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::numbers::Numbers;

    fn some_set_fits(clauses: &[Vec<Literal>], candidates: u32) -> bool {
        (0_u32..1 << candidates).any(|set| {
            let holds = |literal: &Literal| (set >> literal.candidate().0 & 1 == 1) == literal.is_positive();
            clauses.iter().all(|clause| clause.iter().any(holds))
        })
    }

    #[test]
    fn the_search_is_complete() {
        let mut numbers = Numbers::new();
        let (mut found, mut refuted) = (0, 0);
        for _ in 0..3000 {
            let count = 8;
            let clauses: Vec<Vec<Literal>> = (0..=numbers.below(40))
                .map(|_| {
                    let mut clause: Vec<Literal> =
                        (0..=numbers.below(3)).map(|_| Literal(numbers.below(2 * count) as u32)).collect();
                    clause.sort_unstable();
                    clause.dedup();
                    clause
                })
                .filter(|clause| !clause.iter().any(|literal| clause.contains(&literal.negated())))
                .collect();
            let mut search = Clauses::new(count as usize);
            for clause in &clauses {
                search.add(clause.clone());
            }
            let outcome = search.settle().and_then(|()| {
                while let Some(open) = (0..count as u32).map(Candidate).find(|c| search.is_undecided(*c)) {
                    search.assume(Literal::of(open))?;
                }
                Ok(())
            });
            assert_eq!(outcome.is_ok(), some_set_fits(&clauses, count as u32), "{clauses:?}");
            if outcome.is_ok() {
                found += 1;
                assert!(clauses.iter().all(|clause| clause.iter().any(|l| search.value(*l) == Some(true))));
            } else {
                refuted += 1;
            }
        }
        assert!(found > 100 && refuted > 100, "{found} {refuted}");
    }
}
