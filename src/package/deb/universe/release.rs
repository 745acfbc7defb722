//! What comes along with a package that is taken from a release of its own.

use std::collections::HashSet;

use super::candidates::Wanted;
use super::{DebUniverse, Entry, Loaded, range};
use crate::package::deb::table::{Alternative, Field};
use crate::package::deb::version;
use crate::package::universe::Candidate;
use crate::source::Index;

impl<'a> DebUniverse<'a> {
    /// Takes also what a package needs from the release that it is taken from, where no candidate satisfies it: apt's
    /// rule for `NAME/RELEASE` (apt-get(8); `pkgDepCache::SetCandidateRelease` in its apt-pkg/depcache.cc). What requests
    /// say of versions stands, and no candidate moves twice.
    pub(super) fn follow_release(&mut self, name: &str, release: &str, wanted: &Wanted<'_>) {
        let mut open: Vec<Candidate> = self.named(name).collect();
        let mut settled: HashSet<Candidate> = open.iter().copied().collect();
        let before = settled.len();
        while let Some(candidate) = open.pop() {
            let of = self.entry(candidate).architecture;
            for member in [Field::PreDepends, Field::Depends]
                .into_iter()
                .flat_map(|f| self.members(candidate, f))
                .collect::<Vec<_>>()
            {
                if !self.options(candidate, member, of).is_empty() {
                    continue;
                }
                let found = member.iter().find_map(|a| self.release_option(candidate, a, of, release, wanted));
                if let Some((old, entry)) = found
                    && settled.insert(old)
                {
                    self.candidates[old.index()] = entry;
                    open.push(old);
                }
            }
        }
        if settled.len() > before {
            self.add_providers();
        }
    }

    /// The highest version of a release that satisfies an alternative, and the candidate in whose place it is to come.
    fn release_option(
        &self,
        owner: Candidate,
        alternative: &Alternative,
        of: &str,
        release: &str,
        wanted: &Wanted<'_>,
    ) -> Option<(Candidate, Entry<'a>)> {
        let Loaded { view, names, .. } = &self.indexes[self.entry(owner).index as usize];
        let relation = view.relation(alternative);
        let number = names[alternative.name as usize];
        let versions = self.versions[range(&self.first_version, number)].iter().rev();
        let entries = versions.filter_map(|version| self.entry_of(number, *version)).filter(|entry| {
            let index = self.indexes[entry.index as usize].index;
            is_release(index, release)
                && wanted.allows(entry.name, entry.version, index)
                && self.architecture_fits(entry, &relation, of, false)
                && relation.version.is_none_or(|(operator, wanted)| operator.holds(entry.version, wanted))
        });
        // Of equal ones the last, which the indexes have first.
        let entry = entries.max_by(|a, b| {
            version::compare(a.version, b.version).then_with(|| (a.architecture == of).cmp(&(b.architecture == of)))
        })?;
        let old = self.of_name(number).find(|old| self.entry(*old).architecture == entry.architecture)?;
        Some((old, entry))
    }
}

/// Whether an index is of a release, named as apt names releases: by suite or code name.
pub(super) fn is_release(index: &Index, release: &str) -> bool {
    index.suite == release || index.codename == release || index.archive.split('/').nth(1) == Some(release)
}
