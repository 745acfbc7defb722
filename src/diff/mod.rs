//! Two locks to a report: what changed, why each package came or went, and what the changelogs say of it. Two trees, or two
//! whole builds of a lock, to what differs in them; two templates to all of this, with what explains each path.
//!
//! Comparing locks needs the locks alone. Only [`changelog`] opens package files; [`builds`], [`templates`], [`tree`] and
//! [`bytes`] read stores and outputs.

pub mod builds;
pub mod bytes;
pub mod changelog;
pub mod report;
pub mod templates;
pub mod tree;
mod why;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::lock::Package;
use crate::package::Format;

/// What happened to a package, the most alarming first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The same version is another file.
    Replaced,
    /// Its version fell.
    Downgraded,
    /// Its version rose.
    Upgraded,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// The same file comes from another place.
    Moved,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Downgraded => "downgraded",
            Self::Upgraded => "upgraded",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
        }
    }
}

/// What happened to one package of a lock: its block before and after, one of which there always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<'a> {
    /// What happened.
    pub kind: Kind,
    /// The package before.
    pub old: Option<&'a Package>,
    /// The package now.
    pub new: Option<&'a Package>,
}

/// The changes from one list of packages to another, sorted by name and architecture. Dependencies alone are no change.
pub fn changes<'a>(format: Format, old: &'a [Package], new: &'a [Package]) -> Vec<Change<'a>> {
    let mut named: BTreeMap<&str, [Vec<&Package>; 2]> = BTreeMap::new();
    for (side, list) in [old, new].into_iter().enumerate() {
        for package in list {
            named.entry(&package.name).or_default()[side].push(package);
        }
    }
    let mut pairs: BTreeMap<(&str, &str), [Option<&Package>; 2]> = BTreeMap::new();
    for sides in named.values() {
        // A package that has become one for all architectures, or ceased to be, is still the same package.
        if let [[old], [new]] = sides.each_ref().map(Vec::as_slice) {
            pairs.insert((&new.name, &new.architecture), [Some(old), Some(new)]);
            continue;
        }
        for (side, packages) in sides.iter().enumerate() {
            for package in packages {
                pairs.entry((&package.name, &package.architecture)).or_default()[side] = Some(package);
            }
        }
    }
    pairs.into_values().filter_map(|[old, new]| Some(Change { kind: kind(format, old, new)?, old, new })).collect()
}

fn kind(format: Format, old: Option<&Package>, new: Option<&Package>) -> Option<Kind> {
    Some(match (old, new) {
        (None, None) => return None,
        (None, Some(_)) => Kind::Added,
        (Some(_), None) => Kind::Removed,
        (Some(old), Some(new)) => match format.compare_versions(&old.version, &new.version) {
            Ordering::Less => Kind::Upgraded,
            Ordering::Greater => Kind::Downgraded,
            Ordering::Equal if old.sha256 != new.sha256 => Kind::Replaced,
            Ordering::Equal if old.archive != new.archive => Kind::Moved,
            Ordering::Equal => return None,
        },
    })
}
