//! What an update changed: two lists of locked packages compared.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::lock::Package;
use crate::package::Format;

/// What happened to one package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// It is new.
    Added(&'a Package),
    /// It is gone.
    Removed(&'a Package),
    /// Its version rose.
    Upgraded(&'a Package, &'a Package),
    /// Its version fell.
    Downgraded(&'a Package, &'a Package),
    /// The same version comes as another file, or from another place.
    Replaced(&'a Package, &'a Package),
}

/// The changes from one list of packages to another, sorted by name and architecture. Dependencies alone are no change.
pub fn changes<'a>(format: Format, old: &'a [Package], new: &'a [Package]) -> Vec<Change<'a>> {
    let mut pairs: BTreeMap<(&str, &str), [Option<&Package>; 2]> = BTreeMap::new();
    for package in old {
        pairs.entry((&package.name, &package.architecture)).or_default()[0] = Some(package);
    }
    for package in new {
        pairs.entry((&package.name, &package.architecture)).or_default()[1] = Some(package);
    }
    pairs.into_values().filter_map(|[old, new]| change(format, old, new)).collect()
}

fn change<'a>(format: Format, old: Option<&'a Package>, new: Option<&'a Package>) -> Option<Change<'a>> {
    Some(match (old, new) {
        (None, None) => return None,
        (None, Some(new)) => Change::Added(new),
        (Some(old), None) => Change::Removed(old),
        (Some(old), Some(new)) => match format.compare_versions(&old.version, &new.version) {
            Ordering::Less => Change::Upgraded(old, new),
            Ordering::Greater => Change::Downgraded(old, new),
            Ordering::Equal if old.sha256 == new.sha256 && old.archive == new.archive => return None,
            Ordering::Equal => Change::Replaced(old, new),
        },
    })
}
