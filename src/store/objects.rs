//! What the content objects of a tree are, looked at once for all who ask.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::{Leaf, Object, ObjectReader, Tree};

/// All content objects of a tree, by their checksums.
#[derive(Debug)]
pub struct Objects(HashMap<Leaf, Object>);

impl Objects {
    /// Looks at each object once.
    pub fn of(reader: &ObjectReader, tree: &Tree) -> Result<Self> {
        // In order of checksums, which is that of the folders they are in.
        let mut paths = BTreeMap::new();
        tree.root.for_each_file(&mut |path, object| {
            paths.entry(object).or_insert_with(|| path.to_owned());
        });
        let look = |(object, path): (Leaf, String)| {
            let found = reader.look(object).with_context(|| format!("cannot read /{path}"))?;
            Ok((object, found))
        };
        paths.into_par_iter().map(look).collect::<Result<_>>().map(Self)
    }

    /// An object of the tree.
    pub fn get(&self, leaf: Leaf) -> Result<&Object> {
        self.0.get(&leaf).with_context(|| format!("the object {leaf} is not of this tree"))
    }
}
