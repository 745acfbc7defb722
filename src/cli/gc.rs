//! `compose store gc`: frees what nothing needs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use compose::clock::Timestamp;
use compose::history::{self, Keep, Removed};
use compose::lock;
use compose::progress::Progress;
use compose::store::{Freed, Store};

use super::settings::Settings;
use super::{Answer, terminal};

/// Which history stays, and which locks are needed.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Keep the N newest commits of each template [default: all]
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Keep commits whose lock is of the last D days, and those after them
    #[arg(long, value_name = "D")]
    keep_days: Option<u32>,
    /// Keep what this lock needs, too; may be given several times
    #[arg(long, value_name = "FILE")]
    lock: Vec<PathBuf>,
    /// Remove nothing; tell what would be
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let locks = arguments
        .lock
        .iter()
        .map(|path| lock::load_any(path)?.with_context(|| format!("{} does not exist", path.display())));
    let since = arguments.keep_days.map(|days| {
        let seconds = Timestamp::now().seconds() - i64::from(days) * 86400;
        Timestamp::from_seconds(seconds).context("--keep-days goes too far back")
    });
    let keep = Keep { commits: arguments.keep, since: since.transpose()?, locks: locks.collect::<Result<_>>()? };
    let wait = || settings.terminal.note("waiting for other runs that use the store");
    let store = Store::open_alone(&settings.store, wait)?;
    let removed = history::find_garbage(&store, &keep)?.remove(&store, arguments.dry_run)?;
    terminal::print_text(&text(&removed, arguments.dry_run))?;
    Ok(Answer::Yes)
}

fn text(removed: &Removed, dry_run: bool) -> String {
    let mut lines: Vec<String> = removed.refs.iter().map(|(kind, count)| format!("refs of {kind}: {count}")).collect();
    if removed.commits > 0 {
        lines.push(format!("commits of templates: {}", removed.commits));
    }
    let parts = [
        ("objects", removed.objects),
        ("downloaded files", removed.downloads),
        ("indexes of archives", removed.indexes),
    ];
    for (what, Freed { files, bytes }) in parts.into_iter().filter(|(_, freed)| freed.files > 0) {
        lines.push(format!("{what}: {files}, {}", terminal::size(bytes)));
    }
    let verb = if dry_run { "would be freed" } else { "freed" };
    lines.push(format!("{} {verb}", terminal::size(removed.bytes())));
    lines.join("\n") + "\n"
}
