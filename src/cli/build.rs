//! `compose build`: the pipeline from lock to outputs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use compose::arch::Architecture;
use compose::digest::Sha256;
use compose::finalize::{self, Artifact};
use compose::import::{self, Commits, LookUp};
use compose::lock::{self, Lock, Package};
use compose::manifest::{self, Manifest, OutputFormat};
use compose::progress::Progress;
use compose::store::{PendingRefs, Store, Tree};
use compose::{assemble, fetch};

use super::fetch::fetch_files;
use super::manifests::{architectures, one_architecture};
use super::settings::{self, Settings};
use super::{Answer, terminal};

/// Build a manifest's outputs from its lock
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifest
    manifest: PathBuf,
    /// Only this architecture; may be given several times [default: the machine's, if the manifest has it]
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
    /// Write this output instead of the manifest's; may be given several times
    #[arg(long, value_name = "F", value_enum)]
    format: Vec<Format>,
    /// Folder of outputs
    #[arg(long, value_name = "DIR", default_value = "out")]
    output: PathBuf,
}

/// An output's form, as the command line spells it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    #[value(name = "root.img")]
    RootImg,
    Tar,
    Ostree,
}

impl From<Format> for OutputFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::RootImg => Self::RootImg,
            Format::Tar => Self::Tar,
            Format::Ostree => Self::Ostree,
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let manifest = manifest::load(&arguments.manifest)?;
    let wanted = match arguments.arch.as_slice() {
        [] => vec![one_architecture(&manifest, None)?],
        some => architectures(&manifest, some)?,
    };
    for architecture in wanted {
        let lock = lock::load(&manifest, &architecture)?;
        build(arguments, &manifest, &lock, settings)
            .with_context(|| format!("cannot build {} for {architecture}", manifest.name))?;
    }
    Ok(Answer::Yes)
}

/// What [`obtain`] did.
pub struct Obtained {
    /// The commits of all packages asked for.
    pub commits: Commits,
    /// The refs of those imported now, to be set.
    pub pending: Option<PendingRefs>,
    fetched: usize,
    imported: usize,
    reused: usize,
}

/// Fetches and imports those of the packages that the store does not have.
pub fn obtain(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    packages: &[Package],
    settings: &Settings,
) -> Result<Obtained> {
    let LookUp { mut commits, missing } = import::look_up(store, lock.format, &packages.iter().collect::<Vec<_>>())?;
    let (reused, imported) = (commits.len(), missing.len());
    let (mut fetched, mut pending) = (0, None);
    if !missing.is_empty() {
        fetched = fetch_files(manifest, &missing, settings)?.fetched;
        let root = store.root();
        let file_of = |sha256: Sha256| fetch::file_path(root, &sha256);
        let (new, refs) = import::run(store, lock.format, &missing, &file_of, &settings.terminal)?;
        commits.extend(new);
        pending = Some(refs);
    }
    Ok(Obtained { commits, pending, fetched, imported, reused })
}

/// The commit of the configured tree, and the tree itself when it had to be made.
fn configure(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    settings: &Settings,
    summary: &mut Summary,
) -> Result<(Sha256, Option<Tree>)> {
    if let Some(commit) = assemble::cached(store, assemble::key(manifest, lock)?)? {
        return Ok((commit, None));
    }
    let obtained = summary.time("import", || obtain(store, manifest, lock, &lock.packages, settings))?;
    let Obtained { commits, pending, fetched, imported, reused } = obtained;
    summary.note(format!("{fetched} packages fetched, {imported} imported, {reused} reused"));
    let made = summary
        .time("assemble", || assemble::run(store, &settings::program()?, manifest, lock, &commits, &settings.terminal));
    // Imported packages stay, whatever became of the rest.
    let kept = pending.map_or(Ok(()), |pending| store.set_refs(pending));
    let (commit, tree) = made?;
    kept.map(|()| (commit, Some(tree)))
}

fn build(arguments: &Arguments, manifest: &Manifest, lock: &Lock, settings: &Settings) -> Result<()> {
    let formats: Vec<OutputFormat> = match arguments.format.as_slice() {
        [] => manifest.outputs.clone(),
        some => some.iter().copied().map(Into::into).collect(),
    };
    let program = settings::program()?;
    let output = std::path::absolute(&arguments.output).context("the output folder")?;
    let mut summary = Summary::default();
    let store = Store::open(&settings.store)?;

    let (commit, mut tree) = configure(&store, manifest, lock, settings, &mut summary)?;
    let template = assemble::publish(&store, manifest, lock, commit)?;

    let request = finalize::Request { store: &store, program: &program, manifest, lock, commit, folder: &output };
    let mut artifacts = Vec::new();
    for format in formats {
        if format == OutputFormat::RootImg && finalize::is_due(&request, format)? {
            let tools = summary.time("tools", || obtain(&store, manifest, lock, &lock.tools, settings))?;
            tools.pending.map_or(Ok(()), |pending| store.set_refs(pending))?;
        }
        let artifact = summary.time("finalize", || finalize::run(&request, format, &mut tree, &settings.terminal))?;
        artifacts.extend(artifact);
    }
    summary.print(manifest, lock, &artifacts, template, settings)
}

/// What is told at the end.
#[derive(Default)]
struct Summary {
    times: Vec<(&'static str, Duration)>,
    notes: Vec<String>,
}

impl Summary {
    fn time<T>(&mut self, stage: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work()?;
        match self.times.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, time)) => *time += start.elapsed(),
            None => self.times.push((stage, start.elapsed())),
        }
        Ok(result)
    }

    fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    fn print(
        &self,
        manifest: &Manifest,
        lock: &Lock,
        artifacts: &[Artifact],
        template: Sha256,
        settings: &Settings,
    ) -> Result<()> {
        let tell = |line: &str| settings.terminal.note(line);
        let total: u64 = lock.packages.iter().map(|p| p.size).sum();
        tell(&format!(
            "{} {}: {} packages, {}",
            manifest.name,
            lock.architecture,
            lock.packages.len(),
            terminal::size(total)
        ));
        if self.notes.is_empty() && artifacts.iter().all(|a| a.reused) {
            tell("nothing to do: everything is as the lock says");
        }
        self.notes.iter().for_each(|line| tell(line));
        let times: Vec<_> =
            self.times.iter().map(|(name, time)| format!("{name} {}", terminal::seconds(*time))).collect();
        tell(&times.join(", "));
        tell(&format!("template/{}/{} is {template}", manifest.name, lock.architecture));
        for artifact in artifacts {
            terminal::print(&format!("{}  {}", artifact.sha256, artifact.path.display()))?;
        }
        Ok(())
    }
}
