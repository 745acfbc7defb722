//! Requests for packages in a manifest.

use std::path::Path;

use super::relation::{Operator, Relation};
use super::version;
use crate::manifest::{PackageRequest, RequestKind};

/// Reads a request as apt-get(8) and deb-control(5) write them: `foo`, `foo:i386`, `foo (>= 1.2)`, `foo=1.2-3`,
/// `foo/trixie-backports`; a task as `^web-server` or `web-server^`; a package file as `./foo.deb` or `debs/foo.deb`.
pub fn parse(text: &str) -> Result<PackageRequest, String> {
    let text = text.trim();
    if text.contains('/') && Path::new(text).extension().is_some_and(|extension| extension == "deb") {
        return Ok(PackageRequest { name: text.to_owned(), kind: RequestKind::File, ..PackageRequest::default() });
    }
    if let Some(task) = text.strip_prefix('^').or_else(|| text.strip_suffix('^')) {
        let plain = Relation::parse(task).ok().filter(|relation| relation.to_string() == relation.name);
        let name = plain.ok_or_else(|| format!("`{text}` is not a task: a name alone is expected"))?.name.to_owned();
        return Ok(PackageRequest { name, kind: RequestKind::Task, ..PackageRequest::default() });
    }
    let (plain, release) = match text.split_once('/') {
        Some((_, "")) => return Err(format!("`{text}` names no suite after the `/`")),
        Some((plain, release)) => (plain, Some(release.to_owned())),
        None => (text, None),
    };
    let relation = match plain.split_once('=') {
        Some((name, version)) if !plain.contains('(') => {
            let relation = Relation::parse(name).map_err(|e| e.to_string())?;
            Relation { version: Some((Operator::Equal, version.trim())), ..relation }
        }
        _ => Relation::parse(plain).map_err(|e| e.to_string())?,
    };
    if let Some(qualifier @ ("any" | "native" | "all")) = relation.qualifier {
        return Err(format!("`{text}` names the architecture `{qualifier}`: expected one such as `i386`, or none"));
    }
    if let Some((_, version)) = relation.version
        && !version::is_valid(version)
    {
        return Err(format!("`{version}` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"));
    }
    Ok(PackageRequest {
        name: relation.name.to_owned(),
        architecture: relation.qualifier.map(str::to_owned),
        version: relation.version.map(|(operator, version)| (operator.as_str().to_owned(), version.to_owned())),
        release,
        ..PackageRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let foo = || PackageRequest { name: "foo".to_owned(), ..PackageRequest::default() };
        let version = |operator: &str, version: &str| Some((operator.to_owned(), version.to_owned()));
        for (text, expected) in [
            ("foo", foo()),
            ("foo (>= 1.2)", PackageRequest { version: version(">=", "1.2"), ..foo() }),
            ("foo=1.2-3", PackageRequest { version: version("=", "1.2-3"), ..foo() }),
            ("foo = 1:2", PackageRequest { version: version("=", "1:2"), ..foo() }),
            ("foo:i386", PackageRequest { architecture: Some("i386".to_owned()), ..foo() }),
            ("foo/sid", PackageRequest { release: Some("sid".to_owned()), ..foo() }),
            ("^foo", PackageRequest { kind: RequestKind::Task, ..foo() }),
            ("foo^", PackageRequest { kind: RequestKind::Task, ..foo() }),
            ("./foo.deb", PackageRequest { name: "./foo.deb".to_owned(), kind: RequestKind::File, ..foo() }),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for (text, message) in [
            ("foo=", "`` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"),
            ("foo (>= x)", "`x` is not a version: [EPOCH:]UPSTREAM[-REVISION] is expected"),
            ("foo:any", "`foo:any` names the architecture `any`: expected one such as `i386`, or none"),
            ("foo/", "`foo/` names no suite after the `/`"),
            ("^foo=1", "`^foo=1` is not a task: a name alone is expected"),
            (
                "foo bar",
                "`foo bar` is not a package relation: a package name has lower-case letters, digits and `+-.`, \
                 beginning with a letter or digit",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }
}
