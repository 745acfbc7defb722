//! One repository's `repomd.xml`: fetched or found unchanged, verified by its detached signature, and only then parsed and
//! kept.

use anyhow::{Context as _, Result, anyhow, bail};

use super::super::cache::{State, SuiteCache};
use super::super::http;
use super::super::openpgp::{self, Keyring};
use super::places::Places;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::{Hint, with_hints};
use crate::manifest;
use crate::package::rpm::repodata::metalink::Metalink;
use crate::package::rpm::repodata::repomd::Repomd;
use crate::source::{Asked, Context};

/// The most bytes that a `repomd.xml` may have; Fedora's has some 7,000.
const LIMIT: u64 = 4 << 20;

/// What a step can give besides an error.
pub enum Found<T> {
    /// The thing.
    Here(T),
    /// Its name: it is not in the cache, and the cache is all there is.
    Missing(String),
}

/// Where a repository's files are, and how they are verified.
pub struct Source<'a> {
    /// What is asked for.
    pub asked: &'a Asked<'a>,
    /// What the manifest says in dnf's words.
    pub repository: &'a manifest::Repository,
    /// Its mirrors, in the order to try them; none when offline.
    pub mirrors: Vec<String>,
    /// What its list may be, where a metalink tells.
    metalink: Option<Metalink>,
    /// The URI of the metalink or mirrorlist, where one is asked.
    places: Option<String>,
    /// What is kept of it.
    pub cache: SuiteCache,
    /// [`None`] for a repository trusted without a signature.
    keyring: Option<Keyring>,
}

/// A repository with its verified list of files.
pub struct Updated<'a> {
    /// The repository.
    pub source: Source<'a>,
    /// Its files.
    pub list: Repomd,
}

/// Why a mirror gave no list.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("{place}: {error}")]
    Signature { place: String, error: openpgp::Error },
    #[error("{place} comes over http:, and neither a signature nor a metalink vouches for it")]
    Open { place: String },
    #[error("{place} is not what the metalink names: expected SHA-256 {expected}, found {found}")]
    Other { place: String, found: Sha256, expected: Sha256 },
    #[error("{place}: {error:#}")]
    List { place: String, error: anyhow::Error },
}

impl<'a> Source<'a> {
    /// Finds a repository's mirrors and keys.
    pub fn new(asked: &'a Asked<'a>, context: &Context<'_>) -> Result<Self> {
        let archive = asked.archive;
        let Some(repository) = &archive.repository else { bail!("the archive `{}` is no repository", archive.id) };
        let keyring = repository.repo_gpgcheck.then(|| {
            Keyring::load_all(&repository.gpgkey)
                .map_err(|e| anyhow!("cannot verify the repository `{}`: {e}", archive.id))
                .hint(|| "`gpgkey:` in the manifest names the files with the repository's keys")
        });
        let keyring = keyring.transpose()?;
        let Places { mirrors, metalink, list } =
            if context.offline { Places::default() } else { Places::find(asked, context.mirrors, context.client)? };
        let cache = SuiteCache::new(context.cache, &archive.id, asked.architecture.rpm());
        Ok(Self { asked, repository, mirrors, metalink, places: list, cache, keyring })
    }

    /// Makes sure that the kept list is the mirror's present one. Gives none where the repository may have nothing for the
    /// architecture, and no mirror has a list for it.
    pub fn update(self, context: &Context<'_>) -> Result<Found<Option<Updated<'a>>>> {
        let state = self.cache.state();
        let newest = state.as_ref().map(|state| state.date);
        // What is kept is worth nothing if it no longer verifies: the keys may have changed.
        let kept = self.cache.repomd().and_then(|(text, signature)| {
            self.verify(&text, signature.as_deref(), context.now, "the cache").ok()?;
            Some(text)
        });
        if context.offline {
            let Some(text) = kept else {
                if self.asked.optional && self.cache.has_none() {
                    return Ok(Found::Here(None));
                }
                let name = format!("{} for {}", self.asked.archive.id, self.asked.architecture);
                return Ok(Found::Missing(name));
            };
            return match check(&text, None, "the kept repomd.xml") {
                Ok(list) => Ok(Found::Here(Some(Updated { source: self, list }))),
                Err(refusal) => Err(self.refused(&[refusal])),
            };
        }
        if let Some(place) = self.places.clone().filter(|place| self.is_open(place)) {
            return Err(self.refused(&[Refusal::Open { place }]));
        }
        if let (Some(text), Some(metalink)) = (&kept, &self.metalink)
            && Sha256::of(text) == metalink.present
            && let Ok(list) = check(text, newest, "the kept repomd.xml")
        {
            return Ok(Found::Here(Some(Updated { source: self, list })));
        }
        let mut refusals = Vec::new();
        for mirror in &self.mirrors {
            let uri = http::join(mirror, "repodata/repomd.xml");
            if self.metalink.is_none() && self.is_open(&uri) {
                refusals.push(Refusal::Open { place: uri });
                continue;
            }
            let known = state.as_ref().filter(|state| kept.is_some() && state.uri == uri);
            let asked = context.client.fetch_bytes(&uri, known.map(|state| &state.validators), LIMIT);
            let outcome = match (asked, &kept) {
                (Ok(None), Some(text)) => self.accept(text, &uri).and_then(|()| check(text, newest, &uri)),
                (Ok(None), None) => continue,
                (Ok(Some((text, validators))), _) => match self.take(mirror, &text, newest, context) {
                    Ok((list, signature)) => {
                        let date =
                            Timestamp::from_seconds(list.time).context("repomd.xml has a time beyond all bounds")?;
                        let state = State { date, uri, validators };
                        self.cache.save_repomd(&text, signature.as_deref(), &state)?;
                        return Ok(Found::Here(Some(Updated { source: self, list })));
                    }
                    Err(refusal) => Err(refusal),
                },
                (Err(error), _) => Err(error.into()),
            };
            match outcome {
                Ok(list) => return Ok(Found::Here(Some(Updated { source: self, list }))),
                Err(refusal) => refusals.push(refusal),
            }
        }
        let is_missing = |refusal: &Refusal| matches!(refusal, Refusal::Http(http::Error::NotFound { .. }));
        if self.asked.optional && refusals.iter().all(is_missing) {
            self.cache.save_none()?;
            return Ok(Found::Here(None));
        }
        Err(self.refused(&refusals))
    }

    /// Whether anybody on the way could put something else in the place of what this URI gives.
    fn is_open(&self, uri: &str) -> bool {
        let plain = uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        plain && self.keyring.is_none() && !self.asked.archive.trusted
    }

    /// Verifies and checks a list that came from a mirror; gives it with its signature.
    fn take(
        &self,
        mirror: &str,
        text: &[u8],
        newest: Option<Timestamp>,
        context: &Context<'_>,
    ) -> Result<(Repomd, Option<Vec<u8>>), Refusal> {
        let uri = http::join(mirror, "repodata/repomd.xml");
        self.accept(text, &uri)?;
        let signature = match &self.keyring {
            None => None,
            Some(_) => match context.client.fetch_bytes(&format!("{uri}.asc"), None, LIMIT) {
                Ok(answer) => answer.map(|(bytes, _)| bytes),
                Err(http::Error::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        self.verify(text, signature.as_deref(), context.now, &uri)?;
        Ok((check(text, newest, &uri)?, signature))
    }

    /// Checks a list against the metalink.
    fn accept(&self, text: &[u8], place: &str) -> Result<(), Refusal> {
        let found = Sha256::of(text);
        match &self.metalink {
            Some(metalink) if !metalink.accepts(found) => {
                Err(Refusal::Other { place: place.to_owned(), found, expected: metalink.present })
            }
            _ => Ok(()),
        }
    }

    fn verify(&self, text: &[u8], signature: Option<&[u8]>, now: Timestamp, place: &str) -> Result<(), Refusal> {
        let verified = match (&self.keyring, signature) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(openpgp::Error::Unsigned),
            (Some(keyring), Some(signature)) => keyring.verify_detached(text, signature, now),
        };
        verified.map_err(|error| Refusal::Signature { place: place.to_owned(), error })
    }

    /// The error for a repository whose list no mirror gave.
    fn refused(&self, refusals: &[Refusal]) -> anyhow::Error {
        let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let id = &self.asked.archive.id;
        let error = anyhow!("cannot use the repository `{id}` for {}: {}", self.asked.architecture, reasons.join("; "));
        let hints = refusals.iter().filter_map(|refusal| match refusal {
            Refusal::Http(_) | Refusal::Other { .. } => {
                Some(format!("give another mirror with --mirror {id}=URI, the folder that has repodata/"))
            }
            Refusal::Signature { error: openpgp::Error::Unsigned, .. } => {
                Some("`repo_gpgcheck: false` in the manifest takes a repository whose metadata nobody signs".to_owned())
            }
            Refusal::Signature { error: openpgp::Error::UnknownKey { .. }, .. } => {
                Some("`gpgkey:` in the manifest names the files with the repository's keys".to_owned())
            }
            Refusal::Open { .. } => Some(format!(
                "`repo_gpgcheck: true` for the archive `{id}` of the manifest asks for a signature; https: would do, and so would a \
                 `metalink` from there; `trusted: true` takes what comes"
            )),
            Refusal::Signature { .. } | Refusal::List { .. } => None,
        });
        with_hints(error, hints)
    }
}

/// Reads a verified list and checks that it is not older than one seen before.
fn check(text: &[u8], newest: Option<Timestamp>, place: &str) -> Result<Repomd, Refusal> {
    let read = Repomd::parse(text).and_then(|list| {
        if !list.files.contains_key("primary") {
            bail!("it lists no primary metadata");
        }
        match newest {
            Some(newest) if list.time < newest.seconds() => {
                bail!("it is of {} seconds after 1970, older than one seen before, of {}", list.time, newest.seconds())
            }
            _ => Ok(list),
        }
    });
    read.map_err(|error| Refusal::List { place: place.to_owned(), error })
}
