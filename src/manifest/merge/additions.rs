//! What a manifest adds to a root beside packages: settings, units, hooks, accounts, files.

use std::path::Path;

use super::{Merge, append, override_with, position_or_push};
use crate::manifest::load::{Failure, read_named};
use crate::manifest::located::{Located, Mistake};
use crate::manifest::typed::{TypedFile, TypedGroup, TypedHook, TypedUnits, TypedUser};
use crate::manifest::{AddedContent, AddedFile, Group, Hook, HookPoint, User};

impl Merge<'_> {
    pub(super) fn add_system(
        &mut self,
        hostname: Option<Located<String>>,
        locale: Option<Located<String>>,
        timezone: Option<Located<String>>,
    ) -> Result<(), Failure> {
        let plain = |more: &'static str| move |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        let label = |label: &str| !label.is_empty() && !label.starts_with('-') && label.chars().all(plain("-"));
        let is_hostname = |name: &str| name.len() <= 64 && name.split('.').all(label);
        let is_locale = |name: &str| !name.is_empty() && name.chars().all(plain("_.@-"));
        let is_zone =
            |name: &str| name.split('/').all(|part| !matches!(part, "" | "." | "..") && part.chars().all(plain("_+-")));
        let set = |typed: Option<Located<String>>, what: &str, is_one: &dyn Fn(&str) -> bool| match typed {
            None => Ok(None),
            Some(typed) if is_one(&typed.value) => Ok(Some(typed.value)),
            Some(typed) => Err(self.mistake(&typed, format!("`{}` is not {what}", typed.value))),
        };
        let hostname =
            set(hostname, "a host name: labels of letters, digits and `-` are expected (hostname(7))", &is_hostname)?;
        let locale = set(locale, "a locale such as `de_DE.UTF-8`", &is_locale)?;
        let timezone = set(timezone, "a time zone such as `Europe/Berlin`", &is_zone)?;
        override_with(&mut self.system.hostname, hostname);
        override_with(&mut self.system.locale, locale);
        override_with(&mut self.system.timezone, timezone);
        Ok(())
    }

    pub(super) fn add_units(&mut self, typed: TypedUnits) -> Result<(), Failure> {
        let is_unit =
            |name: &str| name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
        for unit in typed.enable.iter().chain(&typed.disable).chain(&typed.mask) {
            if !is_unit(&unit.value) {
                let message = format!("`{}` is not a unit's name such as `ssh.service`", unit.value);
                return Err(self.mistake(unit, message).into());
            }
        }
        append(&mut self.system.enable, typed.enable);
        append(&mut self.system.disable, typed.disable);
        append(&mut self.system.mask, typed.mask);
        Ok(())
    }

    pub(super) fn add_hooks(&mut self, typed: Vec<TypedHook>, folder: &Path) -> Result<(), Failure> {
        for t in typed {
            let script = match (t.script, &t.source) {
                (Some(script), None) => script.value,
                (None, Some(source)) => {
                    let bytes = read_named(&folder.join(&source.value));
                    let bytes = bytes.map_err(|e| self.mistake(source, format!("{e:#}")))?;
                    String::from_utf8(bytes).map_err(|_| self.mistake(source, "the script is not UTF-8"))?
                }
                _ => {
                    let message = format!("the hook `{}` needs exactly one of `script` and `source`", t.name.value);
                    return Err(self.mistake(&t.name, message).into());
                }
            };
            let hook = Hook { name: t.name.value, at: t.at.map_or(HookPoint::Configured, |at| at.value), script };
            match self.system.hooks.iter_mut().find(|known| known.name == hook.name) {
                Some(known) => *known = hook,
                None => self.system.hooks.push(hook),
            }
        }
        Ok(())
    }

    pub(super) fn add_groups(&mut self, typed: Vec<TypedGroup>) -> Result<(), Failure> {
        for t in typed {
            self.check_account("group", &t.name)?;
            let at = position_or_push(
                &mut self.groups,
                |g| g.name == t.name.value,
                || Group { name: t.name.value.clone(), gid: None, system: false },
            );
            let group = &mut self.groups[at];
            group.gid = t.gid.map(|v| v.value).or(group.gid);
            group.system = t.system.map_or(group.system, |v| v.value);
        }
        Ok(())
    }

    pub(super) fn add_users(&mut self, typed: Vec<TypedUser>) -> Result<(), Failure> {
        for t in typed {
            self.check_account("user", &t.name)?;
            for (what, field) in
                [("gecos", &t.gecos), ("home", &t.home), ("shell", &t.shell), ("password-hash", &t.password_hash)]
            {
                if let Some(typed) = field
                    && typed.value.contains([':', '\n'])
                {
                    return Err(self.mistake(typed, format!("`{what}` holds a colon or a line break")).into());
                }
            }
            let at = position_or_push(
                &mut self.users,
                |u| u.name == t.name.value,
                || User {
                    name: t.name.value.clone(),
                    uid: None,
                    group: None,
                    groups: Vec::new(),
                    gecos: None,
                    home: None,
                    shell: None,
                    password_hash: None,
                    system: false,
                },
            );
            let user = &mut self.users[at];
            user.uid = t.uid.map(|v| v.value).or(user.uid);
            append(&mut user.groups, t.groups);
            user.system = t.system.map_or(user.system, |v| v.value);
            for (old, new) in [
                (&mut user.group, t.group),
                (&mut user.gecos, t.gecos),
                (&mut user.home, t.home),
                (&mut user.shell, t.shell),
                (&mut user.password_hash, t.password_hash),
            ] {
                *old = new.map(|v| v.value).or(old.take());
            }
        }
        Ok(())
    }

    /// User and group names as useradd(8) takes them.
    fn check_account(&self, what: &str, name: &Located<String>) -> Result<(), Mistake> {
        let word = &name.value;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
        if word.len() > 32 || !word.bytes().all(good) || !word.bytes().next().is_some_and(first) {
            let message = format!(
                "`{word}` is not a {what} name: up to 32 lower-case letters, digits, `-` and `_` are expected, beginning with a letter or `_`"
            );
            return Err(self.mistake(name, message));
        }
        Ok(())
    }

    pub(super) fn add_files(&mut self, typed: Vec<TypedFile>, folder: &Path) -> Result<(), Failure> {
        for t in typed {
            let safe = t
                .path
                .value
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
            if !safe {
                let message = format!("`{}` is not a path in the root: `/etc/motd` is one", t.path.value);
                return Err(self.mistake(&t.path, message).into());
            }
            let directory = t.directory.as_ref().is_some_and(|d| d.value);
            let content = match (&t.content, &t.source, &t.link, directory) {
                (Some(content), None, None, false) => AddedContent::Bytes(content.value.clone().into_bytes()),
                (None, Some(source), None, false) => {
                    let bytes = read_named(&folder.join(&source.value));
                    AddedContent::Bytes(bytes.map_err(|e| self.mistake(source, format!("{e:#}")))?)
                }
                (None, None, Some(link), false) => AddedContent::Link(link.value.clone()),
                (None, None, None, true) => AddedContent::Directory,
                _ => {
                    let message = format!(
                        "`{}` needs exactly one of `content`, `source`, `link` and `directory: true`",
                        t.path.value
                    );
                    return Err(self.mistake(&t.path, message).into());
                }
            };
            let or_root = |name: Option<Located<String>>| name.map_or_else(|| "root".to_owned(), |n| n.value);
            let file = AddedFile {
                path: t.path.value,
                mode: t.mode.map_or(if directory { 0o755 } else { 0o644 }, |m| m.value.0),
                content,
                owner: or_root(t.owner),
                group: or_root(t.group),
            };
            match self.files.iter_mut().find(|known| known.path == file.path) {
                Some(known) => *known = file,
                None => self.files.push(file),
            }
        }
        Ok(())
    }
}
