//! Which candidates a relation means (Debian Policy 7; for Multi-Arch, deb-control(5)), and in which order apt would try
//! them.

use super::index::MultiArch;
use super::relation::{Relation, alternatives};
use super::universe::{DebUniverse, Provider};
use crate::package::universe::{Candidate, Requirement};

impl DebUniverse<'_> {
    /// A member of a relation field of a package of architecture `of`, with all candidates that satisfy it: those of the
    /// first alternative first.
    pub(super) fn requirement(&self, verb: &'static str, necessary: bool, member: &str, of: &str) -> Requirement {
        let mut options: Vec<Candidate> = Vec::new();
        for relation in alternatives(member).flatten() {
            for candidate in self.satisfying(&relation, of) {
                if !options.contains(&candidate) {
                    options.push(candidate);
                }
            }
        }
        let text = member.split_whitespace().collect::<Vec<_>>().join(" ");
        Requirement { verb, text, necessary, options }
    }

    /// The candidates that satisfy a relation, in apt's order of preference (`CompareProviders` in its
    /// apt-pkg/depcache.cc): the package of that name before those that provide it, then the essential, the protected,
    /// those of the root's architecture, the higher priority. What is still tied goes by apt's last resort: the package
    /// that the indexes mention last comes first.
    fn satisfying(&self, relation: &Relation<'_>, of: &str) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for candidate in self.bearing_name(relation) {
            if self.architecture_fits(candidate, relation, of, false) {
                found.push(candidate);
            }
        }
        for provider in self.providing(relation) {
            if !found.contains(&provider.candidate)
                && self.architecture_fits(provider.candidate, relation, of, provider.any)
            {
                found.push(provider.candidate);
            }
        }
        if found.len() > 1 {
            let rank = |candidate: &Candidate| {
                let entry = self.entry(*candidate);
                let foreign = entry.architecture != self.architecture;
                (entry.name != relation.name, !entry.row.essential, !entry.row.protected, foreign, entry.row.priority)
            };
            found.sort_by(|a, b| {
                rank(a).cmp(&rank(b)).then_with(|| self.first_mention(*b).cmp(&self.first_mention(*a)))
            });
        }
        found
    }

    /// Whether any candidate satisfies a relation of a package of the root's architecture.
    pub(super) fn is_satisfied(&self, relation: &Relation<'_>) -> bool {
        let fits = |candidate, any| self.architecture_fits(candidate, relation, self.architecture, any);
        self.bearing_name(relation).any(|candidate| fits(candidate, false))
            || self.providing(relation).any(|provider| fits(provider.candidate, provider.any))
    }

    /// The candidates that a Conflicts or Breaks of `owner` rules out: of any architecture, and never itself
    /// (Debian Policy 7.4, 7.6.2).
    pub(super) fn ruled_out(&self, relation: &Relation<'_>, owner: Candidate) -> Vec<Candidate> {
        let own = self.entry(owner).name;
        let architecture_fits = |candidate: Candidate| match relation.qualifier {
            None | Some("any") => true,
            Some("native") => self.entry(candidate).architecture == self.architecture,
            Some(named) => self.entry(candidate).architecture == named,
        };
        let mut found: Vec<Candidate> =
            self.bearing_name(relation).chain(self.providing(relation).map(|p| p.candidate)).collect();
        found.retain(|&candidate| self.entry(candidate).name != own && architecture_fits(candidate));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Other architectures' instances of the same package: of one with `Multi-Arch: same`, those of another version
    /// (deb-control(5)); of any other package, all.
    pub(super) fn siblings_ruled_out(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let together = |other: Candidate| {
            let other = self.entry(other);
            entry.row.multi_arch == MultiArch::Same
                && other.row.multi_arch == MultiArch::Same
                && entry.version == other.version
        };
        self.named(entry.name).filter(|&other| other != candidate && !together(other)).collect()
    }

    /// Packages with the relation's name and a version that fits.
    fn bearing_name(&self, relation: &Relation<'_>) -> impl Iterator<Item = Candidate> {
        let version = relation.version;
        self.named(relation.name).filter(move |candidate| {
            version.is_none_or(|(operator, wanted)| operator.holds(self.entry(*candidate).version, wanted))
        })
    }

    /// Packages that provide the relation's name, in a version that fits: a relation with a version needs a provided
    /// version (Debian Policy 7.5).
    fn providing(&self, relation: &Relation<'_>) -> impl Iterator<Item = &Provider<'_>> {
        let version = relation.version;
        self.providers(relation.name).iter().filter(move |provider| match (version, provider.version) {
            (None, _) => true,
            (Some((operator, wanted)), Some(provided)) => operator.holds(provided, wanted),
            (Some(_), None) => false,
        })
    }

    /// Whether a candidate's architecture can satisfy a relation in a package of architecture `of`; `any` when it
    /// provides the name for any architecture.
    fn architecture_fits(&self, candidate: Candidate, relation: &Relation<'_>, of: &str, any: bool) -> bool {
        let entry = self.entry(candidate);
        match relation.qualifier {
            None => entry.architecture == of || entry.row.multi_arch == MultiArch::Foreign,
            Some("any") => entry.row.multi_arch == MultiArch::Allowed || any,
            Some("native") => entry.architecture == self.architecture,
            Some(named) => entry.architecture == named,
        }
    }
}
