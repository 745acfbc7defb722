//! What a manifest asks for: packages, what packages provide, groups, and modules' profiles.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};

use super::super::relation::{Range, Relation};
use super::super::repodata::comps::{Group, Kind, Member};
use super::super::rich::Rich;
use super::RpmUniverse;
use crate::error::{Hint, nearest_words};
use crate::manifest::{PackageRequest, RequestKind};
use crate::package::universe::{Candidate, Purpose, Requirement, Strength};

impl RpmUniverse<'_> {
    pub(super) fn requirements_of(&self, request: &PackageRequest) -> Result<Vec<Requirement>> {
        if request.kind == RequestKind::Group {
            return match request.name.split_once(':') {
                Some((name, stream)) => self.profile(name, stream),
                None => self.group(&request.name, &[Kind::Mandatory, Kind::Default, Kind::Conditional]),
            };
        }
        let name = request.name.as_str();
        let (range, evr) = match &request.version {
            None => (Range::ANY, ""),
            Some((operator, evr)) => {
                (Range::parse(operator).context("a request has an unknown operator")?, evr.as_str())
            }
        };
        let relation = Relation { name, range, evr };
        let fits = |candidate: &Candidate| {
            request.architecture.as_deref().is_none_or(|wanted| self.entry(*candidate).architecture == wanted)
        };
        let mut options: Vec<Candidate> = self.meant_by_name(&relation).into_iter().filter(fits).collect();
        if options.is_empty() {
            options = self.satisfying(&relation).into_iter().filter(fits).collect();
        } else if request.version.is_none() {
            options.extend(self.obsoleting(&options));
        }
        if options.is_empty() {
            return Err(self.unknown(request, &relation));
        }
        // The first is the one that would be taken if nothing stood against it.
        let mut best = options.clone();
        self.apply_policy(&mut best, Purpose::Choose, &|_| None);
        options.sort_by_key(|option| best.iter().position(|known| known == option).unwrap_or(best.len()));
        let (verb, text) = ("asks for", request.to_string());
        Ok(vec![Requirement { verb, text, strength: Strength::Needed, options, given: Vec::new() }])
    }

    /// What obsoletes any of some candidates (dnf.conf(5), `obsoletes`).
    fn obsoleting(&self, options: &[Candidate]) -> Vec<Candidate> {
        let all = (0..self.candidates.len() as u32).map(Candidate);
        let obsoletes = |candidate: &Candidate| {
            !options.contains(candidate) && self.obsoleted_by(*candidate).iter().any(|gone| options.contains(gone))
        };
        all.filter(obsoletes).collect()
    }

    fn unknown(&self, request: &PackageRequest, relation: &Relation<'_>) -> anyhow::Error {
        let name = relation.name;
        if let Some(architecture) = &request.architecture
            && !self.satisfying(relation).is_empty()
        {
            return anyhow!("`{request}`: no repository has `{name}` for {architecture}");
        }
        let missing = anyhow!("{}", self.why_missing(&relation.to_string()));
        match nearest_words(name, self.named.keys().copied().collect::<BTreeSet<_>>(), 3).as_slice() {
            _ if !self.providers(name).is_empty() => missing,
            [] => missing,
            near => match Err::<(), _>(missing).hint(|| format!("did you mean `{}`?", near.join("` or `"))) {
                Err(error) => error,
                Ok(()) => anyhow!("`{name}` is unknown"),
            },
        }
    }

    fn all_groups(&self) -> impl Iterator<Item = &Group> {
        self.indexes.iter().flat_map(|loaded| &loaded.repository.contents.groups)
    }

    /// The packages of a group or an environment that the repositories have. Those that come with another are asked for as
    /// dnf does, by `(NAME if OTHER)`.
    pub(super) fn group(&self, id: &str, kinds: &[Kind]) -> Result<Vec<Requirement>> {
        const VERB: &str = "asks for the group that has";
        let mut names: Vec<&str> = Vec::new();
        let mut conditional: Vec<&Member> = Vec::new();
        let mut found = false;
        let id = id.trim_start_matches('^');
        for group in self.all_groups().filter(|group| group.id == id) {
            found = true;
            let within = group.groups.iter().flat_map(|id| self.all_groups().filter(move |other| other.id == *id));
            let packages = within.chain([group]).flat_map(|group| &group.packages);
            let (own, others): (Vec<_>, Vec<_>) =
                packages.filter(|member| kinds.contains(&member.kind)).partition(|member| member.with.is_empty());
            names.extend(own.into_iter().map(|member| member.name.as_str()));
            conditional.extend(others);
        }
        if !found {
            let near = nearest_words(id, self.all_groups().map(|group| group.id.as_str()), 3).join("`, `@");
            let missing = anyhow!("no repository has the group `{id}`");
            return if near.is_empty() {
                Err(missing)
            } else {
                Err(missing).hint(|| format!("did you mean `@{near}`?"))
            };
        }
        let mut requirements = self.members(VERB, &names);
        for member in conditional {
            let [own, other] = [&member.name, &member.with].map(|name| Relation { name, range: Range::ANY, evr: "" });
            if !self.satisfying(&own).is_empty() {
                let rich = Rich::If(Box::new([Rich::Plain(own), Rich::Plain(other)]), None);
                let clauses = self.condition(&rich).clauses().unwrap_or_default();
                requirements.extend(clauses.into_iter().map(|clause| Requirement {
                    verb: VERB,
                    text: member.name.clone(),
                    strength: Strength::Needed,
                    options: clause.options,
                    given: clause.given,
                }));
            }
        }
        Ok(requirements)
    }

    /// The packages of a module's profile, `STREAM[/PROFILE]`.
    fn profile(&self, name: &str, stream: &str) -> Result<Vec<Requirement>> {
        let (stream, profile) =
            stream.split_once('/').map_or((stream, None), |(stream, profile)| (stream, Some(profile)));
        let modules = self.indexes.iter().flat_map(|loaded| &loaded.repository.contents.modules);
        let of: Vec<_> = modules.filter(|module| module.name == name).collect();
        let versions = of.iter().filter(|module| module.version > 0 && module.stream == stream);
        let newest = versions.max_by_key(|module| module.version);
        let Some(newest) = newest else { bail!("no repository has the stream `{stream}` of a module `{name}`") };
        let defaults: Vec<&str> = if let Some(profile) = profile {
            vec![profile]
        } else {
            let listed = of.iter().filter_map(|module| module.default_profiles.get(stream));
            listed.flatten().map(String::as_str).collect()
        };
        let mut names: Vec<&str> = Vec::new();
        for profile in defaults {
            let packages = newest.profiles.get(profile);
            let packages =
                packages.with_context(|| format!("the module `{name}:{stream}` has no profile `{profile}`"))?;
            names.extend(packages.iter().map(String::as_str));
        }
        Ok(self.members("asks for the module that has", &names))
    }

    fn members(&self, verb: &'static str, names: &[&str]) -> Vec<Requirement> {
        let mut requirements: Vec<Requirement> = Vec::new();
        for name in names {
            let mut options = self.named(name).to_vec();
            self.apply_policy(&mut options, Purpose::Choose, &|_| None);
            if !options.is_empty() && !requirements.iter().any(|known| known.text == **name) {
                let (text, strength) = ((*name).to_owned(), Strength::Needed);
                requirements.push(Requirement { verb, text, strength, options, given: Vec::new() });
            }
        }
        requirements
    }
}
