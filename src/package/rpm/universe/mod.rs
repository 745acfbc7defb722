//! The packages of rpm repositories to choose from: every version for the root's architecture that the manifest and the
//! modules leave, and who provides what.
//!
//! Which packages are left stands in `candidates`, what a relation means in `matching`, which of several to take in
//! `policy`. What a resolver asks is answered in `answers`, and in words in `missing`.

mod answers;
mod candidates;
mod matching;
mod missing;
mod policy;
mod requests;

use std::collections::HashMap;

use super::relation::Range;
use super::repodata::Repository;
use super::repodata::primary::{Field, Package, Table as Rows};
use crate::arch::Architecture;
use crate::package::universe::{Candidate, Selection};
use crate::source::Index;

/// All packages of some repositories for one root.
pub struct RpmUniverse<'a> {
    indexes: Vec<Loaded<'a>>,
    architecture: &'a Architecture,
    /// In the order of the repositories, and in theirs.
    candidates: Vec<Entry<'a>>,
    /// The candidates of each name.
    named: HashMap<&'a str, Vec<Candidate>>,
    /// The numbers of what is provided, files included.
    provided: HashMap<&'a str, u32>,
    /// Who provides it, by number.
    providers: Vec<Provider<'a>>,
    /// For each number, where its providers begin; one more for the end of the last.
    first_provider: Vec<u32>,
    /// The names of packages that the manifest excludes.
    excluded: Vec<&'a str>,
}

#[derive(Clone, Copy)]
struct Loaded<'a> {
    index: &'a Index,
    repository: &'a Repository,
    rows: &'a Rows,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    index: u32,
    package: &'a Package,
    name: &'a str,
    architecture: &'a str,
    evr: &'a str,
    /// Beside other versions of its name (dnf.conf(5), `installonlypkgs`).
    install_only: bool,
}

#[derive(Clone, Copy)]
struct Provider<'a> {
    candidate: Candidate,
    range: Range,
    evr: &'a str,
}

/// What makes a package one that stands beside other versions of itself: dnf.conf(5), `installonlypkgs`.
const INSTALL_ONLY: [&str; 6] = [
    "kernel",
    "kernel-PAE",
    "installonlypkg(kernel)",
    "installonlypkg(kernel-module)",
    "installonlypkg(vm)",
    "multiversion(kernel)",
];

impl<'a> RpmUniverse<'a> {
    /// Reads repositories.
    pub fn new(indexes: &'a [Index], architecture: &'a Architecture, selection: &Selection<'a>) -> Self {
        let loaded = indexes.iter().filter_map(|index| {
            let repository = index.table.rpm()?;
            Some(Loaded { index, repository, rows: &repository.contents.packages })
        });
        let mut universe = Self {
            indexes: loaded.collect(),
            architecture,
            candidates: Vec::new(),
            named: HashMap::new(),
            provided: HashMap::new(),
            providers: Vec::new(),
            first_provider: Vec::new(),
            excluded: selection.exclude.iter().map(String::as_str).collect(),
        };
        universe.add_candidates(selection);
        universe.add_providers();
        universe
    }

    /// Numbers what is provided, and lists who provides it.
    fn add_providers(&mut self) {
        let mut all: Vec<(u32, Provider<'a>)> = Vec::new();
        let mut numbers: Vec<Vec<u32>> =
            self.indexes.iter().map(|loaded| vec![u32::MAX; loaded.rows.texts() as usize]).collect();
        let mut number = |provided: &mut HashMap<&'a str, u32>, index: usize, rows: &'a Rows, text: u32| {
            let known = &mut numbers[index][text as usize];
            if *known == u32::MAX {
                let next = provided.len() as u32;
                *known = *provided.entry(rows.text(text)).or_insert(next);
            }
            *known
        };
        for (at, entry) in self.candidates.iter_mut().enumerate() {
            let (candidate, index) = (Candidate(at as u32), entry.index as usize);
            let rows = self.indexes[index].rows;
            let own = number(&mut self.provided, index, rows, entry.package.name);
            all.push((own, Provider { candidate, range: Range::EQUAL, evr: entry.evr }));
            for stored in rows.relations(entry.package, Field::Provides) {
                let provided = number(&mut self.provided, index, rows, stored.name);
                let relation = rows.relation(stored);
                entry.install_only |= INSTALL_ONLY.contains(&relation.name);
                if provided != own || relation.evr != entry.evr {
                    all.push((provided, Provider { candidate, range: relation.range, evr: relation.evr }));
                }
            }
            for file in rows.files(entry.package) {
                let provided = number(&mut self.provided, index, rows, *file);
                all.push((provided, Provider { candidate, range: Range::ANY, evr: "" }));
            }
            entry.install_only |= INSTALL_ONLY.contains(&entry.name);
        }
        self.add_files(&mut all);
        all.sort_by_key(|(number, provider)| (*number, provider.candidate));
        self.first_provider = (0..=self.provided.len() as u32)
            .map(|number| all.partition_point(|(other, _)| *other < number) as u32)
            .collect();
        self.providers = all.into_iter().map(|(_, provider)| provider).collect();
    }

    /// Adds who has the files that primary metadata need not list.
    fn add_files(&mut self, all: &mut Vec<(u32, Provider<'a>)>) {
        let mut by_row: HashMap<(u32, *const Package), Candidate> = HashMap::new();
        if self.indexes.iter().all(|loaded| loaded.repository.files.0.is_empty()) {
            return;
        }
        for (at, entry) in self.candidates.iter().enumerate() {
            by_row.insert((entry.index, std::ptr::from_ref(entry.package)), Candidate(at as u32));
        }
        for (index, loaded) in self.indexes.iter().enumerate() {
            for (path, rows) in &loaded.repository.files.0 {
                let next = self.provided.len() as u32;
                let number = *self.provided.entry(path).or_insert(next);
                for row in rows {
                    let package = &loaded.rows.packages[*row as usize];
                    if let Some(candidate) = by_row.get(&(index as u32, std::ptr::from_ref(package))) {
                        all.push((number, Provider { candidate: *candidate, range: Range::ANY, evr: "" }));
                    }
                }
            }
        }
    }

    fn entry(&self, candidate: Candidate) -> &Entry<'a> {
        &self.candidates[candidate.index()]
    }

    /// The candidates with a name.
    fn named(&self, name: &str) -> &[Candidate] {
        self.named.get(name).map_or(&[], Vec::as_slice)
    }

    /// Who provides something, by itself or by its name.
    fn providers(&self, name: &str) -> &[Provider<'a>] {
        self.provided.get(name).map_or(&[], |number| {
            let number = *number as usize;
            &self.providers[self.first_provider[number] as usize..self.first_provider[number + 1] as usize]
        })
    }
}
