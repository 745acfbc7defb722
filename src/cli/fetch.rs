//! `compose fetch`: downloads what locks name, and nothing else.

use anyhow::Result;
use clap::Args;
use compose::fetch;
use compose::lock::{self, Package};
use compose::manifest::Manifest;
use compose::progress::Progress;
use compose::{source, store};

use super::manifests::Manifests;
use super::settings::Settings;
use super::{Answer, emulation, terminal};

/// Download what locks name, and nothing else
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    manifests: Manifests,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    for (manifest, architecture) in arguments.manifests.load()? {
        let lock = lock::load(&manifest, &architecture)?;
        settings.remember_lock(&manifest, &architecture)?;
        let mut files = lock.files();
        files.extend(emulation::interpreter(&lock));
        let report = fetch_files(&manifest, &files, settings)?;
        settings.terminal.note(&format!(
            "{} {architecture}: {} fetched ({}), {} were here",
            manifest.name,
            report.fetched,
            terminal::size(report.fetched_bytes),
            report.present
        ));
    }
    Ok(Answer::Yes)
}

/// Downloads files of a manifest's archives that are not here yet.
pub fn fetch_files(manifest: &Manifest, files: &[&Package], settings: &Settings) -> Result<fetch::Report> {
    let _held = store::hold(&settings.store)?;
    let archives = source::archives_of_files(manifest);
    let context = fetch::Context {
        client: &settings.client,
        mirrors: &settings.mirrors,
        format: manifest.format,
        archives: &archives,
        architectures: &manifest.architectures_of_files(),
        store: &settings.store,
        manifest: &manifest.path,
        offline: settings.offline,
        connections: fetch::CONNECTIONS,
        already_have: &|_| false,
        progress: &settings.terminal,
    };
    fetch::run(files, &context)
}
