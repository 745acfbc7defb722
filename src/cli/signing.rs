//! Who signs packages, as options tell.

use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};

use anyhow::Result;
use clap::Args;
use compose::publish::Signer;

/// Who signs Qubes template packages, in the options of a build.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Signing {
    /// Sign the Qubes template package with this secret key
    #[arg(long = "sign-key", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign it with this key of gpg's
    #[arg(long = "sign-gpg-key", value_name = "FINGERPRINT")]
    gpg_key: Option<String>,
    /// Sign it by a command that reads data and prints a detached signature
    #[arg(long = "sign-command", value_name = "COMMAND")]
    command: Option<String>,
}

impl Signing {
    /// Who signs packages.
    pub fn signer(&self) -> Result<Option<Signer>> {
        let Self { key, gpg_key, command } = self;
        signer(key.as_deref(), gpg_key.as_deref(), command.as_deref())
    }

    /// The options that let another run of this program sign likewise, whatever its working directory.
    pub fn options(&self) -> Result<Vec<OsString>> {
        let Self { key, gpg_key, command } = self;
        let key = key.as_ref().map(|key| absolute(key).map(PathBuf::into_os_string)).transpose()?;
        let options = [
            ("--sign-key", key),
            ("--sign-gpg-key", gpg_key.as_ref().map(OsString::from)),
            ("--sign-command", command.as_ref().map(OsString::from)),
        ];
        Ok(options.into_iter().filter_map(|(name, value)| Some([name.into(), value?])).flatten().collect())
    }
}

/// The one signer of these that is given.
pub fn signer(key: Option<&Path>, gpg_key: Option<&str>, command: Option<&str>) -> Result<Option<Signer>> {
    Ok(match (key, gpg_key, command) {
        (Some(key), ..) => Some(Signer::load_key(key)?),
        (_, Some(fingerprint), _) => Some(Signer::gpg_key(fingerprint)?),
        (.., Some(command)) => Some(Signer::Command(command.to_owned())),
        _ => None,
    })
}
