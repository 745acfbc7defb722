//! Signing packages, while they are made or later: with a key file, gpg's agent, or a command of the user's.
//!
//! Signed is the header, which has the payload's digest: rpm and Qubes ask for nothing more.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;

use super::openpgp;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::package::rpm::file::{Front, Signature};
use crate::package::rpm::tag;
use crate::process;

/// Who signs.
#[derive(Clone, Debug)]
pub enum Signer {
    /// A secret key without a password.
    Key(Box<Cert>),
    /// A key that the host's gpg has, by its fingerprint.
    Gpg(String),
    /// A command for `sh -c`, which reads what is to be signed and writes a detached signature, as `gpg --detach-sign` does.
    Command(String),
}

impl Signer {
    /// A key from a file, binary or armored.
    pub fn load_key(path: &Path) -> Result<Self> {
        let failed = || format!("{} is not an OpenPGP key", path.display());
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let cert = Cert::from_bytes(&bytes).with_context(failed)?;
        if !cert.is_tsk() {
            return Err(anyhow!("{} has no secret key", path.display()))
                .hint(|| "gpg --export-secret-keys FINGERPRINT writes one");
        }
        Ok(Self::Key(Box::new(cert)))
    }

    /// A key of gpg's, whose fingerprint is to be in full: a shorter name may fit another key.
    pub fn gpg_key(fingerprint: &str) -> Result<Self> {
        let plain: String = fingerprint.chars().filter(|c| *c != ' ').collect::<String>().to_uppercase();
        let is_fingerprint = plain.len() == 40 && plain.chars().all(|c| c.is_ascii_hexdigit());
        if !is_fingerprint {
            return Err(anyhow!("`{fingerprint}` is not a fingerprint: 40 hexadecimal digits are expected"))
                .hint(|| "gpg --list-secret-keys shows those of your keys");
        }
        Ok(Self::Gpg(plain))
    }

    /// What tells this signer from others, for keys of outputs.
    pub fn identity(&self) -> String {
        match self {
            Self::Key(cert) => format!("key {}", cert.fingerprint()),
            Self::Gpg(fingerprint) => format!("gpg {fingerprint}"),
            Self::Command(command) => format!("command {command}"),
        }
    }

    /// Signs bytes. Commands decide on the time themselves; all others sign as of `date`.
    pub fn sign(&self, bytes: &[u8], date: Timestamp) -> Result<Signature> {
        match self {
            Self::Key(cert) => openpgp::sign(cert, bytes, date),
            Self::Gpg(fingerprint) => {
                let mut gpg = Command::new("gpg");
                // Options of the user's could add what Qubes refuses. With `!`, time stands still.
                gpg.args(["--batch", "--no-options", "--digest-algo", "SHA256", "--local-user", fingerprint]);
                gpg.args(["--faked-system-time", &format!("{}!", date.seconds()), "--detach-sign", "--output", "-"]);
                let output = process::run_with(&mut gpg, bytes)
                    .with_context(|| format!("gpg does not sign with {fingerprint}"))
                    .hint(|| openpgp::LATER_KEY)?;
                let (signature, issuer) = openpgp::read(&output).context("gpg's signature cannot be used")?;
                ensure!(!issuer.is_empty(), "gpg's signature does not tell who signed");
                Ok(signature)
            }
            Self::Command(command) => {
                let output = process::run_with(Command::new("sh").args(["-c", command]), bytes)?;
                let read = openpgp::read(&output);
                read.map(|(signature, _)| signature).with_context(|| format!("what `{command}` printed cannot be used"))
            }
        }
    }
}

/// What became of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed {
    /// It has the signature now.
    Now,
    /// It had that very signature before.
    Before,
}

/// Signs a package file, in place of signatures that it has. Its payload is checked first. The file is replaced as a whole, and
/// left alone when nothing would change; so are links that lead to it. Without `date` the signature is as of the time the package
/// was made.
pub fn sign(path: &Path, signer: &Signer, date: Option<Timestamp>) -> Result<Signed> {
    let failed = || format!("cannot sign {}", path.display());
    let path = &fs::canonicalize(path).with_context(failed)?;
    let mut file = File::open(path).with_context(failed)?;
    let mut front = Front::read(&mut file).with_context(failed)?;
    let payload_at = file.stream_position().with_context(failed)?;
    let expected = front.payload_digest().with_context(failed)?;
    let (found, _) = Sha256::of_reader(&mut file).with_context(failed)?;
    if found != expected {
        bail!("cannot sign {}: its payload has the SHA-256 {found}, expected {expected}", path.display());
    }
    let made = || front.header.number(tag::BUILDTIME).and_then(|time| Timestamp::from_seconds(time.cast_signed()));
    let date = date.or_else(made).context("the package does not tell when it was made").with_context(failed)?;
    let before = front.to_bytes();
    front.sign(signer.sign(front.signed_bytes(), date).with_context(failed)?);
    let now = front.to_bytes();
    if now == before {
        return Ok(Signed::Before);
    }
    file.seek(SeekFrom::Start(payload_at)).with_context(failed)?;
    replace(path, &file, &now).with_context(failed)?;
    Ok(Signed::Now)
}

/// Replaces a file, of which the path is absolute, by these bytes and the rest of `file`, with its permissions.
fn replace(path: &Path, mut file: &File, front: &[u8]) -> Result<()> {
    let folder = path.parent().context("it is in no folder")?;
    let mut new = tempfile::Builder::new().prefix(".compose-").tempfile_in(folder)?;
    new.write_all(front)?;
    io::copy(&mut file, new.as_file_mut())?;
    new.as_file().set_permissions(file.metadata()?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(File::open(folder)?.sync_all()?)
}
