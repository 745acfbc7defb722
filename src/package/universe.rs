//! What resolving chooses from, whatever the format: candidates, what they require, and what they exclude.
//!
//! A format decides which version of a package is its candidate and which candidates satisfy a relation. The choice
//! itself knows numbers only. Relations are worked out when asked for.

use super::formula::Formula;
use crate::lock;
use crate::manifest::{Base, PackageRequest};
use crate::package::Format;

/// A candidate: a version of a package for an architecture that may be chosen; one root has one at most. Numbers are dense, from 0, and a
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
    /// What stands between name and architecture in a request, where that is not the root's own.
    pub foreign: Option<char>,
}

impl std::fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, architecture, version, foreign } = self;
        match foreign {
            Some(mark) => write!(f, "{name}{mark}{architecture} {version}"),
            None => write!(f, "{name} {version}"),
        }
    }
}

/// How much a candidate wants something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strength {
    /// It cannot be chosen without.
    Needed,
    /// It should have it.
    Recommended,
    /// It can make use of it.
    Suggested,
}

/// What a candidate needs, or would like to have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Requirement {
    /// The verb and the relation, as messages show it: `depends on`, `libc6 (>= 2.38)`.
    pub verb: &'static str,
    /// The relation's text.
    pub text: String,
    /// How much it is wanted.
    pub strength: Strength,
    /// The candidates that satisfy it, the one to prefer first.
    pub options: Vec<Candidate>,
    /// It counts only where all of these are chosen.
    pub given: Vec<Candidate>,
}

impl Requirement {
    /// Whether the candidate cannot be chosen without it.
    pub fn is_necessary(&self) -> bool {
        self.strength == Strength::Needed
    }
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

/// A candidate that asks to come along by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attraction {
    /// Who.
    pub candidate: Candidate,
    /// How much.
    pub strength: Strength,
    /// When it is the better one of several that would do.
    pub when: Formula,
    /// When it comes along by itself.
    pub set_off: Formula,
}

/// How a format's tools choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// As apt does: the first candidate that can be had for each requirement, depth first, and no choice taken back.
    Walk,
    /// As libsolv does: what must be, and then one choice after the other, taken back where it leads nowhere.
    Decide,
}

/// For what a candidate is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Something chosen needs one of the options.
    Choose,
    /// The options are what chosen candidates recommend, all together.
    Recommend,
    /// The options ask to come along by themselves.
    Attract,
}

/// All relations of a candidate, in the order the format's own tools treat them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Relations {
    /// What it needs.
    pub requirements: Vec<Requirement>,
    /// What it rules out.
    pub exclusions: Vec<Exclusion>,
}

/// What decides which version of a package stands for it, besides the archives' priorities.
#[derive(Clone, Copy, Default, Debug)]
pub struct Selection<'a> {
    /// Requests; what they say of versions and releases counts.
    pub requests: &'a [PackageRequest],
    /// Names of packages that cannot be chosen.
    pub exclude: &'a [String],
    /// Packages that stay as they are where the archives still have them and the requests allow it.
    pub keep: &'a [&'a lock::Package],
}

/// What a manifest can say otherwise, so that there are other candidates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// This name is no longer excluded.
    Include(String),
    /// This is asked for too.
    Request(PackageRequest),
}

/// The packages to choose from.
pub trait Universe: Sync {
    /// The format.
    fn format(&self) -> Format;

    /// How the format's tools choose.
    fn strategy(&self) -> Strategy {
        Strategy::Walk
    }

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

    /// The candidates that ask to come along by themselves.
    fn attractions(&self) -> Vec<Attraction> {
        Vec::new()
    }

    /// Drops those of some options that the format's tools would not take beside the others, and puts the one to take
    /// first first. `wanted` tells how much something chosen would like to have a candidate, by its own relations or by the
    /// candidate's.
    fn rank(&self, _: &mut Vec<Candidate>, _: Purpose, _wanted: &dyn Fn(Candidate) -> Option<Strength>) {}

    /// What a candidate neither needs nor brings, but what stays for its sake where it has been brought in vain: the
    /// candidates that satisfy its weak relations.
    fn weakly_related(&self, candidate: Candidate) -> Vec<Candidate>;

    /// What a candidate counts by itself where two that exclude each other contend, the more the higher.
    fn weight(&self, candidate: Candidate) -> i32;

    /// Whether a candidate stays where it has been brought in vain, whatever the others are.
    fn is_essential(&self, candidate: Candidate) -> bool;

    /// The candidates of a base set, in order of names.
    fn base(&self, base: Base) -> Vec<Candidate>;

    /// The candidates of which every root has one of each name.
    fn in_every_root(&self) -> Vec<Candidate>;

    /// What a request asks for, one requirement for each package. An error names what there is instead.
    fn request(&self, request: &PackageRequest) -> anyhow::Result<Vec<Requirement>>;

    /// Why nothing satisfies those alternatives of a relation that nothing satisfies: what the archives have instead, one
    /// line. Empty when there is no such alternative.
    fn explain_missing(&self, text: &str) -> String;

    /// The names of packages that a relation means or that provide what it means, in whatever version.
    fn names_in(&self, text: &str) -> Vec<&str>;

    /// What may give a relation a candidate that has none; untried.
    fn remedies(&self, text: &str) -> Vec<Remedy>;

    /// Requests for the other versions of a candidate's package.
    fn other_versions(&self, candidate: Candidate) -> Vec<PackageRequest>;

    /// The candidate as a lock records it, without its dependencies.
    fn record(&self, candidate: Candidate) -> anyhow::Result<lock::Package>;
}
