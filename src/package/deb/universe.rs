//! Debian indexes as a universe to choose from: apt's candidates (apt_preferences(5)), and which of them satisfy a
//! relation (Debian Policy 7; for Multi-Arch, the deb-control(5) field and its specification).

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;

use super::index::{self, MultiArch, Priority, Row};
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
    indexes: Vec<(&'a Index, &'a str)>,
    architecture: &'a str,
    candidates: Vec<Entry<'a>>,
    /// Candidates by name: one per architecture.
    named: HashMap<&'a str, Vec<Candidate>>,
    /// Who provides a name.
    provided: HashMap<&'a str, Vec<Provider<'a>>>,
    /// Every version of every package that the indexes have, for messages.
    versions: HashMap<&'a str, Vec<(u32, Row)>>,
    exclude: Vec<String>,
}

struct Entry<'a> {
    index: u32,
    row: Row,
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
    /// (apt_preferences(5)).
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
            named: HashMap::new(),
            provided: HashMap::new(),
            versions: HashMap::with_capacity(scanned.iter().map(|(_, _, rows)| rows.len()).sum()),
            exclude: exclude.to_vec(),
        };
        let mut names: Vec<&'a str> = Vec::new();
        for (number, (_, text, rows)) in scanned.iter().enumerate() {
            for row in rows {
                let versions = universe.versions.entry(row.name.of(text)).or_default();
                if versions.is_empty() {
                    names.push(row.name.of(text));
                }
                versions.push((number as u32, *row));
            }
        }
        let mut wanted: BTreeMap<&str, Vec<(Operator, &str)>> = BTreeMap::new();
        for request in requests {
            if let Some((operator, version)) = &request.version {
                let operator = Operator::parse(operator).context("a request has an unknown operator")?;
                wanted.entry(&request.name).or_default().push((operator, version));
            }
        }
        for name in names {
            universe.add_candidates(name, wanted.get(name).map_or(&[], Vec::as_slice));
        }
        universe.add_providers();
        Ok(universe)
    }

    fn text(&self, index: u32) -> &'a str {
        self.indexes[index as usize].1
    }

    /// Chooses the candidates of a name: for each architecture the version of the highest priority, then the highest
    /// version, among those that the requests allow.
    fn add_candidates(&mut self, name: &'a str, wanted: &[(Operator, &str)]) {
        if self.exclude.iter().any(|excluded| excluded == name) {
            return;
        }
        let mut best: Vec<(Entry<'a>, i32)> = Vec::with_capacity(1);
        for &(index, row) in &self.versions[name] {
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
        for (entry, _) in best {
            let candidate = Candidate(self.candidates.len() as u32);
            self.candidates.push(entry);
            self.named.entry(name).or_default().push(candidate);
        }
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
                self.provided.entry(relation.name).or_default().push(Provider {
                    candidate: Candidate(number as u32),
                    version: relation.version.map(|(_, version)| version),
                    any: relation.qualifier == Some("any"),
                });
            }
        }
    }

    fn entry(&self, candidate: Candidate) -> &Entry<'a> {
        &self.candidates[candidate.index()]
    }

    /// Whether a candidate's architecture can satisfy a relation in a package of architecture `of`.
    fn architecture_fits(&self, candidate: Candidate, relation: &Relation<'_>, of: &str, any: bool) -> bool {
        let entry = self.entry(candidate);
        match relation.qualifier {
            None => entry.architecture == of || entry.row.multi_arch == MultiArch::Foreign,
            Some("any") => entry.row.multi_arch == MultiArch::Allowed || any,
            Some("native") => entry.architecture == self.architecture,
            Some(named) => entry.architecture == named,
        }
    }

    /// The candidates that satisfy a relation, the package of that name before those that provide it; those in apt's
    /// order of preference, and by name where apt knows none.
    fn satisfying(&self, relation: &Relation<'_>, of: &str) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for &candidate in self.named.get(relation.name).map_or(&[][..], Vec::as_slice) {
            let version_fits =
                relation.version.is_none_or(|(operator, wanted)| operator.holds(self.entry(candidate).version, wanted));
            if version_fits && self.architecture_fits(candidate, relation, of, false) {
                found.push(candidate);
            }
        }
        for provider in self.provided.get(relation.name).map_or(&[][..], Vec::as_slice) {
            let version_fits = match (relation.version, provider.version) {
                (None, _) => true,
                (Some((operator, wanted)), Some(version)) => operator.holds(version, wanted),
                (Some(_), None) => false,
            };
            if version_fits
                && !found.contains(&provider.candidate)
                && self.architecture_fits(provider.candidate, relation, of, provider.any)
            {
                found.push(provider.candidate);
            }
        }
        found.sort_by_key(|&candidate| {
            let entry = self.entry(candidate);
            (
                entry.name != relation.name,
                !entry.row.essential,
                !entry.row.protected,
                entry.architecture != self.architecture,
                entry.row.priority,
                entry.name,
            )
        });
        found
    }

    /// The candidates that a Conflicts or Breaks of `owner` rules out: of any architecture, and never itself
    /// (Debian Policy 7.4, 7.6.2).
    fn ruled_out(&self, relation: &Relation<'_>, owner: Candidate) -> Vec<Candidate> {
        let own = self.entry(owner).name;
        let architecture_fits = |candidate: Candidate| match relation.qualifier {
            None | Some("any") => true,
            Some("native") => self.entry(candidate).architecture == self.architecture,
            Some(named) => self.entry(candidate).architecture == named,
        };
        let mut found: Vec<Candidate> = Vec::new();
        for &candidate in self.named.get(relation.name).map_or(&[][..], Vec::as_slice) {
            if relation.version.is_none_or(|(operator, wanted)| operator.holds(self.entry(candidate).version, wanted)) {
                found.push(candidate);
            }
        }
        for provider in self.provided.get(relation.name).map_or(&[][..], Vec::as_slice) {
            let version_fits = match (relation.version, provider.version) {
                (None, _) => true,
                (Some((operator, wanted)), Some(version)) => operator.holds(version, wanted),
                (Some(_), None) => false,
            };
            if version_fits {
                found.push(provider.candidate);
            }
        }
        found.retain(|&candidate| self.entry(candidate).name != own && architecture_fits(candidate));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Other architectures' instances of a `Multi-Arch: same` package, which must have the same version (deb-control(5)),
    /// and of any other package, of which there can be one.
    fn siblings_ruled_out(&self, candidate: Candidate) -> Vec<Candidate> {
        let entry = self.entry(candidate);
        let together = |other: &Entry<'_>| {
            entry.row.multi_arch == MultiArch::Same
                && other.row.multi_arch == MultiArch::Same
                && entry.version == other.version
        };
        let siblings = self.named[entry.name].iter().copied();
        siblings.filter(|&other| other != candidate && !together(self.entry(other))).collect()
    }

    fn requirement(&self, verb: &'static str, necessary: bool, member: &str, of: &str) -> Requirement {
        let mut options: Vec<Candidate> = Vec::new();
        for relation in alternatives(member).flatten() {
            for candidate in self.satisfying(&relation, of) {
                if !options.contains(&candidate) {
                    options.push(candidate);
                }
            }
        }
        let text = member.split_whitespace().collect::<Vec<_>>().join(" ");
        Requirement { verb, text, necessary, options }
    }
}

/// apt's priority of an index (apt_preferences(5), "APT's Default Priority Assignments").
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
        let real: Vec<Candidate> =
            requirement.options.iter().copied().filter(|&c| self.entry(c).name == request.name).collect();
        if !real.is_empty() {
            requirement.options = real;
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
        if self.versions.contains_key(request.name.as_str()) || self.provided.contains_key(request.name.as_str()) {
            return Err(missing);
        }
        let known = self.versions.keys().chain(self.provided.keys()).copied();
        match nearest_words(&request.name, known, 3).as_slice() {
            [] => Err(missing),
            near => Err(missing).hint(|| format!("did you mean `{}`?", near.join("` or `"))),
        }
    }

    fn explain_missing(&self, text: &str) -> String {
        let reasons: Vec<String> = alternatives(text)
            .flatten()
            .map(|relation| {
                let name = relation.name;
                if self.exclude.iter().any(|excluded| excluded == name) {
                    return format!("`{name}` is excluded by the manifest");
                }
                let mut found: Vec<String> = Vec::new();
                for (index, row) in self.versions.get(name).map_or(&[][..], Vec::as_slice) {
                    let (index, text) = self.indexes[*index as usize];
                    found.push(format!("{} ({})", row.version.of(text), index.archive));
                }
                match (found.is_empty(), self.provided.contains_key(name)) {
                    (true, false) => format!("no archive has a package `{name}`"),
                    (true, true) => format!("no package provides `{relation}`"),
                    (false, _) => format!("no archive has `{relation}`, found {}", found.join(", ")),
                }
            })
            .collect();
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
            archive: index.archive.clone(),
            path: field("Filename")?.to_owned(),
            size: field("Size")?.parse().with_context(|| format!("{} {} has a bad Size", entry.name, entry.version))?,
            sha256: field("SHA256")?.parse()?,
            depends: Vec::new(),
        })
    }
}
