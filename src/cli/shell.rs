//! `compose shell`: a shell in the root that a lock describes.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::store::Store;
use compose::{assemble, lock, manifest};

use super::settings::{self, Settings};
use super::{Answer, build};

/// Open a shell in the configured root, or where its configuration failed
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifest
    manifest: PathBuf,
    /// The root's architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let manifest = manifest::load(&arguments.manifest)?;
    let architecture = build::one_architecture(&manifest, arguments.arch.as_ref())?;
    let lock = lock::load(&manifest, &architecture)?;
    let store = Store::open(&settings.store)?;
    let packages: Vec<_> = lock.packages.iter().collect();
    let obtained = build::obtain(&store, &manifest, &lock, &packages, settings)?;
    obtained.pending.map_or(Ok(()), |pending| store.set_refs(pending))?;
    assemble::shell(&store, &settings::program()?, &manifest, &lock, &obtained.commits).map(Answer::Code)
}
