//! What systemd does in two trees: which units it starts and which are masked, what presets say of them, and what they listen
//! on; by the paths that differ.

mod presets;
mod sockets;

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::{Change, PathChange};
use crate::diff::tree::{Side, directory, find_leaf, read_file};

pub use presets::PresetChange;
pub(super) use presets::changed as presets;
pub use sockets::SocketChange;
pub(super) use sockets::changed as sockets;

/// One of the two kinds of instances of systemd, systemd(1).
struct Manager {
    name: &'static str,
    /// Folders of units, those that win first (systemd.unit(5); in a tree there is nothing in /run).
    units: [&'static str; 3],
    /// Likewise folders of presets, systemd.preset(5).
    presets: [&'static str; 3],
}

const MANAGERS: [Manager; 2] = [
    Manager {
        name: "system",
        units: ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"],
        presets: ["etc/systemd/system-preset", "usr/local/lib/systemd/system-preset", "usr/lib/systemd/system-preset"],
    },
    Manager {
        name: "user",
        units: ["etc/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user"],
        presets: ["etc/systemd/user-preset", "usr/local/lib/systemd/user-preset", "usr/lib/systemd/user-preset"],
    },
];

/// A unit that is started by another, or masked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitChange {
    /// The unit.
    pub unit: String,
    /// Whose it is: the `system`'s, or each `user`'s.
    pub manager: &'static str,
    /// What starts it, such as `multi-user.target`; none for a mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
    /// Whether it is so now, or was.
    pub change: Change,
    /// The link that says so.
    pub path: String,
}

impl UnitChange {
    /// The unit's name for people.
    pub fn name(&self) -> String {
        name_of(&self.unit, self.manager)
    }
}

/// A unit's name for people, who take it for one of the system's where nothing else is said.
fn name_of(unit: &str, manager: &str) -> String {
    if manager == "system" { unit.to_owned() } else { format!("{unit} ({manager})") }
}

/// A path in the units' folders: whose it is, the folder in there that it is in, if any, and its name.
fn unit_of(path: &str) -> Option<(&'static Manager, Option<&str>, &str)> {
    let path = path.trim_start_matches('/');
    let (manager, rest) = MANAGERS.iter().find_map(|manager| {
        let rest = manager.units.iter().find_map(|folder| path.strip_prefix(folder)?.strip_prefix('/'))?;
        Some((manager, rest))
    })?;
    match rest.split_once('/') {
        None => Some((manager, None, rest)),
        Some((folder, unit)) if !unit.contains('/') => Some((manager, Some(folder), unit)),
        Some(_) => None,
    }
}

/// The names of files and links in some folders of a tree that are wanted.
fn names_in(side: &Side, folders: &[&str], is_wanted: impl Fn(&str) -> bool) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in folders {
        let files = directory(side, folder)?.map(|entries| entries.files).unwrap_or_default();
        names.extend(files.into_keys().filter(|name| is_wanted(name)));
    }
    Ok(names)
}

/// What a file of this name has in the first of some folders that has the name; none where it is no file: a link to /dev/null
/// masks what is behind it.
fn first_of(side: &Side, folders: &[&str], name: &str) -> Result<Option<Vec<u8>>> {
    for folder in folders {
        let path = format!("{folder}/{name}");
        if find_leaf(side, &path)?.is_some() {
            return read_file(side, &path);
        }
    }
    Ok(None)
}

/// Units that are enabled, disabled, masked or unmasked.
pub(super) fn units(paths: &[PathChange]) -> Vec<UnitChange> {
    let unit = |path: &PathChange| {
        let (manager, folder, unit) = unit_of(&path.path)?;
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
        Some(UnitChange {
            unit: unit.to_owned(),
            manager: manager.name,
            wanted_by: by.map(str::to_owned),
            change,
            path: path.path.clone(),
        })
    };
    paths.iter().filter_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_by_their_folders() {
        let found = |path| unit_of(path).map(|(manager, folder, unit)| (manager.name, folder, unit));
        let wants = "/etc/systemd/system/multi-user.target.wants/ssh.service";
        assert_eq!(found(wants), Some(("system", Some("multi-user.target.wants"), "ssh.service")));
        assert_eq!(found("/usr/lib/systemd/user/ssh-agent.socket"), Some(("user", None, "ssh-agent.socket")));
        assert_eq!(found("/usr/lib/systemd/systemd"), None);
        assert_eq!(found("/usr/lib/systemd/system-preset/90-systemd.preset"), None);
    }
}
