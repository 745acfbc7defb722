//! Whose a path of a built tree is: a package's, the manifest's, or that of scripts, and which scripts have it in their text.

use anyhow::{Context, Result};

use crate::assemble::Merged;
use crate::import;
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::store::{Store, split};

/// The most scripts that are worth naming: what more of them have in their text tells nothing.
const MOST: usize = 5;

/// Where a path comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Who made it.
    pub source: Source,
    /// Scripts that have the path, or else its folder, in their text: `NAME (SCRIPT)`.
    pub named_in: Vec<String>,
}

/// Who made a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A package brought it.
    Package(String),
    /// A package brought it and scripts changed it.
    Changed(String),
    /// It is the package database's, which is written when packages are merged.
    Database,
    /// It was there before scripts ran, in no package, and they changed it.
    ChangedDatabase,
    /// Scripts made it.
    Scripts,
    /// The manifest's `files:` has it.
    Manifest,
}

/// What origins are found by.
pub(super) struct Origins<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) lock: &'a Lock,
    pub(super) store: &'a Store,
    pub(super) merged: &'a Merged,
    /// The texts of all scripts, once they are needed.
    pub(super) scripts: Option<Vec<(String, String)>>,
}

impl Origins<'_> {
    /// Of a path of the merged tree.
    pub(super) fn before_scripts(&self, path: &str) -> Origin {
        Origin { source: self.package(path).map_or(Source::Database, Source::Package), named_in: Vec::new() }
    }

    /// Of a path of the configured tree that the merged tree has, if at all, in the same way in both builds.
    pub(super) fn after_scripts(&mut self, path: &str) -> Result<Origin> {
        if self.manifest.files.iter().any(|file| file.path.trim_start_matches('/') == path) {
            return Ok(Origin { source: Source::Manifest, named_in: Vec::new() });
        }
        let tree = &self.merged.tree;
        let was_there = || tree.root.file(path).is_some() || tree.root.find(path).is_some();
        let source = match self.package(path) {
            Some(package) => Source::Changed(package),
            None if was_there() => Source::ChangedDatabase,
            None => Source::Scripts,
        };
        Ok(Origin { source, named_in: self.named_in(path)? })
    }

    fn package(&self, path: &str) -> Option<String> {
        let owner = self.merged.owners.get(path)?;
        Some(self.lock.packages[*owner].describe())
    }

    fn named_in(&mut self, path: &str) -> Result<Vec<String>> {
        if self.scripts.is_none() {
            self.scripts = Some(read_scripts(self.store, self.lock)?);
        }
        let scripts = self.scripts.as_deref().unwrap_or_default();
        let folder = split(path).0;
        // Too many scripts have /etc or /usr in their text.
        let places = [Some(path), folder.contains('/').then_some(folder)];
        let named = places.into_iter().flatten().map(|place| {
            let place = format!("/{place}");
            let naming = scripts.iter().filter(|(_, text)| names(text, &place));
            naming.map(|(script, _)| script.clone()).collect::<Vec<_>>()
        });
        Ok(named.into_iter().find(|scripts| !scripts.is_empty()).filter(|s| s.len() <= MOST).unwrap_or_default())
    }
}

fn read_scripts(store: &Store, lock: &Lock) -> Result<Vec<(String, String)>> {
    let commits = import::look_up(store, lock.format, &lock.packages.iter().collect::<Vec<_>>())?.commits;
    let reader = store.reader();
    let mut scripts = Vec::new();
    for package in &lock.packages {
        let Some(commit) = commits.get(&package.sha256) else { continue };
        let read = |name: &str| {
            let object = store.find_file(*commit, &format!("control/{name}"))?;
            object.map(|object| reader.read(object)).transpose()
        };
        let found =
            lock.format.scripts(&read).with_context(|| format!("cannot read the scripts of {}", package.name))?;
        scripts.extend(found.into_iter().map(|(name, text)| (format!("{} ({name})", package.name), text)));
    }
    Ok(scripts)
}

/// Whether a text has a path in it, not only a longer name that begins like it.
fn names(text: &str, path: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.match_indices(path).any(|(at, _)| !text[at + path.len()..].starts_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_whole() {
        assert!(names("touch /var/lib/eels/token", "/var/lib/eels/token"));
        assert!(names("mkdir \"$ROOT/var/lib/eels\"", "/var/lib/eels") && names("cd /var/lib/eels/x", "/var/lib/eels"));
        assert!(!names("touch /var/lib/eels-2 /var/lib/eels.d", "/var/lib/eels"));
    }
}
