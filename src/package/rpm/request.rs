//! Requests for packages in a manifest, as dnf's "Specifying Packages" has them.

use super::relation::Range;
use crate::manifest::{PackageRequest, RequestKind};

/// The architectures that can end a request.
const ARCHITECTURES: [&str; 14] = [
    "noarch", "x86_64", "aarch64", "i686", "i586", "i486", "i386", "armv7hl", "armv6hl", "ppc64le", "s390x", "riscv64",
    "mips64el", "armv5tel",
];

/// Reads a request: `foo`, `foo.i686`, `foo >= 1.2`, `foo = 1:2-3`, `/usr/bin/foo`, anything that packages provide; `@core`
/// for a group, `@nodejs:18` for a module's stream with its default profile.
pub fn parse(text: &str) -> Result<PackageRequest, String> {
    let text = text.trim();
    let words: Vec<&str> = text.split_whitespace().collect();
    let (name, version) = match words.as_slice() {
        [name] => match name.split_once('=').filter(|_| !name.contains('(')) {
            Some((name, version)) => (name, Some(("=", version))),
            None => (*name, None),
        },
        [name, operator, version] if Range::parse(operator).is_some() => (*name, Some((*operator, *version))),
        _ => return Err(format!("`{text}` is not a request: `NAME`, `NAME.ARCH` or `NAME >= VERSION` is expected")),
    };
    if let Some(group) = name.strip_prefix('@') {
        if group.is_empty() || version.is_some() {
            return Err(format!("`{text}` is not a group: a name alone is expected after `@`"));
        }
        return Ok(PackageRequest { name: group.to_owned(), kind: RequestKind::Group, ..PackageRequest::default() });
    }
    let (name, architecture) = match name.rsplit_once('.') {
        Some((name, architecture)) if !name.starts_with('/') && ARCHITECTURES.contains(&architecture) => {
            (name, Some(architecture.to_owned()))
        }
        _ => (name, None),
    };
    let is_name = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '*' | '?' | '[' | '\\');
    if name.is_empty() || name.starts_with(['.', '-', '(']) || !name.chars().all(is_name) {
        return Err(format!("`{text}` is not a request: `{name}` is no name"));
    }
    if version.is_some_and(|(_, version)| version.is_empty() || version.contains('/')) {
        return Err(format!("`{text}` names no version: [EPOCH:]VERSION[-RELEASE] is expected"));
    }
    Ok(PackageRequest {
        name: name.to_owned(),
        architecture,
        version: version.map(|(operator, version)| (operator.to_owned(), version.to_owned())),
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
            ("foo.i686", PackageRequest { architecture: Some("i686".to_owned()), ..foo() }),
            ("foo >= 1.2", PackageRequest { version: version(">=", "1.2"), ..foo() }),
            ("foo=1:2-3", PackageRequest { version: version("=", "1:2-3"), ..foo() }),
            ("python3.11", PackageRequest { name: "python3.11".to_owned(), ..foo() }),
            ("/usr/bin/x.i686", PackageRequest { name: "/usr/bin/x.i686".to_owned(), ..foo() }),
            ("libx.so.1()(64bit)", PackageRequest { name: "libx.so.1()(64bit)".to_owned(), ..foo() }),
            ("@foo:18", PackageRequest { name: "foo:18".to_owned(), kind: RequestKind::Group, ..foo() }),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "foo bar", "foo >= ", "@", "@a = 1", "-x", "foo*", "foo="] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
