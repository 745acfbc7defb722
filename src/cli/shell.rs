//! `compose shell`: a shell in the root that a lock describes.

use anyhow::Result;
use clap::Args;
use compose::store::Store;
use compose::{assemble, lock};

use super::manifests::OneManifest;
use super::settings::{self, Settings};
use super::{Answer, build};

/// Open a shell in the configured root, or where its configuration failed
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    manifest: OneManifest,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let (manifest, architecture) = arguments.manifest.load()?;
    let lock = lock::load(&manifest, &architecture)?;
    let store = Store::open(&settings.store)?;
    let packages: Vec<_> = lock.packages.iter().collect();
    let obtained = build::obtain(&store, &manifest, &lock, &packages, settings)?;
    obtained.pending.map_or(Ok(()), |pending| store.set_refs(pending))?;
    let program = settings::program()?;
    assemble::shell(&store, &program, settings.scripts, &manifest, &lock, &obtained.commits).map(Answer::Code)
}
