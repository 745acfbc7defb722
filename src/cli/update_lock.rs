//! `compose update-lock`: resolves manifests against their archives and writes locks.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use compose::arch::Architecture;
use compose::lock::{self, Package};
use compose::manifest::{self, Manifest};
use compose::resolve::{self, Change};
use compose::source;

use super::settings::Settings;
use super::{Answer, build, terminal};
use compose::progress::Progress;

/// Pin every package of manifests to its newest version
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests
    #[arg(value_name = "MANIFEST", required = true)]
    manifests: Vec<PathBuf>,
    /// Only for this architecture; may be given several times
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
    /// Write nothing; exit with 1 when an update is due
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let context = settings.source();
    let mut answer = Answer::Yes;
    for path in &arguments.manifests {
        let manifest = manifest::load(path)?;
        for architecture in build::architectures(&manifest, &arguments.arch)? {
            let changed = update(&manifest, &architecture, &context, arguments.check, settings)
                .with_context(|| format!("cannot lock {} for {architecture}", manifest.name))?;
            if changed && arguments.check {
                answer = Answer::No;
            }
        }
    }
    Ok(answer)
}

/// Updates one lock; tells whether its text changes.
fn update(
    manifest: &Manifest,
    architecture: &Architecture,
    context: &source::Context<'_>,
    check: bool,
    settings: &Settings,
) -> Result<bool> {
    let path = lock::path_for(manifest, architecture);
    let old = lock::load_any(&path).unwrap_or_else(|e| {
        settings.terminal.warn(&format!("{e:#}; it is made anew"));
        None
    });
    let indexes = source::load_indexes(&[(manifest, architecture)], context)?.remove(0);
    let new = resolve::run(manifest, architecture, &indexes, old.as_ref())?;
    let changed = old.as_ref() != Some(&new);
    let empty: &[Package] = &[];
    let before = old.as_ref().map_or((empty, empty), |old| (&old.packages, &old.tools));
    for (kind, before, after) in [("", before.0, &new.packages), ("tool ", before.1, &new.tools)] {
        for change in resolve::changes(manifest.format, before, after) {
            terminal::print(&format!("{kind}{}", describe(change)))?;
        }
    }
    if changed && !check {
        lock::save(&new, &path)?;
    }
    let total: u64 = new.packages.iter().map(|p| p.size).sum();
    let state = match (changed, check) {
        (false, _) => "is current",
        (true, false) => "is written",
        (true, true) => "is to be updated",
    };
    settings.terminal.note(&format!(
        "{} {state}: {} packages, {}",
        path.display(),
        new.packages.len(),
        terminal::size(total)
    ));
    Ok(changed)
}

fn describe(change: Change<'_>) -> String {
    match change {
        Change::Added(p) => format!("added {} {}", p.name, p.version),
        Change::Removed(p) => format!("removed {} {}", p.name, p.version),
        Change::Upgraded(old, new) => {
            format!("upgraded {} {} → {} ({})", new.name, old.version, new.version, new.archive)
        }
        Change::Downgraded(old, new) => format!("downgraded {} {} → {}", new.name, old.version, new.version),
        Change::Replaced(old, new) => {
            format!("replaced {} {}: another file ({} → {})", new.name, new.version, old.sha256, new.sha256)
        }
    }
}
