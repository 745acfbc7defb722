//! The manifests and architectures that a command is about.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use compose::arch::Architecture;
use compose::error::Hint;
use compose::manifest::{self, Manifest};

/// Manifests, each for all its architectures or some.
#[derive(Debug, Args)]
pub struct Manifests {
    /// Manifests
    #[arg(value_name = "MANIFEST", required = true)]
    manifests: Vec<PathBuf>,
    /// Only for this architecture; may be given several times
    #[arg(long, value_name = "A")]
    arch: Vec<Architecture>,
}

impl Manifests {
    /// Loads them: each with each of its architectures that is wanted.
    pub fn load(&self) -> Result<Vec<(Manifest, Architecture)>> {
        let mut wanted = Vec::new();
        for path in &self.manifests {
            let manifest = manifest::load(path)?;
            wanted.extend(architectures(&manifest, &self.arch)?.into_iter().map(|a| (manifest.clone(), a)));
        }
        Ok(wanted)
    }
}

/// One manifest for one architecture.
#[derive(Debug, Args)]
pub struct OneManifest {
    /// Manifest
    manifest: PathBuf,
    /// The lock's architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
}

impl OneManifest {
    /// Loads it.
    pub fn load(&self) -> Result<(Manifest, Architecture)> {
        let manifest = manifest::load(&self.manifest)?;
        let architecture = one_architecture(&manifest, self.arch.as_ref())?;
        Ok((manifest, architecture))
    }
}

/// The manifest's architectures, or those asked for.
pub fn architectures(manifest: &Manifest, wanted: &[Architecture]) -> Result<Vec<Architecture>> {
    for architecture in wanted {
        if !manifest.architectures.contains(architecture) {
            let (path, known) = (manifest.path.display(), names(manifest));
            bail!("{path} is not for {architecture}: its architectures are {known}");
        }
    }
    Ok(if wanted.is_empty() { manifest.architectures.clone() } else { wanted.to_vec() })
}

/// The architecture asked for, else this machine's, else the manifest's only one.
fn one_architecture(manifest: &Manifest, wanted: Option<&Architecture>) -> Result<Architecture> {
    if let Some(wanted) = wanted {
        return Ok(architectures(manifest, std::slice::from_ref(wanted))?.remove(0));
    }
    let host = Architecture::host().filter(|host| manifest.architectures.contains(host));
    match (host, manifest.architectures.as_slice()) {
        (Some(host), _) => Ok(host),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(anyhow!("{} is not for this machine's architecture", manifest.path.display()))
            .hint(|| format!("give --arch one of {}", names(manifest))),
    }
}

/// The architectures asked for, else this machine's, else the manifest's only one.
pub fn some_architectures(manifest: &Manifest, wanted: &[Architecture]) -> Result<Vec<Architecture>> {
    match wanted {
        [] => Ok(vec![one_architecture(manifest, None)?]),
        some => architectures(manifest, some),
    }
}

fn names(manifest: &Manifest) -> String {
    manifest.architectures.iter().map(Architecture::as_str).collect::<Vec<_>>().join(", ")
}
