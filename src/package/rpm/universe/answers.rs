//! What a resolver asks of rpm repositories: the format's side of [`Universe`].

use anyhow::{Context, Result};

use super::super::repodata::comps::Kind;
use super::super::repodata::primary::{Field, Stored};
use super::RpmUniverse;
use crate::lock;
use crate::manifest::{Base, PackageRequest};
use crate::package::Format;
use crate::package::universe::{
    Attraction, Candidate, Exclusion, Identity, Purpose, Relations, Remedy, Requirement, Strategy, Strength, Universe,
};

/// The group that a base is made of.
const CORE: &str = "core";

impl RpmUniverse<'_> {
    fn stored(&self, candidate: Candidate, field: Field) -> &[Stored] {
        let entry = self.entry(candidate);
        self.indexes[entry.index as usize].rows.relations(entry.package, field)
    }

    fn requirements(
        &self,
        candidate: Candidate,
        field: Field,
        verb: &'static str,
        strength: Strength,
    ) -> Vec<Requirement> {
        let rows = self.indexes[self.entry(candidate).index as usize].rows;
        let mut requirements = Vec::new();
        for stored in self.stored(candidate, field) {
            let relation = rows.relation(stored);
            // What the rpm that installs has to know of packages.
            if relation.name.starts_with("rpmlib(") {
                continue;
            }
            let text = relation.to_string();
            requirements.extend(self.clauses(&relation).into_iter().map(|clause| Requirement {
                verb,
                text: text.clone(),
                strength,
                options: clause.options,
                given: clause.given,
            }));
        }
        requirements
    }
}

impl Universe for RpmUniverse<'_> {
    fn format(&self) -> Format {
        Format::Rpm
    }

    fn strategy(&self) -> Strategy {
        Strategy::Decide
    }

    fn len(&self) -> usize {
        self.candidates.len()
    }

    fn identity(&self, candidate: Candidate) -> Identity<'_> {
        let entry = self.entry(candidate);
        let foreign = (!Format::Rpm.is_native(entry.architecture, self.architecture)).then_some('.');
        Identity { name: entry.name, architecture: entry.architecture, version: entry.evr, foreign }
    }

    fn relations(&self, candidate: Candidate) -> Relations {
        let entry = self.entry(candidate);
        let rows = self.indexes[entry.index as usize].rows;
        let mut relations = Relations::default();
        for (field, verb, strength) in [
            (Field::Requires, "requires", Strength::Needed),
            (Field::Recommends, "recommends", Strength::Recommended),
            (Field::Suggests, "suggests", Strength::Suggested),
        ] {
            relations.requirements.extend(self.requirements(candidate, field, verb, strength));
        }
        // A conflict is the requirement that its condition does not hold; of one candidate with each of some it is plain.
        for stored in self.stored(candidate, Field::Conflicts) {
            let relation = rows.relation(stored);
            let text = relation.to_string();
            let never = crate::package::formula::Formula::Not(Box::new(self.meaning(&relation)));
            let mut against = Vec::new();
            for mut clause in never.clauses().unwrap_or_default() {
                let all = clause.given.len();
                clause.given.retain(|given| *given != candidate);
                match (clause.given.as_slice(), clause.options.as_slice()) {
                    // With itself alone nothing conflicts.
                    ([], []) if all > 0 => {}
                    ([other], []) => against.push(*other),
                    _ => relations.requirements.push(Requirement {
                        verb: "conflicts with",
                        text: text.clone(),
                        strength: Strength::Needed,
                        options: clause.options,
                        given: clause.given,
                    }),
                }
            }
            if !against.is_empty() {
                relations.exclusions.push(Exclusion { verb: "conflicts with", text, against });
            }
        }
        for stored in self.stored(candidate, Field::Obsoletes) {
            let relation = rows.relation(stored);
            let mut against = self.meant_by_name(&relation);
            against.retain(|other| self.entry(*other).name != entry.name);
            if !against.is_empty() {
                relations.exclusions.push(Exclusion { verb: "obsoletes", text: relation.to_string(), against });
            }
        }
        let against = self.namesakes_ruled_out(candidate);
        if !against.is_empty() {
            let (verb, text) = ("cannot be installed beside another", entry.name.to_owned());
            relations.exclusions.push(Exclusion { verb, text, against });
        }
        relations
    }

    fn attractions(&self) -> Vec<Attraction> {
        let fields = [(Field::Supplements, Strength::Recommended), (Field::Enhances, Strength::Suggested)];
        let mut attractions = Vec::new();
        for candidate in (0..self.candidates.len() as u32).map(Candidate) {
            let rows = self.indexes[self.entry(candidate).index as usize].rows;
            for (field, strength) in fields {
                attractions.extend(self.stored(candidate, field).iter().map(|stored| {
                    let relation = rows.relation(stored);
                    let when = self.meaning(&relation);
                    let set_off = if field == Field::Supplements { self.set_off(&relation) } else { when.clone() };
                    Attraction { candidate, strength, when, set_off }
                }));
            }
        }
        attractions
    }

    fn rank(&self, options: &mut Vec<Candidate>, purpose: Purpose, wanted: &dyn Fn(Candidate) -> Option<Strength>) {
        self.apply_policy(options, purpose, wanted);
    }

    fn weakly_related(&self, candidate: Candidate) -> Vec<Candidate> {
        let weak = self.relations(candidate).requirements.into_iter().filter(|requirement| !requirement.is_necessary());
        weak.flat_map(|requirement| requirement.options).collect()
    }

    fn weight(&self, _: Candidate) -> i32 {
        0
    }

    fn is_essential(&self, _: Candidate) -> bool {
        false
    }

    /// rpm knows no such packages.
    fn in_every_root(&self) -> Vec<Candidate> {
        Vec::new()
    }

    /// Packages of the group `core`: the mandatory ones, and for `standard` the default ones too; for `essential` what
    /// provides `basesystem`.
    fn base(&self, base: Base) -> Vec<Candidate> {
        let kinds: &[Kind] = match base {
            Base::None => return Vec::new(),
            Base::Essential => return self.named("basesystem").first().copied().into_iter().collect(),
            Base::Required => &[Kind::Mandatory],
            Base::Standard => &[Kind::Mandatory, Kind::Default],
        };
        let requirements = self.group(CORE, kinds).unwrap_or_default();
        let always = requirements.iter().filter(|requirement| requirement.given.is_empty());
        let mut members: Vec<Candidate> = always.filter_map(|r| r.options.first().copied()).collect();
        members.sort_by_key(|member| self.entry(*member).name);
        members
    }

    fn request(&self, request: &PackageRequest) -> Result<Vec<Requirement>> {
        self.requirements_of(request)
    }

    fn explain_missing(&self, text: &str) -> String {
        self.why_missing(text)
    }

    fn names_in(&self, text: &str) -> Vec<&str> {
        self.names_of(text)
    }

    fn remedies(&self, text: &str) -> Vec<Remedy> {
        self.remedies_of(text)
    }

    fn other_versions(&self, candidate: Candidate) -> Vec<PackageRequest> {
        self.requests_for_others(candidate)
    }

    fn record(&self, candidate: Candidate) -> Result<lock::Package> {
        let entry = self.entry(candidate);
        let loaded = &self.indexes[entry.index as usize];
        let (rows, package) = (loaded.rows, entry.package);
        let sha256 = package.sha256.with_context(|| {
            format!(
                "{} names {} {} by a checksum that is no SHA-256, which is what a lock needs",
                loaded.index.archive, entry.name, entry.evr
            )
        })?;
        let source = rows.text(package.source);
        let fix = loaded.repository.contents.fixes.newest(entry.name, entry.evr);
        Ok(lock::Package {
            name: entry.name.to_owned(),
            architecture: entry.architecture.to_owned(),
            version: entry.evr.to_owned(),
            source: (!source.is_empty() && source != entry.name).then(|| source.to_owned()),
            archive: loaded.index.archive.clone(),
            path: rows.text(package.location).to_owned(),
            size: package.size,
            installed_size: package.installed_size,
            sha256,
            security_fix: fix.map(str::to_owned),
            asked: None,
            depends: Vec::new(),
            recommends: Vec::new(),
        })
    }
}
