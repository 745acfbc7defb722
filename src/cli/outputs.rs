//! The outputs of a build, each by the stage that writes it.

use std::collections::BTreeSet;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use compose::arch::Architecture;
use compose::artifact::Artifact;
use compose::check::Shipped;
use compose::digest::Sha256;
use compose::error::Hint;
use compose::finalize::{self, KnownTree};
use compose::lock::{Lock, Package};
use compose::manifest::{Manifest, OutputFormat};
use compose::progress::Progress;
use compose::publish::{self, Signer};
use compose::run_folder::RunFolder;
use compose::store::{ObjectReader, Objects, Store, Tree};
use compose::{check, import};

use super::settings::Settings;
use super::terminal::Terminal;

/// Tells what the packages of a lock ship, as far as the store has them.
pub fn shipped(store: &Store, lock: &Lock) -> impl Fn() -> Result<BTreeSet<String>> + Sync + use<> {
    let found = || -> Result<Vec<Sha256>> {
        let packages: Vec<&Package> = lock.packages.iter().collect();
        let found = import::look_up(store, lock.format, &packages)?;
        if let Some(missing) = found.missing.first() {
            bail!("the store does not have {}", missing.describe());
        }
        found.commits.values().map(|commit| import::index_object(store, *commit)).collect()
    };
    let (reader, found) = (store.reader(), found());
    move || match &found {
        Ok(indexes) => import::shipped_paths(&reader, indexes),
        Err(e) => bail!("{e:#}"),
    }
}

/// Refuses trees that no image is to be written of; tells what else was found.
fn check_tree(
    reader: &ObjectReader,
    tree: (&Tree, &Objects),
    manifest: &Manifest,
    architecture: &Architecture,
    shipped: Shipped<'_>,
    terminal: &Terminal,
) -> Result<()> {
    let findings = check::run(reader, tree, manifest, architecture, shipped)?;
    let (bad, rest): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.forbids());
    for finding in rest {
        let told = finding.told();
        match finding.silenced {
            Some(_) => told.iter().for_each(|line| terminal.detail(line)),
            None => told.iter().for_each(|line| terminal.note(line)),
        }
    }
    let Some(first) = bad.first() else { return Ok(()) };
    let told: Vec<String> = bad.iter().flat_map(|finding| finding.told()).collect();
    Err(anyhow!("the tree is not one to make an image of:\n{}", told.join("\n")))
        .hint(|| format!("where it is to be so, say why in the manifest: `checks: {{{}: REASON}}`", first.check.name))
}

/// Writes one output, unless it stands; nothing for those that are no files. Where `checks`, the tree is checked while its image
/// is written, and nothing comes to its place that is made of a tree which is refused.
pub fn write(
    request: &finalize::Request<'_>,
    format: OutputFormat,
    signer: Option<&Signer>,
    tree: &KnownTree,
    checks: bool,
    settings: &Settings,
) -> Result<Option<Artifact>> {
    let checked = |write: &dyn Fn() -> Result<Option<finalize::Output>>| {
        if !checks {
            return write();
        }
        let finalize::Request { store, manifest, lock, .. } = *request;
        let (reader, tree) = (store.reader(), (finalize::read_tree(request, tree)?, finalize::look(request, tree)?));
        let shipped = shipped(store, lock);
        thread::scope(|scope| {
            let check = || check_tree(&reader, tree, manifest, &lock.architecture, &shipped, &settings.terminal);
            let check = scope.spawn(check);
            let written = write();
            check.join().unwrap_or_else(|_| Err(anyhow!("the checks panicked")))?;
            written
        })
    };
    if format != OutputFormat::QubesTemplate {
        let written = checked(&|| finalize::run(request, format, tree, &settings.terminal))?;
        return written.map(finalize::Output::put).transpose();
    }
    let package = package(request, signer)?;
    if let Some(standing) = publish::standing(&package)? {
        return Ok(Some(standing));
    }
    std::fs::create_dir_all(request.folder).with_context(|| format!("cannot create {}", request.folder.display()))?;
    let temporary;
    let image = if let Some(image) = finalize::standing(request, OutputFormat::RootImg)? {
        checked(&|| Ok(None))?;
        image.path
    } else {
        temporary = RunFolder::new(request.folder, ".compose-")?;
        let image = temporary.path().join("root.img");
        checked(&|| finalize::write_image(request, tree, &image).map(|()| None))?;
        image
    };
    publish::run(&package, &image, &settings.terminal).map(Some)
}

/// Whether [`write`] would have to write this output.
pub fn is_due(request: &finalize::Request<'_>, format: OutputFormat, signer: Option<&Signer>) -> Result<bool> {
    let standing = match format {
        OutputFormat::QubesTemplate => publish::standing(&package(request, signer)?)?,
        other => finalize::standing(request, other)?,
    };
    Ok(standing.is_none())
}

fn package<'a>(request: &finalize::Request<'a>, signer: Option<&'a Signer>) -> Result<publish::Request<'a>> {
    let image = finalize::identity(request, OutputFormat::RootImg)?;
    let finalize::Request { store, manifest, lock, folder, commit, .. } = *request;
    let threads = rayon::current_num_threads();
    Ok(publish::Request { store, manifest, lock, image, commit, signer, threads, folder })
}
