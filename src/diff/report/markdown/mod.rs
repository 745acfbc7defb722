//! The report as the body of a pull request, as GitHub and GitLab show it: what a reviewer decides by first, the rest folded,
//! nothing of a package acting (see `inert`), all of it below [`LIMIT`].

mod changelogs;
mod inert;

use std::fmt::Write as _;

pub use self::inert::span;
use super::size::{bytes, growth, growths};
use super::{BeforeAndAfter, FileState, LockState, Naming, Place, Report, Section, SourceChange, State};
use crate::diff::Kind;

/// The most bytes a report has. GitHub refuses a body of more than 65,536 characters; a little is left for what others add.
pub const LIMIT: usize = 65_000;

/// Kept free of rows and changelogs for the notes on what is left out.
const RESERVE: usize = 2000;

/// The columns of changes.
const CHANGES: &str = "| source package | version | archive | download | installed |";

/// Tables of more rows than this are folded.
const FOLDED: usize = 25;

/// How many packages an alert names.
const ALERTED: usize = 20;

/// How many CVEs a row has.
const CVES_IN_ROW: usize = 6;

/// The report as markdown.
pub fn render(report: &Report) -> String {
    render_within(report, LIMIT)
}

/// The report as markdown in so many bytes, not counting what is never left out.
pub fn render_within(report: &Report, limit: usize) -> String {
    let limit = limit.saturating_sub(RESERVE);
    let mut body = Body { text: format!("## {}\n\n", title(report)), limit, left_out: 0 };
    push_locks(&mut body, report);
    push_alerts(&mut body.text, report);
    let naming = report.naming();
    for (title, changes) in sections(report) {
        let _ = writeln!(body.text, "### {title}\n");
        let summary = format!("{} source packages", changes.len());
        let folded = (changes.len() > FOLDED).then_some(summary.as_str());
        body.push_table(CHANGES, folded, naming, changes.iter().map(|change| row(change, naming)));
    }
    push_sizes(&mut body, report);
    if body.left_out > 0 {
        let _ = writeln!(
            body.text,
            "{} rows of these tables are left out, which would not fit here; `--report json` has them.\n",
            body.left_out
        );
    }
    changelogs::push(&mut body.text, report);
    body.text
}

fn title(report: &Report) -> String {
    let kinds = [Kind::Replaced, Kind::Downgraded, Kind::Upgraded, Kind::Added, Kind::Removed, Kind::Moved];
    let security = report.changes.iter().filter(|change| change.security).count();
    let mut parts = vec![(security, "from security suites")];
    for kind in kinds {
        let of_kind = report.changes.iter().filter(|change| !change.security && change.kind == kind);
        parts.push((of_kind.count(), kind.as_str()));
    }
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "No package changed".to_owned() } else { format!("Package update: {}", parts.join(", ")) }
}

/// Markdown that grows by whole rows.
struct Body {
    text: String,
    /// How long it may become by rows.
    limit: usize,
    /// How many rows had no place.
    left_out: usize,
}

impl Body {
    /// A table with as many rows as there is place for, folded below a summary where one is given.
    fn push_table(&mut self, head: &str, folded: Option<&str>, naming: Naming, rows: impl Iterator<Item = String>) {
        if let Some(summary) = folded {
            let _ = writeln!(self.text, "<details><summary>{summary}</summary>\n");
        }
        let place = if naming == Naming::None { "" } else { " in |" };
        let head = format!("{head}{place}");
        let _ = writeln!(self.text, "{head}\n|{}", "---|".repeat(head.matches('|').count() - 1));
        for row in rows {
            if self.text.len() + row.len() > self.limit {
                self.left_out += 1;
            } else {
                self.text.push_str(&row);
            }
        }
        self.text.push_str(if folded.is_some() { "\n</details>\n\n" } else { "\n" });
    }
}

fn push_locks(body: &mut Body, report: &Report) {
    let mut rows = Vec::new();
    for lock in &report.locks {
        for (section, sums) in lock.sections() {
            if section == Section::Root || sums.before != sums.after {
                rows.push(lock_row(lock, section.suffix(), sums));
            }
        }
    }
    body.push_table("| lock | packages | download | installed |", None, Naming::None, rows.into_iter());
    let unmoved = |lock: &&LockState| {
        let is_in = |change: &SourceChange| change.places.iter().any(|place| place.lock == lock.lock);
        lock.state == State::Changed && !report.changes.iter().any(is_in)
    };
    for lock in report.locks.iter().filter(unmoved) {
        let _ = writeln!(
            body.text,
            "{}: no package moves, but what the lock says of its manifest or of dependencies changes.\n",
            span(&lock.lock)
        );
    }
}

fn lock_row(lock: &LockState, what: &str, sums: &BeforeAndAfter) -> String {
    let (old, new) = (sums.before, sums.after);
    let state = match lock.state {
        State::New => " (new)",
        State::Changed | State::Current => "",
    };
    let moved = |old: u64, new: u64| match old {
        _ if lock.state == State::New || old == new => bytes(new),
        _ => format!("{} ({})", bytes(new), growth(new.cast_signed() - old.cast_signed())),
    };
    let packages = match new.packages.cast_signed() - old.packages.cast_signed() {
        0 => new.packages.to_string(),
        _ if lock.state == State::New => new.packages.to_string(),
        more => format!("{} ({more:+})", new.packages).replace('-', "−"),
    };
    let sizes = [moved(old.size, new.size), moved(old.installed_size, new.installed_size)].join(" | ");
    format!("| {}{what}{state} | {packages} | {sizes} |\n", span(&lock.lock))
}

/// What nobody should overlook.
fn push_alerts(text: &mut String, report: &Report) {
    let mut replaced = Vec::new();
    for change in report.changes.iter().filter(|change| change.kind == Kind::Replaced) {
        for package in &change.packages {
            for file in &package.files {
                if let (Some(old), Some(new)) = (&file.old, &file.new) {
                    let (name, version) = (span(&package.name), span(package.to.as_deref().unwrap_or_default()));
                    let architecture = span(&new.architecture);
                    let (old, new) = (old.sha256, new.sha256);
                    replaced.push(format!("> - {name} {version} {architecture}: SHA-256 `{old}` → `{new}`\n"));
                }
            }
        }
    }
    if !replaced.is_empty() {
        text.push_str("> [!CAUTION]\n> **Other files under the same versions.** ");
        text.push_str("No archive may do this: find out why before you merge.\n>\n");
        text.extend(replaced.iter().take(ALERTED).map(String::as_str));
        if let Some(more @ 1..) = replaced.len().checked_sub(ALERTED) {
            let _ = writeln!(text, "> - and {more} more");
        }
        text.push('\n');
    }
    let downgraded: Vec<String> = report
        .changes
        .iter()
        .filter(|change| change.kind == Kind::Downgraded)
        .take(ALERTED)
        .map(|change| span(&change.source))
        .collect();
    if !downgraded.is_empty() {
        let _ = writeln!(text, "> [!WARNING]\n> **Older versions than before:** {}\n", downgraded.join(", "));
    }
}

/// The report's changes in its order, under titles.
fn sections(report: &Report) -> Vec<(&'static str, Vec<&SourceChange>)> {
    let mut sections: Vec<(&str, Vec<&SourceChange>)> = Vec::new();
    for change in &report.changes {
        let title = match (change.security, change.kind) {
            (true, _) => "From security suites",
            (_, Kind::Replaced) => "Replaced: the same version, another file",
            (_, Kind::Downgraded) => "Downgraded",
            (_, Kind::Upgraded) => "Upgraded",
            (_, Kind::Added) => "Added",
            (_, Kind::Removed) => "Removed",
            (_, Kind::Moved) => "Moved: the same file from another archive",
        };
        match sections.last_mut() {
            Some((last, changes)) if *last == title => changes.push(change),
            _ => sections.push((title, vec![change])),
        }
    }
    sections
}

fn row(change: &SourceChange, naming: Naming) -> String {
    let mut name = format!("**{}**", span(&change.source));
    if change.security && change.kind != Kind::Upgraded {
        let _ = write!(name, " **{}**", change.kind.as_str());
    }
    let versions = change.versions();
    let alone = change.packages.len() == 1;
    if let [(_, names)] = versions.as_slice()
        && (!alone || names[0] != change.source)
    {
        let _ = write!(name, "<br>{}", names.iter().map(|name| span(name)).collect::<Vec<_>>().join(", "));
    }
    let cves = change.changelog.as_ref().map_or(&[][..], |changelog| &changelog.cves);
    if !cves.is_empty() {
        let _ = write!(name, "<br>{}", changelogs::cves(cves, CVES_IN_ROW, CVES_IN_ROW));
    }
    for (package, why) in change.reasons() {
        let of = if alone { String::new() } else { format!("{}: ", span(package)) };
        let _ = write!(name, "<br>{of}{}", why.describe(&span));
    }
    let version = match versions.as_slice() {
        [(only, _)] => only.describe(&span),
        several => several
            .iter()
            .map(|(versions, names)| {
                let names: Vec<String> = names.iter().map(|name| span(name)).collect();
                format!("{}: {}", names.join(", "), versions.describe(&span))
            })
            .collect::<Vec<_>>()
            .join("<br>"),
    };
    let archive = match (change.kind, change.packages.first().and_then(|package| package.files.first())) {
        (Kind::Moved, Some(file)) => {
            format!(
                "{} → {}",
                file.old.as_ref().map(|old| span(&old.archive)).unwrap_or_default(),
                span(&change.archive)
            )
        }
        _ => span(&change.archive),
    };
    let (size, installed): (Vec<i64>, Vec<i64>) = change.places.iter().map(|place| change.growth(place)).unzip();
    format!(
        "| {name} | {version} | {archive} | {} | {} |{}\n",
        growths(size),
        growths(installed),
        place_cell(&change.places, naming)
    )
}

/// The sizes of every package, folded.
fn push_sizes(body: &mut Body, report: &Report) {
    let naming = report.naming();
    let mut rows = Vec::new();
    for package in report.changes.iter().filter(|c| c.kind != Kind::Moved).flat_map(|change| &change.packages) {
        for file in &package.files {
            let Some(state) = file.new.as_ref().or(file.old.as_ref()) else { continue };
            let sizes = |get: &dyn Fn(&FileState) -> u64| match (&file.old, &file.new) {
                (Some(old), Some(new)) => {
                    format!("{} ({})", bytes(get(new)), growth(get(new).cast_signed() - get(old).cast_signed()))
                }
                (None, Some(new)) => format!("+{}", bytes(get(new))),
                (Some(old), None) => format!("−{}", bytes(get(old))),
                (None, None) => String::new(),
            };
            rows.push(format!(
                "| {} | {} | {} | {} |{}\n",
                span(&package.name),
                span(&state.architecture),
                sizes(&|f| f.size),
                sizes(&|f| f.installed_size),
                place_cell(&file.places, naming)
            ));
        }
    }
    rows.sort();
    if report.changes.iter().any(|change| change.changelog.is_some()) {
        // The changelogs say more.
        body.limit -= body.limit.saturating_sub(body.text.len()) / 4 * 3;
    }
    if !rows.is_empty() {
        let summary = format!("Sizes of {} package files", rows.len());
        body.push_table("| package | architecture | download | installed |", Some(&summary), naming, rows.into_iter());
    }
}

/// The cell that names places, where there is one.
fn place_cell(places: &[Place], naming: Naming) -> String {
    match naming {
        Naming::None => String::new(),
        _ => format!(" {} |", naming.describe(places, &span).join("<br>")),
    }
}
