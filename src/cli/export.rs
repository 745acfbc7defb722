//! `compose export`: a template's commit as one file.

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

/// Runs the command.
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
