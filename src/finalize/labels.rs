//! SELinux labels of files, by the policy that is in the tree itself: outputs have them, commits do not, since a package's
//! objects are the same under any policy.

use anyhow::{Context, Result};

use super::file_contexts::{Aliases, FileContexts};
use crate::error::Hint;
use crate::store::{Extras, ObjectReader, Tree, Xattrs};

/// The attribute that is a label.
const ATTRIBUTE: &str = "security.selinux";
/// Which policy a system has, and whether it is enforced (`selinux_config(5)`).
pub const CONFIG: &str = "etc/selinux/config";

/// What a system does with its policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// What breaks it is refused.
    Enforcing,
    /// What breaks it is told.
    Permissive,
    /// It is not loaded.
    Disabled,
}

/// What `selinux_config(5)` sets: the mode, and the name of the policy.
pub fn configured(config: &str) -> (Option<Mode>, &str) {
    const MODES: [(&str, Mode); 3] =
        [("enforcing", Mode::Enforcing), ("permissive", Mode::Permissive), ("disabled", Mode::Disabled)];
    let mode = |line: &str| {
        let value = line.strip_prefix("SELINUX=")?.trim_start();
        let is = |name: &str| value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        MODES.into_iter().find(|(name, _)| is(name)).map(|(_, mode)| mode)
    };
    let policy = config.lines().rev().find_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        key.eq_ignore_ascii_case("SELINUXTYPE").then_some(value)
    });
    // As libselinux does where nothing is said.
    (config.lines().find_map(mode), policy.map_or("targeted", str::trim))
}

/// The rules that label the files of a policy's system.
pub fn rules(policy: &str) -> String {
    format!("etc/selinux/{policy}/contexts/files/file_contexts")
}

fn way_out() -> String {
    format!("correct the policy, or write `SELINUX=disabled` to /{CONFIG}, and no file is labelled")
}

/// The labels of a tree.
#[derive(Debug)]
pub(super) struct Labels(FileContexts);

impl Labels {
    /// By the policy of a tree; none when it has none, or one that is disabled.
    pub(super) fn of(reader: &ObjectReader, tree: &Tree) -> Result<Option<Self>> {
        let text = |path: &str| -> Result<Option<String>> {
            let Some(leaf) = tree.root.file(path) else { return Ok(None) };
            let bytes = reader.read(leaf).with_context(|| format!("cannot read /{path}"))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        };
        let Some(config) = text(CONFIG)? else { return Ok(None) };
        let (mode, policy) = configured(&config);
        let rules = rules(policy);
        if mode == Some(Mode::Disabled) || tree.root.file(&rules).is_none() {
            return Ok(None);
        }
        let mut contexts = FileContexts::default();
        for path in [rules.clone(), format!("{rules}.homedirs"), format!("{rules}.local")] {
            let text = text(&path)?.unwrap_or_default();
            contexts.add(&text).with_context(|| format!("cannot label files by /{path}")).hint(way_out)?;
        }
        contexts.set_aliases(Aliases::Local, &text(&format!("{rules}.subs"))?.unwrap_or_default());
        contexts.set_aliases(Aliases::Distribution, &text(&format!("{rules}.subs_dist"))?.unwrap_or_default());
        Ok(Some(Self(contexts)))
    }

    /// The extended attributes of a file with its label, by its path in the root and its mode. That of a file with several
    /// names is by the first of them.
    pub(super) fn with(&self, xattrs: &Xattrs, extras: &Extras, path: &str, mode: u32) -> Result<Xattrs> {
        let path = extras.links.get(path).map_or(path, String::as_str);
        let label = self.0.label(&format!("/{path}"), mode);
        let label = label.with_context(|| format!("cannot label /{path}")).hint(way_out)?;
        let mut xattrs = xattrs.clone();
        // With a null byte, as setfilecon(3) has it.
        xattrs.extend(label.map(|label| (ATTRIBUTE.to_owned(), [label.as_bytes(), b"\0"].concat())));
        Ok(xattrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read_as_libselinux_does() {
        let rows = [
            ("", None, "targeted"),
            ("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=eels\n", Some(Mode::Enforcing), "eels"),
            ("SELINUX=odd\nSELINUX= Permissive # so far\nSELINUX=disabled\n", Some(Mode::Permissive), "targeted"),
            (" SELINUX=enforcing\n SELINUXTYPE= a \nSelinuxType=mls \n", None, "mls"),
        ];
        for (config, mode, policy) in rows {
            assert_eq!(configured(config), (mode, policy), "{config}");
        }
    }
}
