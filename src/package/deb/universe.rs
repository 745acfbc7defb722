//! Debian indexes as a universe to choose from: which version of a package is apt's candidate (`apt_preferences(5)`).
//! Which candidates satisfy a relation stands in `matching`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;

use super::index::{self, Priority, Row};
use super::mention::{Place, first_mention};
use super::relation::{Operator, Relation, alternatives, members};
use super::version;
use crate::arch::Architecture;
use crate::error::{Hint, nearest_words};
use crate::lock;
use crate::manifest::{Base, PackageRequest};
use crate::package::Format;
use crate::package::universe::{Candidate, Exclusion, Identity, Relations, Requirement, Universe};
use crate::source::Index;

/// The package manager, which a required base includes as mmdebstrap(1) and debootstrap(8) do.
const PACKAGE_MANAGER: &str = "apt";

/// All packages of some indexes for one root.
pub struct DebUniverse<'a> {
    pub(super) indexes: Vec<(&'a Index, &'a str)>,
    pub(super) architecture: &'a str,
    /// By name; for each architecture of a name, one.
    pub(super) candidates: Vec<Entry<'a>>,
    /// Who provides a name, by name.
    provided: Vec<Provider<'a>>,
    /// Every version that the indexes have, by name.
    versions: Vec<Version<'a>>,
    exclude: Vec<String>,
    mentions: Mutex<HashMap<Candidate, Option<Place>>>,
}

struct Version<'a> {
    name: &'a str,
    index: u32,
    row: Row,
}

pub(super) struct Entry<'a> {
    index: u32,
    pub(super) row: Row,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    /// The architecture whose relations it satisfies by itself: the root's for `all`.
    pub(super) architecture: &'a str,
}

pub(super) struct Provider<'a> {
    name: &'a str,
    pub(super) candidate: Candidate,
    pub(super) version: Option<&'a str>,
    /// Provided as `NAME:any`.
    pub(super) any: bool,
}

impl<'a> DebUniverse<'a> {
    /// Reads indexes. The earlier of two indexes with the same version of a package is where it is taken from
    /// (`apt_preferences(5)`).
    pub fn new(
        indexes: &'a [Index],
        architecture: &'a Architecture,
        requests: &[PackageRequest],
        exclude: &[String],
    ) -> Result<Self> {
        let scanned: Vec<(&'a Index, &'a str, Vec<Row>)> = indexes
            .par_iter()
            .map(|index| {
                let text = std::str::from_utf8(&index.text)
                    .with_context(|| format!("the index {} is not UTF-8", index.archive))?;
                Ok((index, text, index::scan(text)))
            })
            .collect::<Result<_>>()?;
        let mut universe = Self {
            indexes: scanned.iter().map(|(index, text, _)| (*index, *text)).collect(),
            architecture: architecture.as_str(),
            candidates: Vec::new(),
            provided: Vec::new(),
            versions: Vec::new(),
            exclude: exclude.to_vec(),
            mentions: Mutex::default(),
        };
        let mut versions: Vec<Version<'a>> = Vec::with_capacity(scanned.iter().map(|(_, _, rows)| rows.len()).sum());
        for (index, (_, text, rows)) in scanned.iter().enumerate() {
            versions.extend(rows.iter().map(|row| Version { name: row.name.of(text), index: index as u32, row: *row }));
        }
        versions.sort_by_key(|version| version.name);
        let mut wanted: BTreeMap<&str, Vec<(Operator, &str)>> = BTreeMap::new();
        for request in requests {
            if let Some((operator, version)) = &request.version {
                let operator = Operator::parse(operator).context("a request has an unknown operator")?;
                wanted.entry(&request.name).or_default().push((operator, version));
            }
        }
        for same_name in versions.chunk_by(|a, b| a.name == b.name) {
            universe.add_candidates(same_name, wanted.get(same_name[0].name).map_or(&[], Vec::as_slice));
        }
        universe.versions = versions;
        universe.add_providers();
        Ok(universe)
    }

    fn text(&self, index: u32) -> &'a str {
        self.indexes[index as usize].1
    }

    /// Chooses the candidates of a name: for each architecture the version of the highest priority, then the highest
    /// version, among those that the requests allow.
    fn add_candidates(&mut self, same_name: &[Version<'a>], wanted: &[(Operator, &str)]) {
        let name = same_name[0].name;
        if self.exclude.iter().any(|excluded| excluded == name) {
            return;
        }
        let mut best: Vec<(Entry<'a>, i32)> = Vec::with_capacity(1);
        for &Version { index, row, .. } in same_name {
            let text = self.text(index);
            let version = row.version.of(text);
            let Some(architecture) = self.effective_architecture(index, row) else { continue };
            let priority = priority_of(self.indexes[index as usize].0);
            if priority < 0 || !wanted.iter().all(|(operator, wanted)| operator.holds(version, wanted)) {
                continue;
            }
            let entry = Entry { index, row, name, version, architecture };
            match best.iter_mut().find(|(known, _)| known.architecture == architecture) {
                None => best.push((entry, priority)),
                Some((known, known_priority)) => {
                    let order = version::compare(version, known.version);
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

    /// The architecture a stanza counts for; `None` for one that its index should not have.
    fn effective_architecture(&self, index: u32, row: Row) -> Option<&'a str> {
        let (index, text) = self.indexes[index as usize];
        match row.architecture.of(text) {
            "all" => Some(self.architecture),
            other if other == index.architecture.as_str() => Some(index.architecture.as_str()),
            _ => None,
        }
    }

    fn add_providers(&mut self) {
        for (number, entry) in self.candidates.iter().enumerate() {
            if entry.row.provides.is_empty() {
                continue;
            }
            let field = entry.row.provides.of(self.text(entry.index));
            for relation in members(field).filter_map(|member| Relation::parse(member).ok()) {
                self.provided.push(Provider {
                    name: relation.name,
                    candidate: Candidate(number as u32),
                    version: relation.version.map(|(_, version)| version),
                    any: relation.qualifier == Some("any"),
                });
            }
        }
        self.provided.sort_by_key(|provider| provider.name);
    }

    /// The candidates with this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Candidate> + use<> {
        let start = self.candidates.partition_point(|entry| entry.name < name);
        let length = self.candidates[start..].partition_point(|entry| entry.name == name);
        (start..start + length).map(|number| Candidate(number as u32))
    }

    /// Who provides this name.
    pub(super) fn providers(&self, name: &str) -> &[Provider<'a>] {
        run(&self.provided, name, |provider| provider.name)
    }

    fn versions(&self, name: &str) -> &[Version<'a>] {
        run(&self.versions, name, |version| version.name)
    }

    pub(super) fn entry(&self, candidate: Candidate) -> &Entry<'a> {
        &self.candidates[candidate.index()]
    }

    /// Where the indexes first name a candidate's package.
    pub(super) fn first_mention(&self, candidate: Candidate) -> Option<Place> {
        let mut mentions = self.mentions.lock().unwrap_or_else(PoisonError::into_inner);
        *mentions
            .entry(candidate)
            .or_insert_with(|| first_mention(self.indexes.iter().map(|(_, text)| *text), self.entry(candidate).name))
    }
}

impl DebUniverse<'_> {
    fn explain_missing_relation(&self, relation: &Relation<'_>) -> String {
        let name = relation.name;
        if self.exclude.iter().any(|excluded| excluded == name) {
            return format!("`{name}` is excluded by the manifest");
        }
        let versions = self.versions(name);
        if versions.is_empty() {
            return match self.providers(name) {
                [] => format!("no archive has a package `{name}`"),
                _ => format!("no package provides `{relation}`"),
            };
        }
        let list = |versions: &mut dyn Iterator<Item = &Version<'_>>| {
            let with_archive = |v: &Version<'_>| {
                let (index, text) = self.indexes[v.index as usize];
                format!("{} ({})", v.row.version.of(text), index.archive)
            };
            versions.map(with_archive).collect::<Vec<_>>().join(", ")
        };
        let fits = |v: &&Version<'_>| {
            let version = v.row.version.of(self.text(v.index));
            relation.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
        };
        let fitting = list(&mut versions.iter().filter(fits));
        let all = list(&mut versions.iter());
        match self.named(name).next().map(|candidate| self.entry(candidate).version) {
            _ if fitting.is_empty() => format!("no archive has `{relation}`, found {all}"),
            Some(candidate) => format!(
                "`{relation}` is {fitting}, but the candidate is {candidate}: a version under `packages` changes that"
            ),
            None => format!("priorities and the versions under `packages` leave no `{name}`, found {all}"),
        }
    }
}

/// The part of a list, sorted by name, that has this name.
fn run<'l, T>(list: &'l [T], name: &str, name_of: impl Fn(&T) -> &str) -> &'l [T] {
    let list = &list[list.partition_point(|item| name_of(item) < name)..];
    &list[..list.partition_point(|item| name_of(item) == name)]
}

/// apt's priority of an index (`apt_preferences(5)`, "APT's Default Priority Assignments").
fn priority_of(index: &Index) -> i32 {
    index.priority.unwrap_or(match (index.not_automatic, index.but_automatic_upgrades) {
        (false, _) => 500,
        (true, false) => 1,
        (true, true) => 100,
    })
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
        let architecture = entry.row.architecture.of(self.text(entry.index));
        Identity { name: entry.name, architecture, version: entry.version }
    }

    /// In apt's order: Pre-Depends, Depends, then Recommends.
    fn relations(&self, candidate: Candidate) -> Relations {
        let entry = self.entry(candidate);
        let stanza = entry.row.stanza(self.text(entry.index));
        let mut relations = Relations::default();
        for (field, verb, necessary) in [
            ("Pre-Depends", "pre-depends on", true),
            ("Depends", "depends on", true),
            ("Recommends", "recommends", false),
        ] {
            let field = stanza.get(field).unwrap_or_default();
            relations
                .requirements
                .extend(members(field).map(|member| self.requirement(verb, necessary, member, entry.architecture)));
        }
        for (field, verb) in [("Conflicts", "conflicts with"), ("Breaks", "breaks")] {
            for member in members(stanza.get(field).unwrap_or_default()) {
                let against = Relation::parse(member).map_or_else(|_| Vec::new(), |r| self.ruled_out(&r, candidate));
                if !against.is_empty() {
                    relations.exclusions.push(Exclusion { verb, text: member.to_owned(), against });
                }
            }
        }
        let against = self.siblings_ruled_out(candidate);
        if !against.is_empty() {
            let verb = "cannot be installed beside another architecture's";
            relations.exclusions.push(Exclusion { verb, text: entry.name.to_owned(), against });
        }
        relations
    }

    /// `APT::AutoRemove::RecommendsImportant` and `SuggestsImportant` (apt.conf(5)) are apt's defaults, whether or not
    /// recommended packages are installed.
    fn weakly_related(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let stanza = entry.row.stanza(self.text(entry.index));
        let fields = ["Recommends", "Suggests"].map(|field| stanza.get(field).unwrap_or_default());
        let requirement = |member| self.requirement("recommends or suggests", false, member, entry.architecture);
        fields.into_iter().flat_map(members).flat_map(|member| requirement(member).options).collect()
    }

    /// The defaults of `pkgProblemResolver::Scores` in apt's apt-pkg/algorithms.cc.
    fn weight(&self, candidate: Candidate) -> i32 {
        let of_priority = match self.entry(candidate).row.priority {
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
        row.essential || row.protected
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
        let mut chosen: Vec<Candidate> = (0..self.candidates.len() as u32)
            .map(Candidate)
            .filter(|&candidate| {
                let entry = self.entry(candidate);
                entry.architecture == self.architecture
                    && (entry.row.essential
                        || least.is_some_and(|p| entry.row.priority <= p || entry.name == PACKAGE_MANAGER))
            })
            .collect();
        chosen.sort_by_key(|&candidate| self.entry(candidate).name);
        chosen
    }

    fn request(&self, request: &PackageRequest) -> Result<Requirement> {
        let text = match &request.version {
            Some((operator, version)) => format!("{} ({operator} {version})", request.name),
            None => request.name.clone(),
        };
        let mut requirement = self.requirement("asks for", true, &text, self.architecture);
        if let Some(real) = requirement.options.iter().copied().find(|&c| self.entry(c).name == request.name) {
            requirement.options = vec![real];
            return Ok(requirement);
        }
        match requirement.options.as_slice() {
            [_] => return Ok(requirement),
            [] => {}
            several => {
                let names: Vec<&str> = several.iter().map(|&c| self.entry(c).name).collect();
                bail!("`{text}` is a virtual package, provided by {}: ask for one of them", names.join(", "));
            }
        }
        let missing = anyhow!("{}", self.explain_missing(&text));
        if !self.versions(&request.name).is_empty() || !self.providers(&request.name).is_empty() {
            return Err(missing);
        }
        let known = self.versions.iter().map(|v| v.name).chain(self.provided.iter().map(|p| p.name));
        match nearest_words(&request.name, known, 3).as_slice() {
            [] => Err(missing),
            near => Err(missing).hint(|| format!("did you mean `{}`?", near.join("` or `"))),
        }
    }

    fn explain_missing(&self, text: &str) -> String {
        let reasons: Vec<String> = alternatives(text).flatten().map(|r| self.explain_missing_relation(&r)).collect();
        reasons.join("; ")
    }

    fn record(&self, candidate: Candidate) -> Result<lock::Package> {
        let entry = self.entry(candidate);
        let (index, text) = self.indexes[entry.index as usize];
        let stanza = entry.row.stanza(text);
        let field = |name: &str| {
            stanza
                .get(name)
                .with_context(|| format!("{} has no {name} for {} {}", index.archive, entry.name, entry.version))
        };
        Ok(lock::Package {
            name: entry.name.to_owned(),
            architecture: field("Architecture")?.to_owned(),
            version: entry.version.to_owned(),
            source: stanza
                .get("Source")
                .and_then(|source| source.split_whitespace().next())
                .filter(|source| *source != entry.name)
                .map(str::to_owned),
            archive: index.archive.clone(),
            path: field("Filename")?.to_owned(),
            size: field("Size")?.parse().with_context(|| format!("{} {} has a bad Size", entry.name, entry.version))?,
            // In KiB there (deb-control(5)).
            installed_size: stanza.get("Installed-Size").and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10,
            sha256: field("SHA256")?.parse()?,
            asked: None,
            depends: Vec::new(),
            recommends: Vec::new(),
        })
    }
}
