//! What a resolver asks of Debian indexes: the format's side of [`Universe`].

use anyhow::{Context, Result, anyhow, bail};

use super::{DebUniverse, Entry, Loaded, Version, range};
use crate::error::{Hint, nearest_words};
use crate::lock;
use crate::manifest::{Base, PackageRequest, RequestKind};
use crate::package::Format;
use crate::package::deb::relation::{Operator, Relation, alternatives};
use crate::package::deb::table::{Field, Priority};
use crate::package::universe::{Candidate, Exclusion, Identity, Relations, Remedy, Requirement, Strength, Universe};

/// The package manager, which a required base includes as mmdebstrap(1) and debootstrap(8) do.
const PACKAGE_MANAGER: &str = "apt";

impl DebUniverse<'_> {
    /// The packages of a task: those that say so, and the package that is made for it.
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
                given: Vec::new(),
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
        let foreign = (architecture != "all" && architecture != self.architecture).then_some(':');
        Identity { name: entry.name, architecture, version: entry.version, foreign }
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
                given: Vec::new(),
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

    fn in_every_root(&self) -> Vec<Candidate> {
        self.base(Base::Essential)
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
            RequestKind::Task | RequestKind::Group => return self.request_task(&request.name),
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
                let (verb, text, strength) = ("asks for", request.to_string(), Strength::Needed);
                return Ok(vec![Requirement { verb, text, strength, options, given: Vec::new() }]);
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
            security_fix: None,
            asked: None,
            depends: Vec::new(),
            recommends: Vec::new(),
        })
    }
}
