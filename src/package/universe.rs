//! What resolving chooses from, whatever the format: candidates, what they require, and what they exclude.
//!
//! A format decides which version of a package is its candidate and which candidates satisfy a relation. The choice
//! itself knows numbers only. Relations are worked out when asked for.

use crate::lock;
use crate::manifest::{Base, PackageRequest};
use crate::package::Format;

/// A candidate: the one version of a package for an architecture that may be chosen. Numbers are dense, from 0, and a
/// function of the indexes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Candidate(pub u32);

impl Candidate {
    /// As an index into a table of all candidates.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a candidate is named in messages and locks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity<'a> {
    /// Package name.
    pub name: &'a str,
    /// The architecture it was built for (`all` for none).
    pub architecture: &'a str,
    /// Version.
    pub version: &'a str,
}

impl std::fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What a candidate needs, or would like to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    /// The verb and the relation, as messages show it: `depends on`, `libc6 (>= 2.38)`.
    pub verb: &'static str,
    /// The relation's text.
    pub text: String,
    /// Whether the candidate cannot be chosen without it.
    pub necessary: bool,
    /// The candidates that satisfy it, the one to prefer first.
    pub options: Vec<Candidate>,
}

/// What a candidate cannot be chosen together with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// The verb, as messages show it: `conflicts with`.
    pub verb: &'static str,
    /// The relation's text.
    pub text: String,
    /// The candidates ruled out.
    pub against: Vec<Candidate>,
}

/// All relations of a candidate, in the order the format's own tools treat them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Relations {
    /// What it needs.
    pub requirements: Vec<Requirement>,
    /// What it rules out.
    pub exclusions: Vec<Exclusion>,
}

/// The packages to choose from.
pub trait Universe {
    /// The format.
    fn format(&self) -> Format;

    /// How many candidates there are.
    fn len(&self) -> usize;

    /// Whether there is no candidate.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How a candidate is named.
    fn identity(&self, candidate: Candidate) -> Identity<'_>;

    /// What a candidate needs and excludes.
    fn relations(&self, candidate: Candidate) -> Relations;

    /// What a candidate neither needs nor brings, but what stays for its sake where it has been brought in vain: the
    /// candidates that satisfy its weak relations.
    fn weakly_related(&self, candidate: Candidate) -> Vec<Candidate>;

    /// What a candidate counts by itself where two that exclude each other contend, the more the higher.
    fn weight(&self, candidate: Candidate) -> i32;

    /// Whether a candidate stays where it has been brought in vain, whatever the others are.
    fn is_essential(&self, candidate: Candidate) -> bool;

    /// The candidates of a base set, in order of names.
    fn base(&self, base: Base) -> Vec<Candidate>;

    /// The candidates that a request can mean, the one to prefer first. An error names what there is instead.
    fn request(&self, request: &PackageRequest) -> anyhow::Result<Requirement>;

    /// Why nothing satisfies a relation: what the archives have instead, one line.
    fn explain_missing(&self, text: &str) -> String;

    /// The candidate as a lock records it, without its dependencies.
    fn record(&self, candidate: Candidate) -> anyhow::Result<lock::Package>;
}
