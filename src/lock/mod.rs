//! The contract between resolving and everything after: each package of a root by version, place and SHA-256.
//!
//! The file is YAML, sorted by package name, one block per package. It names archives, never hosts.

pub mod dot;
pub mod graph;
mod plain;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::arch::Architecture;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;
use crate::error::Hint;
use crate::manifest::Manifest;
use crate::package::Format;
use graph::Graph;

/// The lock format this program writes and reads.
pub const VERSION: u32 = 2;

/// A lock: everything a build depends on besides the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Format of the lock file.
    pub version: u32,
    /// Name of the manifest.
    pub manifest: String,
    /// [`Manifest::digest`] of the manifest that was resolved.
    pub manifest_sha256: Sha256,
    /// The format of all packages.
    pub format: Format,
    /// The root's architecture.
    pub architecture: Architecture,
    /// The clock of every build from this lock; moves only when a package moves.
    pub date: Timestamp,
    /// The root's packages, sorted by name, then architecture.
    pub packages: Vec<Package>,
    /// The packages of the programs that shape output bytes, sorted likewise.
    pub tools: Vec<Package>,
    /// The packages of the programs that run the root's on machines of other architectures, one for each of those, sorted
    /// likewise. Nothing of them shapes what is built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interpreters: Vec<Package>,
}

/// Who asked for a package by itself, so that it stays without a package that needs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// The manifest's base has it.
    Base,
    /// The manifest names it.
    Manifest,
}

/// One pinned package.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// The architecture the package was built for (`all` for none).
    pub architecture: String,
    /// Version in the format's own spelling.
    pub version: String,
    /// The source package it was built from, where that has another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `ARCHIVE/SUITE/COMPONENT`.
    pub archive: String,
    /// Path below the archive's root.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Size in bytes once installed, as the archive's index estimates it; 0 where that is silent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub installed_size: u64,
    /// Identity of the file.
    pub sha256: Sha256,
    /// The newest version up to this one that mends a security hole, where the archive tells that of packages one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_fix: Option<String>,
    /// Who asked for it; none for what came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Names of the locked packages that satisfy this one's dependencies (`NAME`, or `NAME:ARCH` where the name alone is
    /// ambiguous), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<String>,
    /// Likewise those that satisfy its recommendations and suggestions, where the manifest has them followed; none that
    /// stands under `depends`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recommends: Vec<String>,
}

/// What locks of every format have.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Package {
    /// The archive's id, without suite and component.
    pub fn archive_id(&self) -> &str {
        self.archive.split('/').next().unwrap_or_default()
    }

    /// `NAME VERSION ARCH`, as messages show it.
    pub fn describe(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.architecture)
    }
}

impl Lock {
    /// The package of the interpreter for a machine.
    pub fn interpreter(&self, machine: &Architecture) -> Option<&Package> {
        self.interpreters.iter().find(|package| self.format.is_native(&package.architecture, machine))
    }

    /// Every distinct file that a build on any machine needs: packages and tools.
    pub fn files(&self) -> Vec<&Package> {
        let mut files: Vec<&Package> = self.packages.iter().chain(&self.tools).collect();
        files.sort_by_key(|p| p.sha256);
        files.dedup_by_key(|p| p.sha256);
        files
    }

    /// The lock's text.
    pub fn render(&self) -> Result<String> {
        serde_yaml::to_string(self).context("cannot write a lock as YAML")
    }

    /// Reads a lock's text; `origin` names it in errors.
    pub fn parse(text: &str, origin: &Path) -> Result<Self> {
        let broken = || format!("{} is not a lock", origin.display());
        let other = |version: u32| {
            anyhow!(
                "{} has lock format {version}, expected {VERSION}: it was written by another version of compose",
                origin.display()
            )
        };
        // Big locks take long to read: the version alone only where that says why the whole cannot be read.
        let lock: Self = match plain::from_str(text).or_else(|_| serde_yaml::from_str(text)) {
            Ok(lock) => lock,
            Err(error) => match serde_yaml::from_str(text) {
                Ok(Head { version }) if version != VERSION => return Err(other(version)),
                _ => return Err(error).with_context(broken),
            },
        };
        if lock.version != VERSION {
            return Err(other(lock.version));
        }
        lock.check().with_context(broken)?;
        Ok(lock)
    }

    /// What a lock edited by hand, or made of a strange index, could get wrong and later stages rely on.
    pub(crate) fn check(&self) -> Result<()> {
        for list in [&self.packages, &self.tools, &self.interpreters] {
            for pair in list.windows(2) {
                if (&pair[0].name, &pair[0].architecture) >= (&pair[1].name, &pair[1].architecture) {
                    bail!("`{}` stands after `{}`: expected sorted, distinct packages", pair[1].name, pair[0].name);
                }
            }
            for package in list {
                let safe = |part: &str| !matches!(part, "" | "." | "..");
                let Package { name, architecture, version, archive, path, source, .. } = package;
                let mut texts = [name, architecture, version, archive, path].into_iter().chain(source);
                if texts.any(|text| text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace())) {
                    bail!(
                        "`{}` has an empty value, or one with spaces or control characters",
                        package.name.escape_debug()
                    );
                }
                if package.name.contains('/') || package.architecture.contains('/') {
                    bail!("`{}` {} has a `/` in name or architecture", package.name, package.architecture);
                }
                if !package.path.split('/').all(safe) {
                    bail!("`{}` has the path `{}`: expected one below the archive", package.name, package.path);
                }
            }
            Graph::new(list)?;
        }
        Ok(())
    }
}

/// Where the lock of a manifest for an architecture stands: `locks/` beside the manifest's folder when that is called
/// `manifests`, else `locks/` in the manifest's folder.
pub fn path_for(manifest: &Manifest, architecture: &Architecture) -> PathBuf {
    manifest.root().join("locks").join(format!("{}.{architecture}.lock", manifest.name))
}

/// The lock of a manifest, which must exist and belong to the manifest as it is now.
pub fn load(manifest: &Manifest, architecture: &Architecture) -> Result<Lock> {
    let lock = load_as_it_is(manifest, architecture)?;
    match staleness(&lock, manifest) {
        Some(reason) => Err(anyhow!(reason)).hint(|| remedy(manifest)),
        None => Ok(lock),
    }
}

/// The lock of a manifest, which must exist but may have been made for another state of it: see [`staleness`].
pub fn load_as_it_is(manifest: &Manifest, architecture: &Architecture) -> Result<Lock> {
    let path = path_for(manifest, architecture);
    let remedy = || remedy(manifest);
    let Some(lock) = load_any(&path).hint(remedy)? else {
        return Err(anyhow!("{} has no lock for {architecture}: {} is missing", manifest.name, path.display()))
            .hint(remedy);
    };
    if (&lock.manifest, lock.format, &lock.architecture) != (&manifest.name, manifest.format, architecture) {
        return Err(anyhow!(
            "{} is the lock of {} for {}, expected that of {} for {architecture}",
            path.display(),
            lock.manifest,
            lock.architecture,
            manifest.name
        ))
        .hint(remedy);
    }
    Ok(lock)
}

/// In which way a lock is not that of the manifest as it is now.
pub fn staleness(lock: &Lock, manifest: &Manifest) -> Option<String> {
    (lock.manifest_sha256 != manifest.digest).then(|| {
        format!(
            "{} is stale: it was made for another state of {} (expected manifest-sha256 {}, found {})",
            path_for(manifest, &lock.architecture).display(),
            manifest.path.display(),
            manifest.digest,
            lock.manifest_sha256
        )
    })
}

fn remedy(manifest: &Manifest) -> String {
    format!("compose update-lock {}", manifest.path.display())
}

/// The lock at `path`, if there is one, whatever manifest it was made for.
pub fn load_any(path: &Path) -> Result<Option<Lock>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Lock::parse(&text, path).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a lock; tells whether its text changed.
pub fn save(lock: &Lock, path: &Path) -> Result<bool> {
    durable::write_if_changed(path, lock.render()?.as_bytes())
}
