//! The necessary relations of all candidates as numbers alone, for looking at a whole archive at once.

use rayon::prelude::*;

use crate::package::universe::{Candidate, Universe};

/// How many candidates a thread reads at a time.
const CHUNK: usize = 2048;

/// A requirement.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// It counts only where all of these are chosen.
    pub given: &'a [u32],
    /// What satisfies it.
    pub options: &'a [u32],
}

/// Who needs and excludes whom.
pub struct Graph {
    /// By candidate: the numbers of its requirements in `options`.
    needs: Vec<u32>,
    /// By requirement: what satisfies it.
    options: Lists,
    /// By requirement: where all of these are chosen, it counts.
    given: Lists,
    /// By candidate: what it cannot be chosen together with, whichever of the two says so.
    exclusions: Lists,
}

impl Graph {
    /// Reads the relations of all candidates.
    pub fn read(universe: &dyn Universe) -> Self {
        let chunks: Vec<[Lists; 4]> = (0..universe.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| read_chunk(universe, chunk * CHUNK..universe.len().min((chunk + 1) * CHUNK)))
            .collect();
        let mut graph =
            Self { needs: vec![0], options: Lists::default(), given: Lists::default(), exclusions: Lists::default() };
        let mut excluded = Lists::default();
        for [counts, options, given, exclusions] in chunks {
            for candidate in 0..counts.len() {
                let before = graph.needs.last().copied().unwrap_or(0);
                graph.needs.push(before + counts.get(candidate)[0]);
            }
            graph.options.append(options);
            graph.given.append(given);
            excluded.append(exclusions);
        }
        graph.exclusions = excluded.symmetric();
        graph
    }

    /// What satisfies each of a candidate's requirements.
    pub fn needs(&self, candidate: u32) -> impl Iterator<Item = Need<'_>> {
        let range = self.needs[candidate as usize]..self.needs[candidate as usize + 1];
        range.map(|need| Need { given: self.given.get(need as usize), options: self.options.get(need as usize) })
    }

    /// What a candidate cannot be chosen together with.
    pub fn exclusions(&self, candidate: u32) -> &[u32] {
        self.exclusions.get(candidate as usize)
    }
}

/// For candidates in order: how many requirements each has; of each requirement the options, and where it counts; what each
/// candidate excludes.
fn read_chunk(universe: &dyn Universe, candidates: std::ops::Range<usize>) -> [Lists; 4] {
    let [mut counts, mut options, mut given, mut exclusions] = <[Lists; 4]>::default();
    for candidate in candidates {
        let relations = universe.relations(Candidate(candidate as u32));
        let necessary = || relations.requirements.iter().filter(|requirement| requirement.is_necessary());
        counts.push([necessary().count() as u32]);
        for requirement in necessary() {
            options.push(requirement.options.iter().map(|option| option.0));
            given.push(requirement.given.iter().map(|candidate| candidate.0));
        }
        exclusions.push(relations.exclusions.iter().flat_map(|exclusion| &exclusion.against).map(|other| other.0));
    }
    [counts, options, given, exclusions]
}

/// Lists of numbers, one after the other in one allocation.
#[derive(Default)]
struct Lists {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, items: impl IntoIterator<Item = u32>) {
        self.items.extend(items);
        self.ends.push(self.items.len() as u32);
    }

    fn append(&mut self, other: Self) {
        let before = self.items.len() as u32;
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self.items.extend(other.items);
    }

    fn get(&self, list: usize) -> &[u32] {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        &self.items[start as usize..self.ends[list] as usize]
    }

    /// With a number in the list of each number that is in its list.
    fn symmetric(&self) -> Self {
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(2 * self.items.len());
        for list in 0..self.len() {
            pairs.extend(self.get(list).iter().flat_map(|&item| [(list as u32, item), (item, list as u32)]));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut both = Self::default();
        let mut rest = pairs.as_slice();
        for list in 0..self.len() as u32 {
            let (own, after) = rest.split_at(rest.partition_point(|(first, _)| *first == list));
            both.push(own.iter().map(|(_, item)| *item));
            rest = after;
        }
        both
    }
}
