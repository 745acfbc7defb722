//! Relations between packages, `NAME [OP EVR]` (rpm-dependency manual, "Dependencies Basics").

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::version::Evr;

/// Which versions a relation takes: any of smaller, equal, greater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Range(u8);

impl Range {
    /// Every version, also of what has none.
    pub const ANY: Self = Self(0);
    /// Greater versions.
    pub const GREATER: Self = Self(1);
    /// This version.
    pub const EQUAL: Self = Self(2);
    /// Smaller versions.
    pub const LESS: Self = Self(4);

    /// The two together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads an operator as spec files have it.
    pub fn parse(operator: &str) -> Option<Self> {
        Some(match operator {
            "<" => Self::LESS,
            "<=" => Self::LESS.or(Self::EQUAL),
            "=" | "==" => Self::EQUAL,
            ">=" => Self::GREATER.or(Self::EQUAL),
            ">" => Self::GREATER,
            _ => return None,
        })
    }

    /// The operator.
    pub fn as_str(self) -> &'static str {
        match self.0 {
            1 => ">",
            2 => "=",
            3 => ">=",
            4 => "<",
            6 => "<=",
            _ => "",
        }
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether what is provided with one range and version satisfies a relation with another. What has no version
    /// satisfies all. Where versions are equal and one side alone has a release, it is that of the side without one that
    /// has to have `=` (`pool_intersect_evrs` of libsolv, which dnf asks).
    pub fn meets(self, provided: &str, wanted: Self, version: &str) -> bool {
        if self == Self::ANY || wanted == Self::ANY || self.0 & wanted.0 & (Self::LESS.0 | Self::GREATER.0) != 0 {
            return true;
        }
        let (own, other) = (Evr::parse(provided), Evr::parse(version));
        let order = own.compare_versions(&other);
        let order = match (own.release, other.release) {
            _ if order.is_ne() => order,
            (Some(a), Some(b)) => super::version::compare_part(a, b),
            (None, None) => order,
            (None, Some(_)) => return self.has(Self::EQUAL),
            (Some(_), None) => return wanted.has(Self::EQUAL),
        };
        match order {
            Ordering::Less => wanted.has(Self::LESS) || self.has(Self::GREATER),
            Ordering::Equal => wanted.has(Self::EQUAL) && self.has(Self::EQUAL),
            Ordering::Greater => wanted.has(Self::GREATER) || self.has(Self::LESS),
        }
    }
}

/// A relation; `evr` is empty where the range is [`Range::ANY`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Relation<'a> {
    /// A package, a file, or anything that packages provide.
    pub name: &'a str,
    /// Which versions.
    pub range: Range,
    /// `[EPOCH:]VERSION[-RELEASE]`.
    pub evr: &'a str,
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.range == Range::ANY { Ok(()) } else { write!(f, " {} {}", self.range.as_str(), self.evr) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_provided_meets_what_is_wanted() {
        for (provided, wanted, meets) in [
            ("", ">= 2", true),
            ("= 1-1", "", true),
            ("= 1-1", "= 1", true),
            ("= 1", "= 1-1", true),
            ("= 1-1", ">= 1", true),
            ("= 1-1", "> 1", false),
            ("= 1", "< 1-1", true),
            ("= 1-2", "= 1-1", false),
            ("= 1:1-1", "<= 9", false),
            (">= 1", ">= 3", true),
            ("< 3", "> 1", true),
            ("< 1", "> 3", false),
        ] {
            let split = |text: &'static str| {
                let (operator, evr) = text.split_once(' ').unwrap_or_default();
                (Range::parse(operator).unwrap_or(Range::ANY), evr)
            };
            let ((own, provided_evr), (range, evr)) = (split(provided), split(wanted));
            assert_eq!(own.meets(provided_evr, range, evr), meets, "{provided} | {wanted}");
        }
    }
}
