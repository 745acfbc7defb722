//! Why a package is in a lock, or no longer: the shortest chain to it from a package that was asked for, found in the lock's
//! own fields.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::report::Section;
use crate::lock::{Asked, Package};
use crate::package::printable;

/// Why a package came, or was there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Why {
    /// From a package that was asked for to the package itself; empty where the lock does not tell.
    pub chain: Vec<Link>,
    /// Of a package that went: where the chain has come apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// One package of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Link {
    /// Its name.
    pub package: String,
    /// What brings it: the request, of the first; what the package before it has of it, of the others.
    pub by: By,
}

/// What brings a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The manifest's base has it.
    Base,
    /// The manifest names it.
    Manifest,
    /// A program that shapes output bytes.
    Tools,
    /// A dependency.
    Depends,
    /// A recommendation or suggestion.
    Recommends,
}

/// Where the chain to a removed package has come apart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// The last package of the chain that is still there, with its version now; none when not even the first is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Named>,
    /// The package that is no longer needed, or no longer asked for.
    pub without: String,
}

/// A package as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
}

/// The chains to all packages of a list.
pub struct Chains<'a> {
    list: &'a [Package],
    /// By dependencies alone.
    strict: Vec<Option<Step>>,
    /// Also by recommendations.
    loose: Vec<Option<Step>>,
}

/// How a package is reached: from which other of the list, and by what.
type Step = (Option<usize>, By);

impl<'a> Chains<'a> {
    /// Finds the shortest chain to each package.
    pub fn new(list: &'a [Package], section: Section) -> Self {
        let mut by_label: BTreeMap<String, usize> = BTreeMap::new();
        for (i, package) in list.iter().enumerate() {
            by_label.insert(package.name.clone(), i);
            by_label.insert(format!("{}:{}", package.name, package.architecture), i);
        }
        Self { list, strict: search(list, section, &by_label, false), loose: search(list, section, &by_label, true) }
    }

    /// Why a package is in this list.
    pub fn arrived(&self, package: &Package) -> Why {
        Why { chain: links(&self.find(package)), end: None }
    }

    /// Why a package was in this list, and is not in the new one.
    pub fn left(&self, package: &Package, new: &[Package]) -> Why {
        let chain = self.find(package);
        let now = |package: &Package| new.iter().find(|other| other.name == package.name);
        let broken = chain.iter().position(|(package, _)| now(package).is_none());
        let end = broken.map(|at| End {
            after: at
                .checked_sub(1)
                .and_then(|before| now(chain[before].0))
                .map(|last| Named { package: printable(&last.name), version: printable(&last.version) }),
            without: printable(&chain[at].0.name),
        });
        Why { chain: links(&chain), end }
    }

    /// The chain by dependencies alone if there is one, else the one also by recommendations.
    fn find(&self, wanted: &Package) -> Vec<(&'a Package, By)> {
        let is_wanted = |p: &Package| (&p.name, &p.architecture) == (&wanted.name, &wanted.architecture);
        let Some(target) = self.list.iter().position(is_wanted) else { return Vec::new() };
        let steps = if self.strict[target].is_some() { &self.strict } else { &self.loose };
        let mut chain = Vec::new();
        let mut next = Some(target);
        while let Some((here, (before, by))) = next.and_then(|here| Some((here, steps[here]?))) {
            chain.push((&self.list[here], by));
            next = before;
        }
        chain.reverse();
        chain
    }
}

/// Searches in breadth from what was asked for.
fn search(
    list: &[Package],
    section: Section,
    by_label: &BTreeMap<String, usize>,
    recommends: bool,
) -> Vec<Option<Step>> {
    let mut reached: Vec<Option<Step>> = vec![None; list.len()];
    let mut queue = VecDeque::new();
    for (i, package) in list.iter().enumerate() {
        let by = match (package.asked, section) {
            (None, _) => continue,
            (Some(_), Section::Tools) => By::Tools,
            (Some(Asked::Manifest), Section::Root) => By::Manifest,
            (Some(Asked::Base), Section::Root) => By::Base,
        };
        reached[i] = Some((None, by));
        queue.push_back(i);
    }
    while let Some(at) = queue.pop_front() {
        let recommended: &[String] = if recommends { &list[at].recommends } else { &[] };
        let depends = list[at].depends.iter().map(|label| (label, By::Depends));
        for (label, by) in depends.chain(recommended.iter().map(|label| (label, By::Recommends))) {
            if let Some(&next) = by_label.get(label)
                && reached[next].is_none()
            {
                reached[next] = Some((Some(at), by));
                queue.push_back(next);
            }
        }
    }
    reached
}

fn links(chain: &[(&Package, By)]) -> Vec<Link> {
    chain.iter().map(|(package, by)| Link { package: printable(&package.name), by: *by }).collect()
}
