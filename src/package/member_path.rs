//! Where the members of a package go: nowhere but below the root that they are unpacked to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};

use super::{Member, MemberKind};

/// A member's path below the root it is unpacked to, in its simplest form; refuses all that could lead elsewhere.
pub(super) fn safe_path(raw: &[u8]) -> Result<String> {
    let text =
        std::str::from_utf8(raw).map_err(|_| anyhow!("the path `{}` is not UTF-8", String::from_utf8_lossy(raw)))?;
    if text.starts_with('/') {
        bail!("the path `{text}` is absolute: expected one below the package's root");
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => bail!("the path `{text}` climbs out of the package's root"),
            part if part.contains(['\0', '\n']) => {
                bail!("the path `{}` has a NUL or a line break", text.escape_debug())
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// What a part has had so far, to refuse members that would be written through a link.
#[derive(Default)]
pub(super) struct Seen {
    directories: BTreeSet<String>,
    others: BTreeMap<String, &'static str>,
    files: BTreeSet<String>,
}

impl Seen {
    /// Takes the next member, or says why it cannot follow those before it.
    pub(super) fn check(&mut self, member: &Member) -> Result<()> {
        let path = &member.path;
        for (end, _) in path.match_indices('/') {
            if let Some(what) = self.others.get(&path[..end]) {
                bail!("`{path}` stands below `{}`, which the package makes a {what}", &path[..end]);
            }
        }
        let what = match &member.kind {
            MemberKind::Directory => {
                if let Some(what) = self.others.get(path) {
                    bail!("`{path}` is both a directory and a {what}");
                }
                self.directories.insert(path.clone());
                return Ok(());
            }
            MemberKind::Hardlink(target) if !self.files.contains(target) => {
                bail!("`{path}` is a hard link to `{target}`, which is no earlier file of the package");
            }
            MemberKind::File(_) | MemberKind::Hardlink(_) => {
                self.files.insert(path.clone());
                "file"
            }
            MemberKind::Symlink(_) => "symbolic link",
            MemberKind::CharDevice(..) | MemberKind::BlockDevice(..) | MemberKind::Fifo => "special file",
        };
        if path.is_empty() || self.directories.contains(path) {
            bail!("`{path}` is both a directory and a {what}");
        }
        if self.others.insert(path.clone(), what).is_some() {
            bail!("`{path}` is in the package twice");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_reduced_or_refused() {
        assert_eq!(safe_path(b"./usr//bin/./x").unwrap(), "usr/bin/x");
        assert_eq!(safe_path(b"./").unwrap(), "");
        for bad in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a/..", b"\xff"] {
            assert!(safe_path(bad).is_err(), "{bad:?}");
        }
    }
}
