//! `compose store`: what the store holds and whether it is sound.

use anyhow::Result;
use clap::{Args, Subcommand};
use compose::progress::Progress;
use compose::store::Store;

use super::settings::Settings;
use super::{Answer, terminal};

/// Look after the store
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List refs and their commits
    Ls {
        /// Only refs below this one
        #[arg(default_value = "template")]
        prefix: String,
    },
    /// Check every object that a ref needs
    Verify,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    match &arguments.command {
        Command::Ls { prefix } => {
            for (name, commit) in store.refs(prefix)? {
                terminal::print(&format!("{commit} {name}"))?;
            }
        }
        Command::Verify => {
            let refs = store.verify()?;
            settings.terminal.note(&format!("{refs} refs are sound"));
        }
    }
    Ok(Answer::Yes)
}
