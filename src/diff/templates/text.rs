//! The comparison for a terminal: what is to be looked at first, then level by level, in columns.

use std::fmt::Write as _;

use super::{Alert, AlertKind, Change, Changes, Comparison, Named, PathChange, explanation};
use crate::diff::report;
use crate::digest::Sha256;

/// Whether to use colours (ECMA-48, Select Graphic Rendition).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn title(self, text: &str) -> String {
        self.with("1", text)
    }

    fn alarm(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn change(self, change: Change, text: &str) -> String {
        let code = match change {
            Change::Added => "32",
            Change::Removed => "31",
            Change::Changed => "33",
        };
        self.with(code, text)
    }
}

/// The comparison as text; empty when nothing differs.
pub fn render(comparison: &Comparison, paint: Paint) -> String {
    if !comparison.differs() {
        return String::new();
    }
    let mut text = String::new();
    let _ = writeln!(text, "{} {}", paint.faint("old"), subject(&comparison.old));
    let _ = writeln!(text, "{} {}", paint.faint("new"), subject(&comparison.new));
    for note in &comparison.notes {
        let _ = writeln!(text, "{} {note}", paint.faint("note"));
    }
    push_alerts(&mut text, &comparison.alerts, paint);
    if let Some(packages) = &comparison.packages {
        let told = report::text::render(packages);
        if !told.is_empty() {
            let _ = write!(text, "\n{}\n{told}", paint.title("packages"));
        }
    }
    if let Some(tree) = &comparison.tree {
        push_tree(&mut text, tree, paint);
    }
    text
}

fn subject(named: &Named) -> String {
    let mut parts = vec![named.name.clone()];
    parts.extend(named.lock.clone().filter(|lock| !named.name.contains(lock.as_str())));
    parts.extend(named.commit.map(Sha256::to_hex).filter(|hex| *hex != named.name));
    parts.join("  ")
}

fn push_alerts(text: &mut String, alerts: &[Alert], paint: Paint) {
    if alerts.is_empty() {
        return;
    }
    let unexplained = alerts.iter().filter(|alert| alert.kind == AlertKind::Unexplained).count();
    let title = match unexplained {
        0 => format!("to be looked at ({})", alerts.len()),
        _ => format!("to be looked at ({}, of which {unexplained} unexplained)", alerts.len()),
    };
    let _ = writeln!(text, "\n{}", paint.alarm(&title));
    let width = alerts.iter().map(|alert| alert.kind.as_str().len()).max().unwrap_or_default();
    let names = alerts.iter().map(|alert| alert.what.chars().count()).max().unwrap_or_default().min(60);
    for alert in alerts {
        let kind = format!("{:width$}", alert.kind.as_str());
        let kind = if alert.kind <= AlertKind::Replaced { paint.alarm(&kind) } else { paint.with("33", &kind) };
        let _ = writeln!(text, "  {kind}  {:names$}  {}", alert.what, alert.details);
    }
}

fn push_tree(text: &mut String, tree: &Changes, paint: Paint) {
    let list = |text: &mut String, title: &str, lines: Vec<(Change, String)>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{} ({})", paint.title(title), lines.len());
            for (change, line) in lines {
                let _ = writeln!(text, "  {} {line}", paint.change(change, &change.sign().to_string()));
            }
        }
    };
    let names: Vec<_> = tree.scripts.iter().map(|s| format!("{} of {}", s.script, s.package)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let scripts = tree
        .scripts
        .iter()
        .zip(names)
        .map(|(s, name)| (s.change, format!("{name:width$}  {}", s.details()).trim_end().to_owned()));
    list(text, "maintainer scripts", scripts.collect());
    for (title, accounts) in [("users", &tree.users), ("groups", &tree.groups)] {
        let line = |old: &Option<String>, new: &Option<String>| match (old, new) {
            (Some(old), Some(new)) => format!("{old} → {new}"),
            (old, new) => new.clone().or(old.clone()).unwrap_or_default(),
        };
        list(text, title, accounts.iter().map(|a| (a.change, line(&a.old, &a.new))).collect());
    }
    let units = tree.units.iter().map(|unit| {
        let how = unit.wanted_by.as_ref().map_or("masked".to_owned(), |by| format!("started by {by}"));
        (unit.change, format!("{}, {how}", unit.name()))
    });
    list(text, "enabled and masked units", units.collect());
    let presets = tree.presets.iter().map(|p| (Change::Changed, format!("{}: {}", p.name(), p.details())));
    list(text, "presets of units", presets.collect());
    let sockets = tree.sockets.iter().map(|socket| (socket.change, format!("{}: {}", socket.name(), socket.details())));
    list(text, "units that listen", sockets.collect());
    let modules = tree.modules.iter().map(|m| {
        (Change::Changed, format!("{}: {} added, {} removed, {} changed", m.kernel, m.added, m.removed, m.changed))
    });
    list(text, "kernel modules", modules.collect());
    for (title, configuration) in [("configuration", true), ("files", false)] {
        let paths: Vec<&PathChange> = tree.paths.iter().filter(|path| path.configuration == configuration).collect();
        push_paths(text, title, &paths, paint);
    }
}

fn push_paths(text: &mut String, title: &str, paths: &[&PathChange], paint: Paint) {
    if paths.is_empty() {
        return;
    }
    let count = |change| paths.iter().filter(|path| path.change == change).count();
    let counts = [Change::Added, Change::Removed, Change::Changed].map(|c| format!("{} {}", count(c), c.as_str()));
    let _ = writeln!(text, "\n{} ({})", paint.title(title), counts.join(", "));
    let width = paths.iter().map(|path| path.path.chars().count()).max().unwrap_or_default().min(60);
    for path in paths {
        let sign = paint.change(path.change, &path.change.sign().to_string());
        let why = if path.is_unexplained() {
            paint.alarm("UNEXPLAINED")
        } else {
            paint.faint(&format!("[{}]", explanation(&path.explained_by)))
        };
        let _ = writeln!(text, "  {sign} {:width$}  {}  {why}", path.path, path.details());
    }
}
