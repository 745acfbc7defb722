//! What nothing needs any more: refs to be removed, and objects that no other ref reaches.
//!
//! libostree's own prune (`ostree_repo_prune`) follows one depth for all refs, tells sizes only once refs are gone, and
//! removes objects in no order: killed meanwhile, it leaves commits without their files. Here refs go first, then
//! commits, then all else, and a dry run tells the same as the run.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::{Store, tree};
use crate::digest::Sha256;

/// Files that go, and what that frees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freed {
    /// How many files.
    pub files: usize,
    /// The bytes that they take on disk, as du(1) counts.
    pub bytes: u64,
}

impl Freed {
    /// Adds a file, which may have names elsewhere, and then frees nothing.
    pub fn add(&mut self, metadata: &Metadata) {
        self.files += 1;
        self.bytes += if metadata.nlink() > 1 { 0 } else { metadata.blocks() * 512 };
    }
}

/// An object to be removed.
struct Unneeded {
    path: PathBuf,
    metadata: Metadata,
}

impl Store {
    /// Removes refs and then every object that neither the refs that are left nor `commits` reach: of a ref its commit and
    /// that commit's tree, without the commits before. Only on a store that [`Store::open_alone`] opened. A dry run
    /// removes nothing and tells the same: the objects, and the bytes of refs with theirs.
    pub fn prune(&self, refs: &[String], commits: &[Sha256], dry_run: bool) -> Result<Freed> {
        let failed = || format!("cannot remove what is not needed from the store {}", self.root.display());
        let going: HashSet<&String> = refs.iter().collect();
        let all = self.repo.list_refs(None, gio::Cancellable::NONE).with_context(failed)?;
        let kept = all.iter().filter(|(name, _)| !going.contains(name)).map(|(_, commit)| commit.parse::<Sha256>());
        let mut roots: HashSet<Sha256> = kept.collect::<Result<_, _>>().with_context(failed)?;
        roots.extend(commits);
        let needed = self.reachable(&roots)?;
        let heads = self.root.join("repo/refs/heads");
        let sizes = refs.iter().map(|name| fs::metadata(heads.join(name)).map_or(0, |file| file.blocks() * 512));
        let bytes_of_refs: u64 = sizes.sum();
        if !dry_run && !refs.is_empty() {
            let changes: Vec<_> = refs.iter().map(|name| (name.clone(), None)).collect();
            self.change_refs(&changes)?;
        }
        let folders: Vec<_> = fs::read_dir(&self.objects).with_context(failed)?.collect::<Result<_, _>>()?;
        let unneeded = folders.par_iter().map(|folder| unneeded_in(&folder.path(), &needed));
        let unneeded: Vec<Vec<Unneeded>> = unneeded.collect::<Result<_>>().with_context(failed)?;
        let mut unneeded: Vec<Unneeded> = unneeded.into_iter().flatten().collect();
        // What is left when the run is killed is then no commit without its tree.
        unneeded.sort_by_key(|object| !is_of_commit(&object.path));
        let commits = unneeded.partition_point(|object| is_of_commit(&object.path));
        let mut freed = Freed { files: 0, bytes: bytes_of_refs };
        for object in &unneeded {
            freed.add(&object.metadata);
        }
        if !dry_run {
            for part in [&unneeded[..commits], &unneeded[commits..]] {
                part.par_iter().try_for_each(|object| remove(&object.path))?;
                rustix::fs::syncfs(&self.objects_fd).with_context(failed)?;
            }
        }
        Ok(freed)
    }

    /// The objects of commits, by the kinds that end their files' names.
    fn reachable(&self, commits: &HashSet<Sha256>) -> Result<HashMap<&'static str, HashSet<Sha256>>> {
        let mut needed: HashMap<&'static str, HashSet<Sha256>> = HashMap::new();
        let mut trees: Vec<Sha256> = Vec::new();
        for commit in commits {
            let (tree, meta) = self.load_commit(*commit)?.root;
            trees.push(tree);
            needed.entry("dirmeta").or_default().insert(meta);
        }
        let mut seen: HashSet<Sha256> = trees.iter().copied().collect();
        let objects = &self.objects;
        // Level by level, each tree once, however many directories it is.
        while !trees.is_empty() {
            let read = trees.par_iter().map(|tree| tree::read_tree_object(objects, *tree));
            let entries: Vec<_> = read.collect::<Result<_>>()?;
            trees.clear();
            for entry in entries {
                needed.entry("file").or_default().extend(entry.files.into_values());
                for (tree, meta) in entry.directories.into_values() {
                    needed.entry("dirmeta").or_default().insert(meta);
                    if seen.insert(tree) {
                        trees.push(tree);
                    }
                }
            }
        }
        needed.insert("dirtree", seen);
        needed.insert("commitmeta", commits.clone());
        needed.insert("commit", commits.clone());
        Ok(needed)
    }
}

fn is_of_commit(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "commit" || kind == "commitmeta")
}

/// The files of a folder of objects that are none of these, also those that killed runs left.
fn unneeded_in(folder: &Path, needed: &HashMap<&'static str, HashSet<Sha256>>) -> Result<Vec<Unneeded>> {
    let first = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let (rest, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
        let checksum = [&first, rest].concat().parse::<Sha256>();
        if checksum.is_ok_and(|checksum| needed.get(kind).is_some_and(|needed| needed.contains(&checksum))) {
            continue;
        }
        found.push(Unneeded { path: entry.path(), metadata: entry.metadata()? });
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}
