//! `compose store`: what the store holds and whether it is sound, and what of it can go.

use anyhow::Result;
use clap::{Args, Subcommand};
use compose::progress::Progress;
use compose::store::Store;

use super::settings::Settings;
use super::{Answer, gc, terminal};

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
    /// Free what neither templates' histories, tags nor locks need
    Gc(gc::Arguments),
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let open = || Store::open(&settings.store);
    match &arguments.command {
        Command::Ls { prefix } => {
            for (name, commit) in open()?.refs(prefix)? {
                terminal::print(&format!("{commit} {name}"))?;
            }
        }
        Command::Verify => {
            let refs = open()?.verify()?;
            settings.terminal.note(&format!("{refs} refs are sound"));
        }
        Command::Gc(arguments) => return gc::run(arguments, settings),
    }
    Ok(Answer::Yes)
}
