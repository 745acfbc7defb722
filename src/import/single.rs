//! One file of a package by itself, for packages that are large and hold one program for each of many machines.
//!
//! It is the ref `cache/file/<key>`; the key is made of the package's SHA-256 and the file's possible paths.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use super::open_verified;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::lock::Package;
use crate::package::{Format, Member, MemberKind, MemberSink, Part};
use crate::store::{self, Attributes, Content, Directory, Extras, NewCommit, ObjectWriter, Store, Tree};

/// The stage's name in refs.
const STAGE: &str = "file";

/// The file's name in the commit.
const NAME: &str = "file";

/// Where the store has the first regular file of a package that stands at one of these paths, relative to the root: root's, and
/// executable. It is read from the package's `file`, which `prepare` brings, unless the store has it.
pub fn one_file(
    store: &Store,
    format: Format,
    package: &Package,
    paths: &[String],
    file: &Path,
    prepare: &dyn Fn() -> Result<()>,
) -> Result<PathBuf> {
    let name = store::cache_ref(STAGE, Sha256::of(&serde_json::to_vec(&json!([package.sha256, paths]))?));
    let commit = if let Some(commit) = store.resolve(&name)? {
        commit
    } else {
        prepare()?;
        let writer = store.writer();
        let mut file = open_verified(writer.timings(), file, package.sha256)?;
        let mut search = Search { writer: &writer, paths, found: None };
        let ended = format.unpack(&mut file, &mut search);
        let Some(found) = search.found else {
            ended?;
            bail!("{} has none of {}", package.describe(), paths.join(", "));
        };
        let mut root = Directory::new(0o755);
        root.files.insert(NAME.to_owned(), found);
        let new = NewCommit {
            name,
            parent: None,
            subject: package.describe(),
            metadata: BTreeMap::new(),
            version: None,
            root: writer.write_tree(&Tree { root, extras: Extras::default() })?,
            date: the_beginning(),
        };
        store.commit(&[new])?[0]
    };
    match store.find_file(commit, NAME)? {
        Some(object) => Ok(store.reader().path(object)),
        None => bail!("the commit {commit} is damaged: it has no file"),
    }
}

/// A commit's date, which nobody looks at.
fn the_beginning() -> Timestamp {
    Timestamp::from_seconds(0).expect("1970 is a date")
}

/// Keeps the first of the files that it looks for.
struct Search<'a> {
    writer: &'a ObjectWriter,
    paths: &'a [String],
    found: Option<Sha256>,
}

impl MemberSink for Search<'_> {
    /// Fails once the file is there, so that the rest need not be decompressed.
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        if let MemberKind::File(size) = member.kind
            && member.part == Part::Data
            && self.paths.contains(&member.path)
        {
            let attributes = Attributes { uid: 0, gid: 0, mode: 0o100_755, xattrs: BTreeMap::new() };
            self.found = Some(self.writer.write(&attributes, Content::File(content, size))?);
            bail!("the rest is not needed");
        }
        Ok(())
    }
}
