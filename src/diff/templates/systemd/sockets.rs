//! What units listen on, systemd.socket(5): the unit's file and what stands beside it in its `.d` folders.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::{MANAGERS, Manager, first_of, name_of, names_in, unit_of};
use crate::diff::templates::{Change, PathChange};
use crate::diff::tree::Side;
use crate::package::printable;

/// A unit that listens on something else than before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SocketChange {
    /// The unit.
    pub unit: String,
    /// Whose it is: the `system`'s, or each `user`'s.
    pub manager: &'static str,
    /// Whether it has come, gone, or listens on something else.
    pub change: Change,
    /// Its `Listen…=` lines before.
    pub old: Vec<String>,
    /// Its `Listen…=` lines now.
    pub new: Vec<String>,
}

impl SocketChange {
    /// The unit's name for people.
    pub fn name(&self) -> String {
        name_of(&self.unit, self.manager)
    }

    /// What it listens on, in a few words.
    pub fn details(&self) -> String {
        let [old, new] = [&self.old, &self.new].map(|lines| lines.join(", "));
        match self.change {
            Change::Added => new,
            Change::Removed => old,
            Change::Changed => format!("{old} → {new}"),
        }
    }
}

/// Units that listen on something else in the second tree than in the first.
pub(in crate::diff::templates) fn changed(sides: &[Side; 2], paths: &[PathChange]) -> Result<Vec<SocketChange>> {
    let touched = paths.iter().filter_map(|path| {
        let (manager, folder, name) = unit_of(&path.path)?;
        let unit = folder.map_or(Some(name), |folder| folder.strip_suffix(".d"))?;
        unit.ends_with(".socket").then_some((manager, unit))
    });
    let touched: BTreeSet<_> = touched.map(|(manager, unit)| (unit, manager.name)).collect();
    let mut found = Vec::new();
    for (unit, name) in touched {
        let Some(manager) = MANAGERS.iter().find(|manager| manager.name == name) else { continue };
        let [old, new] = [listens(&sides[0], manager, unit)?, listens(&sides[1], manager, unit)?];
        let change = match (old.is_empty(), new.is_empty()) {
            _ if old == new => continue,
            (true, _) => Change::Added,
            (_, true) => Change::Removed,
            _ => Change::Changed,
        };
        found.push(SocketChange { unit: unit.to_owned(), manager: manager.name, change, old, new });
    }
    Ok(found)
}

/// The lines by which a unit listens; none where it is not there or masked.
fn listens(side: &Side, manager: &Manager, unit: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let Some(own) = first_of(side, &manager.units, unit)? else { return Ok(lines) };
    add_lines(&mut lines, &own);
    let beside = manager.units.map(|folder| format!("{folder}/{unit}.d"));
    let beside = beside.each_ref().map(String::as_str);
    for name in names_in(side, &beside, |name| name.rsplit_once('.').is_some_and(|(_, end)| end == "conf"))? {
        add_lines(&mut lines, &first_of(side, &beside, &name)?.unwrap_or_default());
    }
    Ok(lines)
}

/// Adds what a file says; an empty value takes back what was said before it.
fn add_lines(lines: &mut Vec<String>, text: &[u8]) {
    for line in String::from_utf8_lossy(text).lines().map(str::trim).filter(|line| line.starts_with("Listen")) {
        match line.split_once('=') {
            Some((_, value)) if value.trim().is_empty() => lines.clear(),
            _ => lines.push(printable(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_takes_back() {
        let mut lines = Vec::new();
        add_lines(&mut lines, b"[Socket]\nListenStream=22\n ListenDatagram=/run/x\n#ListenStream=1\n");
        assert_eq!(lines, ["ListenStream=22", "ListenDatagram=/run/x"]);
        add_lines(&mut lines, b"ListenStream= \nListenStream=2222\n");
        assert_eq!(lines, ["ListenStream=2222"]);
    }
}
