//! `compose checkout`: a commit's tree as a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use compose::progress::Progress;
use compose::run_folder::RunFolder;
use compose::store::{self, Store};
use rustix::fs::{CWD, RenameFlags};

use super::commit::OneCommit;
use super::settings::Settings;
use super::{Answer, terminal};

/// Write the tree of a commit to a folder
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    commit: OneCommit,
    /// Folder, which must not exist
    folder: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let folder = &arguments.folder;
    let refuse = || bail!("{} exists already: a checkout needs a new folder", folder.display());
    if fs::symlink_metadata(folder).is_ok() {
        return refuse();
    }
    let store = Store::open(&settings.store)?;
    let commit = arguments.commit.find(&store)?.commit;
    let tree = store.read_tree(commit)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = RunFolder::new(parent, ".compose-")?;
    let root = temporary.path().join("root");
    let left_out = store::copy_out(&store, &tree, &root)?;
    match rustix::fs::renameat_with(CWD, &root, CWD, folder, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => return refuse(),
        renamed => renamed.with_context(|| format!("cannot rename {} to {}", root.display(), folder.display()))?,
    }
    if !left_out.is_empty() {
        let count = left_out.len();
        settings
            .terminal
            .warn(&format!("{count} devices are left out, which only root can make: {}", left_out.join(", ")));
    }
    terminal::print(&format!("{commit}  {}", folder.display()))?;
    Ok(Answer::Yes)
}
