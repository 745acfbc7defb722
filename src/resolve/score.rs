//! Which of the candidates that exclude each other apt would rather have: the scores of its problem resolver
//! (`pkgProblemResolver::MakeScores` in apt-pkg/algorithms.cc), for a root in which nothing is installed.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::walk::RelationsCache;
use crate::package::universe::Candidate;

/// Candidates in the order in which to keep them, the one to keep first: those with the higher score; of the same score,
/// those that exclude no other before those that do.
pub fn by_score(cache: &mut RelationsCache<'_>, chosen: &[Candidate]) -> Vec<Candidate> {
    let mut own: HashMap<Candidate, i32> = chosen.iter().map(|c| (*c, cache.universe().weight(*c))).collect();
    let mut excluding: HashSet<Candidate> = HashSet::new();
    for candidate in chosen {
        let relations = cache.get(*candidate);
        for option in relations.requirements.iter().flat_map(|r| &r.options) {
            own.entry(*option).and_modify(|score| *score += 1);
        }
        for other in relations.exclusions.iter().flat_map(|e| &e.against).filter(|o| chosen.binary_search(o).is_ok()) {
            own.entry(*other).and_modify(|score| *score -= 1);
            excluding.insert(*candidate);
        }
    }
    // What something of worth needs is worth as much, one level deep.
    let mut scores = own.clone();
    for candidate in chosen.iter().filter(|candidate| own[*candidate] > 0) {
        for option in cache.get(*candidate).requirements.iter().flat_map(|r| &r.options) {
            scores.entry(*option).and_modify(|score| *score += own[candidate]);
        }
    }
    let mut order = chosen.to_vec();
    order.sort_by_key(|candidate| (Reverse(scores[candidate]), excluding.contains(candidate), *candidate));
    order
}
