//! What explains a path that differs: on each side its value has to be what a package ships, or what the build that made the
//! tree says that it left there. A path that is not there has to be one that nothing of that side ships or left.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::assemble::origins::{self, Aliases, Cause, CauseKind, Origins, Shipped};
use crate::diff::tree::{Content, Difference, Entry, Side};
use crate::digest::Sha256;
use crate::import;
use crate::lock::{Lock, Package};
use crate::package::{Record, printable};
use crate::store::{self, Node, Store};

/// What explains each path, in the order of the differences; nothing where a path is unexplained.
pub(super) fn explain(
    store: &Store,
    sides: &[Side; 2],
    origins: &[Option<Origins>; 2],
    locks: [Option<&Lock>; 2],
    differences: &[Difference],
    notes: &mut Vec<String>,
) -> Result<Vec<Option<Vec<Cause>>>> {
    let [old, new] = locks.map(|lock| lock.map_or(&[][..], |lock| &lock.packages));
    let of = |packages: &[Package]| packages.iter().map(|package| package.sha256).collect::<HashSet<_>>();
    let (in_old, in_new) = (of(old), of(new));
    let wanted = differences.iter().map(|difference| difference.path.as_str()).collect::<BTreeSet<_>>();
    let mut facts = Vec::new();
    for (side, (lock, other)) in locks.into_iter().zip([&in_new, &in_old]).enumerate() {
        let entries = sides[side].reader.entries(sides[side].tree.root.0)?;
        let aliases = origins::aliases(&sides[side].reader, entries.files.iter());
        let changed: Vec<usize> = indexes(lock, |package| !other.contains(&package.sha256));
        let (changed, missing) = shipped(store, lock, &changed, &aliases, None)?;
        if missing > 0 {
            let which = ["old", "new"][side];
            notes.push(format!(
                "the store has {missing} packages of the {which} lock no more: what they ship explains nothing"
            ));
        }
        facts.push(Facts { origins: origins[side].as_ref(), lock, aliases, changed, unchanged: Shipped::default() });
    }
    let mut explainer = Explainer { facts, looked: false };
    let found: Vec<_> = differences.iter().map(|difference| explainer.explain(difference)).collect();
    if found.iter().all(Option::is_some) {
        return Ok(found);
    }
    // Packages of both sides explain little of what differs, and are many.
    for (side, other) in [&in_new, &in_old].into_iter().enumerate() {
        let facts = &mut explainer.facts[side];
        let unchanged = indexes(facts.lock, |package| other.contains(&package.sha256));
        facts.unchanged = shipped(store, facts.lock, &unchanged, &facts.aliases, Some(&wanted))?.0;
    }
    explainer.looked = true;
    Ok(differences.iter().map(|difference| explainer.explain(difference)).collect())
}

struct Facts<'a> {
    origins: Option<&'a Origins>,
    lock: Option<&'a Lock>,
    aliases: Aliases,
    /// What the packages ship that the other side has not.
    changed: Shipped,
    /// What the others ship at the paths in question.
    unchanged: Shipped,
}

struct Explainer<'a> {
    facts: Vec<Facts<'a>>,
    /// Whether the packages of both sides were looked at.
    looked: bool,
}

/// What accounts for a side's value.
enum Account {
    Package(u32),
    Causes(Vec<Cause>),
    Absence,
    Nothing,
}

impl Explainer<'_> {
    fn explain(&self, difference: &Difference) -> Option<Vec<Cause>> {
        let path = difference.path.as_str();
        let values = [&difference.first, &difference.second].map(|entry| entry.as_ref().map(value));
        let accounts = [self.account(0, path, values[0]), self.account(1, path, values[1])];
        let mut told: [Vec<Cause>; 2] = [Vec::new(), Vec::new()];
        for (side, account) in accounts.into_iter().enumerate() {
            told[side] = match account {
                Account::Nothing => return None,
                Account::Package(number) => vec![self.package(side, number)?],
                Account::Causes(causes) => causes,
                Account::Absence => Vec::new(),
            };
        }
        let [old, new] = &told;
        // What has a part in one side only says more of the difference.
        let only = |these: &[Cause], those: &[Cause]| -> Vec<Cause> {
            these.iter().filter(|cause| !those.contains(cause)).cloned().collect()
        };
        let common: Vec<Cause> = new.iter().filter(|cause| old.contains(cause)).cloned().collect();
        let causes = [only(new, old), only(old, new), common].concat();
        (!causes.is_empty()).then_some(causes)
    }

    fn account(&self, side: usize, path: &str, value: Option<Sha256>) -> Account {
        let facts = &self.facts[side];
        let recorded = facts.origins.and_then(|origins| origins.at(path));
        let Some(value) = value else {
            let ships = !facts.changed.at(path).is_empty() || !facts.unchanged.at(path).is_empty();
            return match recorded {
                Some((None, causes)) => Account::Causes(causes.cloned().collect()),
                None if facts.origins.is_some() && !ships => Account::Absence,
                _ => Account::Nothing,
            };
        };
        if let Some(package) = facts.changed.by(path, value) {
            return Account::Package(package);
        }
        match recorded {
            Some((Some(left), causes)) if left == value => Account::Causes(causes.cloned().collect()),
            _ => match facts.unchanged.by(path, value).filter(|_| self.looked) {
                Some(package) => Account::Package(package),
                None => Account::Nothing,
            },
        }
    }

    /// The package with what happened to it.
    fn package(&self, side: usize, number: u32) -> Option<Cause> {
        let package = self.facts[side].lock?.packages.get(number as usize)?;
        let is_same = |other: &&Package| (&other.name, &other.architecture) == (&package.name, &package.architecture);
        let others = || self.facts[1 - side].lock.into_iter().flat_map(|lock| &lock.packages);
        let other = others().find(is_same).or_else(|| others().find(|other| other.name == package.name));
        let Package { name, version, .. } = package;
        let by = match (side, other) {
            (_, Some(other)) if other.sha256 == package.sha256 => format!("{name} {version}"),
            (_, Some(other)) if other.version == *version => format!("{name} {version}, another file"),
            (0, Some(other)) => format!("{name} {version} → {}", other.version),
            (_, Some(other)) => format!("{name} {} → {version}", other.version),
            (0, None) => format!("{name} {version}, removed"),
            (_, None) => format!("{name} {version}, added"),
        };
        Some(Cause::new(CauseKind::Package, printable(&by)))
    }
}

/// What an entry is as one number, as records of origins have it.
fn value(entry: &Entry) -> Sha256 {
    match &entry.content {
        Content::Device(major, minor) => origins::node_value(&Node {
            mode: entry.attributes.mode,
            uid: entry.attributes.uid,
            gid: entry.attributes.gid,
            device: (*major, *minor),
        }),
        _ => entry.leaf.unwrap_or_else(|| origins::directory_value(&entry.attributes)),
    }
}

fn indexes(lock: Option<&Lock>, wanted: impl Fn(&Package) -> bool) -> Vec<usize> {
    let packages = lock.map_or(&[][..], |lock| &lock.packages);
    (0..packages.len()).filter(|i| wanted(&packages[*i])).collect()
}

/// What these packages of a lock ship, at all paths or some, and how many of them the store does not have any more.
fn shipped(
    store: &Store,
    lock: Option<&Lock>,
    packages: &[usize],
    aliases: &Aliases,
    wanted: Option<&BTreeSet<&str>>,
) -> Result<(Shipped, usize)> {
    let mut shipped = Shipped::default();
    let Some(lock) = lock else { return Ok((shipped, 0)) };
    let mut objects = Vec::new();
    for number in packages {
        let package = &lock.packages[*number];
        if let Some(commit) = store.resolve(&store::package_ref(lock.format, package.sha256))? {
            objects.push((*number as u32, import::index_object(store, commit)?));
        }
    }
    let reader = store.reader();
    let read: Vec<(u32, Vec<Record>)> = objects
        .into_par_iter()
        .map(|(number, object)| {
            let records = match wanted {
                None => import::read_index(&reader, object)?,
                Some(wanted) => some_records(&reader.read(object)?, aliases, wanted)?,
            };
            Ok((number, records))
        })
        .collect::<Result<_>>()?;
    for (number, records) in &read {
        shipped.add(*number, records.iter(), aliases);
    }
    Ok((shipped, packages.len() - read.len()))
}

/// The records of an index that ship something at some paths; of the others no more than the path is read.
fn some_records(index: &[u8], aliases: &Aliases, wanted: &BTreeSet<&str>) -> Result<Vec<Record>> {
    const KEY: &[u8] = b"\"path\":\"";
    let mut records = Vec::new();
    for line in index.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let start = memchr::memmem::find(line, KEY).map(|at| at + KEY.len());
        let path = start.and_then(|start| {
            let end = memchr::memchr(b'"', &line[start..])?;
            std::str::from_utf8(&line[start..start + end]).ok()
        });
        let fits = path.is_none_or(|path| path.contains('\\') || is_wanted(&origins::real_path(path, aliases), wanted));
        if fits {
            records.push(serde_json::from_slice(line).context("a package's index is damaged")?);
        }
    }
    Ok(records)
}

/// Whether a path is wanted, or a folder above it.
fn is_wanted(path: &str, wanted: &BTreeSet<&str>) -> bool {
    wanted.contains(path) || path.match_indices('/').any(|(cut, _)| wanted.contains(&path[..cut]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn lines_are_read_for_wanted_paths_alone() {
        let line = |path: &str| {
            format!(
                "{{\"part\":\"data\",\"path\":\"{path}\",\"kind\":\"directory\",\"mode\":493,\"uid\":0,\"gid\":0,\"mtime\":0}}\n"
            )
        };
        let index = [line("lib/a/b"), line("lib/c"), line("x\\\"y"), line("usr/z")].concat();
        let aliases: Aliases = BTreeMap::from([("lib".to_owned(), "usr/lib".to_owned())]);
        let wanted = BTreeSet::from(["usr/lib/a"]);
        let found = some_records(index.as_bytes(), &aliases, &wanted).unwrap();
        let paths: Vec<_> = found.iter().map(|record| record.member.path.as_str()).collect();
        assert_eq!(paths, ["lib/a/b", "x\"y"]);
    }
}
