//! Maintainer scripts of packages that changed.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::Change;
use crate::diff::bytes;
use crate::digest::Sha256;
use crate::lock::{Lock, Package};
use crate::package::printable;
use crate::store::{self, Store};

/// How many lines of a script's difference are told.
const LINES: usize = 200;

/// A maintainer script that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScriptChange {
    /// The package.
    pub package: String,
    /// The script, such as `postinst`.
    pub script: String,
    /// What happened to it.
    pub change: Change,
    /// Lines of a unified diff of a script that changed, cut off where they are many.
    pub lines: Vec<String>,
}

/// The scripts that packages have, and those of packages that came and went.
pub(super) fn compare(store: &Store, locks: [Option<&Lock>; 2]) -> Result<Vec<ScriptChange>> {
    let [Some(old), Some(new)] = locks else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for change in crate::diff::changes(new.format, &old.packages, &new.packages) {
        let [before, now] = [scripts(store, old, change.old)?, scripts(store, new, change.new)?];
        let name = change.new.or(change.old).map_or("", |package| package.name.as_str());
        for script in new.format.scripts() {
            let (kind, lines) = match (before.get(script), now.get(script)) {
                (None, Some(_)) => (Change::Added, Vec::new()),
                (Some(_), None) => (Change::Removed, Vec::new()),
                (Some(one), Some(other)) if one != other => {
                    let reader = store.reader();
                    match bytes::compare(&reader.path(*one), &reader.path(*other))? {
                        Some(bytes::Difference::Text(lines)) => {
                            (Change::Changed, lines.iter().take(LINES).map(|line| printable(line)).collect())
                        }
                        Some(bytes::Difference::Bytes(_)) => (Change::Changed, Vec::new()),
                        None => continue,
                    }
                }
                _ => continue,
            };
            found.push(ScriptChange { package: printable(name), script: (*script).to_owned(), change: kind, lines });
        }
    }
    Ok(found)
}

/// A package's scripts by name, as far as the store still has the package.
fn scripts(store: &Store, lock: &Lock, package: Option<&Package>) -> Result<BTreeMap<&'static str, Sha256>> {
    let mut found = BTreeMap::new();
    let Some(package) = package else { return Ok(found) };
    let Some(commit) = store.resolve(&store::package_ref(lock.format, package.sha256))? else { return Ok(found) };
    for script in lock.format.scripts() {
        if let Some(object) = store.find_file(commit, &format!("control/{script}"))? {
            found.insert(*script, object);
        }
    }
    Ok(found)
}
