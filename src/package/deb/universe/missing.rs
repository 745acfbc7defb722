//! Why nothing satisfies a relation, and what a manifest can say otherwise, so that there are other candidates.

use super::{DebUniverse, Version};
use crate::manifest::PackageRequest;
use crate::package::deb::relation::{Relation, alternatives};
use crate::package::universe::{Candidate, Remedy};

impl DebUniverse<'_> {
    /// Why no candidate satisfies a relation.
    pub(super) fn explain_missing_relation(&self, relation: &Relation<'_>) -> String {
        let name = relation.name;
        if self.is_excluded(name) {
            return format!("`{name}` is excluded by the manifest");
        }
        let versions = self.versions(name);
        if versions.is_empty() {
            return match self.providers(name) {
                [] => format!("no archive has a package `{name}`"),
                _ => format!("no package provides `{relation}`"),
            };
        }
        let version_of = |v: &Version<'_>| self.indexes[v.index as usize].view.text(v.row.version);
        let list = |versions: &mut dyn Iterator<Item = &Version<'_>>| {
            let with_archive =
                |v: &Version<'_>| format!("{} ({})", version_of(v), self.indexes[v.index as usize].index.archive);
            versions.map(with_archive).collect::<Vec<_>>().join(", ")
        };
        let fits =
            |v: &&Version<'_>| relation.version.is_none_or(|(operator, wanted)| operator.holds(version_of(v), wanted));
        let fitting = list(&mut versions.iter().filter(fits));
        let all = list(&mut versions.iter());
        match self.named(name).next().map(|candidate| self.entry(candidate).version) {
            _ if fitting.is_empty() => format!("no archive has `{relation}`, found {all}"),
            Some(candidate) => format!("`{relation}` is {fitting}, but the candidate is {candidate}"),
            None => format!("priorities and the versions under `packages` leave no `{name}`, found {all}"),
        }
    }

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
