//! `compose forget`: a template's history taken away.

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::history::{self, Forgotten, Template};
use compose::progress::Progress;
use compose::store::Store;

use super::Answer;
use super::settings::Settings;

/// Take a template's history away, so that `store gc` can free what only it needs
///
/// Tags keep the commits that they name. A build of the template begins a new history.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Template
    #[arg(value_name = "NAME")]
    name: String,
    /// The template for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
    /// Delete its tags as well
    #[arg(long)]
    tags: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let template = history::find_template(&store, &arguments.name, arguments.arch.as_ref())?;
    let forgotten = history::forget(&store, &template, arguments.tags)?;
    for line in text(&template, &forgotten) {
        settings.terminal.note(&line);
    }
    Ok(Answer::Yes)
}

fn text(template: &Template, Forgotten { commits, deleted, kept }: &Forgotten) -> Vec<String> {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut lines = vec![format!("{} is forgotten: {}", template.ref_name(), count(*commits, "commit"))];
    if !deleted.is_empty() {
        lines.push(format!("deleted {}: {}", count(deleted.len(), "tag"), deleted.join(", ")));
    }
    if !kept.is_empty() {
        lines.push(format!("kept, with what they name: {}", kept.join(", ")));
    }
    lines.push("compose store gc frees what nothing else needs".to_owned());
    lines
}
