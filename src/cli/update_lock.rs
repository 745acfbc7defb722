//! `compose update-lock`: resolves manifests against their archives, reports what changed, and writes the locks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use compose::arch::Architecture;
use compose::diff::changelog;
use compose::diff::report::{self, Report};
use compose::error::{Hint, nearest_words};
use compose::lock::{self, Lock, Package};
use compose::manifest::Manifest;
use compose::progress::Progress;
use compose::resolve::{self, Previous};
use compose::source::{self, Indexes};
use compose::store;
use rayon::prelude::*;

use super::fetch::fetch_files;
use super::manifests::Manifests;
use super::settings::Settings;
use super::{Answer, terminal};

/// Pin every package of manifests to its newest version
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    manifests: Manifests,
    /// Move only this package, and what that needs; may be given several times
    #[arg(long, value_name = "NAME")]
    package: Vec<String>,
    /// Write nothing; exit with 1 when an update is due
    #[arg(long)]
    check: bool,
    /// How to tell what changed
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    report: Form,
    /// Tell also what the changelogs of upgraded packages say; fetches these packages
    #[arg(long)]
    changelogs: bool,
}

/// A report's form.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For a terminal; nothing when no package changed
    Text,
    /// For the body of a pull request
    Markdown,
    /// For programs
    Json,
}

/// A lock that was computed, and the one in its place.
struct Update {
    manifest: Manifest,
    path: PathBuf,
    old: Option<Lock>,
    new: Lock,
}

/// Runs the command. Nothing is written unless all locks could be made and reported.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let wanted = arguments.manifests.load()?;
    let pairs: Vec<(&Manifest, &Architecture)> = wanted.iter().map(|(manifest, a)| (manifest, a)).collect();
    let _held = store::hold(&settings.store)?;
    let indexes = source::load_indexes(&pairs, &settings.source())?;
    let updates: Vec<Update> = wanted
        .into_par_iter()
        .zip(indexes)
        .map(|((manifest, architecture), indexes)| compute(manifest, &architecture, &indexes, arguments, settings))
        .collect::<Result<_>>()?;
    check_names(&arguments.package, &updates)?;
    let mut report = report::compare(updates.iter().map(|update| (update.old.as_ref(), &update.new)))?;
    if arguments.changelogs {
        add_changelogs(&mut report, &updates, settings);
    }
    terminal::print_text(&match arguments.report {
        Form::Text => report::text::render(&report),
        Form::Markdown => report::markdown::render(&report),
        Form::Json => report::json::render(&report)?,
    })?;
    for update in &updates {
        finish(update, arguments.check, settings)?;
    }
    let is_due = updates.iter().any(|update| update.old.as_ref() != Some(&update.new));
    Ok(if arguments.check && is_due { Answer::No } else { Answer::Yes })
}

/// Names that are to move must stand in a lock, before or after.
fn check_names(names: &[String], updates: &[Update]) -> Result<()> {
    let locks = || updates.iter().flat_map(|update| update.old.iter().chain([&update.new]));
    let known =
        || locks().flat_map(|lock| lock.packages.iter().chain(&lock.tools)).map(|package| package.name.as_str());
    for name in names {
        if !known().any(|known| known == name) {
            let missing = anyhow!("the package `{name}` is in no lock of these manifests");
            return match nearest_words(name, known(), 3).as_slice() {
                [] => Err(missing),
                near => Err(missing).hint(|| format!("did you mean `{}`?", near.join("` or `"))),
            };
        }
    }
    Ok(())
}

/// Makes one lock.
fn compute(
    manifest: Manifest,
    architecture: &Architecture,
    indexes: &Indexes,
    arguments: &Arguments,
    settings: &Settings,
) -> Result<Update> {
    let path = lock::path_for(&manifest, architecture);
    let old = lock::load_any(&path).unwrap_or_else(|e| {
        settings.terminal.warn(&format!("{e:#}; it is made anew"));
        None
    });
    let only = (!arguments.package.is_empty()).then_some(arguments.package.as_slice());
    let new = resolve::run(&manifest, architecture, indexes, &Previous { lock: old.as_ref(), only })
        .with_context(|| format!("cannot lock {} for {architecture}", manifest.name))?;
    Ok(Update { manifest, path, old, new })
}

/// Adds what changelogs say, as far as the packages can be had: a report without them is better than none.
fn add_changelogs(report: &mut Report, updates: &[Update], settings: &Settings) {
    let mut wanted = changelog::files(report);
    for update in updates {
        let locks = update.old.iter().chain([&update.new]);
        let packages: BTreeSet<&Package> = locks
            .flat_map(|lock| lock.files().into_iter().chain(&lock.interpreters))
            .filter(|package| wanted.remove(&package.sha256))
            .collect();
        let packages: Vec<&Package> = packages.into_iter().collect();
        if let Err(e) = fetch_files(&update.manifest, &packages, settings) {
            settings.terminal.warn(&format!("changelogs are missing: {e:#}"));
        }
    }
    changelog::read(report, &settings.store);
}

/// Writes one lock, unless it is only to be checked, and tells its state.
fn finish(update: &Update, check: bool, settings: &Settings) -> Result<()> {
    let changed = update.old.as_ref() != Some(&update.new);
    if changed && !check {
        lock::save(&update.new, &update.path)?;
    }
    let state = match (changed, check) {
        (false, _) => "is current",
        (true, false) => "is written",
        (true, true) => "is to be updated",
    };
    let total: u64 = update.new.packages.iter().map(|p| p.size).sum();
    settings.terminal.note(&format!(
        "{} {state}: {} packages, {}",
        update.path.display(),
        update.new.packages.len(),
        terminal::size(total)
    ));
    Ok(())
}
