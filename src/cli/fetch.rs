//! `compose fetch`: downloads what locks name, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::digest::Sha256;
use compose::fetch;
use compose::lock::{self, Package};
use compose::manifest::{self, Manifest};
use compose::progress::Progress;

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
            let report = fetch_files(&manifest, &lock.files(), settings, &|_| false)?;
            settings.terminal.note(&format!(
                "{} {architecture}: {} fetched ({}), {} were here",
                manifest.name,
                report.fetched,
                terminal::size(report.bytes),
                report.present
            ));
        }
    }
    Ok(Answer::Yes)
}

/// Downloads files of a manifest's archives that are not here yet.
pub fn fetch_files(
    manifest: &Manifest,
    files: &[&Package],
    settings: &Settings,
    is_imported: &(dyn Fn(&Sha256) -> bool + Sync),
) -> Result<fetch::Report> {
    let mut own_mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for archive in manifest.archives.iter().chain(&manifest.tools.archives) {
        own_mirrors.entry(archive.id.clone()).or_default().extend(archive.uris.iter().cloned());
    }
    let context = fetch::Context {
        source: settings.source()?,
        own_mirrors,
        store: settings.store.clone(),
        manifest: manifest.path.clone(),
    };
    fetch::run(files, is_imported, &context)
}
