//! What programs of a lock's root need to run on this machine.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use compose::arch::Architecture;
use compose::error::Hint;
use compose::fetch;
use compose::import;
use compose::lock::{Lock, Package};
use compose::manifest::Manifest;
use compose::sandbox::{self, CannotRun, Emulation, Program};
use compose::store::Store;

use super::fetch::fetch_files;
use super::settings::{self, Settings};

/// What starts sandboxes in which the programs of the lock's packages run: by themselves where the machine runs them, else
/// through the lock's interpreter, which is fetched when the store does not have it.
pub fn program(store: &Store, manifest: &Manifest, lock: &Lock, settings: &Settings) -> Result<Program> {
    let mut program = Program { file: settings::program()?, emulations: Vec::new() };
    for architecture in foreign(lock) {
        let Err(error) = sandbox::try_to_run(&program.file, store.work(), &architecture) else { continue };
        let error = match error.downcast::<CannotRun>() {
            Ok(why) if why.can_register => match interpreter(lock) {
                Some(package) => {
                    let paths = lock.format.interpreter_paths(&architecture);
                    let file = fetch::file_path(store.root(), &package.sha256);
                    let prepare = || fetch_files(manifest, &[package], settings).map(drop);
                    let found = import::one_file(store, lock.format, package, &paths, &file, &prepare)?;
                    program.emulations.push(Emulation { architecture, interpreter: Some(found) });
                    continue;
                }
                None => without_interpreter(why, manifest, lock),
            },
            Ok(why) => without_registration(why),
            Err(other) => return Err(other),
        };
        // Programs of foreign architectures are seldom run when packages are installed.
        if architecture == lock.architecture {
            return Err(error);
        }
    }
    Ok(program)
}

/// The lock's interpreter for this machine.
pub fn interpreter(lock: &Lock) -> Option<&Package> {
    lock.interpreter(&Architecture::host()?)
}

/// The architectures of the lock's root and packages that are not this machine's, sorted.
fn foreign(lock: &Lock) -> BTreeSet<Architecture> {
    let packages = lock.packages.iter().filter_map(|package| package.architecture.parse().ok());
    let all = packages.chain([lock.architecture.clone()]);
    let host = Architecture::host();
    all.filter(|architecture| Some(architecture) != host.as_ref()).collect()
}

fn without_interpreter(why: CannotRun, manifest: &Manifest, lock: &Lock) -> anyhow::Error {
    let (path, machine) = (manifest.path.display(), std::env::consts::ARCH);
    let problem = anyhow!(why)
        .context(format!("the lock pins no interpreter of {} programs for this machine", lock.architecture));
    let hint = match Architecture::host() {
        Some(host) if manifest.machines(&lock.architecture).contains(&host) => {
            let requests = manifest.format.interpreters(&lock.architecture).join("` or `");
            format!(
                "compose update-lock {path}; for that the archives, or those under `tools: archives:`, have to have `{requests}` for {host}"
            )
        }
        Some(host) => format!("add {host} to `architectures:` in {path} and update its locks"),
        None => format!("build on another machine: there are no interpreters for {machine}"),
    };
    Err::<(), _>(problem).hint(|| hint).unwrap_err()
}

fn without_registration(why: CannotRun) -> anyhow::Error {
    let hint = "apt-get install qemu-user-static (as root) registers interpreters; Linux 6.7 or later needs none";
    Err::<(), _>(why).hint(|| hint).unwrap_err()
}
