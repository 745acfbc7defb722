//! `compose build`: the pipeline from lock to outputs.

use std::cell::OnceCell;
use std::path::{PathBuf, absolute};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use compose::arch::Architecture;
use compose::artifact::Artifact;
use compose::assemble::ScriptFailed;
use compose::digest::Sha256;
use compose::fetch::signed;
use compose::finalize::{self, KnownTree};
use compose::history::{self, Recorded, Template, Version};
use compose::import::{self, Imports, LookUp};
use compose::lock::{self, Lock, Package};
use compose::manifest::{self, Manifest, OutputFormat};
use compose::progress::Progress;
use compose::sandbox::Program;
use compose::store::{Store, Tree};
use compose::timing::{Part, Spent};
use compose::{assemble, fetch, publish, source};

use super::fetch::fetch_files;
use super::manifests::some_architectures;
use super::settings::{self, Settings};
use super::signing::Signing;
use super::{Answer, emulation, outputs, terminal};

/// Build a manifest's outputs from its lock
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// The version of the commit that the build adds to the template's history [default: the build's number]
    #[arg(long, value_name = "V")]
    template_version: Option<Version>,
}

/// What is to be built, and where it goes.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Manifest
    manifest: PathBuf,
    /// Only this architecture; may be given several times [default: the machine's, if the manifest has it]
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
    /// Write this output instead of the manifest's; may be given several times
    #[arg(long, value_name = "F", value_parser = output_format())]
    format: Vec<OutputFormat>,
    /// Folder of outputs
    #[arg(long, value_name = "DIR", default_value = "out")]
    output: PathBuf,
    #[command(flatten)]
    pub signing: Signing,
}

/// Reads an output's form, as manifests spell it.
fn output_format() -> impl TypedValueParser<Value = OutputFormat> {
    let names = OutputFormat::ALL.iter().map(|format| format.as_str());
    PossibleValuesParser::new(names).try_map(|name| OutputFormat::named(&name).ok_or("unknown"))
}

impl Wanted {
    /// The manifest, and its locks for the architectures asked for. Outputs that they cannot have are refused.
    pub fn load(&self) -> Result<(Manifest, Vec<Lock>)> {
        let manifest = manifest::load(&self.manifest)?;
        let wanted = some_architectures(&manifest, &self.arch)?;
        let locks: Vec<Lock> =
            wanted.iter().map(|architecture| lock::load(&manifest, architecture)).collect::<Result<_>>()?;
        if self.formats(&manifest).contains(&OutputFormat::QubesTemplate) {
            for lock in &locks {
                publish::template(&manifest, lock).map_err(|error| cannot("build", &manifest, lock, error))?;
            }
        }
        Ok((manifest, locks))
    }

    /// The outputs asked for.
    pub fn formats(&self, manifest: &Manifest) -> Vec<OutputFormat> {
        let mut formats = match self.format.as_slice() {
            [] => manifest.outputs.clone(),
            some => some.to_vec(),
        };
        // What is made of an image comes after it, so that it can take the one that is there.
        formats.sort_by_key(|format| *format == OutputFormat::QubesTemplate);
        formats
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let Arguments { wanted, template_version } = arguments;
    let (manifest, locks) = wanted.load()?;
    for lock in &locks {
        let store = Store::open(&settings.store)?;
        settings.remember_lock(&manifest, &lock.architecture)?;
        let built = build(wanted, template_version.as_ref(), &manifest, lock, settings, &store)
            .map_err(|error| cannot("build", &manifest, lock, error))?;
        for (_, artifact) in built.artifacts {
            terminal::print(&format!("{}  {}", artifact.digest, artifact.path.display()))?;
        }
    }
    Ok(Answer::Yes)
}

/// The error with what could not be done, and with what a script did, where one is to blame, in its first line.
pub fn cannot(what: &str, manifest: &Manifest, lock: &Lock, error: Error) -> Error {
    let context = format!("cannot {what} {} for {}", manifest.name, lock.architecture);
    let script = error.chain().find_map(|cause| cause.downcast_ref::<ScriptFailed>());
    let context = script.map(|failed| format!("{context}: {failed}")).unwrap_or(context);
    error.context(context)
}

/// Makes sure that packages are signed where they have to be, whoever brought them into the store; gives the number of files
/// fetched for it.
fn authenticate(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    packages: &[&Package],
    settings: &Settings,
) -> Result<usize> {
    let archives = source::archives_of_files(manifest);
    let packages = signed::have_to_be(packages, &archives);
    let key = signed::key(lock.format, &packages, &archives)?;
    if packages.is_empty() || signed::is_known(store, key)? {
        return Ok(0);
    }
    let report = fetch_files(manifest, &packages, settings)?;
    signed::remember(store, key)?;
    Ok(report.fetched)
}

/// Looks packages up and fetches the files of those that the store does not have; gives the number of files fetched.
pub fn find<'a>(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    packages: &[&'a Package],
    settings: &Settings,
) -> Result<(LookUp<'a>, usize)> {
    let found = import::look_up(store, lock.format, packages)?;
    let fetched = if found.missing.is_empty() { 0 } else { fetch_files(manifest, &found.missing, settings)?.fetched };
    Ok((found, fetched))
}

/// Fetches and imports those of the packages that the store does not have.
pub fn obtain(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    packages: &[&Package],
    settings: &Settings,
) -> Result<()> {
    authenticate(store, manifest, lock, packages, settings)?;
    let (found, _) = find(store, manifest, lock, packages, settings)?;
    if !found.missing.is_empty() {
        let root = store.root();
        let file_of = |sha256: Sha256| fetch::file_path(root, &sha256);
        let (_, pending) = import::run(store, lock.format, &found.missing, &file_of, &settings.terminal)?;
        store.set_refs(pending)?;
    }
    Ok(())
}

/// The commit of the configured tree, and the tree itself when it had to be made.
pub fn configure(
    store: &Store,
    manifest: &Manifest,
    lock: &Lock,
    settings: &Settings,
    summary: &mut Summary,
) -> Result<(Sha256, Option<Tree>)> {
    let packages: Vec<_> = lock.packages.iter().collect();
    let early = summary.time("fetch", || authenticate(store, manifest, lock, &packages, settings))?;
    if let Some(commit) = assemble::cached(store, assemble::key(manifest, lock)?)? {
        return Ok((commit, None));
    }
    let program = summary.time("fetch", || emulation::program(store, manifest, lock, settings))?;
    let (found, fetched) = summary.time("fetch", || find(store, manifest, lock, &packages, settings))?;
    let (reused, imported) = (found.commits.len(), found.missing.len());
    let fetched = early + fetched;
    summary.note(format!("{fetched} packages fetched, {imported} imported, {reused} reused"));
    let root = store.root();
    let file_of = |sha256: Sha256| fetch::file_path(root, &sha256);
    let imports = Imports::new(store, lock.format, found, &file_of)?;
    let run = || imports.run(&settings.terminal);
    let (made, brought) = std::thread::scope(|scope| {
        // Early scripts run while late packages are imported.
        let bringing = (imported > 0).then(|| scope.spawn(run));
        let (limits, terminal) = (settings.scripts, &settings.terminal);
        let assemble = || assemble::run(store, &program, limits, manifest, lock, &imports, terminal);
        let made = summary.time("import and assemble", assemble);
        (made, bringing.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("the import panicked")))))
    });
    // Imported packages stay, whatever became of the rest.
    if let Some((_, pending)) = brought.transpose()? {
        store.set_refs(pending)?;
    }
    let (commit, tree) = made?;
    Ok((commit, Some(tree)))
}

/// What a build made, or found made.
pub struct Built {
    /// The commit of the configured tree.
    pub commit: Sha256,
    /// The outputs that are files.
    pub artifacts: Vec<(OutputFormat, Artifact)>,
}

/// Builds what is wanted of one lock, and tells about it. A new commit of the template has this version, or its number.
pub fn build(
    wanted: &Wanted,
    version: Option<&Version>,
    manifest: &Manifest,
    lock: &Lock,
    settings: &Settings,
    store: &Store,
) -> Result<Built> {
    let program = Program { file: settings::program()?, emulations: Vec::new() };
    let output = absolute(&wanted.output).context("the output folder")?;
    let signer = wanted.signing.signer()?;
    let mut summary = Summary::default();

    let (commit, made) = configure(store, manifest, lock, settings, &mut summary)?;
    let tree = made.map(KnownTree::from).unwrap_or_default();
    let template = Template { name: manifest.name.clone(), architecture: lock.architecture.clone() };
    let recorded = history::record(store, &template, lock, commit, version)?;

    let request = finalize::Request { store, program: &program, manifest, lock, commit, folder: &output };
    let mut artifacts = Vec::new();
    let mut checked = false;
    let emulating = OnceCell::new();
    for format in wanted.formats(manifest) {
        let due = outputs::is_due(&request, format, signer.as_ref())?;
        let checks = due && format.needs_image() && !checked;
        if due && format.needs_tools(manifest.image.kernel) {
            let packages: Vec<_> = lock.tools.iter().collect();
            summary.time("tools", || obtain(store, manifest, lock, &packages, settings))?;
            if emulating.get().is_none() {
                let _ = emulating.set(emulation::program(store, manifest, lock, settings)?);
            }
        }
        let request = finalize::Request { program: emulating.get().unwrap_or(&program), ..request };
        let write = || outputs::write(&request, format, signer.as_ref(), &tree, checks, settings);
        let artifact = summary.time("check and finalize", || store.timings().alone(Part::Image, write))?;
        checked |= checks;
        artifacts.extend(artifact.map(|artifact| (format, artifact)));
    }
    summary.tell(manifest, lock, &artifacts, &template, &recorded, settings);
    for (part, Spent { wall, cpu }) in store.timings().told() {
        settings.terminal.detail(&format!(
            "time of {part}: {:.3} s, CPU {:.3} s",
            wall.as_secs_f64(),
            cpu.as_secs_f64()
        ));
    }
    Ok(Built { commit, artifacts })
}

/// What is told at the end.
#[derive(Default)]
pub struct Summary {
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

    fn tell(
        &self,
        manifest: &Manifest,
        lock: &Lock,
        artifacts: &[(OutputFormat, Artifact)],
        template: &Template,
        recorded: &Recorded,
        settings: &Settings,
    ) {
        let tell = |line: &str| settings.terminal.note(line);
        let total: u64 = lock.packages.iter().map(|p| p.size).sum();
        tell(&format!(
            "{} {}: {} packages, {}",
            manifest.name,
            lock.architecture,
            lock.packages.len(),
            terminal::size(total)
        ));
        if self.notes.is_empty() && artifacts.iter().all(|(_, artifact)| artifact.reused) {
            tell("nothing to do: everything is as the lock says");
        }
        self.notes.iter().for_each(|line| tell(line));
        let times: Vec<_> =
            self.times.iter().map(|(name, time)| format!("{name} {}", terminal::seconds(*time))).collect();
        tell(&times.join(", "));
        let Recorded { commit, version, new } = recorded;
        let version = version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
        let same = if *new { "" } else { ", as before" };
        tell(&format!("{} is {commit}{version}{same}", template.ref_name()));
    }
}
