//! `compose verify`: builds again from nothing, in another store and by another process, and compares every stage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use compose::assemble;
use compose::diff::builds::{self, Build};
use compose::finalize::{KnownTree, Request};
use compose::lock::{Lock, Package};
use compose::manifest::{Kernel, Manifest, OutputFormat};
use compose::process;
use compose::progress::Progress;
use compose::run_folder::RunFolder;
use compose::store::Store;

use super::fetch::fetch_files;
use super::settings::{self, Settings};
use super::{Answer, build, emulation, outputs, terminal};

/// The second store, in a folder of its own: its path has another length than most, and characters that need care.
const STORE: &str = "another store, made from nothing";

/// What the second build finds in its environment, which must shape nothing.
const ENVIRONMENT: &[(&str, &str)] = &[("TZ", "Asia/Tokyo"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "de_DE.UTF-8")];

/// The second build's file mode mask, which must shape nothing either.
const UMASK: u32 = 0o077;

/// Build a manifest's outputs again from nothing, and compare every stage
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: build::Wanted,
    /// Folder to build in for the second time, such as one in memory [default: in the store]
    #[arg(long, value_name = "DIR")]
    second_store: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let (manifest, locks) = arguments.wanted.load()?;
    let mut all_same = true;
    for lock in &locks {
        all_same &= verify(arguments, &manifest, lock, settings)
            .map_err(|error| build::cannot("verify", &manifest, lock, error))?;
    }
    Ok(if all_same { Answer::Yes } else { Answer::No })
}

/// Prints what differs; tells whether nothing does.
fn verify(arguments: &Arguments, manifest: &Manifest, lock: &Lock, settings: &Settings) -> Result<bool> {
    let store = Store::open(&settings.store)?;
    let formats = arguments.wanted.formats(manifest);
    let built = build::build(&arguments.wanted, None, manifest, lock, settings, &store)?;
    let packages = imported(lock, &formats, manifest.image.kernel);
    // A build that had its results already may lack what they were made of.
    build::obtain(&store, manifest, lock, &packages, settings)?;
    fetch_files(manifest, &packages, settings)?;
    let program = emulation::program(&store, manifest, lock, settings)?;
    if !program.emulations.is_empty() {
        fetch_files(manifest, &emulation::interpreter(lock).into_iter().collect::<Vec<_>>(), settings)?;
    }

    let own = match &arguments.second_store {
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            RunFolder::new(folder, ".compose-verify-")?
        }
        None => RunFolder::new(store.work(), "verify-")?,
    };
    let folder = fs::canonicalize(own.path()).context("the folder of the second build")?;
    let (place, output) = (folder.join(STORE), folder.join("out"));
    fs::create_dir(&place).with_context(|| format!("cannot create {}", place.display()))?;
    // Not a link for each file, which another file system would not take.
    symlink(store.root().join("files"), place.join("files")).context("cannot share the fetched files")?;
    build_again(arguments, manifest, lock, settings, &place, &output)?;

    let second = Store::open(&place)?;
    let commit = assemble::cached(&second, assemble::key(manifest, lock)?)?;
    let commit = commit.context("the second build left no configured tree")?;
    let request = Request { store: &second, program: &program, manifest, lock, commit, folder: &output };
    let (signer, mut artifacts) = (arguments.wanted.signing.signer()?, Vec::new());
    for format in formats {
        let artifact = outputs::write(&request, format, signer.as_ref(), &KnownTree::default(), false, settings)?;
        artifacts.extend(artifact.map(|artifact| (format, artifact)));
    }
    let first =
        Build { request: Request { store: &store, commit: built.commit, ..request }, artifacts: built.artifacts };
    let comparison = builds::compare(manifest, lock, &packages, [&first, &Build { request, artifacts }])?;
    // Now, since it can take longer to remove the second build than to compare it.
    let name = format!("{} {}", manifest.name, lock.architecture);
    terminal::print_text(&builds::text::render(&name, &comparison))?;
    Ok(comparison.different_stages().is_empty())
}

/// The packages that a build of these outputs imports.
fn imported<'a>(lock: &'a Lock, formats: &[OutputFormat], kernel: Kernel) -> Vec<&'a Package> {
    let mut packages = lock.files();
    if !formats.iter().any(|format| format.needs_tools(kernel)) {
        packages.retain(|package| lock.packages.iter().any(|other| other.sha256 == package.sha256));
    }
    packages
}

/// Runs this program on a store that has nothing but the fetched files, with everything else different that must not matter.
fn build_again(
    arguments: &Arguments,
    manifest: &Manifest,
    lock: &Lock,
    settings: &Settings,
    store: &Path,
    output: &Path,
) -> Result<()> {
    let jobs = if rayon::current_num_threads() == 1 { 4 } else { 1 };
    settings.terminal.note(&format!("building again from nothing, --jobs {jobs}, in {}", store.display()));
    let mut command = Command::new(settings::program()?);
    command.args(["--offline", "--jobs", &jobs.to_string()]).args(settings.terminal.option());
    command.args(settings.script_options());
    command.arg("--store").arg(store).arg("build").arg(path::absolute(&manifest.path)?);
    command.args(["--arch", lock.architecture.as_str()]).arg("--output").arg(output);
    command.args(arguments.wanted.signing.options()?);
    for format in arguments.wanted.formats(manifest) {
        command.args(["--format", format.as_str()]);
    }
    command.current_dir("/").envs(ENVIRONMENT.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
    process::bind_to_caller(&mut command, UMASK);
    let status = command.status().with_context(|| format!("cannot run {}", process::describe(&command)))?;
    if !status.success() {
        bail!("the second build failed: {} ended with {status}", process::describe(&command));
    }
    Ok(())
}
