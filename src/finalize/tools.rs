//! The programs that the lock pins for writing outputs, in a sandbox of their own.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::Request;
use crate::assemble;
use crate::error::Hint;
use crate::sandbox::{Bind, Input, Limits, Plan, Root, Step};
use crate::store::{self, Directory};

/// A sandbox of the lock's tools with files of the host in it, by their name there.
pub(super) fn plan(request: &Request<'_>, files: &[(&Path, &str)], steps: Vec<Step>) -> Result<Plan> {
    let Request { store, lock, .. } = request;
    let tools = store.work().join("tools");
    if !tools.exists() {
        let mut tree = assemble::merged(store, lock.format, &lock.tools)?.tree;
        for name in ["dev", "proc", "run", "tmp"] {
            tree.root.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755));
        }
        store::check_out(store, &tree.root, &tools)?;
    }
    Ok(Plan {
        root: Root::ReadOnly(tools),
        binds: files.iter().map(|(source, target)| Bind { source: source.into(), target: target.into() }).collect(),
        temporary_files: Vec::new(),
        tools: None,
        steps,
        goes_on: false,
        interactive: false,
        observer: None,
        limits: Limits::default(),
    })
}

/// Tells what to do where the lock was made for outputs that do not need this package.
pub(super) fn require(request: &Request<'_>, package: &str, output: &str) -> Result<()> {
    if request.lock.tools.iter().any(|tool| tool.name == package) {
        return Ok(());
    }
    Err(anyhow!("the lock pins no {package}, which writes {output}: it was made for other outputs"))
        .hint(|| format!("add {output} to `outputs:` in the manifest and update the lock"))
}

/// A program with nothing in its environment but a path and these variables.
pub(super) fn step(command: Vec<String>, environment: &[(&str, String)], input: Input) -> Step {
    let label = Path::new(&command[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = ("PATH", "/usr/sbin:/usr/bin".to_owned());
    let environment = environment.iter().chain([&path]).map(|(name, value)| ((*name).to_owned(), value.clone()));
    Step { label, command, environment: environment.collect(), input, in_tools: false }
}
