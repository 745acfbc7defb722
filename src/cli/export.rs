//! `compose export` and `compose import-delta`: a template's commit from one store to another, as one file.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::history;
use compose::progress::{Progress, Unit};
use compose::store::Store;

use super::settings::Settings;
use super::{Answer, terminal};

/// Write a commit of a template to a file, as a static delta of ostree
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only what the commit A lacks, which the other store must have
    #[arg(long, value_name = "A")]
    from: Option<String>,
    /// Commit, as `compose show` takes it
    #[arg(value_name = "COMMIT")]
    commit: String,
    /// File
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Of templates for this architecture [default: the machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,
}

/// Add the commit of a file that `compose export` wrote, and point its template to it
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// File
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also where the commit is not known to follow the template's newest one
    #[arg(long)]
    replace: bool,
}

/// Runs `compose export`.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let find = |word: &String| history::resolve(&store, word, arguments.arch.as_ref()).map(|named| named.commit);
    let from = arguments.from.as_ref().map(find).transpose()?;
    let to = find(&arguments.commit)?;
    let task = settings.terminal.task("export", Unit::Items, 0);
    history::export(&store, from, to, &arguments.file)?;
    drop(task);
    terminal::print(&format!("{to}  {}", arguments.file.display()))?;
    Ok(Answer::Yes)
}

/// Runs `compose import-delta`.
pub fn run_import(arguments: &ImportArguments, settings: &Settings) -> Result<Answer> {
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
