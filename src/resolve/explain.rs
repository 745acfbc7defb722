//! Facts that cannot all be satisfied, as a tree of packages, versions and relations.

use super::facts::{Fact, Facts};
use crate::package::universe::{Candidate, Requirement, Universe};

/// From how many packages on a chain, in which each has one way to go on, is told in one line.
const CHAIN: usize = 4;

/// Why nothing satisfies what `root` requests: one line per fact, indented below the fact that leads to it.
pub(super) fn explain(root: &'static str, facts: &Facts, universe: &dyn Universe) -> String {
    let mut tree = Tree { facts, universe, root, lines: Vec::new(), told: Vec::new() };
    tree.tell(None, 0);
    tree.lines.join("\n")
}

/// Why a candidate cannot be had beside what `root` requests: likewise, from the candidate on.
pub(super) fn explain_candidate(
    candidate: Candidate,
    root: &'static str,
    facts: &Facts,
    universe: &dyn Universe,
) -> String {
    let mut tree = Tree { facts, universe, root, lines: Vec::new(), told: Vec::new() };
    tree.tell(Some(candidate), 0);
    tree.tell(None, 0);
    tree.lines.join("\n")
}

struct Tree<'a> {
    facts: &'a Facts,
    universe: &'a dyn Universe,
    root: &'static str,
    lines: Vec<String>,
    /// Whose reasons stand above.
    told: Vec<Option<Candidate>>,
}

impl<'a> Tree<'a> {
    /// Tells why a candidate cannot be had: what it excludes and what it needs.
    fn tell(&mut self, owner: Option<Candidate>, depth: usize) {
        if self.told.contains(&owner) {
            return;
        }
        self.told.push(owner);
        let subject = self.name(owner);
        let facts = self.facts;
        for fact in facts.of(owner) {
            if let Fact::Exclusion { said: (verb, text), other, .. } = fact {
                let other = self.name(Some(*other));
                self.line(depth, &format!("{subject} {verb} `{text}`, which rules out {other}"));
            }
        }
        for fact in facts.of(owner) {
            if let Fact::Need { requirement, .. } = fact {
                self.tell_need(&subject, requirement, depth);
            }
        }
    }

    fn tell_need(&mut self, subject: &str, requirement: &'a Requirement, depth: usize) {
        let Requirement { verb, text, options, .. } = requirement;
        let missing = self.universe.explain_missing(text);
        if options.is_empty() {
            self.line(depth, &format!("{subject} {verb} `{text}`: {missing}"));
            return;
        }
        let chain = self.chain(requirement);
        if chain.len() >= CHAIN {
            let names: Vec<String> = chain.iter().map(|candidate| self.name(Some(*candidate))).collect();
            self.line(depth, &format!("{subject} {verb} {}", names.join(" → ")));
            self.told.extend(chain[..chain.len() - 1].iter().map(|candidate| Some(*candidate)));
            self.tell(chain.last().copied(), depth + 1);
            return;
        }
        let names: Vec<String> = options.iter().map(|option| self.name(Some(*option))).collect();
        let separator = if missing.is_empty() { "" } else { "; " };
        self.line(depth, &format!("{subject} {verb} `{text}`: {}{separator}{missing}", names.join(" or ")));
        for option in options {
            self.tell(Some(*option), depth + 1);
        }
    }

    /// The candidates from a requirement on, as long as each is the only option and has one fact to tell, which is a
    /// requirement.
    fn chain(&self, requirement: &'a Requirement) -> Vec<Candidate> {
        let mut chain = Vec::new();
        let mut requirement = requirement;
        while let [only] = requirement.options.as_slice() {
            if chain.contains(only) || self.told.contains(&Some(*only)) {
                break;
            }
            chain.push(*only);
            let facts: Vec<&Fact> = self.facts.of(Some(*only)).collect();
            let [Fact::Need { requirement: next, .. }] = facts.as_slice() else { break };
            requirement = next;
        }
        chain
    }

    fn line(&mut self, depth: usize, text: &str) {
        self.lines.push(format!("{}{text}", "  ".repeat(depth + 1)));
    }

    fn name(&self, owner: Option<Candidate>) -> String {
        owner.map_or_else(|| self.root.to_owned(), |candidate| self.universe.identity(candidate).to_string())
    }
}
