//! The report for a terminal: a line for each change of a source package, what belongs to it indented below.

use std::fmt::Write as _;

use super::size::{bytes, growth};
use super::{BeforeAndAfter, Changelog, FileChange, FileState, LockState, Naming, Place, Report, SourceChange};
use crate::diff::Kind;

/// The report as text; empty when no package changed.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    for change in &report.changes {
        push_change(&mut text, change, report.naming());
    }
    for lock in &report.locks {
        for (section, sums) in lock.sections() {
            let is_in = |change: &SourceChange| change.places.contains(&Place { lock: lock.lock.clone(), section });
            if report.changes.iter().any(is_in) {
                push_total(&mut text, lock, section.suffix(), sums);
            }
        }
    }
    text
}

fn push_change(text: &mut String, change: &SourceChange, naming: Naming) {
    let security = if change.security { "security: " } else { "" };
    let kind = if change.kind == Kind::Replaced { "REPLACED" } else { change.kind.as_str() };
    let versions = change.versions();
    let version = match versions.as_slice() {
        [(only, _)] => format!(" {}", only.describe(&str::to_owned)),
        _ => String::new(),
    };
    let _ = writeln!(text, "{security}{kind} {}{version} ({})", change.source, change.archive);
    if change.kind == Kind::Replaced {
        text.push_str("  ANOTHER FILE under the same version: find out why before you build from it\n");
    }
    for package in &change.packages {
        let label = if versions.len() > 1 {
            format!("{} {}: ", package.name, package.versions().describe(&str::to_owned))
        } else if change.packages.len() > 1 || package.name != change.source {
            format!("{}: ", package.name)
        } else {
            String::new()
        };
        for file in &package.files {
            push_file(text, change.kind, &label, file, naming);
        }
    }
    for (name, why) in change.reasons() {
        let of = if change.packages.len() > 1 { format!(" {name}") } else { String::new() };
        let _ = writeln!(text, "  why{of}: {}", why.describe(&str::to_owned));
    }
    if let Some(changelog) = &change.changelog {
        push_changelog(text, change.kind, changelog);
    }
}

fn push_file(text: &mut String, kind: Kind, label: &str, file: &FileChange, naming: Naming) {
    let sizes = |get: &dyn Fn(&FileState) -> u64| match (&file.old, &file.new) {
        (Some(old), Some(new)) => {
            format!("{} ({})", bytes(get(new)), growth(get(new).cast_signed() - get(old).cast_signed()))
        }
        (None, Some(only)) | (Some(only), None) => bytes(get(only)),
        (None, None) => String::new(),
    };
    let place = match naming {
        Naming::None => String::new(),
        _ => format!(", in {}", naming.describe(&file.places, &str::to_owned).join(", ")),
    };
    let (size, installed) = (sizes(&|f| f.size), sizes(&|f| f.installed_size));
    let _ = writeln!(text, "  {label}download {size}, installed {installed}{place}");
    let (Some(old), Some(new)) = (&file.old, &file.new) else { return };
    if kind == Kind::Replaced {
        let _ = writeln!(text, "  {label}SHA-256 {} → {}", old.sha256, new.sha256);
    }
    if kind == Kind::Moved {
        let _ = writeln!(text, "  {label}from {}", old.archive);
    }
}

fn push_changelog(text: &mut String, kind: Kind, changelog: &Changelog) {
    if !changelog.cves.is_empty() {
        let _ = writeln!(text, "  CVEs: {}", changelog.cves.join(", "));
    }
    if !changelog.bugs.is_empty() {
        let bugs: Vec<String> = changelog.bugs.iter().map(|bug| bug.describe()).collect();
        let _ = writeln!(text, "  bugs: {}", bugs.join(", "));
    }
    if let Some(note) = &changelog.note {
        let _ = writeln!(text, "  changelog: {note}");
    }
    if kind == Kind::Downgraded && !changelog.entries.is_empty() {
        text.push_str("  taken back:\n");
    }
    for line in changelog.entries.iter().flat_map(|entry| entry.text.lines()) {
        let _ = writeln!(text, "{}", format!("    {line}").trim_end());
    }
}

fn push_total(text: &mut String, lock: &LockState, what: &str, sums: &BeforeAndAfter) {
    let (old, new) = (sums.before, sums.after);
    let _ = writeln!(
        text,
        "total {}{what}: {} packages ({:+}), download {} ({}), installed {} ({})",
        lock.lock,
        new.packages,
        new.packages.cast_signed() - old.packages.cast_signed(),
        bytes(new.size),
        growth(new.size.cast_signed() - old.size.cast_signed()),
        bytes(new.installed_size),
        growth(new.installed_size.cast_signed() - old.installed_size.cast_signed())
    );
}
