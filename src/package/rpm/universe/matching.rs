//! Which candidates a relation means.

use super::super::relation::Relation;
use super::super::rich::Rich;
use super::RpmUniverse;
use crate::package::formula::{Clause, Formula};
use crate::package::universe::Candidate;

/// How many bits the words of a package's programs have; none for `noarch`. Packages of one name stand beside each other
/// where these differ (rpm's colors).
fn word(architecture: &str) -> Option<u8> {
    match architecture {
        "noarch" => None,
        "x86_64" | "aarch64" | "ppc64le" | "s390x" | "riscv64" | "mips64el" => Some(64),
        _ => Some(32),
    }
}

impl RpmUniverse<'_> {
    /// The candidates that satisfy a relation, in their order.
    pub(super) fn satisfying(&self, relation: &Relation<'_>) -> Vec<Candidate> {
        let providers = self.providers(relation.name).iter();
        let fits = providers.filter(|provider| provider.range.meets(provider.evr, relation.range, relation.evr));
        let mut candidates: Vec<Candidate> = fits.map(|provider| provider.candidate).collect();
        candidates.dedup();
        candidates
    }

    /// The candidates whose own name and version a relation means: what `Obsoletes` looks at.
    pub(super) fn meant_by_name(&self, relation: &Relation<'_>) -> Vec<Candidate> {
        let fits = |candidate: &&Candidate| {
            let evr = self.entry(**candidate).evr;
            super::Range::EQUAL.meets(evr, relation.range, relation.evr)
        };
        self.named(relation.name).iter().filter(fits).copied().collect()
    }

    /// A rich dependency as a condition.
    pub(super) fn condition(&self, rich: &Rich<'_>) -> Formula {
        let all = |parts: &[Rich<'_>]| parts.iter().map(|part| self.condition(part)).collect();
        let not = |part: &Rich<'_>| Formula::Not(Box::new(self.condition(part)));
        match rich {
            Rich::Plain(relation) => Formula::Any(self.satisfying(relation)),
            Rich::And(parts) => Formula::All(all(parts)),
            Rich::Or(parts) => Formula::Either(all(parts)),
            Rich::If(parts, other) => {
                let then = Formula::Either(vec![self.condition(&parts[0]), not(&parts[1])]);
                match other {
                    None => then,
                    Some(other) => {
                        let otherwise = Formula::Either(vec![self.condition(&parts[1]), self.condition(other)]);
                        Formula::All(vec![then, otherwise])
                    }
                }
            }
            Rich::Unless(parts, other) => {
                let then = Formula::All(vec![self.condition(&parts[0]), not(&parts[1])]);
                match other {
                    None => then,
                    Some(other) => {
                        let otherwise = Formula::All(vec![self.condition(&parts[1]), self.condition(other)]);
                        Formula::Either(vec![then, otherwise])
                    }
                }
            }
            Rich::With(_) | Rich::Without(_) => Formula::Any(self.single(rich)),
        }
    }

    /// When a package with this under `Supplements` comes along. dnf has libsolv look only for what something chosen sets off
    /// (`SOLVER_FLAG_ADD_ALREADY_RECOMMENDED` is off): a rich dependency that merely holds, as an `if` does whose condition is
    /// not met, attracts nothing. It is enough for the package to be taken before others, though.
    pub(super) fn set_off(&self, relation: &Relation<'_>) -> Formula {
        match Rich::parse(relation.name) {
            Ok(rich) if Rich::is_rich(relation.name) => self.set_off_by_rich(&rich),
            _ => self.meaning(relation),
        }
    }

    fn set_off_by_rich(&self, rich: &Rich<'_>) -> Formula {
        let not = |part: &Rich<'_>| Formula::Not(Box::new(self.condition(part)));
        let choice = |condition: &Rich<'_>, then: &Rich<'_>, otherwise: &Rich<'_>| {
            let by_condition = Formula::All(vec![self.condition(then), self.set_off_by_rich(condition)]);
            let then = Formula::Either(vec![by_condition, self.set_off_by_rich(then)]);
            Formula::Either(vec![
                Formula::All(vec![self.condition(condition), then]),
                Formula::All(vec![not(condition), self.set_off_by_rich(otherwise)]),
            ])
        };
        match rich {
            Rich::Plain(_) | Rich::With(_) | Rich::Without(_) => self.condition(rich),
            Rich::And(parts) => {
                let one = parts.iter().map(|part| self.set_off_by_rich(part)).collect();
                Formula::All(vec![self.condition(rich), Formula::Either(one)])
            }
            Rich::Or(parts) => Formula::Either(parts.iter().map(|part| self.set_off_by_rich(part)).collect()),
            Rich::If(parts, None) => self.set_off_by_rich(&parts[0]),
            Rich::If(parts, Some(other)) => choice(&parts[1], &parts[0], other),
            Rich::Unless(parts, None) => Formula::All(vec![self.set_off_by_rich(&parts[0]), not(&parts[1])]),
            Rich::Unless(parts, Some(other)) => choice(&parts[1], other, &parts[0]),
        }
    }

    /// The candidates that by themselves satisfy what `with` and `without` join.
    fn single(&self, rich: &Rich<'_>) -> Vec<Candidate> {
        match rich {
            Rich::Plain(relation) => self.satisfying(relation),
            Rich::With(parts) | Rich::And(parts) => {
                let mut parts = parts.iter().map(|part| self.single(part));
                let mut fits = parts.next().unwrap_or_default();
                for part in parts {
                    fits.retain(|candidate| part.contains(candidate));
                }
                fits
            }
            Rich::Or(parts) => {
                let mut fits: Vec<Candidate> = parts.iter().flat_map(|part| self.single(part)).collect();
                fits.sort_unstable();
                fits.dedup();
                fits
            }
            Rich::Without(parts) => {
                let (mut fits, not) = (self.single(&parts[0]), self.single(&parts[1]));
                fits.retain(|candidate| !not.contains(candidate));
                fits
            }
            Rich::If(..) | Rich::Unless(..) => Vec::new(),
        }
    }

    /// A dependency as a condition; one that cannot be read holds never.
    pub(super) fn meaning(&self, relation: &Relation<'_>) -> Formula {
        if !Rich::is_rich(relation.name) {
            return Formula::Any(self.satisfying(relation));
        }
        Rich::parse(relation.name).map_or(Formula::Any(Vec::new()), |rich| self.condition(&rich))
    }

    /// A dependency as clauses; one that cannot be read, or would be thousands of clauses, is never met.
    pub(super) fn clauses(&self, relation: &Relation<'_>) -> Vec<Clause> {
        self.meaning(relation).clauses().unwrap_or_else(|| vec![Clause::default()])
    }

    /// The candidates of a candidate's name that cannot stand beside it: other versions, unless both are of those that can,
    /// and the same for a like architecture.
    pub(super) fn namesakes_ruled_out(&self, candidate: Candidate) -> Vec<Candidate> {
        let own = self.entry(candidate);
        let excludes = |other: &&Candidate| {
            let entry = self.entry(**other);
            let alike = match (word(own.architecture), word(entry.architecture)) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            };
            **other != candidate && alike && !(own.install_only && entry.install_only && own.evr != entry.evr)
        };
        self.named(own.name).iter().filter(excludes).copied().collect()
    }
}
