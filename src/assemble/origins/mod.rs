//! Where each path of a configured tree comes from that is not as a package ships it: which script, trigger, program, row of
//! the table of residue or part of the manifest may have changed it, and what the build left there.
//!
//! The record is kept under `cache/origins/<tree>`, the checksum of the root directory's tree object, and is a function of lock
//! and manifest. Whoever reads it compares what it says with what a tree has.

mod deeds;
mod shipped;

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

pub use deeds::Deeds;
pub use shipped::{Aliases, Shipped, aliases, directory_value, implied_directory, node_value, real_path, value_of};

use super::merge::{Books, root_file};
use super::normalise;
use crate::digest::Sha256;
use crate::lock::{Lock, Package};
use crate::manifest::{HookPoint, Manifest};
use crate::package::{Installation, Residue};
use crate::store::{self, Directory, Extras, NewCommit, ObjectReader, ObjectWriter, Store, Tree};

/// Ahead of each record; to be raised when its form changes.
const VERSION: u32 = 2;
/// The stage's name in refs.
const STAGE: &str = "origins";
/// The file of the record's commit.
const RECORD: &str = "record";

/// What kind of thing changed a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CauseKind {
    /// A package ships it.
    Package,
    /// A script or trigger of a package.
    Script,
    /// A program of the installation itself, such as dpkg.
    Program,
    /// The database's files and the links that there are before packages.
    Merge,
    /// A row of the table of residue, or what makes it again.
    Normalisation,
    /// Files, accounts, settings or hooks of the manifest.
    Manifest,
    /// Scripts of this build of which not all was seen.
    Scripts,
}

/// What changed a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of thing.
    pub kind: CauseKind,
    /// Which one, as messages call it.
    pub by: String,
}

impl Cause {
    /// One of a kind.
    pub fn new(kind: CauseKind, by: impl Into<String>) -> Self {
        Self { kind, by: by.into() }
    }
}

/// The record of a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origins {
    causes: Vec<Cause>,
    /// Paths in order: what the build left there, none for nothing, and numbers of causes, none where it is not known.
    paths: Vec<(String, Option<[u8; 32]>, Vec<u32>)>,
}

impl Origins {
    /// What the build left at a path, and what may have changed it; none where the path is as a package ships it.
    pub fn at(&self, path: &str) -> Option<(Option<Sha256>, impl Iterator<Item = &Cause>)> {
        let index = self.paths.binary_search_by(|(known, ..)| known.as_str().cmp(path)).ok()?;
        let (_, value, causes) = &self.paths[index];
        let causes = causes.iter().filter_map(|number| self.causes.get(*number as usize));
        Some((value.map(Sha256::from_bytes), causes))
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether all paths are as packages ship them.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

/// The ref of the record of a tree, given by the tree object of its root directory.
pub fn record_ref(tree: Sha256) -> String {
    store::cache_ref(STAGE, tree)
}

/// Looks for the record of a tree; none where there is none.
pub fn load(store: &Store, tree: Sha256) -> Result<Option<Origins>> {
    let Some(commit) = store.resolve(&record_ref(tree))? else { return Ok(None) };
    let damaged = || format!("the record of origins of the tree {tree} is damaged");
    let record = store.reader().read(store.find_file(commit, RECORD)?.with_context(damaged)?)?;
    let (digest, record) = record.split_at_checked(size_of::<Sha256>()).with_context(damaged)?;
    ensure!(Sha256::of(record).as_bytes() == digest, damaged());
    let (version, origins): (u32, Origins) = postcard::from_bytes(record).with_context(damaged)?;
    Ok((version == VERSION).then_some(origins))
}

/// What a record is made of.
pub(super) struct Making<'a> {
    pub installation: &'a dyn Installation,
    pub manifest: &'a Manifest,
    pub lock: &'a Lock,
    pub deeds: &'a Deeds,
    /// What the merge itself made.
    pub books: &'a Books,
    pub tree: &'a Tree,
    /// The tree's own objects of its root directory.
    pub root: (Sha256, Sha256),
}

/// The commit of a tree's record.
pub(super) fn commit(reader: &ObjectReader, writer: &ObjectWriter, making: &Making<'_>) -> Result<NewCommit> {
    let record = postcard::to_allocvec(&(VERSION, make(reader, making))).context("cannot write down origins")?;
    let record = [Sha256::of(&record).as_bytes().as_slice(), &record].concat();
    let mut root = Directory::new(0o755);
    root.files.insert(RECORD.to_owned(), writer.write_bytes(&root_file(0o644), &record)?);
    Ok(NewCommit {
        name: record_ref(making.root.0),
        parent: None,
        subject: format!("{} {}", making.lock.manifest, making.lock.architecture),
        metadata: BTreeMap::new(),
        version: None,
        root: writer.write_tree(&Tree { root, extras: Extras::default() })?,
        date: making.lock.date,
    })
}

/// The labels of the steps that the manifest asks for.
pub(super) fn steps_of_manifest(manifest: &Manifest) -> Vec<String> {
    let hooks =
        [HookPoint::Unpacked, HookPoint::Configured].into_iter().flat_map(|at| super::settings::hooks(manifest, at));
    let steps =
        super::accounts::account_scripts(manifest).into_iter().chain(super::settings::scripts(&manifest.system));
    let labels = steps.chain(hooks).map(|script| script.label);
    labels.chain((!manifest.system.debconf.is_empty()).then(|| "debconf-set-selections".to_owned())).collect()
}

fn make(reader: &ObjectReader, making: &Making<'_>) -> Origins {
    let Making { installation, tree, .. } = making;
    let aliases = aliases(reader, tree.root.files.iter());
    let mut shipped = Shipped::default();
    for (number, package) in installation.packages().iter().enumerate() {
        shipped.add(number as u32, package.records().iter(), &aliases);
    }
    let mut found: BTreeMap<String, Option<Sha256>> = BTreeMap::new();
    let mut put = |path: &str, value: Sha256| {
        if shipped.by(path, value).is_none() {
            found.insert(path.to_owned(), Some(value));
        }
    };
    walk(&tree.root, &mut String::new(), &mut put);
    tree.extras.nodes.iter().for_each(|(path, node)| put(path, node_value(node)));
    for path in shipped.paths().filter(|path| !is_there(tree, path)) {
        found.insert(path.clone(), None);
    }
    let mut origins = Origins::default();
    let mut numbers: HashMap<Cause, u32> = HashMap::new();
    for (path, value) in found {
        let causes = making.causes(&path, value, &shipped).into_iter().map(|cause| {
            *numbers.entry(cause).or_insert_with_key(|cause| {
                origins.causes.push(cause.clone());
                origins.causes.len() as u32 - 1
            })
        });
        let causes = causes.collect();
        origins.paths.push((path, value.map(|value| *value.as_bytes()), causes));
    }
    origins
}

impl Making<'_> {
    fn causes(&self, path: &str, value: Option<Sha256>, shipped: &Shipped) -> Vec<Cause> {
        let mut causes = self.deeds.of(path, self.installation);
        causes.extend(self.installation.residue().iter().filter_map(|row| normalised(row, path)));
        let is_file = |wanted: &str| self.manifest.files.iter().any(|file| file.path.trim_matches('/') == wanted);
        let below = |file: &crate::manifest::AddedFile| {
            file.path.trim_matches('/').strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        let implied = || value == Some(implied_directory()) && self.manifest.files.iter().any(below);
        if is_file(path) || causes.is_empty() && implied() {
            causes.push(Cause::new(CauseKind::Manifest, "files"));
        }
        if causes.is_empty() {
            let shared = || self.is_shared(path, value, shipped);
            causes.extend(if self.books.paths.contains(path) {
                Some(Cause::new(CauseKind::Merge, "the package database"))
            } else if let Some((package, _)) = self.books.owned.get(path).filter(|(_, owned)| Some(*owned) == value) {
                let Package { name, version, .. } = &self.lock.packages[*package];
                Some(Cause::new(CauseKind::Package, format!("{name} {version}")))
            } else if self.deeds.lost {
                Some(Cause::new(CauseKind::Scripts, "scripts of the build"))
            } else {
                shared().then(|| Cause::new(CauseKind::Merge, "how packages share paths"))
            });
        }
        causes
    }

    /// Whether packages that are put together can make this of a path: nothing, a folder of several, a link at the top that
    /// is there ahead of them, or what one of them ships for another path.
    fn is_shared(&self, path: &str, value: Option<Sha256>, shipped: &Shipped) -> bool {
        let Some(value) = value else { return true };
        let packages: Vec<usize> = (0..self.installation.packages().len()).collect();
        let is_alias = || self.installation.aliases(&packages).iter().any(|(name, _)| name == path);
        self.tree.root.find(path).is_some() || is_alias() || shipped.anywhere(value)
    }
}

/// What the table of residue does to a path.
fn normalised(row: &Residue, path: &str) -> Option<Cause> {
    if normalise::is_within(row.path, path) {
        return Some(Cause::new(CauseKind::Normalisation, format!("/{} {}", row.path, row.why)));
    }
    let renewal = row.renewal?;
    let is_unit = normalise::unit_paths(renewal).iter().any(|unit| unit == path);
    is_unit.then(|| Cause::new(CauseKind::Normalisation, format!("makes {} anew", renewal.description)))
}

fn walk(dir: &Directory, path: &mut String, visit: &mut dyn FnMut(&str, Sha256)) {
    visit(path, directory_value(&dir.attributes));
    let length = path.len();
    let separator = if path.is_empty() { "" } else { "/" };
    for (name, leaf) in &dir.files {
        path.extend([separator, name]);
        visit(path, *leaf);
        path.truncate(length);
    }
    for (name, child) in &dir.directories {
        path.extend([separator, name]);
        walk(child, path, visit);
        path.truncate(length);
    }
}

fn is_there(tree: &Tree, path: &str) -> bool {
    tree.root.file(path).is_some() || tree.root.find(path).is_some() || tree.extras.nodes.contains_key(path)
}
