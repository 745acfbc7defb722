//! The solver's proof that nothing satisfies a manifest, as a tree of packages, versions and relations.

use resolvo::SolvableId;
use resolvo::conflict::{ConflictCause, ConflictEdge, ConflictGraph, ConflictNode};

use super::solve::Provider;
use crate::package::universe::Candidate;

/// One line per fact, indented below the fact that leads to it.
pub(super) fn explain(graph: &ConflictGraph<SolvableId>, provider: &Provider<'_>) -> String {
    let mut tree = Tree { graph, provider, lines: Vec::new(), told: Vec::new() };
    tree.tell(graph.root_node.index(), 0);
    tree.lines.join("\n")
}

struct Tree<'a, 'u> {
    graph: &'a ConflictGraph<SolvableId>,
    provider: &'a Provider<'u>,
    lines: Vec<String>,
    /// Nodes whose reasons stand above.
    told: Vec<usize>,
}

impl Tree<'_, '_> {
    /// Tells why a node cannot be had: what it needs and what it excludes.
    fn tell(&mut self, node: usize, depth: usize) {
        if self.told.contains(&node) {
            return;
        }
        self.told.push(node);
        let subject = self.name(node);
        let graph = self.graph;
        let edges = || graph.graph.raw_edges().iter().filter(|edge| edge.source().index() == node);
        let mut needs = Vec::new();
        for edge in edges() {
            match edge.weight {
                ConflictEdge::Requires(need) if !needs.contains(&need) => needs.push(need),
                ConflictEdge::Conflict(ConflictCause::Constrains(set)) => {
                    let (verb, text) = self.provider.said(set.into());
                    let target = self.name(edge.target().index());
                    self.line(depth, &format!("{subject} {verb} `{text}`, which rules out {target}"));
                }
                ConflictEdge::Requires(_) | ConflictEdge::Conflict(_) => {}
            }
        }
        for need in needs {
            let (verb, text) = self.provider.said(need);
            let targets: Vec<usize> = edges()
                .filter(|edge| edge.weight == ConflictEdge::Requires(need))
                .map(|edge| edge.target().index())
                .collect();
            if targets.iter().any(|t| matches!(self.node(*t), ConflictNode::UnresolvedDependency)) {
                let missing = self.provider.universe().explain_missing(&text);
                self.line(depth, &format!("{subject} {verb} `{text}`: {missing}"));
                continue;
            }
            let names: Vec<String> = targets.iter().map(|target| self.name(*target)).collect();
            self.line(depth, &format!("{subject} {verb} `{text}`: {}", names.join(" or ")));
            for target in targets {
                self.tell(target, depth + 1);
            }
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{}{text}", "  ".repeat(depth + 1)));
    }

    fn node(&self, node: usize) -> ConflictNode<SolvableId> {
        self.graph.graph.raw_nodes()[node].weight
    }

    fn name(&self, node: usize) -> String {
        match self.node(node) {
            ConflictNode::Solvable(solvable) => {
                self.provider.universe().identity(Candidate(solvable.into_raw())).to_string()
            }
            _ => "the manifest".to_owned(),
        }
    }
}
