//! What to change in a manifest that nothing satisfies: changes that the facts suggest, each tried.

use std::rc::Rc;

use super::base_requests;
use super::facts::{Fact, Facts};
use super::solve::solve;
use crate::arch::Architecture;
use crate::manifest::{Manifest, PackageRequest};
use crate::package::universe::{Remedy, Requirement, Selection, Universe};
use crate::source::Index;

/// How many other versions of packages are tried.
const VERSIONS: usize = 8;

/// A change of the manifest.
#[derive(Clone, Debug)]
pub(super) enum Change<'a> {
    /// A package is no longer excluded, or one is asked for too.
    Remedy(Remedy),
    /// A request is dropped.
    Drop(&'a Requirement),
    /// An archive is added that has what a relation needs.
    Supply(&'a str),
}

/// The verb of what a manifest names under `packages`.
pub(super) const ASKS_FOR: &str = "asks for";

/// Hints for changes after which the manifest can be satisfied, as `helps` finds.
pub(super) fn hints(facts: &Facts, universe: &dyn Universe, helps: &dyn Fn(&Change<'_>) -> bool) -> Vec<String> {
    let mut hints = Vec::new();
    let mut supplies = Vec::new();
    for fact in facts.iter() {
        if let Fact::Need { requirement, .. } = fact
            && requirement.options.is_empty()
        {
            let found = remedies(&requirement.text, universe, helps);
            if found.is_empty() && helps(&Change::Supply(&requirement.text)) {
                supplies.push(format!("name an archive that has `{}` under `archives`", requirement.text));
            }
            hints.extend(found);
        }
    }
    if hints.is_empty() {
        hints = other_versions(facts, universe, helps);
    }
    if hints.is_empty() {
        hints = supplies;
        hints.extend(fewer_requests(facts, helps));
    }
    hints
}

/// Hints for a relation that no candidate satisfies.
pub(super) fn remedies(text: &str, universe: &dyn Universe, helps: &dyn Fn(&Change<'_>) -> bool) -> Vec<String> {
    let tried = universe.remedies(text).into_iter().filter(|remedy| helps(&Change::Remedy(remedy.clone())));
    let told = |remedy: Remedy| match remedy {
        Remedy::Include(name) => format!("take `{name}` out of `exclude`"),
        Remedy::Request(request) => asking_for(&request),
    };
    tried.map(told).collect()
}

fn asking_for(request: &PackageRequest) -> String {
    format!("ask for `{request}` under `packages`")
}

/// Another version of one of the packages, where one helps.
fn other_versions(facts: &Facts, universe: &dyn Universe, helps: &dyn Fn(&Change<'_>) -> bool) -> Vec<String> {
    let requests = facts.candidates().into_iter().flat_map(|candidate| universe.other_versions(candidate));
    let tried = requests.take(VERSIONS).filter(|request| helps(&Change::Remedy(Remedy::Request(request.clone()))));
    tried.map(|request| asking_for(&request)).collect()
}

/// The requests of which one can be dropped.
fn fewer_requests(facts: &Facts, helps: &dyn Fn(&Change<'_>) -> bool) -> Option<String> {
    let requests = facts.of(None).filter_map(|fact| match fact {
        Fact::Need { requirement, .. } if requirement.verb == ASKS_FOR => Some(requirement),
        _ => None,
    });
    let droppable: Vec<&str> =
        requests.filter(|request| helps(&Change::Drop(request))).map(|request| request.text.as_str()).collect();
    match droppable.as_slice() {
        [] => None,
        [one] => Some(format!("leave `{one}` out of `packages`")),
        [one, other] => Some(format!("ask for only one of `{one}` and `{other}`")),
        several => Some(format!("leave one of `{}` out of `packages`", several.join("`, `"))),
    }
}

/// Whether there is a choice for the manifest after a change.
pub(super) fn can_be_satisfied(
    manifest: &Manifest,
    architecture: &Architecture,
    indexes: &[Index],
    change: &Change<'_>,
) -> bool {
    let mut packages = manifest.packages.clone();
    let mut exclude = manifest.exclude.clone();
    match change {
        Change::Remedy(Remedy::Include(name)) => exclude.retain(|excluded| excluded != name),
        Change::Remedy(Remedy::Request(request)) => packages.push(request.clone()),
        Change::Drop(request) => packages.retain(|package| package.to_string() != request.text),
        Change::Supply(_) => {}
    }
    let selection = Selection { requests: &packages, exclude: &exclude, keep: &[] };
    let Ok(universe) = manifest.format.universe(indexes, architecture, &selection) else { return false };
    let mut requests: Vec<Requirement> =
        base_requests(universe.as_ref(), manifest.base).into_iter().map(|(_, request)| request).collect();
    for package in &packages {
        let Ok(request) = universe.request(package) else { return false };
        requests.extend(request);
    }
    let relations = |candidate| {
        let mut relations = universe.relations(candidate);
        if let Change::Supply(text) = change {
            relations.requirements.retain(|requirement| !requirement.options.is_empty() || requirement.text != *text);
        }
        Rc::new(relations)
    };
    solve(&relations, &requests.iter().collect::<Vec<_>>(), &[]).is_ok()
}
