//! Maintainer scripts of packages that changed, and what wakes them.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::{Change, content};
use crate::diff::bytes;
use crate::digest::Sha256;
use crate::error::{Hint, nearest};
use crate::lock::{Lock, Package};
use crate::package::printable;
use crate::sandbox::Program;
use crate::store::{self, Store};

/// How many lines of a script's difference are told.
const LINES: usize = 200;

/// A maintainer script that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScriptChange {
    /// The package.
    pub package: String,
    /// The script, such as `postinst`, or `triggers`.
    pub script: String,
    /// What happened to it.
    pub change: Change,
    /// How many lines it has that it had not.
    pub lines_added: usize,
    /// How many lines it had that it has not.
    pub lines_removed: usize,
    /// Lines of a unified diff of a script that changed, cut off where they are many.
    pub lines: Vec<String>,
}

impl ScriptChange {
    /// How many lines differ, in a few words; nothing for a script that is no text.
    pub fn details(&self) -> String {
        match (self.change, self.lines_added, self.lines_removed) {
            (_, 0, 0) => String::new(),
            (Change::Changed, added, removed) => format!("+{added} −{removed} lines"),
            (_, added, removed) => format!("{} lines", added + removed),
        }
    }
}

/// The scripts that packages have, and those of packages that came and went.
pub(super) fn compare(store: &Store, locks: [Option<&Lock>; 2]) -> Result<Vec<ScriptChange>> {
    let [Some(old), Some(new)] = locks else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for change in crate::diff::changes(new.format, &old.packages, &new.packages) {
        let [before, now] = [scripts(store, old, change.old)?, scripts(store, new, change.new)?];
        let name = change.new.or(change.old).map_or("", |package| package.name.as_str());
        for script in new.format.all_scripts() {
            let objects = [before.get(script).copied(), now.get(script).copied()];
            let Some(Difference { change, added, removed, lines }) = difference(store, objects)? else { continue };
            found.push(ScriptChange {
                package: printable(name),
                script: (*script).to_owned(),
                change,
                lines_added: added,
                lines_removed: removed,
                lines,
            });
        }
    }
    Ok(found)
}

/// What happened to a script, how many lines it has more and fewer, and some of them.
struct Difference {
    change: Change,
    added: usize,
    removed: usize,
    lines: Vec<String>,
}

/// How two scripts differ; none when they are the same.
fn difference(store: &Store, objects: [Option<Sha256>; 2]) -> Result<Option<Difference>> {
    let reader = store.reader();
    let count = |object| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&reader.read(object)?).lines().count());
    let (change, added, removed, lines) = match objects {
        [None, Some(object)] => (Change::Added, count(object)?, 0, Vec::new()),
        [Some(object), None] => (Change::Removed, 0, count(object)?, Vec::new()),
        [Some(old), Some(new)] if old != new => match bytes::compare(&reader.path(old), &reader.path(new))? {
            Some(bytes::Difference::Text(lines)) => {
                let count = |sign| lines.iter().filter(|line| line.starts_with(sign)).count();
                let (added, removed) = (count('+'), count('-'));
                (Change::Changed, added, removed, lines.iter().take(LINES).map(|line| printable(line)).collect())
            }
            Some(bytes::Difference::Bytes(_)) => (Change::Changed, 0, 0, Vec::new()),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Difference { change, added, removed, lines }))
}

/// What differs in the scripts of a package of two locks, as text; empty when all are the same. `program` starts sandboxes.
/// Errors when neither lock has the package, or the store does not.
pub fn show(store: &Store, locks: [&Lock; 2], name: &str, program: &Program) -> Result<String> {
    let found = locks.map(|lock| lock.packages.iter().find(|package| is_meant(package, name)));
    if found == [None, None] {
        let names = locks.into_iter().flat_map(|lock| &lock.packages).map(|package| package.name.as_str());
        let near = nearest(name, names).map(|near| format!("is it {near}?"));
        let error = anyhow!("neither lock has a package {}", printable(name));
        return Err(error).hint(|| near.unwrap_or_else(|| "compose show COMMIT lists the packages".to_owned()));
    }
    for (lock, package) in locks.into_iter().zip(found) {
        if let Some(package) = package
            && store.resolve(&store::package_ref(lock.format, package.sha256))?.is_none()
        {
            return Err(anyhow!("the store {} does not have {}", store.root().display(), package.describe()))
                .hint(|| format!("compose build imports the packages of {}", lock.manifest));
        }
    }
    let [before, now] = [scripts(store, locks[0], found[0])?, scripts(store, locks[1], found[1])?];
    let mut text = String::new();
    for script in locks[1].format.all_scripts() {
        let objects = [before.get(script).copied(), now.get(script).copied()];
        text += &content::compare(store, objects, &format!("{script} of {name}"), program)?;
    }
    Ok(text)
}

/// Whether a package is called so: `NAME`, or `NAME:ARCH`.
fn is_meant(package: &Package, name: &str) -> bool {
    let rest = name.strip_prefix(package.name.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':') == Some(package.architecture.as_str()))
}

/// A package's scripts by name, as far as the store still has the package.
fn scripts(store: &Store, lock: &Lock, package: Option<&Package>) -> Result<BTreeMap<&'static str, Sha256>> {
    let mut found = BTreeMap::new();
    let Some(package) = package else { return Ok(found) };
    let Some(commit) = store.resolve(&store::package_ref(lock.format, package.sha256))? else { return Ok(found) };
    for script in lock.format.all_scripts() {
        if let Some(object) = store.find_file(commit, &format!("control/{script}"))? {
            found.insert(*script, object);
        }
    }
    Ok(found)
}
