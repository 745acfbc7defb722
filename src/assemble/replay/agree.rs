//! Whether what scripts were seen to do is what became of the root.

use std::collections::{BTreeMap, HashMap};

use crate::store::{Directory, Entry, Node, Tree, split};

/// The first path that differs between two trees though nothing was known to change it, or that is not what it was known to
/// be. `changed` has what is known of paths, none where only that they may have changed; `stays` tells which are kept.
pub(super) fn disagreement(
    changed: &HashMap<String, Option<Entry>>,
    stays: &dyn Fn(&str) -> bool,
    before: &Directory,
    nodes: &BTreeMap<String, Node>,
    after: &Tree,
) -> Option<String> {
    let mut unseen = None;
    let mut visit = |path: &str| {
        if unseen.is_none() && !changed.contains_key(path) {
            unseen = Some(path.to_owned());
        }
    };
    differences("", Some(before), Some(&after.root), &mut visit);
    for (path, node) in nodes.iter().chain(&after.extras.nodes) {
        if nodes.get(path) != Some(node) || after.extras.nodes.get(path) != Some(node) {
            visit(path);
        }
    }
    let is_wrong = |(path, entry): &(&String, &Option<Entry>)| {
        stays(path) && entry.as_ref().is_some_and(|entry| *entry != entry_at(after, path))
    };
    unseen.or_else(|| changed.iter().find(is_wrong).map(|(path, _)| path.clone()))
}

/// What a tree has at a path.
fn entry_at(tree: &Tree, path: &str) -> Entry {
    if path.is_empty() {
        return Entry::Directory(tree.root.attributes.clone());
    }
    let (folder, name) = split(path);
    let folder = tree.root.find(folder);
    let directory = || folder?.directories.get(name).map(|child| Entry::Directory(child.attributes.clone()));
    let leaf = folder.and_then(|folder| folder.files.get(name)).copied().map(Entry::Leaf);
    let node = || tree.extras.nodes.get(path).cloned().map(Entry::Node);
    leaf.or_else(directory).or_else(node).unwrap_or(Entry::Absent)
}

/// Tells of each path at which there is something else, with all below one that is in one of the trees only.
fn differences(path: &str, before: Option<&Directory>, after: Option<&Directory>, visit: &mut dyn FnMut(&str)) {
    let child = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    if before.map(|dir| &dir.attributes) != after.map(|dir| &dir.attributes) {
        visit(path);
    }
    for (one, other) in [(before, after), (after, before)] {
        for (name, leaf) in one.into_iter().flat_map(|dir| &dir.files) {
            if other.and_then(|dir| dir.files.get(name)) != Some(leaf) {
                visit(&child(name));
            }
        }
    }
    let folders = |dir: Option<&Directory>, name: &str| dir.is_some_and(|dir| dir.directories.contains_key(name));
    for (name, dir) in before.into_iter().flat_map(|dir| &dir.directories) {
        differences(&child(name), Some(dir), after.and_then(|after| after.directories.get(name)), visit);
    }
    for (name, dir) in after.into_iter().flat_map(|dir| &dir.directories).filter(|(name, _)| !folders(before, name)) {
        differences(&child(name), None, Some(dir), visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::store::Extras;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut root = Directory::new(0o755);
        for (path, content) in files {
            let (folder, name) = split(path);
            let dir = folder.split('/').filter(|part| !part.is_empty()).fold(&mut root, |dir, part| {
                dir.directories.entry(part.to_owned()).or_insert_with(|| Directory::new(0o755))
            });
            dir.files.insert(name.to_owned(), Sha256::of(content.as_bytes()));
        }
        Tree { root, extras: Extras::default() }
    }

    #[test]
    fn what_was_not_seen_or_is_not_so_is_found() {
        let before = tree(&[("a", "1"), ("etc/b", "1"), ("etc/gone", "1")]);
        let after = tree(&[("a", "2"), ("etc/b", "1"), ("usr/new", "1")]);
        let leaf = |content: &str| Some(Entry::Leaf(Sha256::of(content.as_bytes())));
        let mut changed = HashMap::new();
        let mut found = |path: &str, entry: Option<Entry>| {
            changed.insert(path.to_owned(), entry);
            disagreement(&changed, &|path| path != "run/pid", &before.root, &BTreeMap::new(), &after)
        };
        assert_eq!(found("a", leaf("2")).as_deref(), Some("etc/gone"));
        assert_eq!(found("etc/gone", Some(Entry::Absent)).as_deref(), Some("usr"));
        assert_eq!(found("usr", None).as_deref(), Some("usr/new"));
        assert_eq!(found("usr/new", leaf("1")), None);
        assert_eq!(found("run/pid", leaf("1")), None, "nothing of it is kept");
        assert_eq!(found("etc/b", leaf("2")).as_deref(), Some("etc/b"));
    }
}
