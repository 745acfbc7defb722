//! What is kept of scripts that ran, from one build to the next: `cache/scripts/<key>`.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::package::Asked;
use crate::sandbox::Need;
use crate::store::{self, Attributes, Directory, Entry, FileTime, NewCommit, ObjectWriter, Store, Tree};

/// The stage's name in refs.
const STAGE: &str = "scripts";
/// The file with the records, behind the SHA-256 of them, and the folder of the objects that they name.
const RECORDS: &str = "records";
const OBJECTS: &str = "objects";

/// What a script needed to be as it was: path, how much of what is there, and what that was.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(super) struct Condition {
    pub path: String,
    pub need: Need,
    pub identity: [u8; 32],
}

/// A run of a script.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The digest of how it was called.
    pub call: [u8; 32],
    /// Numbers of conditions.
    pub conditions: Vec<u32>,
    /// What it asked the package database for, and the digest of what that said.
    pub asked: Vec<(Asked, [u8; 32])>,
    /// What was at each path afterwards that it may have changed, in order of paths.
    pub changes: Vec<(String, Entry)>,
    /// Of those that are files of several names, each but the first, and that one.
    pub links: BTreeMap<String, String>,
    /// Of those that are there, when they say that they were modified, where that is not when the script ran.
    pub times: BTreeMap<String, Time>,
    /// The other folders that say that they were modified when the script ran: names came or went there.
    pub folders: Vec<String>,
}

/// When a file or folder says that it was modified.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Time {
    /// When it was before.
    Kept,
    /// Then.
    Set(FileTime),
}

/// A run of a script by itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Run {
    /// The digest of how it was called.
    pub call: [u8; 32],
    pub conditions: Vec<Condition>,
    /// As in [`Record`].
    pub asked: Vec<(Asked, [u8; 32])>,
    /// As in [`Record`].
    pub changes: Vec<(String, Entry)>,
    /// As in [`Record`].
    pub links: BTreeMap<String, String>,
    /// As in [`Record`].
    pub times: BTreeMap<String, Time>,
    /// As in [`Record`].
    pub folders: Vec<String>,
}

/// The ref of what is kept under a key.
pub(super) fn ref_name(key: Sha256) -> String {
    store::cache_ref(STAGE, key)
}

/// Runs of scripts.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Library {
    pub conditions: Vec<Condition>,
    pub records: Vec<Record>,
    /// The number of each condition.
    #[serde(skip)]
    numbers: HashMap<Condition, u32>,
}

impl Library {
    /// What was kept under a key; nothing when that cannot be read any more.
    pub fn load(store: &Store, key: Sha256) -> Self {
        Self::try_load(store, key).ok().flatten().unwrap_or_default()
    }

    fn try_load(store: &Store, key: Sha256) -> Result<Option<Self>> {
        let Some(commit) = store.resolve(&ref_name(key))? else { return Ok(None) };
        let Some(object) = store.find_file(commit, RECORDS)? else { return Ok(None) };
        let bytes = store.reader().read(object)?;
        // Objects are not hashed when they are read, and what comes of these goes into the root.
        let (digest, records) = bytes.split_at_checked(size_of::<Sha256>()).context("no digest")?;
        ensure!(Sha256::of(records).as_bytes() == digest, "the records are damaged");
        Ok(Some(postcard::from_bytes(records)?))
    }

    /// The conditions of a run; none for one that the library does not have.
    pub fn conditions_of(&self, record: &Record) -> impl Iterator<Item = Option<&Condition>> {
        record.conditions.iter().map(|number| self.conditions.get(*number as usize))
    }

    /// A run, which has all its conditions here.
    pub fn run(&self, record: &Record) -> Run {
        let Record { call, asked, changes, links, times, folders, .. } = record.clone();
        let conditions = self.conditions_of(record).flatten().cloned().collect();
        Run { call, conditions, asked, changes, links, times, folders }
    }

    /// Keeps a run.
    pub fn keep(&mut self, run: &Run) {
        let Run { call, conditions, asked, changes, links, times, folders } = run.clone();
        let conditions = conditions.into_iter().map(|condition| self.number(condition)).collect();
        self.records.push(Record { call, conditions, asked, changes, links, times, folders });
    }

    /// The number of a condition.
    fn number(&mut self, condition: Condition) -> u32 {
        let next = self.conditions.len() as u32;
        let number = *self.numbers.entry(condition.clone()).or_insert(next);
        if number == next {
            self.conditions.push(condition);
        }
        number
    }

    /// The commit that keeps this under a key.
    pub fn commit(&self, writer: &ObjectWriter, key: Sha256, subject: &str, date: Timestamp) -> Result<NewCommit> {
        let attributes = Attributes { uid: 0, gid: 0, mode: 0o100_644, xattrs: BTreeMap::new() };
        let records = postcard::to_allocvec(self).context("cannot write down what scripts did")?;
        let records = [Sha256::of(&records).as_bytes().as_slice(), &records].concat();
        let mut root = Directory::new(0o755);
        root.files.insert(RECORDS.to_owned(), writer.write_bytes(&attributes, &records)?);
        let mut objects = Directory::new(0o755);
        for (_, entry) in self.records.iter().flat_map(|record| &record.changes) {
            if let Entry::Leaf(leaf) = entry {
                objects.files.insert(leaf.to_hex(), *leaf);
            }
        }
        root.directories.insert(OBJECTS.to_owned(), objects);
        let tree = Tree { root, extras: store::Extras::default() };
        Ok(NewCommit {
            name: ref_name(key),
            parent: None,
            subject: subject.to_owned(),
            metadata: BTreeMap::new(),
            version: None,
            root: writer.write_tree(&tree)?,
            date,
        })
    }
}
