//! `compose log`: the history of a template.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use compose::diff;
use compose::history;
use compose::lock::Lock;
use compose::store::Store;
use serde::Serialize;

use super::commit::{Facts, Form, OneCommit};
use super::settings::Settings;
use super::{Answer, terminal};

/// List a template's commits, the newest first
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    commit: OneCommit,
    /// List at most so many
    #[arg(long, short = 'n', value_name = "N")]
    number: Option<usize>,
    /// Form of the list
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    report: Form,
}

/// A commit of the list.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    facts: Facts,
    /// How many packages it has, where its lock is known.
    packages: Option<usize>,
    /// How many packages changed against the commit before, by the word for it, where both locks are known.
    changes: Option<BTreeMap<&'static str, usize>>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let named = arguments.commit.find(&store)?;
    let commits = history::log(&store, named.commit)?;
    let tags = history::tags(&store)?;
    let shown = commits.len().min(arguments.number.unwrap_or(usize::MAX));
    // One more, to compare the last one shown with.
    let read = commits.iter().take(shown + 1).map(|(commit, _)| history::lock_of(&store, *commit));
    let locks: Vec<Option<Lock>> = read.collect::<Result<_>>()?;
    let list: Vec<Listed> = commits[..shown]
        .iter()
        .enumerate()
        .map(|(at, (commit, stored))| Listed {
            facts: Facts::of(*commit, stored, &tags),
            packages: locks[at].as_ref().map(|lock| lock.packages.len()),
            changes: locks[at].as_ref().zip(locks.get(at + 1).and_then(Option::as_ref)).map(count_changes),
        })
        .collect();
    match arguments.report {
        Form::Json => terminal::print(&serde_json::to_string_pretty(&list)?)?,
        Form::Text => {
            let blocks: Vec<String> = list.iter().map(block).collect();
            terminal::print_text(&blocks.join("\n"))?;
        }
    }
    Ok(Answer::Yes)
}

fn count_changes((lock, before): (&Lock, &Lock)) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for change in diff::changes(lock.format, &before.packages, &lock.packages) {
        *counts.entry(change.kind.as_str()).or_default() += 1;
    }
    counts
}

fn block(listed: &Listed) -> String {
    let mut lines = listed.facts.lines(false);
    lines.extend(listed.packages.map(|count| format!("packages: {count}")));
    if let Some(changes) = &listed.changes {
        let told: Vec<_> = changes.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        lines.push(format!("changes: {}", if told.is_empty() { "no package".to_owned() } else { told.join(", ") }));
    }
    lines.join("\n") + "\n"
}
