//! What a repository's metadata says (`createrepo_c`'s format): [`repomd`] lists the files, and each kind of them is read by a
//! module of its own. Bytes in, values out; who made the bytes is for others to know.

pub mod comps;
pub mod filelists;
pub mod metalink;
pub mod modules;
pub mod primary;
pub mod repomd;
pub mod updateinfo;

use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use comps::Group;
use modules::Module;
use primary::Table;
use updateinfo::Fixes;

/// What a repository says, as resolving needs it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Contents {
    /// Its packages.
    pub packages: Table,
    /// Its groups of packages.
    pub groups: Vec<Group>,
    /// Its modules.
    pub modules: Vec<Module>,
    /// What its advisories say.
    pub fixes: Fixes,
}

/// A repository for one architecture, with what the manifest says of it in dnf's terms.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Repository {
    /// What it says.
    pub contents: Arc<Contents>,
    /// Those of the files asked for that primary metadata need not list, by path: the numbers of the packages that have them.
    pub files: Arc<filelists::Files>,
    /// Names, or names with architectures, of packages that count as missing; `*` stands for anything.
    pub excluded: Vec<String>,
    /// Those that alone are there; empty for all.
    pub included: Vec<String>,
    /// Whether its packages are there whatever modules say.
    pub module_hotfixes: bool,
}

/// A path below a repository's root, as a `location` has it: relative, and no way out of the root.
pub fn check_location(href: &str) -> Result<()> {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    if href.contains(':') && href.split('/').next().is_some_and(|first| first.contains(':')) {
        bail!("the location `{href}` is absolute: a path below the repository is expected");
    }
    if !href.split('/').all(plain) || href.contains(|c: char| c.is_control() || matches!(c, '\\' | '?' | '#')) {
        bail!("the location `{}` is not a path below the repository", href.escape_debug());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_stay_below_the_repository() {
        for good in ["Packages/a/a-1.0~rc1^2+x-1.noarch.rpm", "a.rpm", "x/a:b.rpm"] {
            assert!(check_location(good).is_ok(), "{good}");
        }
        for bad in ["", "../a.rpm", "a/../../b", "/etc/passwd", "http://h/a.rpm", "file:a", "a//b", "a\nb", "a?b"] {
            assert!(check_location(bad).is_err(), "{bad}");
        }
    }
}
