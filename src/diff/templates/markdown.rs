//! The comparison for a pull request: what is to be looked at stands open, lists of paths are folded. Nothing of a package or
//! tree can act in it, and it is cut to what GitHub takes.

use std::fmt::Write as _;

use super::{AlertKind, Changes, Comparison, PathChange, explanation};
use crate::diff::report::markdown;

/// The most bytes of a pull request's body.
const LIMIT: usize = 65_000;
/// The most alerts, and rows of a table.
const ROWS: usize = 300;

/// The comparison as markdown.
pub fn render(comparison: &Comparison) -> String {
    let span = markdown::span;
    let mut text = format!("## {} → {}\n\n", span(&comparison.old.name), span(&comparison.new.name));
    if !comparison.differs() {
        text.push_str("Nothing differs.\n");
        return text;
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "_{note}._\n");
    }
    if !comparison.alerts.is_empty() {
        let unexplained = comparison.alerts.iter().filter(|a| a.kind == AlertKind::Unexplained).count();
        let kind = if unexplained > 0 { "CAUTION" } else { "WARNING" };
        let _ = writeln!(text, "> [!{kind}]\n> **To be looked at: {}**\n>", comparison.alerts.len());
        for alert in comparison.alerts.iter().take(ROWS) {
            let _ = writeln!(text, "> - **{}** {} {}", alert.kind.as_str(), span(&alert.what), span(&alert.details));
        }
        if let Some(more @ 1..) = comparison.alerts.len().checked_sub(ROWS) {
            let _ = writeln!(text, "> - and {more} more");
        }
        text.push('\n');
    }
    // Packages stand ahead of the tree, and have the room that it leaves them.
    let mut rest = String::new();
    if let Some(tree) = &comparison.tree {
        push_tree(&mut rest, tree, (LIMIT / 4 * 3).saturating_sub(text.len()));
    }
    if let Some(packages) = &comparison.packages {
        text.push_str(&markdown::render_within(packages, LIMIT.saturating_sub(text.len() + rest.len())));
    }
    text + &rest
}

/// Tells of a tree in about so many bytes.
fn push_tree(text: &mut String, tree: &Changes, limit: usize) {
    let span = markdown::span;
    let mut lines = Vec::new();
    lines.extend(
        tree.scripts
            .iter()
            .map(|s| {
                format!("{} script {} of {} {}", s.change.as_str(), span(&s.script), span(&s.package), s.details())
            })
            .map(|line| line.trim_end().to_owned()),
    );
    for (what, accounts) in [("user", &tree.users), ("group", &tree.groups)] {
        lines.extend(accounts.iter().map(|a| format!("{} {what} {}", a.change.as_str(), span(&a.name))));
    }
    lines.extend(tree.units.iter().map(|unit| {
        let by = unit.wanted_by.as_deref().map_or("mask".to_owned(), |by| format!("start by {}", span(by)));
        format!("{} {by} of {}", unit.change.as_str(), span(&unit.name()))
    }));
    lines.extend(tree.presets.iter().map(|p| format!("changed preset of {} {}", span(&p.name()), span(&p.details()))));
    lines.extend(
        tree.sockets
            .iter()
            .map(|s| format!("{} listening unit {} {}", s.change.as_str(), span(&s.name()), span(&s.details()))),
    );
    lines.extend(tree.modules.iter().map(|m| {
        format!("kernel {}: {} modules added, {} removed, {} changed", span(&m.kernel), m.added, m.removed, m.changed)
    }));
    let mut told = 0;
    for line in lines.iter().take(ROWS) {
        if text.len() + line.len() > limit {
            break;
        }
        let _ = writeln!(text, "- {line}");
        told += 1;
    }
    if told < lines.len() {
        let _ = writeln!(text, "- and {} more", lines.len() - told);
    }
    text.push('\n');
    for (title, configuration) in [("Configuration", true), ("Files", false)] {
        let paths: Vec<&PathChange> = tree.paths.iter().filter(|path| path.configuration == configuration).collect();
        push_paths(text, title, &paths, limit);
    }
}

fn push_paths(text: &mut String, title: &str, paths: &[&PathChange], limit: usize) {
    if paths.is_empty() {
        return;
    }
    let span = markdown::span;
    let _ = write!(text, "<details>\n<summary>{title}: {} paths</summary>\n\n", paths.len());
    text.push_str("| | path | how | why |\n| --- | --- | --- | --- |\n");
    let mut told = 0;
    for path in paths.iter().take(ROWS) {
        let why =
            if path.is_unexplained() { "**unexplained**".to_owned() } else { span(&explanation(&path.explained_by)) };
        let row = format!("| {} | {} | {} | {why} |\n", path.change.as_str(), span(&path.path), span(&path.details()));
        if text.len() + row.len() > limit {
            break;
        }
        text.push_str(&row);
        told += 1;
    }
    if told < paths.len() {
        let _ = write!(text, "\nand {} more paths\n", paths.len() - told);
    }
    text.push_str("\n</details>\n\n");
}
