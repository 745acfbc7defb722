//! The manifest's groups, users and files in the root.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::merge::make_directory;
use crate::manifest::{AddedContent, AddedFile, Group, Manifest, User};
use crate::package::Script;
use crate::store::{Attributes, Content, ObjectWriter, Store, Tree, split};

/// The commands that make the manifest's groups and users, with the root's own shadow-utils.
pub fn account_scripts(manifest: &Manifest) -> Vec<Script> {
    manifest.groups.iter().map(add_group).chain(manifest.users.iter().map(set_user)).collect()
}

fn add_group(group: &Group) -> Script {
    let mut command = vec!["/usr/sbin/groupadd".to_owned(), "--force".to_owned()];
    command.extend(group.gid.map(|gid| format!("--gid={gid}")));
    command.extend(group.system.then(|| "--system".to_owned()));
    command.push(group.name.clone());
    Script { label: format!("adding the group {}", group.name), command, ..Script::default() }
}

/// `$0` is the user: one that packages made is changed, any other added.
const SET_USER: &str = r#"
set -e
if getent passwd "$0" >/dev/null; then
    [ $# = 0 ] || usermod ${APPEND:+--append} ${HOME_FOLDER:+--home="$HOME_FOLDER"} "$@" "$0"
else
    useradd $KIND ${HOME_FOLDER:+--home-dir="$HOME_FOLDER"} "$@" "$0"
fi
[ -z "${PASSWORD+set}" ] || printf '%s:%s\n' "$0" "$PASSWORD" | chpasswd --encrypted
"#;

/// Values go by arguments and environment, never into the script's text.
fn set_user(user: &User) -> Script {
    let mut command: Vec<String> = ["/bin/sh", "-c", SET_USER, &user.name].map(str::to_owned).to_vec();
    command.extend(user.uid.map(|uid| format!("--uid={uid}")));
    command.extend(user.group.iter().map(|group| format!("--gid={group}")));
    command.extend((!user.groups.is_empty()).then(|| format!("--groups={}", user.groups.join(","))));
    command.extend(user.gecos.iter().map(|gecos| format!("--comment={gecos}")));
    command.extend(user.shell.iter().map(|shell| format!("--shell={shell}")));
    let kind = if user.system { "--system" } else { "--create-home" };
    let mut environment = vec![("KIND".to_owned(), kind.to_owned())];
    environment.extend((!user.groups.is_empty()).then(|| ("APPEND".to_owned(), "yes".to_owned())));
    environment.extend(user.home.iter().map(|home| ("HOME_FOLDER".to_owned(), home.clone())));
    environment.extend(user.password_hash.iter().map(|hash| ("PASSWORD".to_owned(), hash.clone())));
    Script { label: format!("setting up the user {}", user.name), command, environment, ..Script::default() }
}

/// Adds the manifest's files to a configured tree. Owners are looked up in the tree's own passwd(5) and group(5).
pub fn add_files(store: &Store, writer: &ObjectWriter, tree: &mut Tree, files: &[AddedFile]) -> Result<()> {
    let ids = |name: &str| -> Result<String> {
        match tree.root.file(name) {
            Some(object) => Ok(String::from_utf8_lossy(&store.reader().read(object)?).into_owned()),
            None => Ok(String::new()),
        }
    };
    let (users, groups) = (ids("etc/passwd")?, ids("etc/group")?);
    for file in files {
        let failed = || format!("cannot add {}", file.path);
        let uid = id_of(&users, &file.owner).with_context(failed)?;
        let gid = id_of(&groups, &file.group).with_context(failed)?;
        add_file(writer, tree, file, uid, gid).with_context(failed)?;
    }
    Ok(())
}

fn add_file(writer: &ObjectWriter, tree: &mut Tree, file: &AddedFile, uid: u32, gid: u32) -> Result<()> {
    let path = file.path.trim_matches('/');
    let (folder, name) = split(path);
    let attributes = |kind: u32, mode: u32| Attributes { uid, gid, mode: kind | mode, xattrs: BTreeMap::default() };
    let mut at = &mut tree.root;
    for part in folder.split('/').filter(|p| !p.is_empty()) {
        if at.files.contains_key(part) {
            bail!("`{part}` in its path is a file or a link: name the folder it leads to");
        }
        at = make_directory(at, part);
    }
    if file.content == AddedContent::Directory {
        if at.files.contains_key(name) {
            bail!("there is a file of this name");
        }
        make_directory(at, name).attributes = attributes(0o040_000, file.mode);
        return Ok(());
    }
    if at.directories.contains_key(name) {
        bail!("there is a directory of this name");
    }
    let object = match &file.content {
        AddedContent::Bytes(bytes) => writer.write_bytes(&attributes(0o100_000, file.mode), bytes)?,
        AddedContent::Link(target) => writer.write(&attributes(0o120_000, 0o777), Content::Symlink(target))?,
        AddedContent::Directory => return Ok(()),
    };
    at.files.insert(name.to_owned(), object);
    tree.extras.links.retain(|link, first| link != path && first != path);
    tree.extras.nodes.remove(path);
    Ok(())
}

/// The number of a name in passwd(5) or group(5), which both have it in the third field.
fn id_of(table: &str, name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let line = table.lines().find(|line| line.split(':').next() == Some(name));
    let number = line.and_then(|line| line.split(':').nth(2)).and_then(|n| n.parse().ok());
    match number {
        Some(number) => Ok(number),
        None if name == "root" => Ok(0),
        None => bail!("the root has no user or group `{name}`"),
    }
}
