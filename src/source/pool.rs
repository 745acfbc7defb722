//! Package files without an index: a folder of them as an archive, and those that a manifest names one by one.
//!
//! Their index is made of the files themselves on each run. Nothing signs them: the manifest's author vouches for them by
//! naming them, and the lock pins them like any other.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::Index;
use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::{Archive, Manifest, Pool};
use crate::package;
use crate::package::deb::archive;
use crate::package::deb::control::Stanza;
use crate::package::deb::table::Table;

/// The ending of the files' names.
const SUFFIX: &str = "deb";

/// An archive that is a folder of package files, the files of its sub-folders among them.
pub fn load_folder(archive: &Archive, pool: &Pool, architecture: &Architecture) -> Result<Index> {
    let mut files = Vec::new();
    list(&pool.folder, Path::new(""), &mut files)
        .with_context(|| format!("cannot read the pool of the archive `{}`", archive.id))?;
    if files.is_empty() {
        bail!("the pool of the archive `{}`, {}, has no .{SUFFIX} file", archive.id, pool.folder.display());
    }
    load(&archive.id, &pool.folder, &files, archive.priority, architecture)
}

/// The package files that a manifest names; none when it names none.
pub fn load_files(manifest: &Manifest, architecture: &Architecture) -> Result<Option<Index>> {
    let files: Vec<PathBuf> = manifest.files_asked_for().map(PathBuf::from).collect();
    if files.is_empty() {
        return Ok(None);
    }
    load(Index::LOCAL, manifest.root(), &files, None, architecture).map(Some)
}

/// Adds the package files below `folder/below`, in the order of their names.
fn list(folder: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let place = folder.join(below);
    let read = || place.read_dir()?.collect::<std::io::Result<Vec<_>>>();
    let mut entries = read().with_context(|| format!("cannot read the folder {}", place.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        // Links count as what they lead to, but folders are not entered through them.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(folder, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == SUFFIX) {
            files.push(path);
        }
    }
    Ok(())
}

fn load(
    archive: &str,
    folder: &Path,
    files: &[PathBuf],
    priority: Option<i32>,
    architecture: &Architecture,
) -> Result<Index> {
    let read: Vec<(String, Timestamp)> = files.par_iter().map(|file| stanza(folder, file)).collect::<Result<_>>()?;
    let date = read.iter().map(|(_, date)| *date).max().context("there is no package file")?;
    let text: String = read.into_iter().map(|(stanza, _)| stanza).collect();
    Ok(Index {
        archive: archive.to_owned(),
        suite: archive.to_owned(),
        codename: archive.to_owned(),
        priority,
        not_automatic: false,
        but_automatic_upgrades: false,
        architecture: architecture.clone(),
        date,
        sha256: Sha256::of(text.as_bytes()),
        table: Arc::new(package::Table::Deb(Table::of(&text)?)),
    })
}

/// A package file's stanza as an index would have it, and the time of its control file.
fn stanza(folder: &Path, file: &Path) -> Result<(String, Timestamp)> {
    let place = folder.join(file);
    let path = file.to_str().with_context(|| format!("the path {} is not UTF-8", place.display()))?;
    let mut opened = File::open(&place)
        .with_context(|| format!("cannot read the package file {}", place.display()))
        .hint(|| "paths of package files are relative to the manifest that names them")?;
    let mut read = || -> Result<(String, Timestamp)> {
        let size = opened.metadata()?.size();
        let (sha256, _) = Sha256::of_reader(&opened)?;
        let (control, time) = archive::control(&mut opened)?;
        let control = Stanza::parse(&control);
        let missing = ["Package", "Version", "Architecture"].into_iter().find(|field| control.get(field).is_none());
        if let Some(field) = missing {
            bail!("its control file has no field {field}");
        }
        // Of a field that stands twice, the first counts.
        let text = format!("Filename: {path}\nSize: {size}\nSHA256: {sha256}\n{}\n\n", control.as_str().trim_end());
        Ok((text, Timestamp::from_seconds(time).context("its control file has no time that can be read")?))
    };
    read().with_context(|| format!("{} is not a package that can be used", place.display()))
}
