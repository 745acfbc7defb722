//! `compose check`: what is wrong with a manifest's tree as a guest's root.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::check;
use compose::lock::{self, Lock};
use compose::manifest::{self, Manifest};
use compose::progress::Progress;
use compose::store::{Objects, Store};

use super::build::{self, Summary};
use super::manifests::some_architectures;
use super::settings::Settings;
use super::{Answer, outputs, terminal};

/// Check a manifest's configured tree as `build` does before it writes images
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifest
    manifest: PathBuf,
    /// Only this architecture; may be given several times [default: the machine's, if the manifest has it]
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let manifest = manifest::load(&arguments.manifest)?;
    let mut sound = true;
    for architecture in some_architectures(&manifest, &arguments.arch)? {
        let lock = lock::load(&manifest, &architecture)?;
        let checked = check(&manifest, &lock, settings);
        sound &= checked.map_err(|error| build::cannot("check", &manifest, &lock, error))?;
    }
    Ok(if sound { Answer::Yes } else { Answer::No })
}

/// Prints what is found; tells whether an image may be written.
fn check(manifest: &Manifest, lock: &Lock, settings: &Settings) -> Result<bool> {
    let store = Store::open(&settings.store)?;
    let (commit, tree) = build::configure(&store, manifest, lock, settings, &mut Summary::default())?;
    let tree = match tree {
        Some(tree) => tree,
        None => store.read_tree(commit)?,
    };
    let reader = store.reader();
    let objects = Objects::of(&reader, &tree)?;
    let shipped = outputs::shipped(&store, lock);
    let findings = check::run(&reader, (&tree, &objects), manifest, &lock.architecture, &shipped)?;
    for line in findings.iter().flat_map(check::Finding::told) {
        terminal::print(&line)?;
    }
    let (checks, found) = (check::CHECKS.len(), findings.len());
    settings
        .terminal
        .note(&format!("{} {}: {checks} checks, {found} found something", manifest.name, lock.architecture));
    Ok(!findings.iter().any(check::Finding::forbids))
}
