//! Relations between packages: the fields Depends, Conflicts, Provides and their kin (Debian Policy 7).

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// How versions must relate (Debian Policy 7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// The operator a text stands for; the obsolete `<` and `>` mean `<=` and `>=`, as dpkg reads them.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "<<" => Self::Earlier,
            "<=" | "<" => Self::EarlierOrEqual,
            "=" => Self::Equal,
            ">=" | ">" => Self::LaterOrEqual,
            ">>" => Self::Later,
            _ => return None,
        })
    }

    /// As it is written in fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }

    /// Whether `version` stands in this relation to `wanted`.
    pub fn holds(self, version: &str, wanted: &str) -> bool {
        let order = version::compare(version, wanted);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }
}

/// One package that a field names: `NAME [:ARCH] [(OP VERSION)]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relation<'a> {
    /// The name.
    pub name: &'a str,
    /// What follows the colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// The version it is restricted to.
    pub version: Option<(Operator, &'a str)>,
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = self.version {
            write!(f, " ({} {version})", operator.as_str())?;
        }
        Ok(())
    }
}

/// Why a text is no relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a package relation: {reason}")]
pub struct BadRelation {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl<'a> Relation<'a> {
    /// Reads one relation. Restrictions in `[]` and `<>`, which only source packages have, are ignored.
    pub fn parse(text: &'a str) -> Result<Self, BadRelation> {
        let bad = |reason| BadRelation { text: text.trim().to_owned(), reason };
        let end = text
            .find(['[', '<'])
            .filter(|at| text.find('(').is_none_or(|open| *at < open || text[..*at].contains(')')));
        let plain = text[..end.unwrap_or(text.len())].trim();
        let (head, version) = match plain.split_once('(') {
            None => (plain, None),
            Some((head, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(|| bad("a closing `)` is missing"))?.trim();
                let at = inner.find(|c| !matches!(c, '<' | '=' | '>')).ok_or_else(|| bad("the version is missing"))?;
                let operator =
                    Operator::parse(&inner[..at]).ok_or_else(|| bad("expected one of `<<`, `<=`, `=`, `>=`, `>>`"))?;
                (head.trim(), Some((operator, inner[at..].trim())))
            }
        };
        let (name, qualifier) = match head.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (head, None),
        };
        if !is_name(name) {
            return Err(bad(
                "a package name has lower-case letters, digits and `+-.`, beginning with a letter or digit",
            ));
        }
        Ok(Self { name, qualifier, version })
    }
}

/// Whether a text can be a package's name. Upper-case letters, which Debian Policy 5.6.1 forbids, are let pass: archives
/// other than Debian's have them.
fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

/// The members of a relation field, each with its text: `a | b (>= 1)` is one member with two alternatives.
pub fn members(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// The alternatives of a member.
pub fn alternatives(member: &str) -> impl Iterator<Item = Result<Relation<'_>, BadRelation>> {
    member.split('|').map(Relation::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_and_written() {
        for (text, written) in [
            ("libc6", "libc6"),
            (" libc6 (>= 2.38) ", "libc6 (>= 2.38)"),
            ("libc6(>=2.38)", "libc6 (>= 2.38)"),
            ("perl:any", "perl:any"),
            ("g++:amd64 ( = 4:14 )", "g++:amd64 (= 4:14)"),
            ("a (< 1)", "a (<= 1)"),
            ("a (>= 1) [amd64] <!nocheck>", "a (>= 1)"),
            ("a [!i386]", "a"),
        ] {
            assert_eq!(Relation::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, message) in [
            ("a (>= 1", "`a (>= 1` is not a package relation: a closing `)` is missing"),
            ("a (!= 1)", "`a (!= 1)` is not a package relation: expected one of `<<`, `<=`, `=`, `>=`, `>>`"),
            ("a (>=)", "`a (>=)` is not a package relation: the version is missing"),
        ] {
            assert_eq!(Relation::parse(text).unwrap_err().to_string(), message);
        }
        assert!(Relation::parse("").is_err());
        assert!(Relation::parse("a b").is_err());
    }

    #[test]
    fn fields_split_into_members_and_alternatives() {
        let members: Vec<_> = members("a | b (>= 1),\n c:any,").collect();
        assert_eq!(members, ["a | b (>= 1)", "c:any"]);
        let names: Vec<_> = alternatives(members[0]).map(|r| r.unwrap().name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn operators_hold() {
        let table = [
            ("<<", [true, false, false]),
            ("<=", [true, true, false]),
            ("=", [false, true, false]),
            (">=", [false, true, true]),
            (">>", [false, false, true]),
        ];
        for (operator, expected) in table {
            let operator = Operator::parse(operator).unwrap();
            assert_eq!(["1", "2", "3"].map(|v| operator.holds(v, "2")), expected, "{}", operator.as_str());
        }
    }
}
