//! Packages on their way into the store, while others already wait for some of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};

use super::{Commits, LookUp};
use crate::digest::Sha256;
use crate::lock;
use crate::package::{self, Format, Member, MemberSink, Record};
use crate::progress::{Progress, Unit};
use crate::store::{ObjectReader, ObjectWriter, PendingRefs, Store};
use crate::timing::Part;

/// Tells where a package's file is.
pub type FileOf<'a> = &'a (dyn Fn(Sha256) -> PathBuf + Sync);

/// The packages of a root: those that the store has, and those that [`Imports::run`] brings.
pub struct Imports<'a> {
    format: Format,
    writer: ObjectWriter,
    reader: ObjectReader,
    file_of: FileOf<'a>,
    missing: Vec<&'a lock::Package>,
    /// The objects of the indexes of packages that were there.
    indexes: BTreeMap<Sha256, Sha256>,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    /// What is to be imported, the last first.
    queue: Vec<&'a lock::Package>,
    /// The root directory's tree and meta objects and the index of what was imported.
    done: BTreeMap<Sha256, ((Sha256, Sha256), Sha256)>,
    ended: bool,
}

impl fmt::Debug for Imports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imports").field("missing", &self.missing.len()).finish_non_exhaustive()
    }
}

impl<'a> Imports<'a> {
    /// Packages that were looked up; `file_of` has the files of those missing.
    pub fn new(store: &Store, format: Format, found: LookUp<'a>, file_of: FileOf<'a>) -> Result<Self> {
        let LookUp { commits, missing } = found;
        let index = |(sha256, commit): (&Sha256, &Sha256)| Ok((*sha256, super::index_object(store, *commit)?));
        let mut queue = missing.clone();
        // The largest first: the last one to end then ends soonest.
        queue.sort_by_key(|p| (p.size, Reverse(p.sha256)));
        Ok(Self {
            format,
            writer: store.writer(),
            reader: store.reader(),
            file_of,
            missing,
            indexes: commits.iter().map(index).collect::<Result<_>>()?,
            state: Mutex::new(State { queue, ..State::default() }),
            changed: Condvar::new(),
        })
    }

    /// Imports what is missing, on as many threads as rayon's pool has. Each file is checked against its SHA-256 before
    /// anything of it is parsed. The commits' refs are the caller's to set.
    pub fn run(&self, progress: &dyn Progress) -> Result<(Commits, PendingRefs)> {
        let task = progress.task("import", Unit::Bytes, self.missing.iter().map(|p| p.size).sum());
        let work = || -> Result<()> {
            let end = End(self);
            while let Some(package) = self.next() {
                self.import(package).with_context(|| format!("cannot import {}", package.describe()))?;
                task.advance(package.size);
            }
            std::mem::forget(end);
            Ok(())
        };
        // A pool of their own: work of others in the common one must not wait for all of this to end.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build()?;
        let outcomes = pool.broadcast(|_| work());
        drop(End(self));
        outcomes.into_iter().collect::<Result<()>>()?;
        drop(task);
        let done = &self.lock().done;
        let commits: Vec<_> =
            self.missing.iter().map(|p| super::new_commit(self.format, p.sha256, done[&p.sha256].0)).collect();
        let pending = self.writer.write_commits(&commits)?;
        let commits = self.missing.iter().zip(pending.refs()).map(|(package, (_, commit))| (package.sha256, *commit));
        Ok((commits.collect(), pending))
    }

    /// Has these packages imported ahead of the others.
    pub fn hurry(&self, packages: &[&lock::Package]) {
        let wanted: BTreeSet<Sha256> = packages.iter().map(|p| p.sha256).collect();
        self.lock().queue.sort_by_key(|p| wanted.contains(&p.sha256));
    }

    /// The records of a package, once it is imported.
    pub fn records(&self, package: &lock::Package) -> Result<Vec<Record>> {
        super::read_index(&self.reader, self.index(package)?)
    }

    /// The control files of these names of a package, whether it is imported yet or not.
    pub fn control(&self, package: &lock::Package, names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut control = Control { names, found: BTreeMap::new() };
        if let Some(index) = self.indexes.get(&package.sha256) {
            for record in super::records(&self.reader.read(*index)?) {
                let Record { member, object } = record?;
                // The control part comes first.
                if member.part != package::Part::Control {
                    break;
                }
                if let Some(object) = object.filter(|_| control.wants(&member)) {
                    control.found.insert(member.path, self.reader.read(object)?);
                }
            }
        } else {
            let path = (self.file_of)(package.sha256);
            super::open_verified(self.writer.timings(), &path, package.sha256)
                .and_then(|mut file| self.format.unpack_control(&mut file, &mut control))
                .with_context(|| format!("cannot import {}", package.describe()))?;
        }
        Ok(control.found)
    }

    fn index(&self, package: &lock::Package) -> Result<Sha256> {
        if let Some(index) = self.indexes.get(&package.sha256) {
            return Ok(*index);
        }
        let mut state = self.lock();
        loop {
            if let Some((_, index)) = state.done.get(&package.sha256) {
                return Ok(*index);
            }
            if state.ended {
                return Err(anyhow!("{} is not imported", package.describe()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn next(&self) -> Option<&'a lock::Package> {
        let mut state = self.lock();
        if state.ended { None } else { state.queue.pop() }
    }

    fn import(&self, package: &lock::Package) -> Result<()> {
        let path = (self.file_of)(package.sha256);
        let timings = self.writer.timings();
        let import = || super::import_file(&self.writer, self.format, &path, package.sha256);
        let (tree, index) = timings.share(Part::Decompress, import)?;
        let root = timings.share(Part::Write, || self.writer.write_tree(&tree))?;
        self.lock().done.insert(package.sha256, (root, index));
        self.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the imports when it is dropped: nobody waits for what will not come.
struct End<'a, 'b>(&'a Imports<'b>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// Keeps control files of some names.
struct Control<'a> {
    names: &'a [&'a str],
    found: BTreeMap<String, Vec<u8>>,
}

impl Control<'_> {
    fn wants(&self, member: &Member) -> bool {
        self.names.contains(&member.path.as_str())
    }
}

impl MemberSink for Control<'_> {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        if self.wants(&member) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.found.insert(member.path, bytes);
        }
        Ok(())
    }
}
