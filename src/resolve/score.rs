//! How much apt would rather have one chosen candidate than another that it excludes: the scores of its problem resolver
//! (`pkgProblemResolver::MakeScores` in apt-pkg/algorithms.cc), for a root in which nothing is installed.

use std::collections::HashMap;

use super::walk::RelationsCache;
use crate::package::universe::Candidate;

/// What being asked for, and being essential, counts on top of everything.
const ROOT: i32 = 10000;
const ESSENTIAL: i32 = 5000;

/// The scores of `chosen`.
pub fn scores(cache: &mut RelationsCache<'_>, roots: &[Candidate], chosen: &[Candidate]) -> HashMap<Candidate, i32> {
    let universe = cache.universe();
    let mut own: HashMap<Candidate, i32> = chosen.iter().map(|c| (*c, universe.weight(*c))).collect();
    for candidate in chosen {
        let relations = cache.get(*candidate);
        for option in relations.requirements.iter().flat_map(|r| &r.options) {
            own.entry(*option).and_modify(|score| *score += 1);
        }
        for other in relations.exclusions.iter().flat_map(|e| &e.against) {
            own.entry(*other).and_modify(|score| *score -= 1);
        }
    }
    // What is needed by something of worth is worth as much more, one level deep.
    let mut scores = own.clone();
    for (candidate, worth) in own.into_iter().filter(|(_, worth)| *worth > 0) {
        for option in cache.get(candidate).requirements.iter().flat_map(|r| &r.options) {
            scores.entry(*option).and_modify(|score| *score += worth);
        }
    }
    for (candidate, score) in &mut scores {
        *score += if roots.contains(candidate) { ROOT } else { 0 };
        *score += if universe.is_essential(*candidate) { ESSENTIAL } else { 0 };
    }
    scores
}
