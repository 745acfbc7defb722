//! `compose sign`: signs packages that are made, on a machine that need not build.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use compose::clock::Timestamp;
use compose::progress::Progress;
use compose::publish::{self, Signed};

use super::settings::Settings;
use super::{Answer, signing};

/// Sign template packages, in place of signatures that they have
#[derive(Debug, Args)]
pub struct Arguments {
    /// Packages
    #[arg(required = true, value_name = "FILE.rpm")]
    packages: Vec<PathBuf>,
    #[command(flatten)]
    signer: Signer,
    /// Time of the signature, as 2026-11-14T09:12:44Z; commands have their own [default: when the package was made]
    #[arg(long, value_name = "TIME")]
    date: Option<Timestamp>,
}

/// Who signs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Signer {
    /// A secret key without a password
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A key of gpg's
    #[arg(long, value_name = "FINGERPRINT")]
    gpg_key: Option<String>,
    /// A command that reads data and prints a detached signature
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let Signer { key, gpg_key, command } = &arguments.signer;
    let signer = signing::signer(key.as_deref(), gpg_key.as_deref(), command.as_deref())?.context("nobody signs")?;
    if let Some(date) = arguments.date.filter(|date| *date > Timestamp::now()) {
        settings.terminal.warn(&format!("Qubes refuses signatures of the time {date} until it has come"));
    }
    for package in &arguments.packages {
        let state = match publish::sign(package, &signer, arguments.date)? {
            Signed::Now => "is signed",
            Signed::Before => "was signed so before",
        };
        settings.terminal.note(&format!("{} {state}", package.display()));
    }
    Ok(Answer::Yes)
}
