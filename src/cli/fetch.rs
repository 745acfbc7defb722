//! `compose fetch`: downloads what locks name, and nothing else.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::fetch;
use compose::lock::{self, Package};
use compose::manifest::{self, Manifest};
use compose::progress::Progress;
use compose::source;

use super::settings::Settings;
use super::{Answer, build, terminal};

/// Download what locks name, and nothing else
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests
    #[arg(value_name = "MANIFEST", required = true)]
    manifests: Vec<PathBuf>,
    /// Only for this architecture; may be given several times
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    for path in &arguments.manifests {
        let manifest = manifest::load(path)?;
        for architecture in build::architectures(&manifest, &arguments.arch)? {
            let lock = lock::load(&manifest, &architecture)?;
            let report = fetch_files(&manifest, &lock.files(), settings)?;
            settings.terminal.note(&format!(
                "{} {architecture}: {} fetched ({}), {} were here",
                manifest.name,
                report.fetched,
                terminal::size(report.fetched_bytes),
                report.present
            ));
        }
    }
    Ok(Answer::Yes)
}

/// Downloads files of a manifest's archives that are not here yet.
pub fn fetch_files(manifest: &Manifest, files: &[&Package], settings: &Settings) -> Result<fetch::Report> {
    let archives = source::archives_of_files(manifest);
    let context = fetch::Context {
        client: &settings.client,
        mirrors: &settings.mirrors,
        archives: &archives,
        store: &settings.store,
        manifest: &manifest.path,
        offline: settings.offline,
        connections: fetch::CONNECTIONS,
        already_have: &|_| false,
        progress: &settings.terminal,
    };
    fetch::run(files, &context)
}
