//! What scripts leave behind that is no function of the lock, treated by rows of the format's table; and the units by which
//! a system makes anew what a row took from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::merge::{make_directory, root_file};
use crate::clock::Timestamp;
use crate::package::{Renewal, Residue, Treatment};
use crate::store::{Attributes, Content, Directory, ObjectReader, ObjectWriter, Tree, split};

/// Applies every row to the tree.
pub fn normalise(
    reader: &ObjectReader,
    writer: &ObjectWriter,
    tree: &mut Tree,
    rows: &[Residue],
    date: Timestamp,
) -> Result<()> {
    let mut renewals: Vec<&Renewal> = Vec::new();
    for row in rows {
        let found = find(&tree.root, row.path);
        for path in &found {
            treat(reader, writer, &mut tree.root, path, row.treatment, date)?;
        }
        if let Some(renewal) = row.renewal
            && !found.is_empty()
            && !renewals.contains(&renewal)
        {
            renewals.push(renewal);
        }
    }
    if tree.root.file(SYSTEMD).is_some() {
        renewals.into_iter().try_for_each(|renewal| add_unit(writer, &mut tree.root, renewal))?;
    }
    let root = &tree.root;
    tree.extras.links.retain(|link, first| root.file(link).is_some() && root.file(link) == root.file(first));
    Ok(())
}

fn treat(
    reader: &ObjectReader,
    writer: &ObjectWriter,
    root: &mut Directory,
    path: &str,
    treatment: Treatment,
    date: Timestamp,
) -> Result<()> {
    let (folder, name) = split(path);
    let Some(dir) = root.find_mut(folder) else { return Ok(()) };
    match treatment {
        Treatment::Remove => {
            dir.files.remove(name);
            dir.directories.remove(name);
            remove_links(reader, dir, name);
        }
        Treatment::Truncate => {
            dir.files.insert(name.to_owned(), writer.write_bytes(&root_file(0o644), b"")?);
        }
        Treatment::Rewrite(rewrite) => {
            let Some(object) = dir.files.get_mut(name) else { return Ok(()) };
            let attributes = reader.attributes(*object)?;
            if attributes.mode & 0o170_000 == 0o100_000
                && let Some(content) = rewrite(&reader.read(*object)?, date)
            {
                *object = writer.write_bytes(&attributes, &content)?;
            }
        }
    }
    Ok(())
}

/// Removes the links beside a file that was removed which lead to it and to nothing now.
fn remove_links(reader: &ObjectReader, dir: &mut Directory, name: &str) {
    dir.files
        .retain(|_, object| fs::read_link(reader.path(*object)).ok().is_none_or(|target| target != Path::new(name)));
}

/// The paths of files and folders that a pattern names.
fn find(root: &Directory, pattern: &str) -> BTreeSet<String> {
    let (folders, last) = split(pattern);
    let mut at = vec![(String::new(), root)];
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        let below = at.iter().flat_map(|(path, dir)| {
            let matching = dir.directories.iter().filter(|(name, _)| matches(component, name));
            matching.map(move |(name, child)| (format!("{path}{name}/"), child))
        });
        at = below.collect();
    }
    let paths = at.iter().flat_map(|(path, dir)| {
        let names = dir.files.keys().chain(dir.directories.keys()).filter(|name| matches(last, name));
        names.map(move |name| format!("{path}{name}"))
    });
    paths.collect()
}

/// Whether a pattern names a path or a folder above it.
pub(super) fn is_within(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    pattern.split('/').all(|component| names.next().is_some_and(|name| matches(component, name)))
}

/// Whether a name fits a pattern in which a `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|name| (0..=name.len()).any(|i| name.get(i..).is_some_and(|name| matches(rest, name)))),
    }
}

/// systemd's own program, by which a root has it.
const SYSTEMD: &str = "usr/lib/systemd/systemd";

/// The folder of an administrator's units, who compose is here.
const UNITS: &str = "etc/systemd/system";

/// What runs early enough for all services to find what is made, and not again where it is.
fn unit_text(renewal: &Renewal) -> String {
    let Renewal { description, done, command, .. } = renewal;
    format!(
        "\
# Made by compose: images do not ship what this makes.
[Unit]
Description=Make {description}
ConditionPathExistsGlob=!{done}
DefaultDependencies=no
After=local-fs.target systemd-tmpfiles-setup.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=DEBIAN_FRONTEND=noninteractive
ExecStart={command}

[Install]
WantedBy=sysinit.target
"
    )
}

/// Where a unit and the link that enables it are.
pub(super) fn unit_paths(renewal: &Renewal) -> [String; 2] {
    let name = format!("{}.service", renewal.unit);
    [format!("{UNITS}/{name}"), format!("{UNITS}/sysinit.target.wants/{name}")]
}

/// Adds and enables a unit, unless there is one of its name, such as a masked one.
fn add_unit(writer: &ObjectWriter, root: &mut Directory, renewal: &Renewal) -> Result<()> {
    let name = format!("{}.service", renewal.unit);
    let units = make_directory(root, UNITS);
    if units.files.contains_key(&name) {
        return Ok(());
    }
    units.files.insert(name.clone(), writer.write_bytes(&root_file(0o644), unit_text(renewal).as_bytes())?);
    let link = Attributes { uid: 0, gid: 0, mode: 0o120_777, xattrs: BTreeMap::new() };
    let link = writer.write(&link, Content::Symlink(&format!("/{UNITS}/{name}")))?;
    make_directory(root, &format!("{UNITS}/sysinit.target.wants")).files.insert(name, link);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn patterns_name_files_and_folders() {
        let mut root = Directory::new(0o755);
        let file = Sha256::of(b"");
        for path in ["var/lib/db/15/main/base", "var/lib/db/17/main/global", "var/lib/db/17/other/base"] {
            make_directory(&mut root, path).files.insert("1".to_owned(), file);
        }
        make_directory(&mut root, "var/lib/db/17/main").files.insert("VERSION".to_owned(), file);
        let found = |pattern| find(&root, pattern).into_iter().collect::<Vec<_>>();
        assert_eq!(
            found("var/lib/db/*/main/*"),
            ["var/lib/db/15/main/base", "var/lib/db/17/main/VERSION", "var/lib/db/17/main/global"]
        );
        assert_eq!(found("var/lib/db/1*/*/V*N"), ["var/lib/db/17/main/VERSION"]);
        assert_eq!(found("var/lib/*/VERSION"), [""; 0]);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*", "a") && matches("*-old", "x-old") && matches("ssh_host_*", "ssh_host_rsa_key"));
        assert!(matches("lua*tex", "luatex") && matches("lua*tex", "luahbtex") && matches("a*b*", "axbb"));
        assert!(!matches("*-old", "x") && !matches("a", "ab") && !matches("a*a", "a"));
    }
}
