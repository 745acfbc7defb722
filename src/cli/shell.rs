//! `compose shell`: a shell in the root that a lock describes.

use anyhow::Result;
use clap::Args;
use compose::import::{self, Imports};
use compose::store::Store;
use compose::{assemble, fetch, lock};

use super::manifests::OneManifest;
use super::settings::Settings;
use super::{Answer, build, emulation};

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
    build::obtain(&store, &manifest, &lock, &packages, settings)?;
    let found = import::look_up(&store, lock.format, &packages)?;
    let root = store.root();
    let file_of = |sha256| fetch::file_path(root, &sha256);
    let imports = Imports::new(&store, lock.format, found, &file_of)?;
    let program = emulation::program(&store, &manifest, &lock, settings)?;
    assemble::shell(&store, &program, settings.scripts, &manifest, &lock, &imports).map(Answer::Code)
}
