//! What systemd starts, listens on, and which kernel modules there are, by the paths that differ.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::{Change, PathChange};
use crate::diff::tree::{Side, find_leaf};
use crate::package::printable;

/// Folders of units, systemd.unit(5).
const FOLDERS: &[&str] = &[
    "/etc/systemd/system/",
    "/etc/systemd/user/",
    "/usr/lib/systemd/system/",
    "/usr/lib/systemd/user/",
    "/usr/local/lib/systemd/system/",
    "/usr/local/lib/systemd/user/",
];

/// A unit that is started by another, or masked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitChange {
    /// The unit.
    pub unit: String,
    /// What starts it, such as `multi-user.target`; none for a mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
    /// Whether it is so now, or was.
    pub change: Change,
    /// The link that says so.
    pub path: String,
}

/// A unit that listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SocketChange {
    /// The unit.
    pub unit: String,
    /// What happened to its file.
    pub change: Change,
    /// Its `Listen…=` lines before.
    pub old: Vec<String>,
    /// Its `Listen…=` lines now.
    pub new: Vec<String>,
}

/// Modules of one kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModuleChange {
    /// The kernel's version, as its folder is called.
    pub kernel: String,
    /// How many are new.
    pub added: usize,
    /// How many are gone.
    pub removed: usize,
    /// How many are others.
    pub changed: usize,
}

/// A path's unit and the folder in the units' folder that it is in, if any.
fn unit_of(path: &str) -> Option<(Option<&str>, &str)> {
    let rest = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))?;
    match rest.split_once('/') {
        None => Some((None, rest)),
        Some((folder, unit)) if !unit.contains('/') => Some((Some(folder), unit)),
        Some(_) => None,
    }
}

/// Units that are enabled, disabled, masked or unmasked.
pub(super) fn enabled(paths: &[PathChange]) -> Vec<UnitChange> {
    let unit = |path: &PathChange| {
        let (folder, unit) = unit_of(&path.path)?;
        let masks =
            |state: &Option<super::State>| state.as_ref().and_then(|s| s.target.as_deref()) == Some("/dev/null");
        let change = match (folder, path.change) {
            (Some(_), Change::Changed) => return None,
            (Some(_), change) => change,
            (None, _) => match (masks(&path.old), masks(&path.new)) {
                (false, true) => Change::Added,
                (true, false) => Change::Removed,
                _ => return None,
            },
        };
        let by = match folder {
            Some(folder) => Some([".wants", ".requires", ".upholds"].iter().find_map(|end| folder.strip_suffix(end))?),
            None => None,
        };
        Some(UnitChange { unit: unit.to_owned(), wanted_by: by.map(str::to_owned), change, path: path.path.clone() })
    };
    paths.iter().filter_map(unit).collect()
}

/// Units that listen whose files differ.
pub(super) fn sockets(sides: &[Side; 2], paths: &[PathChange]) -> Result<Vec<SocketChange>> {
    let is_socket = |path: &&PathChange| {
        unit_of(&path.path).is_some_and(|(folder, unit)| folder.is_none() && unit.ends_with(".socket"))
    };
    let mut sockets = Vec::new();
    for path in paths.iter().filter(is_socket) {
        let [old, new] = [listens(&sides[0], path.old.as_ref(), path)?, listens(&sides[1], path.new.as_ref(), path)?];
        let unit = path.path.rsplit('/').next().unwrap_or_default().to_owned();
        sockets.push(SocketChange { unit, change: path.change, old, new });
    }
    Ok(sockets)
}

fn listens(side: &Side, state: Option<&super::State>, path: &PathChange) -> Result<Vec<String>> {
    if !state.is_some_and(super::State::is_file) {
        return Ok(Vec::new());
    }
    let Some(leaf) = find_leaf(side, path.path.trim_start_matches('/'))? else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&side.reader.read(leaf)?).into_owned();
    Ok(text.lines().map(str::trim).filter(|line| line.starts_with("Listen")).map(printable).collect())
}

/// Kernel modules that differ.
pub(super) fn modules(paths: &[PathChange]) -> Vec<ModuleChange> {
    let mut kernels: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for path in paths {
        let is_module = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|end| path.path.ends_with(end));
        if is_module
            && let Some(rest) = path.path.strip_prefix("/usr/lib/modules/").or(path.path.strip_prefix("/lib/modules/"))
            && let Some((kernel, _)) = rest.split_once('/')
        {
            kernels.entry(kernel).or_default()[path.change as usize] += 1;
        }
    }
    let changes = kernels.into_iter().map(|(kernel, [added, removed, changed])| ModuleChange {
        kernel: kernel.to_owned(),
        added,
        removed,
        changed,
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_by_their_folders() {
        let wants = "/etc/systemd/system/multi-user.target.wants/ssh.service";
        assert_eq!(unit_of(wants), Some((Some("multi-user.target.wants"), "ssh.service")));
        assert_eq!(unit_of("/usr/lib/systemd/system/ssh.socket"), Some((None, "ssh.socket")));
        assert_eq!(unit_of("/usr/lib/systemd/systemd"), None);
    }
}
