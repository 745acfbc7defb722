//! File lists: which packages have the files that relations ask for and primary metadata does not list.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::xml::{self, Part};

/// For each path asked for, the packages that have it by their place in the list, which is that in primary metadata.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Files(pub BTreeMap<String, Vec<u32>>);

impl Files {
    /// Reads file lists of so many packages for these paths.
    pub fn parse(document: impl BufRead, asked: &BTreeSet<String>, packages: usize) -> Result<Self> {
        let mut found: BTreeMap<String, Vec<u32>> = asked.iter().map(|path| (path.clone(), Vec::new())).collect();
        let (mut announced, mut at) = (None, 0_u32);
        xml::read(document, &mut |part| {
            match part {
                Part::Open(element) if element.name() == "filelists" => {
                    announced = element.attribute("packages")?.and_then(|count| count.parse::<usize>().ok());
                }
                Part::Close("file", path) => {
                    if let Some(having) = found.get_mut(path)
                        && having.last() != Some(&at)
                    {
                        having.push(at);
                    }
                }
                Part::Close("package", _) => at += 1,
                _ => {}
            }
            Ok(())
        })?;
        let announced = announced.context("it has no element `filelists` with a number of `packages`")?;
        if announced != at as usize || !(announced == packages || announced == 0) {
            bail!("it announces {announced} packages and has {at}; the repository has {packages}");
        }
        Ok(Self(found))
    }

    /// Whether these paths were asked for.
    pub fn covers(&self, asked: &BTreeSet<String>) -> bool {
        asked.iter().all(|path| self.0.contains_key(path))
    }
}
