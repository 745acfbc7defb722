//! Which version of a package is apt's candidate (`apt_preferences(5)`).

use std::cmp::Ordering;
use std::collections::HashMap;

use anyhow::{Context, Result};

use super::release::is_release;
use super::{DebUniverse, Entry, Loaded, Version, range};
use crate::lock;
use crate::manifest::{PackageRequest, RequestKind};
use crate::package::deb::relation::Operator;
use crate::package::deb::version;
use crate::package::universe::Selection;
use crate::source::Index;

/// What decides between the versions of packages, by the packages' names.
#[derive(Default)]
pub(super) struct Wanted<'r> {
    /// What requests say.
    wishes: HashMap<&'r str, Vec<Wish<'r>>>,
    /// What is locked and stays.
    kept: HashMap<&'r str, Vec<&'r lock::Package>>,
}

enum Wish<'r> {
    Version(Operator, &'r str),
    Release(&'r str),
}

impl Wish<'_> {
    fn allows(&self, version: &str, index: &Index) -> bool {
        match self {
            Self::Version(operator, wanted) => operator.holds(version, wanted),
            Self::Release(release) => is_release(index, release),
        }
    }
}

impl Wanted<'_> {
    /// Whether a version of an index may be the candidate.
    pub(super) fn allows(&self, name: &str, version: &str, index: &Index) -> bool {
        priority_of(index) >= 0
            && self.wishes.get(name).is_none_or(|w| w.iter().all(|wish| wish.allows(version, index)))
    }
}

impl<'a> DebUniverse<'a> {
    /// What a selection says of versions.
    pub(super) fn wanted(&self, selection: &Selection<'a>) -> Result<Wanted<'a>> {
        let mut wanted = Wanted::default();
        let Wanted { wishes, kept } = &mut wanted;
        for request in selection.requests {
            if request.kind == RequestKind::File {
                let Version { index, row } = self.file(request)?;
                let view = self.indexes[index as usize].view;
                let wish = Wish::Version(Operator::Equal, view.text(row.version));
                wishes.entry(view.name(row.name)).or_default().push(wish);
            }
            if let Some((operator, version)) = &request.version {
                let operator = Operator::parse(operator).context("a request has an unknown operator")?;
                wishes.entry(&request.name).or_default().push(Wish::Version(operator, version));
            }
            if let Some(release) = &request.release {
                wishes.entry(&request.name).or_default().push(Wish::Release(release));
            }
        }
        for package in selection.keep {
            kept.entry(&package.name).or_default().push(package);
        }
        Ok(wanted)
    }

    /// The package in the file that a request names.
    pub(super) fn file(&self, request: &PackageRequest) -> Result<Version<'a>> {
        let locals = self.indexes.iter().enumerate().filter(|(_, loaded)| loaded.index.archive == Index::LOCAL);
        let mut rows = locals.flat_map(|(n, Loaded { view, .. })| view.rows.iter().map(move |row| (n, view, row)));
        let found = rows.find(|(_, view, row)| view.text(row.path) == request.name);
        let (index, _, row) = found.with_context(|| format!("the package file {} was not read", request.name))?;
        Ok(Version { index: index as u32, row })
    }

    /// Chooses the candidates of a name: for each architecture the version that is kept, else that of the highest
    /// priority, then the highest version, among those that may be. Of equal versions the first stands, unless another is
    /// the file that is kept.
    pub(super) fn add_candidates(&mut self, number: u32, wanted: &Wanted<'_>) {
        let name = self.names[number as usize].text;
        let versions = range(&self.first_version, number);
        if versions.is_empty() || self.excluded.contains(name) {
            return;
        }
        let kept = wanted.kept.get(name).map_or(&[][..], Vec::as_slice);
        let mut best: Vec<Best<'a>> = Vec::with_capacity(1);
        for &version in &self.versions[versions] {
            let Some(entry) = self.entry_of(number, version) else { continue };
            let Loaded { index, view, .. } = &self.indexes[version.index as usize];
            if !wanted.allows(name, entry.version, index) {
                continue;
            }
            let (architecture, sha256) = (view.text(version.row.architecture), version.row.sha256());
            let is_file = |p: &&&lock::Package| {
                p.version == entry.version && p.architecture == architecture && Some(p.sha256) == sha256
            };
            let stays = kept.iter().filter(is_file).map(|p| p.archive == index.archive).max();
            let new = Best { entry, stays, priority: priority_of(index) };
            match best.iter_mut().find(|known| known.entry.architecture == new.entry.architecture) {
                None => best.push(new),
                Some(known) => known.or(new),
            }
        }
        self.candidates.extend(best.into_iter().map(|best| best.entry));
    }

    /// Adds all versions of a name, for each architecture the highest first.
    pub(super) fn add_every_version(&mut self, number: u32) {
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
    pub(super) fn entry_of(&self, number: u32, Version { index, row }: Version<'a>) -> Option<Entry<'a>> {
        let Loaded { index: source, view, .. } = &self.indexes[index as usize];
        let architecture = match view.text(row.architecture) {
            "all" => self.architecture,
            other if other == source.architecture.as_str() => source.architecture.as_str(),
            _ => return None,
        };
        let (name, version) = (self.names[number as usize].text, view.text(row.version));
        Some(Entry { index, row, number, name, version, architecture })
    }
}

/// The version of a package that is to be its candidate, as far as versions have been seen.
struct Best<'a> {
    entry: Entry<'a>,
    /// Whether it is the file that is kept, and then whether at the same place.
    stays: Option<bool>,
    /// The highest priority among the indexes that have the version.
    priority: i32,
}

impl Best<'_> {
    /// Becomes the better of both.
    fn or(&mut self, mut new: Self) {
        let order = version::compare(new.entry.version, self.entry.version);
        let better = if order.is_eq() {
            self.priority = self.priority.max(new.priority);
            new.priority = self.priority;
            new.stays > self.stays
        } else {
            (new.stays.is_some(), new.priority, order) > (self.stays.is_some(), self.priority, Ordering::Equal)
        };
        if better {
            *self = new;
        }
    }
}

/// apt's priority of an index (`apt_preferences(5)`, "APT's Default Priority Assignments").
fn priority_of(index: &Index) -> i32 {
    index.priority.unwrap_or(match (index.not_automatic, index.but_automatic_upgrades) {
        (false, _) => 500,
        (true, false) => 1,
        (true, true) => 100,
    })
}
