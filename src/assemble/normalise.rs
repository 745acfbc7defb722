//! What scripts leave behind that is no function of the lock, removed by rows of the format's table.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::merge::root_file;
use crate::package::{Residue, Treatment};
use crate::store::{Directory, ObjectReader, ObjectWriter, Tree, split};

/// Applies every row to the tree.
pub fn normalise(reader: &ObjectReader, writer: &ObjectWriter, tree: &mut Tree, rows: &[Residue]) -> Result<()> {
    for row in rows {
        let (folder, pattern) = split(row.path);
        let Some(dir) = tree.root.find_mut(folder) else { continue };
        let names: Vec<String> = dir.files.keys().filter(|name| matches(pattern, name)).cloned().collect();
        for name in names {
            match row.treatment {
                Treatment::Remove => {
                    dir.files.remove(&name);
                    remove_links(reader, dir, &name);
                }
                Treatment::Truncate => {
                    dir.files.insert(name, writer.write_bytes(&root_file(0o644), b"")?);
                }
            }
        }
    }
    let root = &tree.root;
    tree.extras.links.retain(|link, first| root.file(link).is_some() && root.file(link) == root.file(first));
    Ok(())
}

/// Removes the links beside a file that was removed which lead to it and to nothing now.
fn remove_links(reader: &ObjectReader, dir: &mut Directory, name: &str) {
    dir.files
        .retain(|_, object| fs::read_link(reader.path(*object)).ok().is_none_or(|target| target != Path::new(name)));
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_at_either_end() {
        assert!(matches("*", "a") && matches("*-old", "x-old") && matches("ssh_host_*", "ssh_host_rsa_key"));
        assert!(!matches("*-old", "x") && !matches("a", "ab"));
    }
}
