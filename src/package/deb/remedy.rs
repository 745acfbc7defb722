//! What a manifest can say otherwise, so that apt's candidates are others.

use super::relation::{Relation, alternatives};
use super::universe::DebUniverse;
use crate::manifest::PackageRequest;
use crate::package::universe::{Candidate, Remedy};

impl DebUniverse<'_> {
    /// What can give a relation that nothing satisfies a package: one that is excluded, or a version that is not the
    /// candidate.
    pub(super) fn remedies_for(&self, text: &str) -> Vec<Remedy> {
        let remedy = |relation: Relation<'_>| {
            let holds =
                |version: &str| relation.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted));
            if !self.versions_of(relation.name).any(holds) {
                return None;
            }
            if self.is_excluded(relation.name) {
                return Some(Remedy::Include(relation.name.to_owned()));
            }
            let (operator, version) = relation.version?;
            Some(Remedy::Request(PackageRequest {
                name: relation.name.to_owned(),
                architecture: relation.qualifier.filter(|q| !["any", "native"].contains(q)).map(str::to_owned),
                version: Some((operator.as_str().to_owned(), version.to_owned())),
                ..PackageRequest::default()
            }))
        };
        alternatives(text).flatten().filter_map(remedy).collect()
    }

    /// Requests for the versions of a candidate's package that are not the candidate.
    pub(super) fn requests_for_others(&self, candidate: Candidate) -> Vec<PackageRequest> {
        let entry = self.entry(candidate);
        let mut requests: Vec<PackageRequest> = Vec::new();
        for version in self.versions_of(entry.name).filter(|version| *version != entry.version) {
            let version = Some(("=".to_owned(), version.to_owned()));
            let request = PackageRequest { name: entry.name.to_owned(), version, ..PackageRequest::default() };
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        requests
    }
}
