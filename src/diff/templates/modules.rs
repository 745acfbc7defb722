//! Kernel modules of two trees, by the paths that differ.

use std::collections::BTreeMap;

use serde::Serialize;

use super::PathChange;

/// Modules of one kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModuleChange {
    /// The kernel's version, as its folder is called.
    pub kernel: String,
    /// How many are new.
    pub added: usize,
    /// How many are gone.
    pub removed: usize,
    /// How many are others.
    pub changed: usize,
}

/// Kernel modules that differ.
pub(super) fn modules(paths: &[PathChange]) -> Vec<ModuleChange> {
    let mut kernels: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for path in paths {
        let is_module = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|end| path.path.ends_with(end));
        if is_module
            && let Some(rest) = path.path.strip_prefix("/usr/lib/modules/").or(path.path.strip_prefix("/lib/modules/"))
            && let Some((kernel, _)) = rest.split_once('/')
        {
            kernels.entry(kernel).or_default()[path.change as usize] += 1;
        }
    }
    let changes = kernels.into_iter().map(|(kernel, [added, removed, changed])| ModuleChange {
        kernel: kernel.to_owned(),
        added,
        removed,
        changed,
    });
    changes.collect()
}
