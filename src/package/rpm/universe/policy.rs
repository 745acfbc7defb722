//! Which of several candidates to take: the order in which libsolv's policy, as dnf sets it, goes through them
//! (libsolv-bindings manual, "The Solver Class"; what it says little of is what `ci/oracle-dnf` shows dnf to do).
//!
//! The repositories with the smallest `priority` win, then the root's own architecture (`noarch` is as good), then for each
//! name the highest version, then what obsoletes another of them; then what something chosen recommends. What is left is
//! taken in the order of names, but first what something chosen suggests, then what provides the highest version of
//! something that all of them provide, then what has no newer version elsewhere.

use super::super::relation::Range;
use super::super::repodata::primary::Field;
use super::super::version::compare;
use super::RpmUniverse;
use super::candidates::compatible;
use crate::package::universe::{Candidate, Purpose, Strength};

/// The priority of a repository that has none (dnf.conf(5)).
const PRIORITY: i32 = 99;

impl RpmUniverse<'_> {
    pub(super) fn apply_policy(
        &self,
        options: &mut Vec<Candidate>,
        purpose: Purpose,
        wanted: &dyn Fn(Candidate) -> Option<Strength>,
    ) {
        if options.len() < 2 {
            return;
        }
        if purpose != Purpose::Attract {
            self.keep_best_priority(options);
            self.keep_best_architecture(options);
            self.keep_best_versions(options);
            self.drop_obsoleted(options);
        }
        if purpose == Purpose::Choose && options.iter().any(|option| wanted(*option) == Some(Strength::Recommended)) {
            options.retain(|option| wanted(*option) == Some(Strength::Recommended));
        }
        if purpose != Purpose::Recommend {
            options.sort_by_key(|option| self.is_outdated(*option));
            self.sort_by_what_all_provide(options);
            options.sort_by_key(|option| wanted(*option) != Some(Strength::Suggested));
        }
    }

    fn keep_best_priority(&self, options: &mut Vec<Candidate>) {
        let priority =
            |option: &Candidate| self.indexes[self.entry(*option).index as usize].index.priority.unwrap_or(PRIORITY);
        let best = options.iter().map(priority).min();
        options.retain(|option| Some(priority(option)) == best);
    }

    fn keep_best_architecture(&self, options: &mut Vec<Candidate>) {
        let own = compatible(self.architecture);
        // Those of 32 bits for a root of 64 are a class of their own, within which version decides before architecture.
        let class = |option: &Candidate| match self.entry(*option).architecture {
            "noarch" => None,
            architecture if own.first() == Some(&architecture) => Some(0),
            _ => Some(1),
        };
        let best = options.iter().filter_map(class).min();
        options.retain(|option| class(option).is_none() || class(option) == best);
    }

    /// For each name the highest version; sorted by name.
    fn keep_best_versions(&self, options: &mut Vec<Candidate>) {
        let own = compatible(self.architecture);
        let rank = |option: &Candidate| {
            let architecture = self.entry(*option).architecture;
            own.iter().position(|known| *known == architecture).unwrap_or(0)
        };
        options.sort_by(|a, b| {
            let (one, other) = (self.entry(*a), self.entry(*b));
            one.name
                .cmp(other.name)
                .then_with(|| compare(other.evr, one.evr))
                .then_with(|| rank(a).cmp(&rank(b)))
                .then(a.cmp(b))
        });
        options.dedup_by_key(|option| self.entry(*option).name);
    }

    fn drop_obsoleted(&self, options: &mut Vec<Candidate>) {
        if options.len() < 2 {
            return;
        }
        let all = options.clone();
        let obsoleted: Vec<Candidate> = all
            .iter()
            .flat_map(|option| {
                let gone = self.obsoleted_by(*option);
                all.iter().copied().filter(move |other| other != option && gone.contains(other)).collect::<Vec<_>>()
            })
            .collect();
        if obsoleted.len() < options.len() {
            options.retain(|option| !obsoleted.contains(option));
        }
    }

    /// The candidates that a candidate obsoletes.
    pub(super) fn obsoleted_by(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let rows = self.indexes[entry.index as usize].rows;
        let relations = rows.relations(entry.package, Field::Obsoletes).iter();
        let gone = relations.flat_map(|stored| self.meant_by_name(&rows.relation(stored)));
        gone.filter(|other| self.entry(*other).name != entry.name).collect()
    }

    /// Puts the highest version of the first thing first that all options provide in versions.
    fn sort_by_what_all_provide(&self, options: &mut [Candidate]) {
        let provided = |option: Candidate| {
            let entry = self.entry(option);
            let rows = self.indexes[entry.index as usize].rows;
            let stored = rows.relations(entry.package, Field::Provides).iter().map(|stored| rows.relation(stored));
            stored.filter(|relation| relation.range == Range::EQUAL)
        };
        let Some(first) = options.first() else { return };
        for relation in provided(*first) {
            let version =
                |option: &Candidate| provided(*option).find(|other| other.name == relation.name).map(|other| other.evr);
            if options.iter().all(|option| version(option).is_some()) {
                options.sort_by(|a, b| match (version(a), version(b)) {
                    (Some(a), Some(b)) => compare(b, a),
                    _ => std::cmp::Ordering::Equal,
                });
                return;
            }
        }
    }

    /// Whether a newer version of it can be chosen.
    fn is_outdated(&self, candidate: Candidate) -> bool {
        let own = self.entry(candidate);
        let newest = self.named(own.name).first();
        newest.is_some_and(|newest| compare(self.entry(*newest).evr, own.evr).is_gt())
    }
}
