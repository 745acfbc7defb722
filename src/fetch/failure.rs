//! Why files could not be fetched, told together: each package with its reason, and the ways out.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::download::FoundFile;
use crate::error::{hints, with_hints};
use crate::lock::Package;
use crate::package::SignatureError;
use crate::source::{http, openpgp};

/// How many failures are told in full.
const TOLD: usize = 10;

/// A package without its file.
pub struct Failure<'a> {
    pub package: &'a Package,
    pub kind: Kind,
}

/// Why there is no file.
pub enum Kind {
    /// It is not here, and nothing may be fetched.
    Offline,
    /// No mirror gave it: one attempt for each.
    Attempts(Vec<Attempt>),
    /// It is not signed as its archive's packages have to be.
    Signature(SignatureError),
    /// This host has a problem, or no mirror is known.
    Broken(anyhow::Error),
}

/// Why one mirror did not give the file.
pub enum Attempt {
    /// It gave none.
    Http(http::Error),
    /// It gave another file; [`None`] when that is longer than expected.
    WrongFile { uri: String, found: Option<FoundFile> },
    /// What it gave could not be kept.
    Local(PathBuf, io::Error),
}

impl Failure<'_> {
    /// Whether every mirror says that it does not have the file.
    fn is_dropped(&self) -> bool {
        let missing = |attempt: &Attempt| matches!(attempt, Attempt::Http(http::Error::NotFound { .. }));
        matches!(&self.kind, Kind::Attempts(attempts) if attempts.iter().all(missing))
    }

    fn describe_attempt(&self, attempt: &Attempt) -> String {
        let (size, sha256) = (self.package.size, self.package.sha256);
        match attempt {
            Attempt::Http(error) => error.to_string(),
            Attempt::WrongFile { uri, found: Some((found_size, found)) } => format!(
                "{uri} is not the locked file: expected {size} bytes with SHA-256 {sha256}, found {found_size} bytes with \
                 SHA-256 {found}"
            ),
            Attempt::WrongFile { uri, found: None } => {
                format!("{uri} is not the locked file: expected {size} bytes with SHA-256 {sha256}, found more bytes")
            }
            Attempt::Local(path, error) => format!("cannot write {}: {error}", path.display()),
        }
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.package.describe())?;
        match &self.kind {
            Kind::Offline => write!(f, "{}/{}", self.package.archive_id(), self.package.path),
            Kind::Broken(error) => write!(f, "{error:#}"),
            Kind::Signature(error) => {
                write!(f, "the archive `{}` has it signed by its keys, but {error}", self.package.archive_id())
            }
            Kind::Attempts(attempts) => {
                let reasons: Vec<_> = attempts.iter().map(|attempt| self.describe_attempt(attempt)).collect();
                if self.is_dropped() {
                    write!(f, "the archive `{}` has dropped this version: ", self.package.archive_id())?;
                }
                f.write_str(&reasons.join("; "))
            }
        }
    }
}

/// One error for all failures, in the packages' order; `total` is how many files were asked for.
pub fn report(mut failures: Vec<Failure<'_>>, total: usize, manifest: &Path) -> Result<()> {
    failures.sort_by(|a, b| a.package.cmp(b.package));
    let Some(first) = failures.first() else { return Ok(()) };
    let offline = matches!(first.kind, Kind::Offline);
    let told = if offline { failures.len() } else { TOLD };
    let n = failures.len();
    let mut text = if failures.iter().any(|failure| matches!(failure.kind, Kind::Signature(_))) {
        format!("{n} of {total} package files cannot be used:")
    } else if offline {
        format!("{n} of {total} package files are not here, and offline nothing is fetched:")
    } else {
        format!("{n} of {total} package files could not be fetched:")
    };
    for failure in failures.iter().take(told) {
        let _ = write!(text, "\n  {failure}");
    }
    if failures.len() > told {
        let names: Vec<_> = failures.iter().skip(told).map(|failure| failure.package.name.as_str()).collect();
        let _ = write!(text, "\n  and {} more: {}", names.len(), names.join(", "));
    }
    Err(with_hints(anyhow!(text), ways_out(&failures, manifest)))
}

fn ways_out(failures: &[Failure<'_>], manifest: &Path) -> Vec<String> {
    let manifest = manifest.display();
    let mut ways = Vec::new();
    for failure in failures {
        match &failure.kind {
            Kind::Offline => ways.push(format!("compose fetch {manifest}, without --offline")),
            Kind::Signature(error) => ways.extend(ways_to_signatures(error, failure.package.archive_id(), &manifest)),
            Kind::Broken(error) => ways.extend(hints(error).into_iter().map(str::to_owned)),
            Kind::Attempts(_) if failure.is_dropped() => {
                let archive = failure.package.archive_id();
                ways.push(format!("compose update-lock {manifest}, to lock the versions that the archive has now"));
                ways.push(format!(
                    "--mirror {archive}=URI, with a snapshot of the archive that still has the locked versions"
                ));
                ways.push("--store DIR, with a store that has these packages already".to_owned());
            }
            Kind::Attempts(attempts) if attempts.iter().any(|a| matches!(a, Attempt::Local(..))) => {}
            Kind::Attempts(_) => {
                ways.push(format!("--mirror {}=URI, to try another mirror", failure.package.archive_id()));
            }
        }
    }
    ways
}

fn ways_to_signatures(error: &SignatureError, archive: &str, manifest: &impl fmt::Display) -> Vec<String> {
    let keys =
        format!("`gpgkey:` of the archive `{archive}` in the manifest names files with the keys of its packages");
    let unchecked = "`gpgcheck: false` there takes what the archive's metadata names, whoever signed it".to_owned();
    match error {
        SignatureError::Signature(openpgp::Error::UnknownKey { .. }) => vec![keys],
        SignatureError::Signature(_) => vec![keys, unchecked],
        SignatureError::Part(_) | SignatureError::Unreadable(_) => vec![format!(
            "compose update-lock {manifest}, once the archive `{archive}` has the package as its maker signed it"
        )],
    }
}
