//! `compose import-delta`: a template's commit from a file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::history;
use compose::progress::{Progress, Unit};
use compose::store::Store;

use super::settings::Settings;
use super::{Answer, terminal};

/// Add the commit of a file that `compose export` wrote, and point its template to it
#[derive(Debug, Args)]
pub struct Arguments {
    /// File
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also where the commit is not known to follow the template's newest one
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let task = settings.terminal.task("import", Unit::Items, 0);
    let (template, commit, new) = history::import(&store, &arguments.file, arguments.replace)?;
    drop(task);
    if !new {
        settings.terminal.note(&format!("{} has that commit already", template.ref_name()));
    }
    terminal::print(&format!("{commit}  {}", template.ref_name()))?;
    Ok(Answer::Yes)
}
