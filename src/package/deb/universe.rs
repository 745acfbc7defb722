//! Debian indexes as a universe to choose from: which version of a package is apt's candidate (`apt_preferences(5)`).
//! Which candidates satisfy a relation stands in `matching`.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, anyhow, bail};

use super::relation::{Operator, Relation, alternatives};
use super::table::{Alternative, Field, MultiArch, Priority, Row, View};
use super::version;
use crate::arch::Architecture;
use crate::error::{Hint, nearest_words};
use crate::lock;
use crate::manifest::{Base, PackageRequest, RequestKind};
use crate::package::Format;
use crate::package::universe::{
    Candidate, Exclusion, Identity, Relations, Remedy, Requirement, Selection, Strength, Universe,
};
use crate::source::Index;

/// The package manager, which a required base includes as mmdebstrap(1) and debootstrap(8) do.
const PACKAGE_MANAGER: &str = "apt";

/// All packages of some indexes for one root. Names have numbers of their own here, in the order of their bytes.
pub struct DebUniverse<'a> {
    indexes: Vec<Loaded<'a>>,
    pub(super) architecture: &'a str,
    names: Vec<Name<'a>>,
    /// By name; for each architecture of a name, one.
    pub(super) candidates: Vec<Entry<'a>>,
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

pub(super) struct Entry<'a> {
    index: u32,
    pub(super) row: &'a Row,
    /// Number of the name.
    number: u32,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// The architecture whose relations it satisfies by itself: the root's for `all`.
    pub(super) architecture: &'a str,
}

pub(super) struct Provider<'a> {
    pub(super) candidate: Candidate,
    pub(super) version: Option<&'a str>,
    /// Provided as `NAME:any`.
    pub(super) any: bool,
}

/// What requests say of the versions of one package.
type Wanted<'r> = HashMap<&'r str, Vec<Wish<'r>>>;

enum Wish<'r> {
    Version(Operator, &'r str),
    Release(&'r str),
}

impl<'a> DebUniverse<'a> {
    /// Reads indexes. The earlier of two indexes with the same version of a package is where it is taken from
    /// (`apt_preferences(5)`).
    pub fn new(indexes: &'a [Index], architecture: &'a Architecture, selection: &Selection<'a>) -> Result<Self> {
        let mut universe = Self::read(indexes, architecture);
        universe.excluded = selection.exclude.iter().map(String::as_str).collect();
        let wanted = universe.wanted(selection.requests)?;
        let mut kept: HashMap<&str, Vec<&lock::Package>> = HashMap::new();
        for package in selection.keep {
            kept.entry(&package.name).or_default().push(package);
        }
        universe.each_name(|universe, number| universe.add_candidates(number, &wanted, &kept));
        for request in selection.requests {
            if let Some(release) = &request.release {
                universe.follow_release(&request.name, release);
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
        let loaded = indexes.iter().map(|index| Loaded { index, view: index.table.view(), names: Vec::new() });
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

    /// Adds the candidates of each name, and what they provide.
    fn each_name(&mut self, add: impl Fn(&mut Self, u32)) {
        for number in 0..self.names.len() as u32 {
            self.first_candidate.push(self.candidates.len() as u32);
            add(self, number);
        }
        self.first_candidate.push(self.candidates.len() as u32);
        self.add_providers();
    }

    /// What requests say of versions, by name of the package.
    fn wanted<'r>(&self, requests: &'r [PackageRequest]) -> Result<Wanted<'r>>
    where
        'a: 'r,
    {
        let mut wanted = Wanted::new();
        for request in requests {
            if request.kind == RequestKind::File {
                let Version { index, row } = self.file(request)?;
                let view = self.indexes[index as usize].view;
                let wish = Wish::Version(Operator::Equal, view.text(row.version));
                wanted.entry(view.name(row.name)).or_default().push(wish);
            }
            if let Some((operator, version)) = &request.version {
                let operator = Operator::parse(operator).context("a request has an unknown operator")?;
                wanted.entry(&request.name).or_default().push(Wish::Version(operator, version));
            }
            if let Some(release) = &request.release {
                wanted.entry(&request.name).or_default().push(Wish::Release(release));
            }
        }
        Ok(wanted)
    }

    /// The package in the file that a request names.
    fn file(&self, request: &PackageRequest) -> Result<Version<'a>> {
        let locals = self.indexes.iter().enumerate().filter(|(_, loaded)| loaded.index.archive == Index::LOCAL);
        let mut rows = locals.flat_map(|(n, Loaded { view, .. })| view.rows.iter().map(move |row| (n, view, row)));
        let found = rows.find(|(_, view, row)| view.text(row.path) == request.name);
        let (index, _, row) = found.with_context(|| format!("the package file {} was not read", request.name))?;
        Ok(Version { index: index as u32, row })
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

    /// Chooses the candidates of a name: for each architecture the version that is kept, else that of the highest
    /// priority, then the highest version, among those that the requests allow.
    fn add_candidates(&mut self, number: u32, wanted: &Wanted<'_>, kept: &HashMap<&str, Vec<&lock::Package>>) {
        let name = self.names[number as usize].text;
        let versions = range(&self.first_version, number);
        if versions.is_empty() || self.excluded.contains(name) {
            return;
        }
        let wishes = wanted.get(name).map_or(&[][..], Vec::as_slice);
        let kept = kept.get(name).map_or(&[][..], Vec::as_slice);
        let mut best: Vec<(Entry<'a>, i32)> = Vec::with_capacity(1);
        for &version in &self.versions[versions] {
            let Some(entry) = self.entry_of(number, version) else { continue };
            let Loaded { index, view, .. } = &self.indexes[version.index as usize];
            let mut priority = priority_of(index);
            if priority < 0 || !wishes.iter().all(|wish| wish.allows(entry.version, index)) {
                continue;
            }
            let (architecture, sha256) = (view.text(version.row.architecture), version.row.sha256());
            if kept
                .iter()
                .any(|p| p.version == entry.version && p.architecture == architecture && Some(p.sha256) == sha256)
            {
                priority = i32::MAX;
            }
            match best.iter_mut().find(|(known, _)| known.architecture == entry.architecture) {
                None => best.push((entry, priority)),
                Some((known, known_priority)) => {
                    let order = version::compare(entry.version, known.version);
                    if order.is_eq() {
                        *known_priority = priority.max(*known_priority);
                    } else if (priority, order) > (*known_priority, std::cmp::Ordering::Equal) {
                        (*known, *known_priority) = (entry, priority);
                    }
                }
            }
        }
        self.candidates.extend(best.into_iter().map(|(entry, _)| entry));
    }

    /// Adds all versions of a name, for each architecture the highest first.
    fn add_every_version(&mut self, number: u32) {
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(1);
        for &version in &self.versions[range(&self.first_version, number)] {
            let Some(entry) = self.entry_of(number, version) else { continue };
            if !entries.iter().any(|known| known.architecture == entry.architecture && known.version == entry.version) {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.architecture.cmp(b.architecture).then_with(|| version::compare(b.version, a.version)));
        self.candidates.extend(entries);
    }

    /// A version as a candidate; `None` for one of an architecture that its index should not have.
    fn entry_of(&self, number: u32, Version { index, row }: Version<'a>) -> Option<Entry<'a>> {
        let Loaded { index: source, view, .. } = &self.indexes[index as usize];
        let architecture = match view.text(row.architecture) {
            "all" => self.architecture,
            other if other == source.architecture.as_str() => source.architecture.as_str(),
            _ => return None,
        };
        let (name, version) = (self.names[number as usize].text, view.text(row.version));
        Some(Entry { index, row, number, name, version, architecture })
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

    /// Takes also what a package needs from the release that it is taken from, where no candidate satisfies it: apt's
    /// rule for `NAME/RELEASE` (apt-get(8); `pkgDepCache::SetCandidateRelease` in its apt-pkg/depcache.cc).
    fn follow_release(&mut self, name: &str, release: &str) {
        let mut open: Vec<Candidate> = self.named(name).collect();
        let mut moved = false;
        while let Some(candidate) = open.pop() {
            let of = self.entry(candidate).architecture;
            let mut found = Vec::new();
            for field in [Field::PreDepends, Field::Depends] {
                for member in self.members(candidate, field) {
                    if self.options(candidate, member, of).is_empty() {
                        found.extend(member.iter().find_map(|a| self.release_option(candidate, a, of, release)));
                    }
                }
            }
            for (old, entry) in found {
                self.candidates[old.index()] = entry;
                (moved, open) = (true, [open, vec![old]].concat());
            }
        }
        if moved {
            self.add_providers();
        }
    }

    /// The version of a release that satisfies an alternative, and the candidate in whose place it is to come.
    fn release_option(
        &self,
        owner: Candidate,
        alternative: &Alternative,
        of: &str,
        release: &str,
    ) -> Option<(Candidate, Entry<'a>)> {
        let Loaded { view, names, .. } = &self.indexes[self.entry(owner).index as usize];
        let relation = view.relation(alternative);
        let number = names[alternative.name as usize];
        let versions = self.versions[range(&self.first_version, number)].iter();
        let fitting = versions.filter(|v| is_release(self.indexes[v.index as usize].index, release));
        let entry = fitting.filter_map(|version| self.entry_of(number, *version)).find(|entry| {
            entry.architecture == of && relation.version.is_none_or(|(op, wanted)| op.holds(entry.version, wanted))
        })?;
        let old = self.of_name(number).find(|old| self.entry(*old).architecture == entry.architecture)?;
        Some((old, entry))
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.names.binary_search_by(|known| known.text.cmp(name)).ok().map(|number| number as u32)
    }

    fn of_name(&self, number: u32) -> impl Iterator<Item = Candidate> + use<> {
        range(&self.first_candidate, number).map(|candidate| Candidate(candidate as u32))
    }

    /// The candidates with this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Candidate> + use<> {
        self.number(name).into_iter().flat_map({
            let first = self.number(name).map(|number| range(&self.first_candidate, number)).unwrap_or_default();
            move |_| first.clone().map(|candidate| Candidate(candidate as u32))
        })
    }

    /// The candidates with the name of this one, itself among them.
    pub(super) fn namesakes(&self, candidate: Candidate) -> impl Iterator<Item = Candidate> + use<> {
        self.of_name(self.entry(candidate).number)
    }

    /// Who provides this name.
    fn providers(&self, name: &str) -> &[Provider<'a>] {
        self.number(name).map_or(&[], |number| &self.provided[range(&self.first_provider, number)])
    }

    pub(super) fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// All versions with this name that the indexes have.
    pub(super) fn versions_of(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        self.versions(name).iter().map(|v| self.indexes[v.index as usize].view.text(v.row.version))
    }

    fn versions(&self, name: &str) -> &[Version<'a>] {
        self.number(name).map_or(&[], |number| &self.versions[range(&self.first_version, number)])
    }

    pub(super) fn entry(&self, candidate: Candidate) -> &Entry<'a> {
        &self.candidates[candidate.index()]
    }

    /// The members of a field of a candidate.
    fn members(&self, candidate: Candidate, field: Field) -> impl Iterator<Item = &'a [Alternative]> + use<'a> {
        let entry = self.entry(candidate);
        self.indexes[entry.index as usize].view.members(entry.row, field)
    }

    /// An alternative in a candidate's relations, with the candidates and the providers of its name.
    pub(super) fn look_up(&self, owner: Candidate, alternative: &Alternative) -> Named<'_, 'a> {
        let Loaded { view, names, .. } = &self.indexes[self.entry(owner).index as usize];
        let number = names[alternative.name as usize];
        Named {
            relation: view.relation(alternative),
            candidates: range(&self.first_candidate, number),
            providers: &self.provided[range(&self.first_provider, number)],
        }
    }

    /// A relation written in a manifest, likewise.
    pub(super) fn look_up_relation<'r>(&self, relation: Relation<'r>) -> Named<'_, 'r>
    where
        'a: 'r,
    {
        let candidates = self.number(relation.name).map(|number| range(&self.first_candidate, number));
        Named { relation, candidates: candidates.unwrap_or_default(), providers: self.providers(relation.name) }
    }

    /// Where the indexes first name a candidate's package.
    pub(super) fn first_mention(&self, candidate: Candidate) -> (u32, u32) {
        self.names[self.entry(candidate).number as usize].mention
    }

    fn text_of(&self, owner: Candidate, member: &[Alternative]) -> String {
        let view = self.indexes[self.entry(owner).index as usize].view;
        member.iter().map(|a| view.relation(a).to_string()).collect::<Vec<_>>().join(" | ")
    }
}

/// A relation, and what has its name.
pub(super) struct Named<'u, 'a> {
    pub(super) relation: Relation<'a>,
    candidates: std::ops::Range<usize>,
    pub(super) providers: &'u [Provider<'a>],
}

impl Named<'_, '_> {
    /// The candidates with the relation's name.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> + use<> {
        self.candidates.clone().map(|candidate| Candidate(candidate as u32))
    }
}

impl Wish<'_> {
    fn allows(&self, version: &str, index: &Index) -> bool {
        match self {
            Self::Version(operator, wanted) => operator.holds(version, wanted),
            Self::Release(release) => is_release(index, release),
        }
    }
}

/// Whether an index is of a release, named as apt names releases: by suite or code name.
fn is_release(index: &Index, release: &str) -> bool {
    index.suite == release || index.codename == release || index.archive.split('/').nth(1) == Some(release)
}

/// The part of a list that belongs to a number, when `first` has where each part begins.
fn range(first: &[u32], number: u32) -> std::ops::Range<usize> {
    first[number as usize] as usize..first[number as usize + 1] as usize
}

/// apt's priority of an index (`apt_preferences(5)`, "APT's Default Priority Assignments").
fn priority_of(index: &Index) -> i32 {
    index.priority.unwrap_or(match (index.not_automatic, index.but_automatic_upgrades) {
        (false, _) => 500,
        (true, false) => 1,
        (true, true) => 100,
    })
}

impl DebUniverse<'_> {
    fn explain_missing_relation(&self, relation: &Relation<'_>) -> String {
        let name = relation.name;
        if self.is_excluded(name) {
            return format!("`{name}` is excluded by the manifest");
        }
        let versions = self.versions(name);
        if versions.is_empty() {
            return match self.providers(name) {
                [] => format!("no archive has a package `{name}`"),
                _ => format!("no package provides `{relation}`"),
            };
        }
        let version_of = |v: &Version<'_>| self.indexes[v.index as usize].view.text(v.row.version);
        let list = |versions: &mut dyn Iterator<Item = &Version<'_>>| {
            let with_archive =
                |v: &Version<'_>| format!("{} ({})", version_of(v), self.indexes[v.index as usize].index.archive);
            versions.map(with_archive).collect::<Vec<_>>().join(", ")
        };
        let fits =
            |v: &&Version<'_>| relation.version.is_none_or(|(operator, wanted)| operator.holds(version_of(v), wanted));
        let fitting = list(&mut versions.iter().filter(fits));
        let all = list(&mut versions.iter());
        match self.named(name).next().map(|candidate| self.entry(candidate).version) {
            _ if fitting.is_empty() => format!("no archive has `{relation}`, found {all}"),
            Some(candidate) => format!("`{relation}` is {fitting}, but the candidate is {candidate}"),
            None => format!("priorities and the versions under `packages` leave no `{name}`, found {all}"),
        }
    }

    fn request_task(&self, task: &str) -> Result<Vec<Requirement>> {
        let has_task = |entry: &Entry<'_>| {
            let tasks = self.indexes[entry.index as usize].view.text(entry.row.task);
            entry.architecture == self.architecture && tasks.split([',', ' ']).any(|word| word == task)
        };
        let named = format!("task-{task}");
        let numbers = (0..self.candidates.len() as u32).map(Candidate);
        let members = numbers.filter(|candidate| {
            let entry = self.entry(*candidate);
            has_task(entry) || entry.name == named && entry.architecture == self.architecture
        });
        let requirements: Vec<Requirement> = members
            .map(|member| Requirement {
                verb: "asks for the task that has",
                text: self.entry(member).name.to_owned(),
                strength: Strength::Needed,
                options: vec![member],
            })
            .collect();
        if requirements.is_empty() {
            bail!("no package belongs to the task `{task}`, and there is no package `{named}`");
        }
        Ok(requirements)
    }
}

impl Universe for DebUniverse<'_> {
    fn format(&self) -> Format {
        Format::Deb
    }

    fn len(&self) -> usize {
        self.candidates.len()
    }

    fn identity(&self, candidate: Candidate) -> Identity<'_> {
        let entry = self.entry(candidate);
        let architecture = self.indexes[entry.index as usize].view.text(entry.row.architecture);
        Identity { name: entry.name, architecture, version: entry.version }
    }

    /// In apt's order: Pre-Depends, Depends, Recommends, Suggests.
    fn relations(&self, candidate: Candidate) -> Relations {
        let entry = self.entry(candidate);
        let mut relations = Relations::default();
        for (field, verb, strength) in [
            (Field::PreDepends, "pre-depends on", Strength::Needed),
            (Field::Depends, "depends on", Strength::Needed),
            (Field::Recommends, "recommends", Strength::Recommended),
            (Field::Suggests, "suggests", Strength::Suggested),
        ] {
            relations.requirements.extend(self.members(candidate, field).map(|member| Requirement {
                verb,
                text: self.text_of(candidate, member),
                strength,
                options: self.options(candidate, member, entry.architecture),
            }));
        }
        for (field, verb) in [(Field::Conflicts, "conflicts with"), (Field::Breaks, "breaks")] {
            for member in self.members(candidate, field) {
                let against = self.ruled_out(candidate, member);
                if !against.is_empty() {
                    relations.exclusions.push(Exclusion { verb, text: self.text_of(candidate, member), against });
                }
            }
        }
        let against = self.siblings_ruled_out(candidate);
        let (versions, foreign): (Vec<_>, Vec<_>) =
            against.into_iter().partition(|&other| self.entry(other).architecture == entry.architecture);
        for (verb, against) in [
            ("cannot be installed beside another version of", versions),
            ("cannot be installed beside another architecture's", foreign),
        ] {
            if !against.is_empty() {
                relations.exclusions.push(Exclusion { verb, text: entry.name.to_owned(), against });
            }
        }
        relations
    }

    /// `APT::AutoRemove::RecommendsImportant` and `SuggestsImportant` (apt.conf(5)) are apt's defaults, whether or not
    /// recommended packages are installed.
    fn weakly_related(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let members = [Field::Recommends, Field::Suggests].into_iter().flat_map(|field| self.members(candidate, field));
        members.flat_map(|member| self.options(candidate, member, entry.architecture)).collect()
    }

    /// The defaults of `pkgProblemResolver::Scores` in apt's apt-pkg/algorithms.cc.
    fn weight(&self, candidate: Candidate) -> i32 {
        let of_priority = match self.entry(candidate).row.priority() {
            Priority::Required => 3,
            Priority::Important => 2,
            Priority::Standard => 1,
            Priority::Optional => -1,
            Priority::Extra => -2,
        };
        of_priority + if self.is_essential(candidate) { 100 } else { 0 }
    }

    fn is_essential(&self, candidate: Candidate) -> bool {
        let row = self.entry(candidate).row;
        row.essential() || row.protected()
    }

    /// As mmdebstrap(1) has its variants: essential packages; with `required` also those of that priority and apt;
    /// with `standard` also those of priority important and standard.
    fn base(&self, base: Base) -> Vec<Candidate> {
        let least = match base {
            Base::None => return Vec::new(),
            Base::Essential => None,
            Base::Required => Some(Priority::Required),
            Base::Standard => Some(Priority::Standard),
        };
        let belongs = |candidate: &Candidate| {
            let entry = self.entry(*candidate);
            entry.architecture == self.architecture
                && (entry.row.essential()
                    || least.is_some_and(|p| entry.row.priority() <= p || entry.name == PACKAGE_MANAGER))
        };
        (0..self.candidates.len() as u32).map(Candidate).filter(belongs).collect()
    }

    fn request(&self, request: &PackageRequest) -> Result<Vec<Requirement>> {
        let (name, architecture) = match request.kind {
            RequestKind::Task => return self.request_task(&request.name),
            RequestKind::Package => (request.name.as_str(), request.architecture.as_deref()),
            RequestKind::File => {
                let Version { index, row } = self.file(request)?;
                let view = self.indexes[index as usize].view;
                let architecture = Some(view.text(row.architecture)).filter(|architecture| *architecture != "all");
                (view.name(row.name), architecture)
            }
        };
        let version = request
            .version
            .as_ref()
            .and_then(|(operator, version)| Operator::parse(operator).map(|operator| (operator, version.as_str())));
        let relation = Relation { name, qualifier: architecture, version };
        let text = relation.to_string();
        let of = architecture.unwrap_or(self.architecture);
        let mut options = self.satisfying(&self.look_up_relation(relation), of);
        // As apt does, where the root's own architecture has no such package: that of a foreign one.
        if options.is_empty() && architecture.is_none() {
            let fits = |c: &Candidate| version.is_none_or(|(op, wanted)| op.holds(self.entry(*c).version, wanted));
            options.extend(self.named(name).find(fits));
        }
        if let Some(real) = options.iter().copied().find(|&c| self.entry(c).name == name) {
            options = vec![real];
        }
        match options.as_slice() {
            [_] => {
                let (verb, strength) = ("asks for", Strength::Needed);
                return Ok(vec![Requirement { verb, text, strength, options }]);
            }
            [] => {}
            several => {
                let names: Vec<&str> = several.iter().map(|&c| self.entry(c).name).collect();
                bail!("`{text}` is a virtual package, provided by {}: ask for one of them", names.join(", "));
            }
        }
        if let Some(architecture) = architecture
            && !self.indexes.iter().any(|loaded| loaded.index.architecture.as_str() == architecture)
        {
            return Err(anyhow!("`{text}` is for {architecture}, and the root is for {}", self.architecture))
                .hint(|| format!("add `foreign-architectures: [{architecture}]` to the manifest"));
        }
        let missing = anyhow!("{}", self.explain_missing(&text));
        if !self.versions(name).is_empty() || !self.providers(name).is_empty() {
            return Err(missing);
        }
        let known = (0..self.names.len() as u32).filter(|number| {
            !range(&self.first_version, *number).is_empty() || !range(&self.first_provider, *number).is_empty()
        });
        match nearest_words(name, known.map(|number| self.names[number as usize].text), 3).as_slice() {
            [] => Err(missing),
            near => Err(missing).hint(|| format!("did you mean `{}`?", near.join("` or `"))),
        }
    }

    fn explain_missing(&self, text: &str) -> String {
        let missing = alternatives(text).flatten().filter(|relation| !self.is_satisfied(relation));
        let reasons: Vec<String> = missing.map(|relation| self.explain_missing_relation(&relation)).collect();
        reasons.join("; ")
    }

    fn names_in(&self, text: &str) -> Vec<&str> {
        let candidates = alternatives(text).flatten().flat_map(|relation| {
            let providers = self.providers(relation.name).iter().map(|provider| provider.candidate);
            self.named(relation.name).chain(providers).collect::<Vec<_>>()
        });
        candidates.map(|candidate| self.entry(candidate).name).collect()
    }

    fn remedies(&self, text: &str) -> Vec<Remedy> {
        self.remedies_for(text)
    }

    fn other_versions(&self, candidate: Candidate) -> Vec<PackageRequest> {
        self.requests_for_others(candidate)
    }

    fn record(&self, candidate: Candidate) -> Result<lock::Package> {
        let entry = self.entry(candidate);
        let Loaded { index, view, .. } = &self.indexes[entry.index as usize];
        let row = entry.row;
        let missing = |field: &str| {
            format!("{} has no {field} that can be read for {} {}", index.archive, entry.name, entry.version)
        };
        Ok(lock::Package {
            name: entry.name.to_owned(),
            architecture: view.text(row.architecture).to_owned(),
            version: entry.version.to_owned(),
            source: (!row.source.is_empty()).then(|| view.text(row.source).to_owned()),
            archive: index.archive.clone(),
            path: Some(view.text(row.path))
                .filter(|path| !path.is_empty())
                .with_context(|| missing("Filename"))?
                .to_owned(),
            size: row.size().with_context(|| missing("Size"))?,
            installed_size: u64::from(row.installed_kib) << 10,
            sha256: row.sha256().with_context(|| missing("SHA256"))?,
            asked: None,
            depends: Vec::new(),
            recommends: Vec::new(),
        })
    }
}

/// Whether two architectures' instances of a package can be installed together (deb-control(5)): both `Multi-Arch: same`
/// and of one version.
pub(super) fn together(a: &Entry<'_>, b: &Entry<'_>) -> bool {
    let same = |entry: &Entry<'_>| entry.row.multi_arch() == MultiArch::Same;
    same(a) && same(b) && a.version == b.version
}
