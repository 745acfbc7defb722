//! The changelogs in the markdown, each folded. They share the place that is left: short ones stand in full, long ones are cut.

use std::fmt::Write as _;

use super::inert::{fenced, html};
use super::{LIMIT, RESERVE};
use crate::diff::Kind;
use crate::diff::report::{Changelog, Report, SourceChange};
use crate::package::Bug;

/// How many CVEs or bugs of a changelog have links.
const LINKED: usize = 20;

/// How many CVEs or bugs of a changelog are told at all.
const TOLD: usize = 100;

/// What stands around a changelog's lines at most.
const AROUND: usize = 150;

/// The least number of bytes worth showing of a changelog that has more.
const LEAST: usize = 1000;

/// A changelog to be shown.
struct Part {
    head: String,
    /// As many of its lines as could ever be shown.
    lines: String,
    /// How many lines it has.
    whole: usize,
}

impl Part {
    /// The least place it takes.
    fn least(&self) -> usize {
        self.head.len() + AROUND + self.lines.len().min(LEAST)
    }
}

/// Appends as much of the changelogs as there is place for.
pub fn push(text: &mut String, report: &Report) {
    let told = report.changes.iter().filter_map(|change| Some(part(change, change.changelog.as_ref()?)));
    let parts: Vec<Part> = told.collect();
    if parts.is_empty() {
        return;
    }
    text.push_str("### Changelogs\n\n");
    let mut place = LIMIT.saturating_sub(text.len() + RESERVE / 2);
    let mut shown: Vec<&Part> = Vec::new();
    for part in &parts {
        if let Some(left) = place.checked_sub(part.least()) {
            place = left;
            shown.push(part);
        }
    }
    place += shown.iter().map(|part| part.lines.len().min(LEAST)).sum::<usize>();
    let lengths: Vec<usize> = shown.iter().map(|part| part.lines.len()).collect();
    for (part, allowed) in shown.iter().zip(share(&lengths, place)) {
        push_part(text, part, allowed);
    }
    if shown.len() < parts.len() {
        let left_out = parts.len() - shown.len();
        let _ = writeln!(
            text,
            "{left_out} more changelogs are left out, which would not fit here; `--report json` has them."
        );
    }
}

fn push_part(text: &mut String, part: &Part, allowed: usize) {
    text.push_str(&part.head);
    let (mut lines, mut bytes) = (0, 0);
    for line in part.lines.lines() {
        if bytes + line.len() + 1 > allowed {
            break;
        }
        bytes += line.len() + 1;
        lines += 1;
    }
    if lines > 0 {
        let shown = part.lines[..bytes].trim_end();
        let _ = writeln!(text, "```text\n{shown}\n```\n");
    }
    if lines < part.whole {
        let _ = writeln!(
            text,
            "**Cut:** {lines} of {} lines stand here, more would not fit; `--report json` has all.\n",
            part.whole
        );
    }
    text.push_str("</details>\n\n");
}

/// Shares a place among what has these lengths: nothing gets more than it needs, and what is left over goes to the others.
fn share(lengths: &[usize], place: usize) -> Vec<usize> {
    let mut by_length: Vec<usize> = (0..lengths.len()).collect();
    by_length.sort_by_key(|i| lengths[*i]);
    let (mut left, mut allowed) = (place, vec![0; lengths.len()]);
    for (done, i) in by_length.iter().enumerate() {
        allowed[*i] = lengths[*i].min(left / (lengths.len() - done));
        left -= allowed[*i];
    }
    allowed
}

fn part(change: &SourceChange, changelog: &Changelog) -> Part {
    let versions = change.versions();
    let version = match versions.as_slice() {
        [(only, _)] => format!(" {}", only.describe(&html)),
        _ => String::new(),
    };
    let mut counts = Vec::new();
    for (n, what) in [(changelog.cves.len(), "CVE"), (changelog.bugs.len(), "bug")] {
        if n > 0 {
            counts.push(format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
        }
    }
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let mut head = format!("<details><summary>{}{version}{counts}</summary>\n\n", html(&change.source));
    if change.kind == Kind::Downgraded {
        head.push_str("**Taken back:**\n\n");
    }
    if let Some(note) = &changelog.note {
        let _ = writeln!(head, "Note: {}.\n", super::span(&note.replace('`', "'")));
    }
    for list in [cves(&changelog.cves, LINKED, TOLD), bugs(&changelog.bugs)] {
        if !list.is_empty() {
            let _ = writeln!(head, "{list}\n");
        }
    }
    let all = || changelog.entries.iter().flat_map(|entry| entry.text.lines().chain([""]));
    let mut lines = String::new();
    for line in all() {
        // More can never be shown.
        if lines.len() > LIMIT {
            break;
        }
        lines.push_str(line);
        lines.push('\n');
    }
    Part { head, lines: fenced(&lines), whole: all().count() }
}

/// CVEs, the first of them with links to Debian's security tracker, which tells the state of each in every suite.
pub fn cves(cves: &[String], linked: usize, told: usize) -> String {
    let link = |cve: &String| format!("[{cve}](https://security-tracker.debian.org/tracker/{cve})");
    list(cves, linked, told, &link, &String::clone)
}

fn bugs(bugs: &[Bug]) -> String {
    let link = |bug: &Bug| format!("[{}]({})", bug.describe(), bug.uri());
    list(bugs, LINKED, TOLD, &link, &|bug| bug.describe())
}

fn list<T>(
    items: &[T],
    linked: usize,
    told: usize,
    link: &dyn Fn(&T) -> String,
    plain: &dyn Fn(&T) -> String,
) -> String {
    let mut texts: Vec<String> = items.iter().take(linked).map(link).collect();
    texts.extend(items.iter().take(told).skip(linked).map(plain));
    let more = items.len().saturating_sub(told);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_changelogs_leave_their_place_to_long_ones() {
        assert_eq!(share(&[10, 1000, 20, 1000], 630), [10, 300, 20, 300]);
        assert_eq!(share(&[10, 20], 100), [10, 20]);
        assert_eq!(share(&[10, 20], 0), [0, 0]);
        assert_eq!(share(&[], 5), [0; 0]);
    }
}
