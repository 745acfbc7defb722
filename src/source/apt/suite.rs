//! One suite's Release file: fetched or found unchanged, verified, checked, and only then parsed and kept.

use anyhow::{Result, anyhow};

use super::super::cache::{Signed, State, SuiteCache};
use super::super::http::{self, Validators};
use super::super::openpgp::{self, Keyring};
use super::super::release::{self, Release};
use super::Found;
use crate::clock::Timestamp;
use crate::error::{Hint, with_hints};
use crate::manifest::Archive;
use crate::source::Context;

/// The most bytes that a Release file may have; that of Debian's largest suite has some 300,000.
const LIMIT: u64 = 16 << 20;

/// Where a suite's files are, and how they are verified.
#[derive(Debug)]
pub struct SuiteSource<'a> {
    pub archive: &'a Archive,
    /// The suite as the manifest names it.
    pub name: &'a str,
    /// Its mirrors, in the order to try them; none when offline.
    pub mirrors: Vec<String>,
    pub cache: SuiteCache,
    /// [`None`] for an archive trusted without a signature.
    keyring: Option<Keyring>,
}

/// A suite with its verified Release file.
#[derive(Debug)]
pub struct Suite<'a> {
    pub source: SuiteSource<'a>,
    pub release: Release,
}

/// Why the Release file of one mirror, or the kept one, is not used.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("{place}: {error}")]
    Signature { place: String, error: openpgp::Error },
    #[error("{place}: {error}")]
    Release { place: String, error: release::Error },
}

/// The suites of an archive, with what all of them share looked up once.
pub fn suites_of<'a>(archive: &'a Archive, context: &Context<'_>) -> Result<Vec<SuiteSource<'a>>> {
    let keyring = match &archive.signed_by {
        _ if archive.trusted => None,
        Some(path) => Some(
            Keyring::load(path)
                .map_err(|e| anyhow!("cannot verify the archive `{}`: {e}", archive.id))
                .hint(|| "`signed-by:` in the manifest names the keyring with the archive's keys")?,
        ),
        None => {
            return Err(anyhow!("cannot verify the archive `{}`: it has no keyring", archive.id))
                .hint(|| "add `signed-by: KEYRING` to the archive in the manifest");
        }
    };
    let mirrors = if context.offline { Vec::new() } else { context.mirrors.find(&archive.id, &archive.uris)? };
    let source = |name: &'a String| SuiteSource {
        archive,
        name,
        mirrors: mirrors.clone(),
        cache: SuiteCache::new(context.cache, &archive.id, name),
        keyring: keyring.clone(),
    };
    Ok(archive.suites.iter().map(source).collect())
}

impl<'a> SuiteSource<'a> {
    /// Whether another is found and verified alike.
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_of(other.archive, other.name)
    }

    /// Whether this is a suite of an archive, or of one that is found and verified alike.
    pub fn is_of(&self, archive: &Archive, name: &str) -> bool {
        let trust = |archive: &'_ Archive| (archive.signed_by.clone(), archive.trusted, archive.check_valid_until);
        self.name == name
            && self.archive.id == archive.id
            && self.archive.uris == archive.uris
            && trust(self.archive) == trust(archive)
    }

    /// The path of a file of this suite below the archive's root; a flat repository's suite is itself such a path
    /// (sources.list(5): an exact path that ends with `/`).
    pub fn path_of(&self, file: &str) -> String {
        if !self.is_flat() {
            return format!("dists/{}/{file}", self.name);
        }
        let folder = self.name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
        if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
    }

    /// Whether this is a flat repository, which has one index and no components.
    pub fn is_flat(&self) -> bool {
        self.name.ends_with('/')
    }

    /// Makes sure that the kept Release file is the mirror's present one.
    pub fn update(self, context: &Context<'_>) -> Result<Found<Suite<'a>>> {
        let state = self.cache.state();
        let newest = state.as_ref().map(|state| state.date);
        // What is kept is worth nothing if it no longer verifies: the keyring may have changed.
        let kept = self.cache.signed().and_then(|signed| {
            let text = self.verify(&signed, context.now, "the cache").ok()?;
            Some((signed, text))
        });
        if context.offline {
            let Some((_, text)) = kept else {
                return Ok(Found::Missing(format!("{}/{}", self.archive.id, self.name)));
            };
            return match self.check(&text, context.now, None, "the kept Release file") {
                Ok(release) => Ok(Found::Here(Suite { release, source: self })),
                Err(refusal) => Err(self.refused(&[refusal])),
            };
        }
        let mut refusals = Vec::new();
        for mirror in &self.mirrors {
            match self.ask(mirror, state.as_ref(), kept.as_ref(), newest, context) {
                Ok(release) => return Ok(Found::Here(Suite { release, source: self })),
                Err(Failure::Refused(refusal)) => refusals.push(refusal),
                Err(Failure::Broken(error)) => return Err(error),
            }
        }
        Err(self.refused(&refusals))
    }

    /// Brings the Release file from one mirror, if it has changed, and keeps it once it is verified and checked.
    fn ask(
        &self,
        mirror: &str,
        state: Option<&State>,
        kept: Option<&(Signed, Vec<u8>)>,
        newest: Option<Timestamp>,
        context: &Context<'_>,
    ) -> Result<Release, Failure> {
        let known = |uri: &str| state.filter(|state| kept.is_some() && state.uri == uri).map(|state| &state.validators);
        let detached_first = matches!(kept, Some((Signed::Detached(..), _)));
        let forms = if detached_first { ["Release", "InRelease"] } else { ["InRelease", "Release"] };
        let mut missing = None;
        for form in forms {
            let uri = http::join(mirror, &self.path_of(form));
            let (bytes, validators) = match context.client.fetch_bytes(&uri, known(&uri), LIMIT) {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    let text = kept.map(|(_, text)| text.as_slice()).unwrap_or_default();
                    return Ok(self.check(text, context.now, newest, &uri)?);
                }
                Err(error @ http::Error::NotFound { .. }) => {
                    missing.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(Refusal::from(error).into()),
            };
            let signed = match form {
                "InRelease" => Signed::Inline(bytes),
                _ => Signed::Detached(bytes, self.fetch_signature(mirror, context)?),
            };
            let text = self.verify(&signed, context.now, &uri)?;
            let release = self.check(&text, context.now, newest, &uri)?;
            self.keep(&signed, &release, uri, validators)?;
            return Ok(release);
        }
        let error = missing.unwrap_or(http::Error::BadUri { uri: mirror.to_owned() });
        Err(Refusal::from(error).into())
    }

    fn fetch_signature(&self, mirror: &str, context: &Context<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let uri = http::join(mirror, &self.path_of("Release.gpg"));
        match context.client.fetch_bytes(&uri, None, LIMIT) {
            Ok(answer) => Ok(answer.map(|(bytes, _)| bytes)),
            Err(http::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, signed: &Signed, release: &Release, uri: String, validators: Validators) -> Result<()> {
        self.cache.save(signed, &State { date: release.date, uri, validators })
    }

    /// The text that the archive's keys signed.
    fn verify(&self, signed: &Signed, now: Timestamp, place: &str) -> Result<Vec<u8>, Refusal> {
        let verified = match (signed, &self.keyring) {
            (Signed::Inline(message), Some(keyring)) => keyring.verify_cleartext(message, now),
            (Signed::Inline(message), None) => openpgp::text_unverified(message, now),
            (Signed::Detached(text, Some(signature)), Some(keyring)) => {
                keyring.verify_detached(text, signature, now).map(|()| text.clone())
            }
            (Signed::Detached(_, None), Some(_)) => Err(openpgp::Error::Unsigned),
            (Signed::Detached(text, _), None) => Ok(text.clone()),
        };
        verified.map_err(|error| Refusal::Signature { place: place.to_owned(), error })
    }

    /// Reads a verified text and checks that it is the one wanted now.
    fn check(&self, text: &[u8], now: Timestamp, newest: Option<Timestamp>, place: &str) -> Result<Release, Refusal> {
        let checked = Release::parse(text).and_then(|release| {
            release.check_suite(self.name)?;
            release.check_replay(newest)?;
            release.check_time(now, self.archive.check_valid_until)?;
            Ok(release)
        });
        checked.map_err(|error| Refusal::Release { place: place.to_owned(), error })
    }

    /// The error for a suite that no mirror gave.
    fn refused(&self, refusals: &[Refusal]) -> anyhow::Error {
        let reasons: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        let error =
            anyhow!("cannot use suite `{}` of the archive `{}`: {}", self.name, self.archive.id, reasons.join("; "));
        with_hints(error, refusals.iter().filter_map(|refusal| self.way_out(refusal)))
    }

    fn way_out(&self, refusal: &Refusal) -> Option<String> {
        Some(match refusal {
            Refusal::Http(http::Error::NotFound { .. }) => {
                format!(
                    "check `suites:` of the archive `{}` in the manifest, or give another --mirror",
                    self.archive.id
                )
            }
            Refusal::Http(_) => format!("give another mirror with --mirror {}=URI", self.archive.id),
            Refusal::Signature { error: openpgp::Error::UnknownKey { .. } | openpgp::Error::Unsigned, .. } => {
                "`signed-by:` in the manifest names the keyring with the archive's keys".to_owned()
            }
            Refusal::Release { error: release::Error::Expired { .. }, .. } => {
                "`check-valid-until: false` in the manifest takes an archive that is kept past its date".to_owned()
            }
            Refusal::Release { error: release::Error::Future { .. }, .. } => "check this host's clock".to_owned(),
            Refusal::Release { error: release::Error::Replayed { .. }, .. } => format!(
                "if the archive was set back on purpose, forget the newer one: rm {}",
                self.cache.state_path().display()
            ),
            _ => return None,
        })
    }
}

/// Why a mirror gave no Release file.
enum Failure {
    /// The next mirror may do better.
    Refused(Refusal),
    /// This host has a problem.
    Broken(anyhow::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}
