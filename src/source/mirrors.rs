//! Where an archive can be fetched from. No manifest or lock has to name a host: the places come from the user and from
//! the host's own apt sources, and any of them will do, since what they serve is verified.
//!
//! The first of these that knows the archive decides, alone; several URIs are tried in turn:
//! `--mirror`, the manifest's own `uris`, the environment, the user's configuration, the host's apt sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::error::Hint;

/// URIs by archive id, in the order to try them.
pub type MirrorMap = BTreeMap<String, Vec<String>>;

/// All places that are known outside the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mirrors {
    /// From `--mirror`.
    pub arguments: MirrorMap,
    /// From the environment.
    pub environment: MirrorMap,
    /// From the user's configuration file.
    pub configuration: MirrorMap,
    /// From the host's apt sources.
    pub host: MirrorMap,
}

impl Mirrors {
    /// The mirrors of an archive with an index of apt's, never none; `own` are the URIs the manifest gives it.
    pub fn find(&self, archive: &str, own: &[String]) -> Result<Vec<String>> {
        let known = self.known(archive, own, || Ok(Vec::new()))?.or_else(|| given(&self.host, archive));
        known
            .ok_or_else(|| {
                anyhow!(
                    "no mirror is known for the archive `{archive}`: neither `--mirror`, the manifest's `uris`, \
                     COMPOSE_MIRROR, the configuration file nor the host's apt sources (a URI that ends in \
                     `/{archive}`) names one"
                )
            })
            .hint(|| format!("--mirror {archive}=URI"))
    }

    /// The mirrors of an rpm repository, never none, with those that a list of its own names: they come behind the manifest's
    /// URIs, and are asked for only where neither an argument nor, without such URIs, environment or configuration decide. What
    /// apt says of the host counts for nothing.
    pub fn find_repository(
        &self,
        id: &str,
        own: &[String],
        listed: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        self.known(id, own, listed)?
            .ok_or_else(|| {
                anyhow!(
                    "no mirror is known for the repository `{id}`: neither `--mirror`, the manifest's `baseurl`, `metalink` or \
                     `mirrorlist`, COMPOSE_MIRROR nor the configuration file names one"
                )
            })
            .hint(|| format!("--mirror {id}=URI, the folder that has repodata/; $basearch and $releasever may stand in it"))
    }

    /// The mirrors that the first of arguments, the manifest with its lists, environment and configuration names.
    fn known(
        &self,
        archive: &str,
        own: &[String],
        listed: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<Option<Vec<String>>> {
        if let Some(mirrors) = given(&self.arguments, archive) {
            return Ok(Some(mirrors));
        }
        let users = given(&self.environment, archive).or_else(|| given(&self.configuration, archive));
        if own.is_empty() && users.is_some() {
            return Ok(users);
        }
        let mut known = own.to_vec();
        known.extend(listed()?);
        Ok(Some(known).filter(|known| !known.is_empty()))
    }
}

/// What a map says of an archive.
fn given(map: &MirrorMap, archive: &str) -> Option<Vec<String>> {
    map.get(archive).filter(|uris| !uris.is_empty()).cloned()
}

/// Reads `ARCHIVE=URI` words: the arguments of `--mirror`, or the words of `COMPOSE_MIRROR`.
pub fn parse_pairs<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<MirrorMap> {
    let mut map = MirrorMap::new();
    for word in words {
        match word.split_once('=') {
            Some((archive, uri)) if !archive.is_empty() && is_usable(uri) => {
                map.entry(archive.to_owned()).or_default().push(uri.to_owned());
            }
            _ => bail!("`{word}` names no mirror: expected ARCHIVE=URI with an http:, https: or file: URI"),
        }
    }
    Ok(map)
}

/// The user's configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    mirrors: MirrorMap,
}

/// Reads the text of a configuration file: YAML with `mirrors:`, a map from archive id to a list of URIs.
pub fn parse_configuration(text: &str) -> Result<MirrorMap> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(MirrorMap::new());
    }
    let configuration: Configuration = serde_yaml::from_str(text)?;
    for (archive, uris) in &configuration.mirrors {
        if let Some(uri) = uris.iter().find(|uri| !is_usable(uri)) {
            bail!("the mirror `{uri}` of `{archive}` is not an http:, https: or file: URI");
        }
    }
    Ok(configuration.mirrors)
}

/// The mirrors of the configuration file at `path`; none when there is no such file.
pub fn load_configuration(path: &Path) -> Result<MirrorMap> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(MirrorMap::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    parse_configuration(&text).with_context(|| format!("{} is not a configuration file", path.display()))
}

/// The mirrors that apt on this host uses, by the last component of their paths; `apt` is `/etc/apt`.
///
/// The files are those of sources.list(5): `sources.list`, then `sources.list.d/*.list` and `*.sources` by name. One
/// that cannot be read is passed over, as it may be for the administrator's eyes alone.
pub fn load_host(apt: &Path) -> MirrorMap {
    let mut paths = vec![apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(apt.join("sources.list.d")) {
        let sorted: BTreeSet<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.extend(sorted);
    }
    let mut map = MirrorMap::new();
    for path in paths {
        let extension = path.extension().and_then(|e| e.to_str());
        let parse = match extension {
            Some("list") => parse_one_line,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        for uri in fs::read_to_string(&path).map(|text| parse(&text)).unwrap_or_default() {
            let Some(archive) = archive_of(&uri) else { continue };
            let known = map.entry(archive.to_owned()).or_default();
            if !known.contains(&uri) {
                known.push(uri);
            }
        }
    }
    map
}

/// The usable URIs of a file in the one-line style of sources.list(5).
pub fn parse_one_line(text: &str) -> Vec<String> {
    text.lines().filter_map(one_line_uri).map(str::to_owned).collect()
}

/// `deb [ option=value … ] uri suite [component] [component] […]`
fn one_line_uri(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    rest.split_whitespace().next().filter(|uri| is_usable(uri))
}

/// The usable URIs of a file in the deb822 style of sources.list(5), of the enabled stanzas of type `deb`.
pub fn parse_deb822(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for stanza in stanzas(text) {
        let words =
            |field: &str| stanza.get(field).map(|v| v.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
        let disabled = matches!(words("enabled")[..], ["no" | "false" | "without" | "off" | "disable" | "0", ..]);
        if !disabled && words("types").contains(&"deb") {
            uris.extend(words("uris").into_iter().filter(|uri| is_usable(uri)).map(str::to_owned));
        }
    }
    uris
}

/// The stanzas of a deb822 text (deb822(5)), fields by lower-case name; comments are dropped.
fn stanzas(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut stanzas = vec![BTreeMap::<String, String>::new()];
    let mut current = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            stanzas.push(BTreeMap::new());
            current = None;
        } else if let (true, Some(field), Some(stanza)) = (line.starts_with([' ', '\t']), &current, stanzas.last_mut())
        {
            let value: &mut String = stanza.entry(String::clone(field)).or_default();
            value.push('\n');
            value.push_str(line.trim());
        } else if let (Some((field, value)), Some(stanza)) = (line.split_once(':'), stanzas.last_mut()) {
            let field = field.trim().to_ascii_lowercase();
            stanza.insert(field.clone(), value.trim().to_owned());
            current = Some(field);
        }
    }
    stanzas
}

/// Whether the URI's scheme is one this program can fetch; apt knows more (`mirror+file:`, `cdrom:`, `tor+http:`).
fn is_usable(uri: &str) -> bool {
    ["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme))
}

/// The last component of a URI's path.
fn archive_of(uri: &str) -> Option<&str> {
    let after_scheme = uri.split_once(':')?.1;
    let path = after_scheme.strip_prefix("//").map_or(after_scheme, |rest| rest.find('/').map_or("", |at| &rest[at..]));
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources() {
        let rows: &[(&str, &[&str])] = &[
            ("deb http://a/debian trixie main", &["http://a/debian"]),
            ("  deb\thttp://a/debian trixie main # b", &["http://a/debian"]),
            ("deb [ arch=amd64 signed-by=/a/b.gpg ] https://a/debian/ trixie main", &["https://a/debian/"]),
            ("deb [arch=amd64,arm64]file:/srv/debian ./", &["file:/srv/debian"]),
            ("# deb http://a/debian trixie main", &[]),
            ("deb-src http://a/debian trixie main", &[]),
            ("deb cdrom:[Debian]/ trixie main", &[]),
            ("deb mirror+file:/etc/apt/mirrors/debian.list trixie main", &[]),
            ("deb [ arch=amd64 http://a/debian trixie", &[]),
            ("deb", &[]),
        ];
        for (text, uris) in rows {
            assert_eq!(parse_one_line(text), *uris, "{text}");
        }
    }

    #[test]
    fn deb822_sources() {
        let rows: &[(&str, &[&str])] = &[
            ("Types: deb\nURIs: http://a/debian\nSuites: trixie\n", &["http://a/debian"]),
            ("types: deb deb-src\nuris: http://a/debian http://b/debian\n", &["http://a/debian", "http://b/debian"]),
            ("Types: deb\nURIs:\n http://a/debian\n# no\n http://b/debian\n", &["http://a/debian", "http://b/debian"]),
            ("Types: deb-src\nURIs: http://a/debian\n", &[]),
            ("Enabled: no\nTypes: deb\nURIs: http://a/debian\n", &[]),
            ("Enabled: yes\nTypes: deb\nURIs: http://a/debian\n", &["http://a/debian"]),
            ("Types: deb\nURIs: mirror+file:/etc/apt/mirrors/debian.list http://a/debian\n", &["http://a/debian"]),
            ("Types: deb\nURIs: http://a/x\n\n\nTypes: deb\nURIs: http://a/y\n", &["http://a/x", "http://a/y"]),
            ("no field\n more\n", &[]),
        ];
        for (text, uris) in rows {
            assert_eq!(parse_deb822(text), *uris, "{text}");
        }
    }

    #[test]
    fn archives_are_named_by_the_last_component() {
        let rows = [
            ("http://a/debian", Some("debian")),
            ("http://a:80/pub/debian-security///", Some("debian-security")),
            ("file:/srv/debian", Some("debian")),
            ("file:///srv/debian/", Some("debian")),
            ("http://a/", None),
            ("http://a", None),
        ];
        for (uri, archive) in rows {
            assert_eq!(archive_of(uri), archive, "{uri}");
        }
    }

    #[test]
    fn the_host_is_read_whole() {
        let apt = tempfile::tempdir().unwrap();
        let files = [
            ("sources.list", "deb http://one/debian trixie main\n"),
            (
                "sources.list.d/b.sources",
                "Types: deb\nURIs: http://two/debian http://two/debian-security\nSuites: trixie\n",
            ),
            ("sources.list.d/c.list", "deb http://one/debian trixie-updates main\n"),
            ("sources.list.d/d.list.save", "deb http://three/debian trixie main\n"),
        ];
        for (path, text) in files {
            crate::durable::write(&apt.path().join(path), text.as_bytes()).unwrap();
        }
        let map = load_host(apt.path());
        assert_eq!(map["debian"], ["http://one/debian", "http://two/debian"]);
        assert_eq!(map["debian-security"], ["http://two/debian-security"]);
        assert!(load_host(&apt.path().join("nowhere")).is_empty());
    }

    #[test]
    fn the_first_that_knows_the_archive_decides() {
        let one = |uri: &str| MirrorMap::from([("debian".to_owned(), vec![uri.to_owned()])]);
        let own = ["http://m/debian".to_owned()];
        let mut mirrors = Mirrors {
            arguments: one("http://a/debian"),
            environment: one("http://e/debian"),
            configuration: one("http://c/debian"),
            host: one("http://h/debian"),
        };
        assert_eq!(mirrors.find("debian", &own).unwrap(), ["http://a/debian"]);
        mirrors.arguments.clear();
        assert_eq!(mirrors.find("debian", &own).unwrap(), ["http://m/debian"]);
        assert_eq!(mirrors.find("debian", &[]).unwrap(), ["http://e/debian"]);
        mirrors.environment.clear();
        assert_eq!(mirrors.find("debian", &[]).unwrap(), ["http://c/debian"]);
        mirrors.configuration.clear();
        assert_eq!(mirrors.find("debian", &[]).unwrap(), ["http://h/debian"]);
        let listed = || Ok(vec!["http://l/debian".to_owned()]);
        assert_eq!(mirrors.find_repository("debian", &own, listed).unwrap(), ["http://m/debian", "http://l/debian"]);
        assert_eq!(mirrors.find_repository("debian", &[], listed).unwrap(), ["http://l/debian"]);
        let asked = || -> Result<Vec<String>> { panic!("the list is asked for") };
        mirrors.configuration = one("http://c/debian");
        assert_eq!(mirrors.find_repository("debian", &[], asked).unwrap(), ["http://c/debian"]);
        mirrors.arguments = one("http://a/debian");
        assert_eq!(mirrors.find_repository("debian", &own, asked).unwrap(), ["http://a/debian"]);
        let none = mirrors.find("other", &[]).unwrap_err();
        assert_eq!(
            none.to_string(),
            "no mirror is known for the archive `other`: neither `--mirror`, the manifest's `uris`, COMPOSE_MIRROR, the \
             configuration file nor the host's apt sources (a URI that ends in `/other`) names one"
        );
        assert_eq!(crate::error::hints(&none), ["--mirror other=URI"]);
        mirrors = Mirrors { host: one("http://h/debian"), ..Mirrors::default() };
        let none = mirrors.find_repository("debian", &[], || Ok(Vec::new())).unwrap_err();
        assert_eq!(
            none.to_string(),
            "no mirror is known for the repository `debian`: neither `--mirror`, the manifest's `baseurl`, `metalink` or \
             `mirrorlist`, COMPOSE_MIRROR nor the configuration file names one"
        );
    }

    #[test]
    fn pairs_and_configuration() {
        let map = parse_pairs(["debian=http://a/debian", "debian=file:///b", "x=https://c/x"]).unwrap();
        assert_eq!(map["debian"], ["http://a/debian", "file:///b"]);
        for bad in ["debian", "=http://a", "debian=a/b", "debian="] {
            assert!(parse_pairs([bad]).is_err(), "{bad}");
        }
        assert_eq!(parse_configuration("mirrors: {debian: ['http://a/debian']}").unwrap().len(), 1);
        assert!(parse_configuration("# nothing\n").unwrap().is_empty());
        assert!(parse_configuration("mirrors: {debian: [a]}").is_err());
        assert!(parse_configuration("mirror: {}").is_err());
        assert!(load_configuration(Path::new("/nonexistent/config.yaml")).unwrap().is_empty());
    }
}
