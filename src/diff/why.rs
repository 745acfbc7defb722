//! Why a package is in a lock, or no longer: the shortest chain to it from a package that was asked for, as reports tell it.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::report::Section;
use crate::lock::graph::{Chain, Edge, EdgeKind, Graph, Node};
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
    /// A machine of another kind, on which it runs the root's programs.
    Interpreters,
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

/// The shortest chains to all packages of a list.
pub struct Chains<'a> {
    graph: Graph<'a>,
    section: Section,
    by_node: BTreeMap<Node, Chain>,
}

impl<'a> Chains<'a> {
    /// Finds the chains of one of a lock's lists.
    pub fn new(list: &'a [Package], section: Section) -> Result<Self> {
        let graph = Graph::new(list)?;
        let by_node = graph.shortest_chains();
        Ok(Self { graph, section, by_node })
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

    /// The packages of the chain to one, each with what brings it.
    fn find(&self, wanted: &Package) -> Vec<(&'a Package, By)> {
        let is_wanted = |p: &Package| (&p.name, &p.architecture) == (&wanted.name, &wanted.architecture);
        let node = self.graph.nodes().find(|node| is_wanted(self.graph.package(*node)));
        let Some(node) = node else { return Vec::new() };
        let by = |root: &Package| match (self.section, root.asked) {
            (Section::Tools, _) => By::Tools,
            (Section::Interpreters, _) => By::Interpreters,
            (Section::Root, Some(Asked::Base)) => By::Base,
            (Section::Root, _) => By::Manifest,
        };
        if self.section == Section::Interpreters {
            // Each stands by itself.
            let package = self.graph.package(node);
            return vec![(package, by(package))];
        }
        let Some(Chain { root, steps }) = self.by_node.get(&node) else { return Vec::new() };
        let root = self.graph.package(*root);
        let step = |edge: &Edge| {
            let by = match edge.kind {
                EdgeKind::Depends => By::Depends,
                EdgeKind::Recommends => By::Recommends,
            };
            (self.graph.package(edge.node), by)
        };
        [(root, by(root))].into_iter().chain(steps.iter().map(step)).collect()
    }
}

fn links(chain: &[(&Package, By)]) -> Vec<Link> {
    chain.iter().map(|(package, by)| Link { package: printable(&package.name), by: *by }).collect()
}
