//! A repository's metadata files: fetched, verified by the digests of `repomd.xml`, unpacked within the bounds that it
//! sets, and only then parsed. What is made of them is kept.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};

use super::super::http::{self, Memory, Sink as _};
use super::repomd::{Found, Updated};
use crate::digest::{Hasher, Sha256};
use crate::error::Hint;
use crate::package::rpm::repodata::Contents;
use crate::package::rpm::repodata::comps;
use crate::package::rpm::repodata::filelists::Files;
use crate::package::rpm::repodata::modules;
use crate::package::rpm::repodata::primary::Table;
use crate::package::rpm::repodata::repomd::File;
use crate::package::rpm::repodata::updateinfo::Fixes;
use crate::progress::Unit;
use crate::source::Context;

/// The most bytes that a file may have, packed; and unpacked where the list does not say how many.
const LIMIT: u64 = 1 << 30;
/// The most bytes unpacked, whatever the list says.
const OPEN_LIMIT: u64 = 4 << 30;
/// What is kept is of this form.
const FORM: &[u8] = b"compose rpm metadata 2";

/// What a repository says, from the cache or its files.
pub fn contents(updated: &Updated<'_>, context: &Context<'_>) -> Result<Found<Arc<Contents>>> {
    let name = name_of(updated, "contents");
    if let Some(bytes) = updated.source.cache.made(&name)
        && let Ok(contents) = postcard::from_bytes(&bytes)
    {
        return Ok(Found::Here(Arc::new(contents)));
    }
    let list = &updated.list;
    let mut contents = Contents::default();
    let kinds = [
        ("primary", list.files.get("primary")),
        ("group", list.group()),
        ("modules", list.files.get("modules")),
        ("updateinfo", list.files.get("updateinfo")),
    ];
    for (kind, file) in kinds {
        let Some(file) = file else { continue };
        let Some(bytes) = bytes(updated, file, context)? else {
            return Ok(Found::Missing(file.location.clone()));
        };
        read(file, &bytes, &mut |text| {
            match kind {
                "primary" => contents.packages = Table::parse(text)?,
                "group" => contents.groups = comps::parse(text)?,
                "modules" => {
                    let mut all = String::new();
                    text.read_to_string(&mut all).context("it is no text")?;
                    contents.modules = modules::parse(&all)?;
                }
                _ => contents.fixes = Fixes::parse(text)?,
            }
            Ok(())
        })
        .with_context(|| {
            format!("cannot read {} of the repository `{}`", file.location, updated.source.asked.archive.id)
        })?;
    }
    let made = postcard::to_stdvec(&contents).context("cannot write what a repository says")?;
    updated.source.cache.save_made(&name, made)?;
    Ok(Found::Here(Arc::new(contents)))
}

/// Which packages have these files, from the cache or the file lists.
pub fn files(
    updated: &Updated<'_>,
    asked: &BTreeSet<String>,
    packages: usize,
    context: &Context<'_>,
) -> Result<Found<Files>> {
    let Some(file) = updated.list.files.get("filelists") else { return Ok(Found::Here(Files::default())) };
    let name = name_of(updated, "files");
    if let Some(bytes) = updated.source.cache.made(&name)
        && let Ok(files) = postcard::from_bytes::<Files>(&bytes)
        && files.covers(asked)
    {
        return Ok(Found::Here(files));
    }
    let Some(bytes) = bytes(updated, file, context)? else { return Ok(Found::Missing(file.location.clone())) };
    let mut files = Files::default();
    read(file, &bytes, &mut |text| {
        files = Files::parse(text, asked, packages)?;
        Ok(())
    })
    .with_context(|| {
        format!("cannot read {} of the repository `{}`", file.location, updated.source.asked.archive.id)
    })?;
    let made = postcard::to_stdvec(&files).context("cannot write which packages have files")?;
    updated.source.cache.save_made(&name, made)?;
    Ok(Found::Here(files))
}

/// Removes what is kept of files that the repository no longer lists.
pub fn forget_old(updated: &Updated<'_>) -> Result<()> {
    let mut named: BTreeSet<Sha256> = updated.list.files.values().map(|file| file.sha256).collect();
    named.extend(["contents", "files"].map(|what| name_of(updated, what)));
    updated.source.cache.remove_indexes_except(&named)
}

/// The name of what is made of all files of a list.
fn name_of(updated: &Updated<'_>, what: &str) -> Sha256 {
    let mut hasher = Hasher::default();
    hasher.update(FORM);
    hasher.update(what.as_bytes());
    for (kind, file) in &updated.list.files {
        hasher.update(kind.as_bytes());
        hasher.update(file.sha256.as_bytes());
    }
    hasher.finish()
}

/// The verified bytes of a file from the cache or a mirror; nothing when offline and not kept.
fn bytes(updated: &Updated<'_>, file: &File, context: &Context<'_>) -> Result<Option<Vec<u8>>> {
    let cache = &updated.source.cache;
    if let Some(bytes) = cache.index(&file.sha256)? {
        return Ok(Some(bytes));
    }
    if context.offline {
        return Ok(None);
    }
    let size = file.size.unwrap_or(LIMIT);
    let id = &updated.source.asked.archive.id;
    if size > LIMIT {
        bail!("{} of the repository `{id}` is said to have {size} bytes: at most {LIMIT} are taken", file.location);
    }
    let task = context.progress.task(&format!("metadata of {id}"), Unit::Bytes, file.size.unwrap_or_default());
    let mut memory = Memory::new(size, task.as_ref());
    let mut reasons = Vec::new();
    for mirror in &updated.source.mirrors {
        let uri = http::join(mirror, &file.location);
        memory.restart().context("cannot forget bytes in memory")?;
        match context.client.fetch(&uri, None, &mut memory) {
            Ok(_) => {
                let found = Sha256::of(memory.bytes());
                if found == file.sha256 {
                    let bytes = memory.into_bytes();
                    cache.save_index(&file.sha256, &bytes)?;
                    return Ok(Some(bytes));
                }
                reasons.push(format!(
                    "{uri} is not the file that repomd.xml names: expected SHA-256 {}, found {} bytes with SHA-256 {found}",
                    file.sha256,
                    memory.held()
                ));
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(anyhow!("cannot fetch the metadata of the repository `{id}`: {}", reasons.join("; ")))
        .hint(|| "the mirror may be in the middle of an update: try again later, or give another --mirror")
}

/// Unpacks a file for a reader, within the bounds that the list sets, and checks that it was as the list says.
fn read(file: &File, bytes: &[u8], reader: &mut dyn FnMut(&mut dyn BufRead) -> Result<()>) -> Result<()> {
    let limit = file.open_size.unwrap_or(LIMIT);
    if limit > OPEN_LIMIT {
        bail!("it is said to have {limit} bytes once unpacked: at most {OPEN_LIMIT} are taken");
    }
    let unpacked: Box<dyn Read + '_> = match bytes {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(liblzma::read::XzDecoder::new_multi_decoder(bytes)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::new(bytes).context("cannot unpack it")?),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(bytes)),
        _ => Box::new(bytes),
    };
    let mut bounded = Bounded { inner: unpacked, left: limit, hasher: Hasher::default() };
    let mut text = BufReader::with_capacity(1 << 17, &mut bounded);
    reader(&mut text)?;
    std::io::copy(&mut text, &mut std::io::sink()).context("cannot unpack it")?;
    let (size, found) = (bounded.hasher.size(), bounded.hasher.finish());
    if file.open_size.is_some_and(|expected| expected != size) {
        bail!("it has {size} bytes once unpacked: expected {limit}");
    }
    match file.open_sha256 {
        Some(expected) if expected != found => bail!("it has SHA-256 {found} once unpacked: expected {expected}"),
        _ => Ok(()),
    }
}

/// Reads so many bytes and no more, and knows what they were.
struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
    hasher: Hasher,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        let left = self.left.checked_sub(read as u64);
        let left = left.ok_or_else(|| std::io::Error::other("it has more bytes once unpacked than repomd.xml says"))?;
        self.left = left;
        Ok(read)
    }
}
