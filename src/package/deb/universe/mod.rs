//! Debian indexes as a universe to choose from: their names numbered together, and the candidates among their versions.
//!
//! Which versions are candidates stands in `candidates`, what a release brings along in `release`, which candidates a
//! relation means in `matching`. What a resolver asks is answered in `answers`, and in words in `missing`.

mod answers;
mod candidates;
mod matching;
mod missing;
mod release;

use std::collections::HashSet;
use std::ops::Range;

use anyhow::Result;

use super::relation::Relation;
use super::table::{Alternative, Field, Row, View};
use crate::arch::Architecture;
use crate::package::universe::{Candidate, Selection};
use crate::source::Index;

/// All packages of some indexes for one root. Names have numbers of their own here, in the order of their bytes.
pub struct DebUniverse<'a> {
    indexes: Vec<Loaded<'a>>,
    architecture: &'a str,
    names: Vec<Name<'a>>,
    /// By name; for each architecture of a name, one.
    candidates: Vec<Entry<'a>>,
    /// For each name, where its candidates begin; one more for the end of the last.
    first_candidate: Vec<u32>,
    /// Who provides a name, by name.
    provided: Vec<Provider<'a>>,
    first_provider: Vec<u32>,
    /// Every version that the indexes have, by name; within a name by index.
    versions: Vec<Version<'a>>,
    first_version: Vec<u32>,
    excluded: HashSet<&'a str>,
}

struct Loaded<'a> {
    index: &'a Index,
    view: View<'a>,
    /// The numbers here of the names of the index.
    names: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    /// Where the indexes first name it: an index, and the number of the name there.
    mention: (u32, u32),
}

#[derive(Clone, Copy)]
struct Version<'a> {
    index: u32,
    row: &'a Row,
}

struct Entry<'a> {
    index: u32,
    row: &'a Row,
    /// Number of the name.
    number: u32,
    name: &'a str,
    version: &'a str,
    /// The architecture whose relations it satisfies by itself: the root's for `all`.
    architecture: &'a str,
}

struct Provider<'a> {
    candidate: Candidate,
    version: Option<&'a str>,
    /// Provided as `NAME:any`.
    any: bool,
}

impl<'a> DebUniverse<'a> {
    /// Reads indexes. The earlier of two indexes with the same version of a package is where it is taken from
    /// (`apt_preferences(5)`).
    pub fn new(indexes: &'a [Index], architecture: &'a Architecture, selection: &Selection<'a>) -> Result<Self> {
        let mut universe = Self::read(indexes, architecture);
        universe.excluded = selection.exclude.iter().map(String::as_str).collect();
        let wanted = universe.wanted(selection)?;
        universe.each_name(|universe, number| universe.add_candidates(number, &wanted));
        for request in selection.requests {
            if let Some(release) = &request.release {
                universe.follow_release(&request.name, release, &wanted);
            }
        }
        Ok(universe)
    }

    /// Reads indexes; every version that they have is a candidate of its own.
    pub fn with_every_version(indexes: &'a [Index], architecture: &'a Architecture) -> Self {
        let mut universe = Self::read(indexes, architecture);
        universe.each_name(Self::add_every_version);
        universe
    }

    /// The names and versions of indexes, as yet without candidates.
    fn read(indexes: &'a [Index], architecture: &'a Architecture) -> Self {
        let loaded = indexes.iter().filter_map(|index| {
            let view = index.table.deb()?.view();
            Some(Loaded { index, view, names: Vec::new() })
        });
        let mut universe = Self {
            indexes: loaded.collect(),
            architecture: architecture.as_str(),
            names: Vec::new(),
            candidates: Vec::new(),
            first_candidate: Vec::new(),
            provided: Vec::new(),
            first_provider: Vec::new(),
            versions: Vec::new(),
            first_version: Vec::new(),
            excluded: HashSet::new(),
        };
        universe.merge_names();
        universe
    }

    /// Numbers the names of all indexes together, and lists the versions of each name.
    fn merge_names(&mut self) {
        let mut at = vec![(0, 0); self.indexes.len()];
        for Loaded { view, names, .. } in &mut self.indexes {
            names.resize(view.names.len(), 0);
        }
        let total = self.indexes.iter().map(|loaded| loaded.view.names.len()).max().unwrap_or(0);
        self.names.reserve(total + total / 8);
        self.versions.reserve(self.indexes.iter().map(|loaded| loaded.view.rows.len()).sum());
        loop {
            let heads = self
                .indexes
                .iter()
                .zip(&at)
                .filter_map(|(loaded, (name, _))| Some(loaded.view.name(*loaded.view.sorted.get(*name)?)));
            let Some(text) = heads.min() else { break };
            let number = self.names.len() as u32;
            self.first_version.push(self.versions.len() as u32);
            let mut mention = None;
            for (index, (Loaded { view, names, .. }, (name, row))) in self.indexes.iter_mut().zip(&mut at).enumerate() {
                let Some(&local) = view.sorted.get(*name).filter(|local| view.name(**local) == text) else { continue };
                mention.get_or_insert((index as u32, local));
                names[local as usize] = number;
                *name += 1;
                while let Some(found) = view.rows.get(*row).filter(|row| row.name == local) {
                    self.versions.push(Version { index: index as u32, row: found });
                    *row += 1;
                }
            }
            self.names.push(Name { text, mention: mention.unwrap_or_default() });
        }
        self.first_version.push(self.versions.len() as u32);
    }

    /// Adds the candidates of each name, and what they provide.
    fn each_name(&mut self, add: impl Fn(&mut Self, u32)) {
        for number in 0..self.names.len() as u32 {
            self.first_candidate.push(self.candidates.len() as u32);
            add(self, number);
        }
        self.first_candidate.push(self.candidates.len() as u32);
        self.add_providers();
    }

    fn add_providers(&mut self) {
        let mut provided: Vec<(u32, Provider<'a>)> = Vec::new();
        for (number, entry) in self.candidates.iter().enumerate() {
            let Loaded { view, names, .. } = &self.indexes[entry.index as usize];
            for alternative in view.members(entry.row, Field::Provides).flatten() {
                let relation = view.relation(alternative);
                let entry = Provider {
                    candidate: Candidate(number as u32),
                    version: relation.version.map(|(_, version)| version),
                    any: relation.qualifier == Some("any"),
                };
                provided.push((names[alternative.name as usize], entry));
            }
        }
        provided.sort_by_key(|(name, _)| *name);
        self.first_provider.clear();
        let mut at = 0;
        for number in 0..=self.names.len() as u32 {
            at += provided[at..].iter().take_while(|(name, _)| *name < number).count();
            self.first_provider.push(at as u32);
        }
        self.provided = provided.into_iter().map(|(_, provider)| provider).collect();
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.names.binary_search_by(|known| known.text.cmp(name)).ok().map(|number| number as u32)
    }

    fn of_name(&self, number: u32) -> impl Iterator<Item = Candidate> + use<> {
        range(&self.first_candidate, number).map(|candidate| Candidate(candidate as u32))
    }

    /// The candidates with this name.
    fn named(&self, name: &str) -> impl Iterator<Item = Candidate> + use<> {
        self.number(name).into_iter().flat_map({
            let first = self.number(name).map(|number| range(&self.first_candidate, number)).unwrap_or_default();
            move |_| first.clone().map(|candidate| Candidate(candidate as u32))
        })
    }

    /// The candidates with the name of this one, itself among them.
    fn namesakes(&self, candidate: Candidate) -> impl Iterator<Item = Candidate> + use<> {
        self.of_name(self.entry(candidate).number)
    }

    /// Who provides this name.
    fn providers(&self, name: &str) -> &[Provider<'a>] {
        self.number(name).map_or(&[], |number| &self.provided[range(&self.first_provider, number)])
    }

    fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// All versions with this name that the indexes have.
    fn versions_of(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        self.versions(name).iter().map(|v| self.indexes[v.index as usize].view.text(v.row.version))
    }

    fn versions(&self, name: &str) -> &[Version<'a>] {
        self.number(name).map_or(&[], |number| &self.versions[range(&self.first_version, number)])
    }

    fn entry(&self, candidate: Candidate) -> &Entry<'a> {
        &self.candidates[candidate.index()]
    }

    /// The members of a field of a candidate.
    fn members(&self, candidate: Candidate, field: Field) -> impl Iterator<Item = &'a [Alternative]> + use<'a> {
        let entry = self.entry(candidate);
        self.indexes[entry.index as usize].view.members(entry.row, field)
    }

    /// An alternative in a candidate's relations, with the candidates and the providers of its name.
    fn look_up(&self, owner: Candidate, alternative: &Alternative) -> Named<'_, 'a> {
        let Loaded { view, names, .. } = &self.indexes[self.entry(owner).index as usize];
        let number = names[alternative.name as usize];
        Named {
            relation: view.relation(alternative),
            candidates: range(&self.first_candidate, number),
            providers: &self.provided[range(&self.first_provider, number)],
        }
    }

    /// A relation written in a manifest, likewise.
    fn look_up_relation<'r>(&self, relation: Relation<'r>) -> Named<'_, 'r>
    where
        'a: 'r,
    {
        let candidates = self.number(relation.name).map(|number| range(&self.first_candidate, number));
        Named { relation, candidates: candidates.unwrap_or_default(), providers: self.providers(relation.name) }
    }

    /// Where the indexes first name a candidate's package.
    fn first_mention(&self, candidate: Candidate) -> (u32, u32) {
        self.names[self.entry(candidate).number as usize].mention
    }

    fn text_of(&self, owner: Candidate, member: &[Alternative]) -> String {
        let view = self.indexes[self.entry(owner).index as usize].view;
        member.iter().map(|a| view.relation(a).to_string()).collect::<Vec<_>>().join(" | ")
    }
}

/// A relation, and what has its name.
struct Named<'u, 'a> {
    relation: Relation<'a>,
    candidates: Range<usize>,
    providers: &'u [Provider<'a>],
}

impl Named<'_, '_> {
    /// The candidates with the relation's name.
    fn candidates(&self) -> impl Iterator<Item = Candidate> + use<> {
        self.candidates.clone().map(|candidate| Candidate(candidate as u32))
    }
}

/// The part of a list that belongs to a number, when `first` has where each part begins.
fn range(first: &[u32], number: u32) -> Range<usize> {
    first[number as usize] as usize..first[number as usize + 1] as usize
}
