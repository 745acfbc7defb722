//! Rpm repositories in a manifest, in the words of dnf.conf(5): from typed-in values and `.repo` files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::load::{Failure, read_named};
use super::located::{Located, Mistake};
use crate::arch::Architecture;
use crate::digest::Sha256;

/// What the manifest says of an rpm repository beside its URIs and its priority.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Repository {
    /// The files with the keys that may have signed it; absolute. Their contents are in `keys`.
    #[serde(skip)]
    pub gpgkey: Vec<PathBuf>,
    /// The digests of these files.
    pub keys: Vec<Sha256>,
    /// Whether `repomd.xml` must be signed; dnf's default is no, this program's is yes.
    pub repo_gpgcheck: bool,
    /// Whether packages must be signed.
    pub gpgcheck: bool,
    /// Packages that count as missing.
    pub excludepkgs: Vec<String>,
    /// Packages that alone are there; empty for all.
    pub includepkgs: Vec<String>,
    /// Whether its packages are there whatever modules say.
    pub module_hotfixes: bool,
    /// A file that lists mirrors with the checksum of `repomd.xml`.
    pub metalink: Option<String>,
    /// A file that lists mirrors.
    pub mirrorlist: Option<String>,
    /// Values for `$releasever` and other variables of URIs and names of keys.
    pub vars: BTreeMap<String, String>,
}

impl Repository {
    /// A URI with values for its variables: the manifest's, and `$basearch` and `$arch`.
    pub fn expand(&self, uri: &str, architecture: &Architecture) -> String {
        self.expand_with(uri, &[("basearch", architecture.rpm()), ("arch", architecture.rpm())])
    }

    fn expand_with(&self, text: &str, own: &[(&str, &str)]) -> String {
        let mut expanded = text.to_owned();
        let given = self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut all: Vec<(&str, &str)> = given.chain(own.iter().copied()).collect();
        // The longer name first: `$basearch` is not `$base`.
        all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in all {
            expanded = expanded.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        }
        expanded
    }
}

/// What dnf's words say of a repository, typed in or read from a `.repo` file.
#[derive(Debug)]
pub struct TypedRepository {
    pub repo: Option<Located<String>>,
    pub baseurl: Vec<Located<String>>,
    pub metalink: Option<Located<String>>,
    pub mirrorlist: Option<Located<String>>,
    pub gpgkey: Vec<Located<String>>,
    pub repo_gpgcheck: Option<Located<bool>>,
    pub gpgcheck: Option<Located<bool>>,
    pub excludepkgs: Vec<Located<String>>,
    pub includepkgs: Vec<Located<String>>,
    pub module_hotfixes: Option<Located<bool>>,
    pub vars: BTreeMap<String, Located<String>>,
}

/// Tells what is wrong with a value that was typed in.
type MistakeAt<'a> = &'a dyn Fn(&Located<String>, String) -> Mistake;

impl TypedRepository {
    /// Whether any of dnf's words stands there.
    pub fn is_given(&self) -> bool {
        self.repo.is_some()
            || !self.baseurl.is_empty()
            || !self.gpgkey.is_empty()
            || self.metalink.is_some()
            || self.mirrorlist.is_some()
            || self.repo_gpgcheck.is_some()
    }

    /// Adds what is typed to what is known of the repository `id`. Gives the URIs that it adds, and a `.repo` file's priority.
    pub fn apply(
        self,
        id: &str,
        known: &mut Repository,
        folder: &Path,
        mistake: MistakeAt<'_>,
    ) -> Result<(Vec<String>, Option<i32>), Failure> {
        let mut uris = Vec::new();
        let mut priority = None;
        known.vars.extend(self.vars.into_iter().map(|(name, value)| (name, value.value)));
        if let Some(repo) = &self.repo {
            let path = folder.join(&repo.value);
            let bytes = read_named(&path).map_err(|e| mistake(repo, format!("{e:#}")))?;
            let text = String::from_utf8_lossy(&bytes);
            let section =
                section(&text, id).ok_or_else(|| mistake(repo, format!("{} has no section `[{id}]`", repo.value)))?;
            priority = known
                .take_section(&section, &mut uris, path.parent().unwrap_or(folder))
                .map_err(|message| mistake(repo, format!("{}: {message}", repo.value)))?;
        }
        for key in self.gpgkey {
            known.add_key(folder, &key.value).map_err(|message| mistake(&key, message))?;
        }
        uris.extend(self.baseurl.into_iter().map(|uri| uri.value));
        let all_words =
            |list: Vec<Located<String>>| list.into_iter().flat_map(|word| words(&word.value)).collect::<Vec<String>>();
        known.excludepkgs.extend(all_words(self.excludepkgs));
        known.includepkgs.extend(all_words(self.includepkgs));
        known.metalink = self.metalink.map(|uri| uri.value).or(known.metalink.take());
        known.mirrorlist = self.mirrorlist.map(|uri| uri.value).or(known.mirrorlist.take());
        known.repo_gpgcheck = self.repo_gpgcheck.map_or(known.repo_gpgcheck, |value| value.value);
        known.gpgcheck = self.gpgcheck.map_or(known.gpgcheck, |value| value.value);
        known.module_hotfixes = self.module_hotfixes.map_or(known.module_hotfixes, |value| value.value);
        Ok((uris, priority))
    }
}

impl Repository {
    /// What holds when nothing is said: signatures are checked.
    pub fn new() -> Self {
        Self { repo_gpgcheck: true, gpgcheck: true, ..Self::default() }
    }

    /// Adds a key by its file's name, in which the manifest's variables stand for their values; other variables have none, since
    /// keys are those of all architectures.
    fn add_key(&mut self, folder: &Path, name: &str) -> Result<(), String> {
        let path = folder.join(self.expand_with(name, &[]));
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let bytes = read_named(&path).map_err(|error| format!("{error:#}"))?;
        if !self.gpgkey.contains(&path) {
            self.keys.push(Sha256::of(&bytes));
            self.gpgkey.push(path);
        }
        Ok(())
    }

    /// Takes up a section of a `.repo` file. Keys are files beside it or `file:` URIs.
    fn take_section(
        &mut self,
        section: &BTreeMap<String, String>,
        uris: &mut Vec<String>,
        folder: &Path,
    ) -> Result<Option<i32>, String> {
        let mut priority = None;
        for (key, value) in section {
            let truth = || match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "0" | "false" | "no" | "off" => Ok(false),
                _ => Err(format!("`{key}` is neither yes nor no: `{value}`")),
            };
            match key.as_str() {
                "baseurl" => uris.extend(words(value)),
                "metalink" => self.metalink = Some(value.clone()),
                "mirrorlist" => self.mirrorlist = Some(value.clone()),
                "gpgkey" => {
                    for key in words(value) {
                        let path = key.strip_prefix("file://").unwrap_or(&key);
                        if path.contains("://") {
                            return Err(format!("`gpgkey` names `{key}`: keys are files, `gpgkey: [FILE]` names one"));
                        }
                        self.add_key(folder, path)?;
                    }
                }
                "repo_gpgcheck" => self.repo_gpgcheck = truth()?,
                "gpgcheck" => self.gpgcheck = truth()?,
                "module_hotfixes" => self.module_hotfixes = truth()?,
                "exclude" | "excludepkgs" => self.excludepkgs.extend(words(value)),
                "includepkgs" => self.includepkgs.extend(words(value)),
                "priority" => {
                    priority = Some(value.parse().map_err(|_| format!("`priority` is no number: `{value}`"))?);
                }
                _ => {}
            }
        }
        Ok(priority)
    }
}

/// Words between spaces and commas.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The values of a section of an INI file as dnf reads it: a line that begins with a space goes on with the one before.
fn section(text: &str, id: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let (mut within, mut last) = (false, String::new());
    for line in text.lines() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = name == id;
            if within {
                found.get_or_insert_default();
            }
            continue;
        }
        let Some(values) = found.as_mut().filter(|_| within) else { continue };
        if line.starts_with([' ', '\t']) && !last.is_empty() {
            let value = values.entry(last.clone()).or_default();
            value.push(' ');
            value.push_str(plain);
        } else if let Some((key, value)) = plain.split_once('=') {
            key.trim().clone_into(&mut last);
            values.insert(last.clone(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repo_files_are_taken_as_they_are() {
        let text = "[other]\nbaseurl=x\n\n[base]\nname=Base - $basearch\n# no\nbaseurl=a/$releasever/$basearch/os\n  b\n\
                    gpgcheck=1\nexclude=x* y,z\npriority=10\nmodule_hotfixes=yes\n";
        let values = section(text, "base").unwrap();
        assert_eq!(section(text, "missing"), None);
        let (mut repository, mut uris) = (Repository::new(), Vec::new());
        let priority = repository.take_section(&values, &mut uris, Path::new("/")).unwrap();
        assert_eq!(
            (priority, uris.as_slice()),
            (Some(10), &["a/$releasever/$basearch/os".to_owned(), "b".to_owned()][..])
        );
        assert_eq!(repository.excludepkgs, ["x*", "y", "z"]);
        assert!(repository.repo_gpgcheck && repository.gpgcheck && repository.module_hotfixes);
        repository.vars.insert("releasever".to_owned(), "9".to_owned());
        assert_eq!(repository.expand(&uris[0], &"amd64".parse().unwrap()), "a/9/x86_64/os");
        let folder = tempfile::tempdir().unwrap();
        crate::durable::write(&folder.path().join("key-9.asc"), b"key").unwrap();
        let keys =
            BTreeMap::from([("gpgkey".to_owned(), "key-${releasever}.asc file://key-$releasever.asc".to_owned())]);
        repository.take_section(&keys, &mut uris, folder.path()).unwrap();
        assert_eq!(repository.keys, [Sha256::of(b"key")]);
        let bad = BTreeMap::from([("gpgcheck".to_owned(), "perhaps".to_owned())]);
        let error = repository.take_section(&bad, &mut uris, Path::new("/")).unwrap_err();
        assert_eq!(error, "`gpgcheck` is neither yes nor no: `perhaps`");
    }
}
