//! `compose rollback`: an old tree as a template's newest commit.

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::history::{self, Version};
use compose::progress::Progress;
use compose::store::Store;

use super::commit::of_template;
use super::settings::Settings;
use super::{Answer, terminal};

/// Add a commit with an old tree to a template's history
#[derive(Debug, Args)]
pub struct Arguments {
    /// Template
    #[arg(value_name = "NAME")]
    name: String,
    /// Commit: a version or tag of the template, or what `compose show` takes
    #[arg(value_name = "COMMIT")]
    commit: String,
    /// The template for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
    /// The new commit's version [default: its number]
    #[arg(long, value_name = "V")]
    template_version: Option<Version>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let template = history::find_template(&store, &arguments.name, arguments.arch.as_ref())?;
    let commit = of_template(&store, &template, &arguments.commit)?;
    let recorded = history::roll_back(&store, &template, commit, arguments.template_version.as_ref())?;
    if !recorded.new {
        settings.terminal.note(&format!("{} has that tree already", template.ref_name()));
    }
    terminal::print(&format!("{}  {}", recorded.commit, template.ref_name()))?;
    Ok(Answer::Yes)
}
