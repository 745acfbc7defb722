//! Requests for packages in a manifest, and those that the program itself makes.

use super::relation::{Operator, Relation};
use super::version;
use crate::manifest::PackageRequest;
use crate::package::Tool;

/// mke2fs, and the library it reads tar streams with. The libraries both need come with them.
pub const IMAGE_TOOLS: &[Tool] = &[
    Tool {
        request: "e2fsprogs (>= 1.47.2)",
        reason: "root.img is written by mke2fs, and older ones give different bytes on every run",
    },
    Tool { request: "libarchive13t64", reason: "mke2fs reads the tree as a tar stream with it" },
];

/// Reads `foo`, `foo (>= 1.2)` or, as apt-get(8) takes it, `foo=1.2-3`.
pub fn parse(text: &str) -> Result<PackageRequest, String> {
    let relation = match text.split_once('=') {
        Some((name, version)) if !text.contains('(') => {
            let relation = Relation::parse(name).map_err(|e| e.to_string())?;
            Relation { version: Some((Operator::Equal, version.trim())), ..relation }
        }
        _ => Relation::parse(text).map_err(|e| e.to_string())?,
    };
    if let Some(qualifier) = relation.qualifier {
        return Err(format!("`{text}` names the architecture `{qualifier}`: packages of the root's own are installed"));
    }
    if let Some((_, version)) = relation.version
        && !version::is_valid(version)
    {
        return Err(format!("`{version}` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"));
    }
    let version = relation.version.map(|(operator, version)| (operator.as_str().to_owned(), version.to_owned()));
    Ok(PackageRequest { name: relation.name.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        for (text, name, version) in [
            ("foo", "foo", None),
            ("foo (>= 1.2)", "foo", Some((">=", "1.2"))),
            ("foo=1.2-3", "foo", Some(("=", "1.2-3"))),
            ("foo = 1:2", "foo", Some(("=", "1:2"))),
        ] {
            let version = version.map(|(o, v): (&str, &str)| (o.to_owned(), v.to_owned()));
            assert_eq!(parse(text), Ok(PackageRequest { name: name.to_owned(), version }), "{text}");
        }
        for (text, message) in [
            ("foo=", "`` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"),
            ("foo (>= x)", "`x` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"),
            ("foo:any", "`foo:any` names the architecture `any`: packages of the root's own are installed"),
            (
                "foo bar",
                "`foo bar` is not a package relation: a package name has lower-case letters, digits and `+-.`, \
                 beginning with a letter or digit",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn own_requests_are_right() {
        assert!(IMAGE_TOOLS.iter().all(|tool| parse(tool.request).is_ok()));
    }
}
