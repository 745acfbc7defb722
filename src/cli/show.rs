//! `compose show`: what a commit is.

use anyhow::Result;
use clap::Args;
use compose::history;
use compose::lock::Package;
use compose::store::Store;
use serde::Serialize;

use super::commit::{Facts, Form, OneCommit};
use super::settings::Settings;
use super::{Answer, terminal};

/// Show what a commit of a template is: facts, size, packages
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    commit: OneCommit,
    /// Form of what is shown
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    report: Form,
    /// Print the lock instead, as it was
    #[arg(long, conflicts_with = "report")]
    lock: bool,
}

/// What is shown.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    facts: Facts,
    /// How many files, links, devices and directories the tree has.
    paths: usize,
    /// The bytes of all files.
    size: u64,
    /// The packages, where the lock is known.
    packages: Option<Vec<Package>>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let commit = arguments.commit.find(&store)?.commit;
    if arguments.lock {
        let text = history::lock_text(&store, commit)?;
        let text = text.ok_or_else(|| anyhow::anyhow!("no lock is kept with the commit {commit}"))?;
        return terminal::print_text(&text).map(|()| Answer::Yes);
    }
    let (paths, size) = store.size_of(&store.read_tree(commit)?)?;
    let facts = Facts::of(commit, &store.load_commit(commit)?, &history::tags(&store)?);
    let packages = history::lock_of(&store, commit)?.map(|lock| lock.packages);
    let shown = Shown { facts, paths, size, packages };
    match arguments.report {
        Form::Json => terminal::print(&serde_json::to_string_pretty(&shown)?)?,
        Form::Text => terminal::print_text(&text(&shown))?,
    }
    Ok(Answer::Yes)
}

fn text(shown: &Shown) -> String {
    let mut lines = shown.facts.lines(true);
    lines.push(format!("size: {} in {} paths", terminal::size(shown.size), shown.paths));
    match &shown.packages {
        None => lines.push("packages: not known, no lock is kept with the commit".to_owned()),
        Some(packages) => {
            lines.push(format!("packages: {}", packages.len()));
            lines.extend(packages.iter().map(|package| format!("  {}", package.describe())));
        }
    }
    lines.join("\n") + "\n"
}
