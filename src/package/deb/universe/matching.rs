//! Which candidates a relation means (Debian Policy 7; for Multi-Arch, deb-control(5)), and in which order apt would try
//! them.

use super::{DebUniverse, Entry, Named, Provider};
use crate::package::deb::relation::Relation;
use crate::package::deb::table::{Alternative, MultiArch};
use crate::package::universe::Candidate;

impl DebUniverse<'_> {
    /// All candidates that satisfy a member of a relation field of a package of architecture `of`: those of the first
    /// alternative first.
    pub(super) fn options(&self, owner: Candidate, member: &[Alternative], of: &str) -> Vec<Candidate> {
        let mut options: Vec<Candidate> = Vec::new();
        for alternative in member {
            for candidate in self.satisfying(&self.look_up(owner, alternative), of) {
                if !options.contains(&candidate) {
                    options.push(candidate);
                }
            }
        }
        options
    }

    /// The candidates that satisfy a relation, in apt's order of preference (`CompareProviders` in its
    /// apt-pkg/depcache.cc): the package of that name before those that provide it, then the essential, the protected,
    /// those of the root's architecture, the higher priority. What is still tied goes by apt's last resort: the package
    /// that the indexes mention last comes first.
    pub(super) fn satisfying(&self, named: &Named<'_, '_>, of: &str) -> Vec<Candidate> {
        let relation = &named.relation;
        let mut found: Vec<Candidate> = Vec::new();
        for candidate in self.bearing_name(named) {
            if self.architecture_fits(self.entry(candidate), relation, of, false) {
                found.push(candidate);
            }
        }
        for provider in providing(named) {
            if !found.contains(&provider.candidate)
                && self.architecture_fits(self.entry(provider.candidate), relation, of, provider.any)
            {
                found.push(provider.candidate);
            }
        }
        if found.len() > 1 {
            let rank = |candidate: &Candidate| {
                let entry = self.entry(*candidate);
                let (row, foreign) = (entry.row, entry.architecture != self.architecture);
                (entry.name != relation.name, !row.essential(), !row.protected(), foreign, row.priority())
            };
            found.sort_by(|a, b| {
                rank(a).cmp(&rank(b)).then_with(|| self.first_mention(*b).cmp(&self.first_mention(*a)))
            });
        }
        found
    }

    /// Whether any candidate satisfies a relation of a package of the root's architecture.
    pub(super) fn is_satisfied(&self, relation: &Relation<'_>) -> bool {
        let named = self.look_up_relation(*relation);
        !self.satisfying(&named, self.architecture).is_empty()
    }

    /// The candidates that a Conflicts or Breaks of `owner` rules out: of any architecture, and never itself
    /// (Debian Policy 7.4, 7.6.2).
    pub(super) fn ruled_out(&self, owner: Candidate, member: &[Alternative]) -> Vec<Candidate> {
        let own = self.entry(owner).name;
        let mut found: Vec<Candidate> = Vec::new();
        for alternative in member {
            let named = self.look_up(owner, alternative);
            let architecture_fits = |candidate: Candidate| match named.relation.qualifier {
                None | Some("any") => true,
                Some("native") => self.entry(candidate).architecture == self.architecture,
                Some(architecture) => self.entry(candidate).architecture == architecture,
            };
            let bearing = self.bearing_name(&named).chain(providing(&named).map(|provider| provider.candidate));
            found.extend(bearing.filter(|&c| self.entry(c).name != own && architecture_fits(c)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Other architectures' instances of the same package that it cannot be installed together with.
    pub(super) fn siblings_ruled_out(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let namesakes = self.namesakes(candidate);
        namesakes.filter(|&other| other != candidate && !together(entry, self.entry(other))).collect()
    }

    /// Packages with the relation's name and a version that fits.
    fn bearing_name(&self, named: &Named<'_, '_>) -> impl Iterator<Item = Candidate> {
        let version = named.relation.version;
        named.candidates().filter(move |candidate| {
            version.is_none_or(|(operator, wanted)| operator.holds(self.entry(*candidate).version, wanted))
        })
    }

    /// Whether a candidate's architecture can satisfy a relation in a package of architecture `of`; `any` when it
    /// provides the name for any architecture.
    pub(super) fn architecture_fits(&self, entry: &Entry<'_>, relation: &Relation<'_>, of: &str, any: bool) -> bool {
        match relation.qualifier {
            None => entry.architecture == of || entry.row.multi_arch() == MultiArch::Foreign,
            Some("any") => entry.row.multi_arch() == MultiArch::Allowed || any,
            Some("native") => entry.architecture == self.architecture,
            Some(named) => entry.architecture == named,
        }
    }
}

/// Packages that provide the relation's name, in a version that fits: a relation with a version needs a provided version
/// (Debian Policy 7.5).
fn providing<'n, 'u, 'a>(named: &'n Named<'u, 'a>) -> impl Iterator<Item = &'u Provider<'a>> + use<'n, 'u, 'a> {
    let version = named.relation.version;
    named.providers.iter().filter(move |provider| match (version, provider.version) {
        (None, _) => true,
        (Some((operator, wanted)), Some(provided)) => operator.holds(provided, wanted),
        (Some(_), None) => false,
    })
}

/// Whether two architectures' instances of a package can be installed together (deb-control(5)): both `Multi-Arch: same`
/// and of one version.
fn together(a: &Entry<'_>, b: &Entry<'_>) -> bool {
    let same = |entry: &Entry<'_>| entry.row.multi_arch() == MultiArch::Same;
    same(a) && same(b) && a.version == b.version
}
