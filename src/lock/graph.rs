//! Who needs whom among the packages of a lock, and the chains by which what was asked for pulls a package in.
//!
//! Pure. Packages that need each other in a circle are as good as any others.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};

use super::Package;

/// A package of a graph: its place in the lock's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node(usize);

/// How one package brings another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EdgeKind {
    /// It cannot be without it.
    Depends,
    /// It recommends or suggests it.
    Recommends,
}

/// A relation, seen from one of its ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Edge {
    /// The package at the other end.
    pub node: Node,
    /// How it brings the package at its end.
    pub kind: EdgeKind,
}

/// How a package asked for brings another: each step's package is needed by the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The package asked for.
    pub root: Node,
    /// The packages after it, the last one being that which the chain explains.
    pub steps: Vec<Edge>,
}

impl Chain {
    /// Whether it would break if recommendations were not followed.
    pub fn is_weak(&self) -> bool {
        self.steps.iter().any(|step| step.kind == EdgeKind::Recommends)
    }
}

/// The packages of a root, or the tools, with their relations.
#[derive(Debug)]
pub struct Graph<'a> {
    packages: &'a [Package],
    labels: Vec<String>,
    needs: Vec<Vec<Edge>>,
    needed_by: Vec<Vec<Edge>>,
}

impl<'a> Graph<'a> {
    /// The graph of a lock's packages or tools. A relation to a package that is not among them is an error.
    pub fn new(packages: &'a [Package]) -> Result<Self> {
        let labels = labels(packages);
        let nodes: BTreeMap<&str, Node> =
            labels.iter().enumerate().map(|(i, label)| (label.as_str(), Node(i))).collect();
        let mut needs = vec![Vec::new(); packages.len()];
        let mut needed_by = vec![Vec::new(); packages.len()];
        for (i, package) in packages.iter().enumerate() {
            for (kind, labels) in [(EdgeKind::Depends, &package.depends), (EdgeKind::Recommends, &package.recommends)] {
                for label in labels {
                    let node = *nodes
                        .get(label.as_str())
                        .with_context(|| format!("`{}` needs `{label}`, which it does not have", package.name))?;
                    needs[i].push(Edge { node, kind });
                    needed_by[node.0].push(Edge { node: Node(i), kind });
                }
            }
        }
        for edges in needs.iter_mut().chain(&mut needed_by) {
            edges.sort_unstable();
        }
        Ok(Self { packages, labels, needs, needed_by })
    }

    /// All packages, in the lock's order.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        (0..self.packages.len()).map(Node)
    }

    /// Those that were asked for.
    pub fn roots(&self) -> impl Iterator<Item = Node> {
        self.nodes().filter(|node| self.package(*node).asked.is_some())
    }

    /// The packages that a name or `NAME:ARCH` means.
    pub fn find(&self, name: &str) -> Vec<Node> {
        let is_meant = |package: &Package| {
            let rest = name.strip_prefix(package.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':') == Some(package.architecture.as_str()))
        };
        self.nodes().filter(|node| is_meant(self.package(*node))).collect()
    }

    /// The lock's entry.
    pub fn package(&self, node: Node) -> &'a Package {
        &self.packages[node.0]
    }

    /// `NAME`, or `NAME:ARCH` where the name alone is ambiguous.
    pub fn label(&self, node: Node) -> &str {
        &self.labels[node.0]
    }

    /// What a package needs, sorted.
    pub fn needs(&self, node: Node) -> &[Edge] {
        &self.needs[node.0]
    }

    /// What needs a package, sorted.
    pub fn needed_by(&self, node: Node) -> &[Edge] {
        &self.needed_by[node.0]
    }

    /// A package and all that leads to it.
    pub fn leading_to(&self, target: Node) -> BTreeSet<Node> {
        let mut found: BTreeSet<Node> = self.next_steps(target, EdgeKind::Recommends).into_keys().collect();
        found.insert(target);
        found
    }

    /// For each other package asked for that leads to this one a shortest chain: of dependencies alone where there is one,
    /// as those alone keep a package. The weak ones last, the short ones first.
    pub fn chains_to(&self, target: Node) -> Vec<Chain> {
        let strong = self.next_steps(target, EdgeKind::Depends);
        let all = self.next_steps(target, EdgeKind::Recommends);
        let mut chains: Vec<Chain> = self
            .roots()
            .filter(|root| *root != target)
            .filter_map(|root| follow(root, &strong).or_else(|| follow(root, &all)))
            .collect();
        chains.sort_by_key(|chain| (chain.is_weak(), chain.steps.len()));
        chains
    }

    /// For each package a shortest chain from any that was asked for, of dependencies alone where there is one; that of a
    /// package asked for has no steps.
    pub fn shortest_chains(&self) -> BTreeMap<Node, Chain> {
        let mut chains = self.chains_from_roots(EdgeKind::Recommends);
        chains.extend(self.chains_from_roots(EdgeKind::Depends));
        chains
    }

    fn chains_from_roots(&self, weakest: EdgeKind) -> BTreeMap<Node, Chain> {
        let mut chains: BTreeMap<Node, Chain> =
            self.roots().map(|root| (root, Chain { root, steps: Vec::new() })).collect();
        let mut queue: VecDeque<Node> = self.roots().collect();
        while let Some(node) = queue.pop_front() {
            let so_far = chains[&node].clone();
            for edge in self.needs(node).iter().filter(|edge| edge.kind <= weakest) {
                if let Entry::Vacant(place) = chains.entry(edge.node) {
                    let steps = [so_far.steps.as_slice(), &[*edge]].concat();
                    place.insert(Chain { root: so_far.root, steps });
                    queue.push_back(edge.node);
                }
            }
        }
        chains
    }

    /// For each package that leads to the target by relations that are no weaker than this, the first step of a shortest chain.
    fn next_steps(&self, target: Node, weakest: EdgeKind) -> BTreeMap<Node, Edge> {
        let mut steps = BTreeMap::new();
        let mut queue = VecDeque::from([target]);
        while let Some(node) = queue.pop_front() {
            for edge in self.needed_by(node) {
                if edge.kind <= weakest && edge.node != target && !steps.contains_key(&edge.node) {
                    steps.insert(edge.node, Edge { node, kind: edge.kind });
                    queue.push_back(edge.node);
                }
            }
        }
        steps
    }
}

fn follow(root: Node, next_steps: &BTreeMap<Node, Edge>) -> Option<Chain> {
    let steps: Vec<Edge> =
        std::iter::successors(next_steps.get(&root), |edge| next_steps.get(&edge.node)).copied().collect();
    (!steps.is_empty()).then_some(Chain { root, steps })
}

fn labels(packages: &[Package]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages {
        *count.entry(&package.name).or_default() += 1;
    }
    let label = |package: &Package| match count[package.name.as_str()] {
        1 => package.name.clone(),
        _ => format!("{}:{}", package.name, package.architecture),
    };
    packages.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::lock::Asked;

    /// Packages from lines `NAME[:ARCH] [!] [DEPENDS…] [~RECOMMENDS…]`; `!` for asked for by the manifest.
    fn packages(lines: &[&str]) -> Vec<Package> {
        let package = |line: &&str| {
            let mut words = line.split(' ');
            let label = words.next().unwrap_or_default();
            let (name, architecture) = label.split_once(':').unwrap_or((label, "amd64"));
            let mut package = Package {
                name: name.to_owned(),
                architecture: architecture.to_owned(),
                version: "1".to_owned(),
                source: None,
                archive: "debian/trixie/main".to_owned(),
                path: format!("pool/{name}.deb"),
                size: 1000,
                installed_size: 4096,
                sha256: Sha256::of(label.as_bytes()),
                asked: None,
                depends: Vec::new(),
                security_fix: None,
                recommends: Vec::new(),
            };
            for word in words {
                match word.strip_prefix('~') {
                    _ if word == "!" => package.asked = Some(Asked::Manifest),
                    Some(name) => package.recommends.push(name.to_owned()),
                    None => package.depends.push(word.to_owned()),
                }
            }
            package
        };
        lines.iter().map(package).collect()
    }

    fn chains(lines: &[&str], target: &str) -> Vec<String> {
        let packages = packages(lines);
        let graph = Graph::new(&packages).unwrap();
        let text = |chain: Chain| {
            chain.steps.iter().fold(graph.label(chain.root).to_owned(), |text, step| {
                let arrow = if step.kind == EdgeKind::Depends { ">" } else { "~" };
                format!("{text} {arrow} {}", graph.label(step.node))
            })
        };
        graph.chains_to(graph.find(target)[0]).into_iter().map(text).collect()
    }

    #[test]
    fn every_root_has_its_shortest_chain_the_shortest_first() {
        let lines = ["a ! b", "b c", "c d", "d", "e ! c d", "f ! a", "g !", "h d"];
        assert_eq!(chains(&lines, "d"), ["e > d", "a > b > c > d", "f > a > b > c > d"]);
        assert_eq!(chains(&lines, "a"), ["f > a"]);
        assert!(chains(&lines, "g").is_empty());
    }

    #[test]
    fn dependencies_explain_before_recommendations() {
        let lines = ["a ! b ~d", "b c", "c d", "d", "e ! ~d", "f ! ~c"];
        assert_eq!(chains(&lines, "d"), ["a > b > c > d", "e ~ d", "f ~ c > d"]);
    }

    #[test]
    fn each_package_has_one_shortest_chain_of_all() {
        let packages = packages(&["a ! b ~d", "b c", "c d", "d ~e", "e", "f ! c", "g"]);
        let graph = Graph::new(&packages).unwrap();
        let told = |(node, chain): (Node, Chain)| {
            let steps = chain.steps.iter().map(|step| graph.label(step.node));
            format!("{}: {}", graph.label(node), [graph.label(chain.root)].into_iter().chain(steps).collect::<String>())
        };
        let chains: Vec<String> = graph.shortest_chains().into_iter().map(told).collect();
        assert_eq!(chains, ["a: a", "b: ab", "c: fc", "d: fcd", "e: ade", "f: f"]);
    }

    #[test]
    fn circles_end() {
        let lines = ["a ! b", "b c", "c a b", "d ! d e", "e d"];
        assert_eq!(chains(&lines, "c"), ["a > b > c"]);
        assert!(chains(&lines, "a").is_empty());
        assert!(chains(&lines, "d").is_empty());
        assert_eq!(chains(&lines, "e"), ["d > e"]);
    }

    #[test]
    fn relations_are_known_from_both_ends() {
        let packages = packages(&["a ! c ~b", "b c", "c"]);
        let graph = Graph::new(&packages).unwrap();
        let labels = |edges: &[Edge]| edges.iter().map(|e| (graph.label(e.node), e.kind)).collect::<Vec<_>>();
        let [a, b, c] = [Node(0), Node(1), Node(2)];
        assert_eq!(labels(graph.needs(a)), [("b", EdgeKind::Recommends), ("c", EdgeKind::Depends)]);
        assert_eq!(labels(graph.needed_by(c)), [("a", EdgeKind::Depends), ("b", EdgeKind::Depends)]);
        assert_eq!(graph.leading_to(b), BTreeSet::from([a, b]));
        assert_eq!(graph.roots().collect::<Vec<_>>(), [a]);
    }

    #[test]
    fn a_name_may_mean_packages_of_several_architectures() {
        let packages = packages(&["a ! libc6:i386", "libc6", "libc6:i386"]);
        let graph = Graph::new(&packages).unwrap();
        let labels = |name| graph.find(name).into_iter().map(|node| graph.label(node)).collect::<Vec<_>>();
        assert_eq!(labels("libc6"), ["libc6:amd64", "libc6:i386"]);
        assert_eq!(labels("libc6:i386"), ["libc6:i386"]);
        assert_eq!(labels("a:amd64"), ["a"]);
        assert!(labels("libc").is_empty() && labels("libc6:").is_empty());
        assert_eq!(graph.chains_to(Node(2)).len(), 1);
    }

    #[test]
    fn a_relation_to_nothing_is_told() {
        let packages = packages(&["a ! b"]);
        let error = Graph::new(&packages).unwrap_err().to_string();
        assert_eq!(error, "`a` needs `b`, which it does not have");
    }
}
