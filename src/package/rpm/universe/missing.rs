//! What a resolver asks of relations that nothing satisfies: why, and what may help.

use super::super::relation::Relation;
use super::super::rich::Rich;
use super::super::version::compare;
use super::RpmUniverse;
use crate::manifest::PackageRequest;
use crate::package::universe::{Candidate, Remedy};

/// How many packages a message names.
const NAMES: usize = 3;

/// The relations in a dependency's text.
fn relations(text: &str) -> Vec<Relation<'_>> {
    if Rich::is_rich(text) {
        return Rich::parse(text).map(|rich| rich.relations()).unwrap_or_default();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [name, operator, evr] => {
            let range = super::Range::parse(operator).unwrap_or(super::Range::ANY);
            vec![Relation { name, range, evr }]
        }
        _ => vec![Relation { name: text, range: super::Range::ANY, evr: "" }],
    }
}

impl RpmUniverse<'_> {
    pub(super) fn why_missing(&self, text: &str) -> String {
        if Rich::is_rich(text)
            && let Err(error) = Rich::parse(text)
        {
            return format!("it cannot be read: {error}");
        }
        let missing = relations(text).into_iter().filter(|relation| self.satisfying(relation).is_empty());
        missing.map(|relation| self.why_relation(&relation)).collect::<Vec<_>>().join("; ")
    }

    fn why_relation(&self, relation: &Relation<'_>) -> String {
        let name = relation.name;
        if self.excluded.contains(&name) {
            return format!("`{name}` is excluded");
        }
        let providers = self.providers(name);
        if providers.is_empty() {
            return format!("no package is or provides `{name}`");
        }
        let mut versions: Vec<String> = providers
            .iter()
            .map(|provider| {
                let entry = self.entry(provider.candidate);
                let of = if entry.name == name { String::new() } else { format!(" of {}", entry.name) };
                format!("{}{of}", provider.evr)
            })
            .collect();
        versions.dedup();
        versions.truncate(NAMES);
        format!("`{name}` is there as {}", versions.join(", "))
    }

    pub(super) fn names_of(&self, text: &str) -> Vec<&str> {
        let mut names: Vec<&str> = relations(text)
            .iter()
            .flat_map(|relation| self.providers(relation.name).iter().map(|p| self.entry(p.candidate).name))
            .collect();
        names.dedup();
        names
    }

    /// Excluded names that a relation means; other packages that it could mean are not there.
    pub(super) fn remedies_of(&self, text: &str) -> Vec<Remedy> {
        let found = relations(text);
        let excluded = self.excluded.iter().filter(|name| found.iter().any(|relation| relation.name == **name));
        excluded.map(|name| Remedy::Include((*name).to_owned())).collect()
    }

    pub(super) fn requests_for_others(&self, candidate: Candidate) -> Vec<PackageRequest> {
        let own = self.entry(candidate);
        let mut versions: Vec<&str> = self.named(own.name).iter().map(|other| self.entry(*other).evr).collect();
        versions.retain(|evr| compare(evr, own.evr).is_ne());
        versions.dedup();
        let request = |evr: &str| PackageRequest {
            name: own.name.to_owned(),
            version: Some(("=".to_owned(), evr.to_owned())),
            ..PackageRequest::default()
        };
        versions.into_iter().map(request).collect()
    }
}
