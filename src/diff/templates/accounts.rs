//! Users and groups of two trees, from passwd(5) and group(5).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Serialize;

use super::Change;
use crate::diff::tree::{Difference, Side, read_file};
use crate::package::printable;

/// A user or group that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AccountChange {
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub change: Change,
    /// Its line before, without the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Its line now, without the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Of a user, whether it can log in to a shell now and could not before.
    pub gains_shell: bool,
}

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";

/// Users that differ.
pub(super) fn users(sides: &[Side; 2], differences: &[Difference]) -> Result<Vec<AccountChange>> {
    compare(sides, differences, PASSWD)
}

/// Groups that differ.
pub(super) fn groups(sides: &[Side; 2], differences: &[Difference]) -> Result<Vec<AccountChange>> {
    compare(sides, differences, GROUP)
}

fn compare(sides: &[Side; 2], differences: &[Difference], path: &str) -> Result<Vec<AccountChange>> {
    if !differences.iter().any(|difference| difference.path == path) {
        return Ok(Vec::new());
    }
    let read = |side: &Side| -> Result<BTreeMap<String, String>> {
        Ok(lines(&String::from_utf8_lossy(&read_file(side, path)?.unwrap_or_default())))
    };
    Ok(changes(&read(&sides[0])?, &read(&sides[1])?, path == PASSWD))
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>, users: bool) -> Vec<AccountChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changes = names.into_iter().filter_map(|name| {
        let (old, new) = (old.get(name), new.get(name));
        let change = match (old, new) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (old, new) if old != new => Change::Changed,
            _ => return None,
        };
        let gains_shell = users && new.is_some_and(|line| has_shell(line)) && !old.is_some_and(|line| has_shell(line));
        let [old, new] = [old, new].map(|line| line.map(|line| printable(line)));
        Some(AccountChange { name: printable(name), change, old, new, gains_shell })
    });
    changes.collect()
}

/// Lines by name, without the second field, which may have a password.
fn lines(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split(':').collect();
        if fields.len() < 3 {
            return None;
        }
        fields.remove(1);
        Some((fields[0].to_owned(), fields.join(":")))
    };
    text.lines().filter_map(line).collect()
}

/// Whether a line of passwd(5) without its password has a shell that lets somebody in; an empty one is /bin/sh.
fn has_shell(line: &str) -> bool {
    let shell = line.split(':').nth(5).unwrap_or_default();
    !["nologin", "false", "sync"].contains(&shell.rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_are_gained() {
        let old = lines("root:x:0:0:root:/root:/bin/bash\nnews:x:9:9::/:/usr/sbin/nologin\ngone:x:7:7::/:/bin/sh\n");
        let new = lines("root:y:0:0:root:/root:/bin/bash\nnews:x:9:9::/:\neve:x:0:0::/:/bin/sh\nbad\n");
        let found = changes(&old, &new, true);
        let short: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.change, c.gains_shell)).collect();
        assert_eq!(
            short,
            [("eve", Change::Added, true), ("gone", Change::Removed, false), ("news", Change::Changed, true)]
        );
        assert_eq!(found[0].new.as_deref(), Some("eve:0:0::/:/bin/sh"));
    }
}
