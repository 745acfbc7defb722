//! What a package database that is read whole says to those who ask for single packages of it.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::digest::{Hasher, Sha256};
use crate::package::{Asked, Ledger, Said};
use crate::store::{Entry, ObjectReader};

/// A [`Ledger`] as it was when it was last looked at.
pub(super) struct Books {
    pub ledger: Ledger,
    /// The files that this was made of: the first, and those that correct it.
    made_of: Vec<Sha256>,
    /// All that is said, in the order in which packages are named first.
    said: Vec<Said>,
    /// Where the packages of a name are in it.
    named: HashMap<String, Vec<usize>>,
    /// What the files that correct say, which are often the same.
    corrections: HashMap<Sha256, Arc<Vec<Said>>>,
}

impl Books {
    pub fn new(ledger: Ledger) -> Self {
        let (made_of, said, named, corrections) = (Vec::new(), Vec::new(), HashMap::new(), HashMap::new());
        Self { ledger, made_of, said, named, corrections }
    }

    /// The digest of what is said to one who asks, now that these are the files, the corrections in order.
    pub fn identity(&mut self, files: &[Sha256], asked: &Asked, reader: &ObjectReader) -> Result<Sha256> {
        if self.made_of != files {
            self.make(files, reader)?;
        }
        let mut hasher = Hasher::default();
        match asked {
            Asked::Package(name) => {
                let named = self.named.get(name);
                let mentions = |said: &&Said| named.is_none() && (self.ledger.mentions)(&said.text, name);
                let packages = named.into_iter().flatten().map(|index| &self.said[*index]);
                for Said { text, .. } in packages.chain(self.said.iter().filter(mentions)) {
                    hasher.update(&(text.len() as u64).to_be_bytes());
                    hasher.update(text.as_bytes());
                }
            }
            Asked::Installed => {
                for Said { name, architecture, .. } in self.said.iter().filter(|said| said.installed) {
                    hasher.update(format!("{name} {architecture}\n").as_bytes());
                }
            }
        }
        Ok(hasher.finish())
    }

    fn make(&mut self, files: &[Sha256], reader: &ObjectReader) -> Result<()> {
        // The first file is as it was most of the time: then only what corrections are new is read.
        if self.made_of.is_empty() || !files.starts_with(&self.made_of) {
            (self.said, self.named) = (Vec::new(), HashMap::new());
            self.made_of.clear();
        }
        for file in &files[self.made_of.len()..] {
            let said = if let Some(said) = self.corrections.get(file) {
                said.clone()
            } else {
                let damaged = || format!("/{} and what corrects it cannot be read", self.ledger.file);
                let said = Arc::new((self.ledger.read)(&reader.read(*file)?).with_context(damaged)?);
                if !self.made_of.is_empty() {
                    self.corrections.insert(*file, said.clone());
                }
                said
            };
            said.iter().for_each(|said| self.correct(said));
            self.made_of.push(*file);
        }
        Ok(())
    }

    fn correct(&mut self, new: &Said) {
        let known = self.named.entry(new.name.clone()).or_default();
        let same = known.iter().find(|index| self.said[**index].architecture == new.architecture);
        if let Some(index) = same {
            self.said[*index] = new.clone();
        } else {
            known.push(self.said.len());
            self.said.push(new.clone());
        }
    }
}

/// The object of a file.
pub(super) fn object(entry: &Entry) -> Option<Sha256> {
    match entry {
        Entry::Leaf(leaf) => Some(*leaf),
        Entry::Absent | Entry::Directory(_) | Entry::Node(_) => None,
    }
}
