//! `compose check-archive`: which packages of a manifest's archives cannot be installed, and why.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use compose::arch::Architecture;
use compose::manifest;
use compose::progress::Progress;
use compose::{resolve, source, store};

use super::manifests::architectures;
use super::settings::Settings;
use super::{Answer, terminal};

/// List the packages of a manifest's archives that cannot be installed, with the proofs
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifest
    manifest: PathBuf,
    /// Only for this architecture; may be given several times
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let manifest = manifest::load(&arguments.manifest)?;
    let mut answer = Answer::Yes;
    for architecture in architectures(&manifest, &arguments.arch)? {
        let _held = store::hold(&settings.store)?;
        let indexes = source::load_indexes(&[(&manifest, &architecture)], &settings.source())?.remove(0);
        let verdict = resolve::judge(manifest.format, &architecture, &indexes.packages)
            .with_context(|| format!("cannot judge the archives of {} for {architecture}", manifest.name))?;
        for package in &verdict.uninstallable {
            let resolve::Uninstallable { package, proof } = package;
            terminal::print(&format!("{package} cannot be installed on {architecture}:\n{proof}"))?;
            answer = Answer::No;
        }
        settings.terminal.note(&format!(
            "{} {architecture}: {} packages judged, {} cannot be installed",
            manifest.name,
            verdict.judged,
            verdict.uninstallable.len()
        ));
    }
    Ok(answer)
}
