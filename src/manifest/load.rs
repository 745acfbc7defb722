//! From files to a [`Manifest`]: reads a manifest and what it includes, in order, and has them merged.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Manifest;
use super::located::{Mistake, Sources};
use super::merge::{Layer, merge};
use super::typed::Typed;
use crate::error::Hint;

/// Reads a manifest with its includes.
///
/// Includes come first, in the order they are written, each with its own includes before it; so the order of merging is
/// depth-first, and the including file is last. A file included twice counts once, where it came first. When merging,
/// a later file's single values win, lists are appended without repeating what is there, and archives, groups, users and
/// files with the same id, name or path are merged likewise. Paths in a file are relative to that file.
pub fn load(path: &Path) -> Result<Manifest> {
    let mut reader = Reader::default();
    let loaded = (|| {
        reader.read(path, None)?;
        merge(path, &reader.sources, reader.layers)
    })();
    match loaded {
        Err(Failure::Mistake(mistake)) => match mistake.hint.clone() {
            Some(hint) => Err(mistake).hint(|| hint),
            None => Err(mistake.into()),
        },
        Err(Failure::Other(error)) => Err(error),
        Ok(manifest) => Ok(manifest),
    }
}

/// Why a manifest cannot be loaded.
#[derive(Debug)]
pub enum Failure {
    /// The text is wrong at some place.
    Mistake(Mistake),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}

#[derive(Default)]
struct Reader {
    sources: Sources,
    layers: Vec<Layer>,
    /// Files being read, outermost first: their canonical paths and the paths as named.
    open: Vec<(PathBuf, PathBuf)>,
    done: Vec<PathBuf>,
}

impl Reader {
    /// Reads a file after its includes; `included` is the number of the value that names it.
    fn read(&mut self, path: &Path, included: Option<usize>) -> Result<(), Failure> {
        let found = path.canonicalize().and_then(|real| Ok((fs::read_to_string(path)?, real)));
        let (text, real) = match (found, included) {
            (Ok(found), _) => found,
            (Err(e), Some(number)) => {
                return Err(self.mistake(number, format!("cannot read the include {}: {e}", path.display())).into());
            }
            (Err(e), None) => {
                return Err(Failure::Other(anyhow::Error::new(e).context(format!("cannot read {}", path.display()))));
            }
        };
        if self.done.contains(&real) {
            return Ok(());
        }
        if let (Some(at), Some(number)) = (self.open.iter().position(|(open, _)| *open == real), included) {
            let mut circle: Vec<String> = self.open[at..].iter().map(|(_, name)| name.display().to_string()).collect();
            circle.push(path.display().to_string());
            return Err(self.mistake(number, format!("files include each other: {}", circle.join(" -> "))).into());
        }
        self.open.push((real, path.to_owned()));
        let typed: Typed = self.sources.parse(path, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for include in &typed.include {
            self.read(&folder.join(&include.value), Some(include.number))?;
        }
        self.layers.push(Layer { folder: folder.to_owned(), typed });
        self.done.extend(self.open.pop().map(|(real, _)| real));
        Ok(())
    }

    fn mistake(&self, number: usize, message: String) -> Mistake {
        self.sources.mistake::<Typed>(number, message)
    }
}

/// Reads a file that a manifest names.
pub fn read_named(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
