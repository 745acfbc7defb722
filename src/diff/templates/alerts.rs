//! What a reviewer has to see first: what nothing explains, and what gives somebody more rights than before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Change, Comparison, PathChange, explanation};
use crate::diff::Kind;

/// Keys of one folder that are told one by one.
const MOST_KEYS: usize = 4;

/// Why something is to be looked at, the most alarming first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Nothing explains a path.
    Unexplained,
    /// Another file under the same version of a package.
    Replaced,
    /// A file has a set-id bit that it had not.
    SetId,
    /// A file has capabilities that it had not.
    Capabilities,
    /// Everybody may write to a path.
    WorldWritable,
    /// A user has a shell, or comes with one.
    UserWithShell,
    /// An older version of a package than before.
    Downgraded,
    /// A unit is started that was not.
    EnabledUnit,
    /// A key or certificate is new or another.
    Key,
}

impl AlertKind {
    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unexplained => "unexplained",
            Self::Replaced => "REPLACED",
            Self::SetId => "set-id",
            Self::Capabilities => "capabilities",
            Self::WorldWritable => "world-writable",
            Self::UserWithShell => "user with a shell",
            Self::Downgraded => "downgraded",
            Self::EnabledUnit => "enabled unit",
            Self::Key => "key or certificate",
        }
    }
}

/// Something to be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alert {
    /// Why.
    pub kind: AlertKind,
    /// What: a path, a package, a user, a unit.
    pub what: String,
    /// How it differs.
    pub details: String,
}

/// All there is to be looked at, in order.
pub(super) fn find(comparison: &Comparison) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut put = |kind, what: &str, details: String| alerts.push(Alert { kind, what: what.to_owned(), details });
    for change in comparison.packages.iter().flat_map(|report| &report.changes) {
        for package in &change.packages {
            let [from, to] = [&package.from, &package.to].map(|version| version.as_deref().unwrap_or_default());
            match change.kind {
                Kind::Replaced => {
                    put(AlertKind::Replaced, &package.name, format!("another file as {to}, the same version"));
                }
                Kind::Downgraded => put(AlertKind::Downgraded, &package.name, format!("{from} → {to}")),
                _ => {}
            }
        }
    }
    for path in comparison.tree.iter().flat_map(|tree| &tree.paths) {
        if path.is_unexplained() {
            put(AlertKind::Unexplained, &path.path, format!("{}: {}", path.change.as_str(), path.details()));
        }
        for kind in rights(path) {
            let state = path.new.as_ref().map(|new| format!("mode {}, owner {}:{}", new.mode, new.uid, new.gid));
            put(kind, &path.path, with_cause(state.unwrap_or_default(), path));
        }
    }
    if let Some(tree) = &comparison.tree {
        for user in tree.users.iter().filter(|user| user.gains_shell) {
            put(AlertKind::UserWithShell, &user.name, user.new.clone().unwrap_or_default());
        }
        let mut units: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for unit in tree.units.iter().filter(|unit| unit.change == Change::Added) {
            units.entry(unit.name()).or_default().extend(unit.wanted_by.as_deref());
        }
        for (unit, by) in units.into_iter().filter(|(_, by)| !by.is_empty()) {
            put(AlertKind::EnabledUnit, &unit, format!("started by {}", by.join(", ")));
        }
        for preset in tree.presets.iter().filter(|preset| preset.new == "enable") {
            put(AlertKind::EnabledUnit, &preset.name(), format!("by presets, at first boot: {}", preset.details()));
        }
    }
    gather_keys(&mut alerts);
    alerts.sort_by(|a, b| (a.kind, &a.what).cmp(&(b.kind, &b.what)));
    alerts
}

fn with_cause(details: String, path: &PathChange) -> String {
    if path.is_unexplained() { details } else { format!("{details}; {}", explanation(&path.explained_by)) }
}

/// Keys of one folder that come and go for the same reason are told as one where they are many.
fn gather_keys(alerts: &mut Vec<Alert>) {
    let mut folders: BTreeMap<(String, String), usize> = BTreeMap::new();
    let of = |alert: &Alert| {
        let folder = alert.what.rsplit_once('/').map_or("", |(folder, _)| folder);
        (format!("{folder}/"), alert.details.clone())
    };
    for alert in alerts.iter().filter(|alert| alert.kind == AlertKind::Key) {
        *folders.entry(of(alert)).or_default() += 1;
    }
    folders.retain(|_, count| *count > MOST_KEYS);
    alerts.retain(|alert| alert.kind != AlertKind::Key || !folders.contains_key(&of(alert)));
    alerts.extend(folders.into_iter().map(|((folder, details), count)| Alert {
        kind: AlertKind::Key,
        what: folder,
        details: format!("{count} files, {details}"),
    }));
}

/// Which rights a path gives that it did not give before.
fn rights(path: &PathChange) -> Vec<AlertKind> {
    let Some(new) = &path.new else { return Vec::new() };
    let before = path.old.as_ref().filter(|old| old.kind == new.kind);
    let gained = |bits: u32| new.permissions & bits & !before.map_or(0, |old| old.permissions) != 0;
    let mut kinds = Vec::new();
    if new.is_file() && (gained(0o6000) || new.permissions & 0o6000 != 0 && gains_owner(path)) {
        kinds.push(AlertKind::SetId);
    }
    if new.capabilities.is_some() && before.and_then(|old| old.capabilities.as_ref()) != new.capabilities.as_ref() {
        kinds.push(AlertKind::Capabilities);
    }
    // In a folder with the sticky bit everybody writes what is theirs.
    let open = new.kind != "link" && new.permissions & 0o002 != 0 && new.permissions & 0o1000 == 0;
    let was_open = before.is_some_and(|old| old.permissions & 0o002 != 0 && old.permissions & 0o1000 == 0);
    if open && !was_open {
        kinds.push(AlertKind::WorldWritable);
    }
    if new.is_file() && is_key(&path.path) {
        kinds.push(AlertKind::Key);
    }
    kinds
}

fn gains_owner(path: &PathChange) -> bool {
    path.aspects.contains(&"owner")
}

/// Whether a path is where keys and certificates are kept.
fn is_key(path: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "/etc/apt/trusted.gpg",
        "/etc/apt/keyrings/",
        "/etc/ssl/private/",
        "/etc/ssl/certs/",
        "/etc/pki/",
        "/usr/share/keyrings/",
        "/usr/share/ca-certificates/",
        "/usr/local/share/ca-certificates/",
    ];
    const ENDS: &[&str] = &[".pem", ".crt", ".cer", ".key", ".gpg", ".asc", ".p12", ".jks"];
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_private = |folder: &str| path.starts_with(folder);
    FOLDERS.iter().any(|folder| path.starts_with(folder))
        || name.starts_with("authorized_keys")
        || name.starts_with("ssh_host_")
        || ["/etc/", "/root/", "/home/", "/var/", "/opt/", "/srv/", "/usr/local/"].into_iter().any(is_private)
            && (ENDS.iter().any(|end| name.ends_with(end)) || name.starts_with("id_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_place() {
        let keys = ["/root/.ssh/authorized_keys", "/etc/apt/keyrings/x", "/home/u/.ssh/id_rsa", "/var/lib/x/ca.pem"];
        assert!(keys.iter().all(|path| is_key(path)));
        let others = ["/usr/share/doc/x/key.gpg", "/etc/passwd", "/usr/lib/x/id_y"];
        assert!(!others.iter().any(|path| is_key(path)));
    }
}
