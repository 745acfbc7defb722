//! Where a repository's own list, `metalink` or `mirrorlist`, says that it is. The list is asked for only where its mirrors come into
//! question, and is not kept.

use anyhow::{Context as _, Result};

use super::super::http::{self, Client};
use super::super::mirrors::Mirrors;
use crate::arch::Architecture;
use crate::error::Hint;
use crate::manifest::Repository;
use crate::package::rpm::repodata::metalink::{self, Metalink};
use crate::source::Asked;

/// The most bytes that a list may have; Fedora's metalinks have some 40,000.
const LIMIT: u64 = 4 << 20;

/// Where a repository is.
#[derive(Debug, Default)]
pub struct Places {
    /// The folders that have `repodata/`, in the order to try them.
    pub mirrors: Vec<String>,
    /// What `repomd.xml` may be, where a metalink tells.
    pub metalink: Option<Metalink>,
    /// The URI of the list that they are from, where they are from one.
    pub list: Option<String>,
}

impl Places {
    /// The places of a repository for an architecture; none only where it may have nothing for that, and its list says so.
    pub fn find(asked: &Asked<'_>, mirrors: &Mirrors, client: &Client) -> Result<Self> {
        let Asked { archive, architecture, optional } = *asked;
        let (mut metalink, mut list, mut has_none) = (None, None, false);
        let found = mirrors.find_repository(&archive.id, &archive.uris, || {
            let Some(repository) = &archive.repository else { return Ok(Vec::new()) };
            let listed = match listed(&archive.id, repository, architecture, client) {
                Err(error) if optional && says_none(&error) => {
                    has_none = true;
                    return Ok(Vec::new());
                }
                listed => listed?,
            };
            (metalink, list) = (listed.metalink, listed.list);
            Ok(listed.mirrors)
        });
        let found = if has_none { Vec::new() } else { found? };
        let expand =
            |uri: String| archive.repository.as_ref().map_or_else(|| uri.clone(), |r| r.expand(&uri, architecture));
        Ok(Self { mirrors: found.into_iter().map(expand).collect(), metalink, list })
    }
}

/// A list that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{0}: it names no mirror with an http:, https: or file: URI")]
struct NoMirror(String);

/// Whether a list could not be used because there is none for an architecture, or because it names no mirror.
fn says_none(error: &anyhow::Error) -> bool {
    let is_none = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<NoMirror>() || matches!(cause.downcast_ref(), Some(http::Error::NotFound { .. }))
    };
    error.chain().any(is_none)
}

/// What the list of a repository says; nothing where it has none.
pub fn listed(id: &str, repository: &Repository, architecture: &Architecture, client: &Client) -> Result<Places> {
    let (kind, uri) = match (&repository.metalink, &repository.mirrorlist) {
        (Some(uri), _) => ("metalink", uri),
        (None, Some(uri)) => ("mirrorlist", uri),
        (None, None) => return Ok(Places::default()),
    };
    let uri = repository.expand(uri, architecture);
    let read = || -> Result<Places> {
        let bytes = client.fetch_bytes(&uri, None, LIMIT)?.context("it is said to be unchanged")?.0;
        let places = if kind == "metalink" {
            let metalink = Metalink::parse(&bytes[..]).with_context(|| uri.clone())?;
            Places { mirrors: metalink.mirrors.clone(), metalink: Some(metalink), list: Some(uri.clone()) }
        } else {
            let mirrors = metalink::mirrorlist(&String::from_utf8_lossy(&bytes));
            Places { mirrors, metalink: None, list: Some(uri.clone()) }
        };
        if places.mirrors.is_empty() {
            return Err(NoMirror(uri.clone()).into());
        }
        Ok(places)
    };
    read()
        .with_context(|| format!("cannot use the {kind} of the repository `{id}`"))
        .hint(|| format!("--mirror {id}=URI, the folder that has repodata/, does without it"))
}
