//! From typed-in files to one checked [`Manifest`]: merging, defaults, checks, and the digest.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::digest::digest;
use super::load::{Failure, read_named};
use super::located::{Located, Mistake, Sources};
use super::repository::{Repository, TypedRepository};
use super::typed::{
    Typed, TypedArchive, TypedChecks, TypedFile, TypedGroup, TypedHook, TypedPackage, TypedUnits, TypedUser,
};
use super::{
    AddedContent, AddedFile, Archive, Base, Group, Hook, HookPoint, Manifest, OutputFormat, PackageRequest, Pool,
    RequestKind, System, Tools, User, root_of,
};
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::package::Format;

/// One file of a manifest and the folder its paths are relative to.
pub struct Layer {
    pub folder: PathBuf,
    pub typed: Typed,
}

/// Merges files, first to last, into the manifest at `path`.
pub fn merge(path: &Path, sources: &Sources, layers: Vec<Layer>) -> Result<Manifest, Failure> {
    let mut merge = Merge::new(sources, root_of(path).to_owned());
    for layer in layers {
        merge.add(layer)?;
    }
    merge.finish(path)
}

/// An entry of `packages:` with the folder of its file.
struct AskedPackage {
    typed: TypedPackage,
    folder: PathBuf,
}

struct Merge<'a> {
    sources: &'a Sources,
    /// What paths of package files are relative to.
    root: PathBuf,
    /// The single values of all files, the last one winning.
    single: Typed,
    architectures: Vec<Architecture>,
    foreign_architectures: Vec<Architecture>,
    archives: Vec<Archive>,
    tools: Vec<Archive>,
    /// For each keyring, its digest.
    keyrings: BTreeMap<PathBuf, Sha256>,
    packages: Vec<AskedPackage>,
    exclude: Vec<Located<String>>,
    groups: Vec<Group>,
    users: Vec<User>,
    files: Vec<AddedFile>,
    system: System,
    outputs: Vec<OutputFormat>,
    checks: Vec<(String, String)>,
}

impl<'a> Merge<'a> {
    fn new(sources: &'a Sources, root: PathBuf) -> Self {
        Self {
            sources,
            root,
            single: Typed::default(),
            architectures: Vec::new(),
            foreign_architectures: Vec::new(),
            archives: Vec::new(),
            tools: Vec::new(),
            keyrings: BTreeMap::new(),
            packages: Vec::new(),
            exclude: Vec::new(),
            groups: Vec::new(),
            users: Vec::new(),
            files: Vec::new(),
            system: System::default(),
            outputs: Vec::new(),
            checks: Vec::new(),
        }
    }

    fn add(&mut self, Layer { folder, typed }: Layer) -> Result<(), Failure> {
        if let Some(name) = &typed.name {
            self.check_name(name)?;
        }
        if let Some(label) = &typed.image.label
            && (label.value.len() > 16 || label.value.contains(char::is_control))
        {
            return Err(self.mistake(label, "a volume label has at most 16 bytes, and no control characters").into());
        }
        let single = &mut self.single;
        override_with(&mut single.name, typed.name);
        override_with(&mut single.format, typed.format);
        override_with(&mut single.base, typed.base);
        override_with(&mut single.recommends, typed.recommends);
        override_with(&mut single.suggests, typed.suggests);
        single.image.override_with(typed.image);
        single.template.merge(typed.template);

        append(&mut self.architectures, typed.architectures);
        append(&mut self.foreign_architectures, typed.foreign_architectures);
        append(&mut self.outputs, typed.outputs);
        let (archives, tools) = (std::mem::take(&mut self.archives), std::mem::take(&mut self.tools));
        self.archives = self.add_archives(archives, typed.archives, &folder)?;
        self.tools = self.add_archives(tools, typed.tools.archives, &folder)?;
        self.packages.extend(typed.packages.into_iter().map(|typed| AskedPackage { typed, folder: folder.clone() }));
        append_located(&mut self.exclude, typed.exclude);
        self.add_groups(typed.groups)?;
        self.add_users(typed.users)?;
        self.add_system(typed.hostname, typed.locale, typed.timezone)?;
        self.add_units(typed.units)?;
        self.system.debconf.extend(typed.debconf.into_iter().map(|line| line.value));
        self.add_hooks(typed.hooks, &folder)?;
        self.add_checks(typed.checks)?;
        self.add_files(typed.files, &folder)
    }

    fn add_system(
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

    fn add_units(&mut self, typed: TypedUnits) -> Result<(), Failure> {
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

    fn add_hooks(&mut self, typed: Vec<TypedHook>, folder: &Path) -> Result<(), Failure> {
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

    fn add_checks(&mut self, typed: TypedChecks) -> Result<(), Failure> {
        for (name, reason) in typed.0 {
            if reason.value.trim().is_empty() {
                let message = format!("the check `{}` is silenced without a reason", name.value.0);
                return Err(self.mistake(&reason, message).into());
            }
            self.checks.retain(|(known, _)| *known != name.value.0);
            self.checks.push((name.value.0.to_owned(), reason.value));
        }
        Ok(())
    }

    fn check_name(&self, name: &Located<String>) -> Result<(), Mistake> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_' | b'+');
        if name.value.is_empty() || name.value.starts_with(['.', '-']) || !name.value.bytes().all(good) {
            let message = format!(
                "`{}` is not a name: lower-case letters, digits and `-._+` are expected, beginning with a letter or digit",
                name.value
            );
            return Err(self.mistake(name, message));
        }
        Ok(())
    }

    /// Adds a file's archives to those of the files before it.
    fn add_archives(
        &mut self,
        mut archives: Vec<Archive>,
        typed: Vec<TypedArchive>,
        folder: &Path,
    ) -> Result<Vec<Archive>, Failure> {
        let mut seen: Vec<String> = Vec::new();
        for mut t in typed {
            if seen.contains(&t.id.value) {
                let message = format!("the archive `{}` stands twice in this file", t.id.value);
                return Err(self.mistake(&t.id, message).into());
            }
            let is_path = matches!(t.id.value.as_str(), "" | "." | "..") || t.id.value.contains('/');
            if is_path || t.id.value.contains(char::is_whitespace) {
                let message = format!("`{}` is not an archive id: one word without `/` is expected", t.id.value);
                return Err(self.mistake(&t.id, message).into());
            }
            seen.push(t.id.value.clone());
            let at = archives.iter().position(|a| a.id == t.id.value).unwrap_or_else(|| {
                archives.push(Archive {
                    id: t.id.value.clone(),
                    pool: None,
                    suites: Vec::new(),
                    components: Vec::new(),
                    signed_by: None,
                    uris: Vec::new(),
                    priority: None,
                    check_valid_until: true,
                    trusted: false,
                    repository: None,
                });
                archives.len() - 1
            });
            let archive = &mut archives[at];
            let dnf = t.take_repository();
            if dnf.is_given() || archive.repository.is_some() {
                self.add_repository(archive, &t, dnf, folder)?;
                continue;
            }
            append(&mut archive.suites, t.suites);
            append(&mut archive.components, t.components);
            append(&mut archive.uris, t.uris);
            archive.priority = t.priority.map(|p| p.value).or(archive.priority);
            archive.check_valid_until = t.check_valid_until.map_or(archive.check_valid_until, |v| v.value);
            archive.trusted = t.trusted.map_or(archive.trusted, |v| v.value);
            if let Some(keyring) = t.signed_by {
                let path = std::path::absolute(folder.join(&keyring.value)).map_err(|e| Failure::Other(e.into()))?;
                let bytes = read_named(&path).map_err(|e| self.mistake(&keyring, format!("{e:#}")))?;
                self.keyrings.insert(path.clone(), Sha256::of(&bytes));
                archive.signed_by = Some(path);
            }
            if let Some(pool) = t.pool {
                let pool = self.path_from_root(&pool, folder)?;
                let folder = std::path::absolute(self.root.join(&pool)).map_err(|e| Failure::Other(e.into()))?;
                archive.pool = Some(Pool { pool, folder });
            }
            if archive.pool.is_some() {
                let plain = archive.suites.is_empty() && archive.components.is_empty() && archive.uris.is_empty();
                if !plain || archive.signed_by.is_some() || archive.trusted {
                    let message = format!(
                        "the archive `{}` has a `pool`, a folder of package files: `suites`, `components`, `uris`, \
                         `signed-by` and `trusted` are for archives with an index",
                        archive.id
                    );
                    return Err(self.mistake(&t.id, message).into());
                }
                continue;
            }
            if archive.suites.is_empty() {
                return Err(self.mistake(&t.id, format!("the archive `{}` has no `suites`", archive.id)).into());
            }
            if archive.signed_by.is_none() && !archive.trusted {
                let message = format!(
                    "the archive `{}` has neither `signed-by`, the keyring its metadata is checked against, nor `trusted: true`",
                    archive.id
                );
                return Err(self.mistake(&t.id, message).into());
            }
        }
        Ok(archives)
    }

    /// Adds what a file says of an rpm repository.
    fn add_repository(
        &self,
        archive: &mut Archive,
        typed: &TypedArchive,
        dnf: TypedRepository,
        folder: &Path,
    ) -> Result<(), Failure> {
        if typed.pool.is_some() || !typed.suites.is_empty() || !typed.components.is_empty() || typed.signed_by.is_some()
        {
            let message = format!(
                "the archive `{}` has words of apt's sources and of dnf's repositories: it can be of one kind only",
                archive.id
            );
            return Err(self.mistake(&typed.id, message).into());
        }
        let repository = archive.repository.get_or_insert_with(Repository::new);
        let mistake = |at: &Located<String>, message: String| self.mistake(at, message);
        let (uris, priority) = dnf.apply(&archive.id, repository, folder, &mistake)?;
        for uri in uris.into_iter().chain(typed.uris.iter().map(|uri| uri.value.clone())) {
            if !archive.uris.contains(&uri) {
                archive.uris.push(uri);
            }
        }
        archive.priority = typed.priority.as_ref().map(|p| p.value).or(priority).or(archive.priority);
        if repository.repo_gpgcheck && repository.gpgkey.is_empty() {
            let message = format!(
                "the repository `{}` has neither `gpgkey`, the keys its metadata is checked against, nor `repo_gpgcheck: false`",
                archive.id
            );
            return Err(self.mistake(&typed.id, message).into());
        }
        Ok(())
    }

    /// A path typed in a file of `folder`, as one below the root that locks know.
    fn path_from_root(&self, typed: &Located<String>, folder: &Path) -> Result<PathBuf, Failure> {
        let absolute = |path: &Path| std::path::absolute(path).map(|path| without_dots(&path));
        let find = || Ok((absolute(&folder.join(&typed.value))?, absolute(&self.root.join("."))?));
        let (path, root) = find().map_err(|e: std::io::Error| Failure::Other(e.into()))?;
        match path.strip_prefix(&root) {
            Ok(below) if below.to_str().is_some() => Ok(below.to_owned()),
            _ => {
                let message = format!("`{}` is not below {}, which locks are relative to", typed.value, root.display());
                Err(self.mistake(typed, message).into())
            }
        }
    }

    fn add_groups(&mut self, typed: Vec<TypedGroup>) -> Result<(), Failure> {
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

    fn add_users(&mut self, typed: Vec<TypedUser>) -> Result<(), Failure> {
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

    fn add_files(&mut self, typed: Vec<TypedFile>, folder: &Path) -> Result<(), Failure> {
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

    /// Fills in defaults and checks what only the whole can tell.
    fn finish(mut self, path: &Path) -> Result<Manifest, Failure> {
        let single = std::mem::take(&mut self.single);
        let name = single.name.ok_or_else(|| missing(path, "name", "it names locks and outputs"))?;
        let format = single.format.ok_or_else(|| missing(path, "format", "`deb` is one"))?;
        if self.architectures.is_empty() {
            return Err(missing(path, "architectures", "`[amd64]` is one value").into());
        }
        if self.archives.is_empty() {
            return Err(missing(path, "archives", "packages come from nowhere else").into());
        }
        self.check_archives(&format)?;
        let packages = self.requests(format.value)?;
        for typed in &self.exclude {
            let request = format.value.parse_request(&typed.value).map_err(|message| self.mistake(typed, message))?;
            if request != (PackageRequest { name: typed.value.clone(), ..PackageRequest::default() }) {
                let message = format!("`{}` is more than a name: a package is excluded by name alone", typed.value);
                return Err(self.mistake(typed, message).into());
            }
        }
        self.architectures.sort();
        self.foreign_architectures.sort();
        if self.outputs.is_empty() {
            self.outputs.push(OutputFormat::RootImg);
        }
        let image = single.image.finish(self.sources)?;
        let template = single.template.finish(self.sources, &name, image.kernel)?;
        if template.is_none() && self.outputs.contains(&OutputFormat::QubesTemplate) {
            return Err(
                missing(path, "template: version", "the Qubes release the package is for, such as `4.3.0`").into()
            );
        }
        let mut manifest = Manifest {
            name: name.value,
            format: format.value,
            architectures: self.architectures,
            foreign_architectures: self.foreign_architectures,
            archives: self.archives,
            base: single.base.map_or(Base::Required, |b| b.value),
            recommends: single.recommends.is_some_and(|r| r.value),
            suggests: single.suggests.is_some_and(|s| s.value),
            packages,
            exclude: self.exclude.into_iter().map(|e| e.value).collect(),
            groups: self.groups,
            users: self.users,
            files: self.files,
            system: self.system,
            outputs: self.outputs,
            image,
            template,
            checks: self.checks,
            tools: Tools { archives: self.tools },
            path: path.to_owned(),
            digest: Sha256::of(b""),
        };
        manifest.digest = digest(&manifest, &self.keyrings);
        Ok(manifest)
    }

    /// Archives are of the manifest's format.
    fn check_archives(&self, format: &Located<Format>) -> Result<(), Failure> {
        let all = self.archives.iter().chain(&self.tools);
        let other = |archive: &&Archive| match format.value {
            Format::Deb => archive.repository.is_some(),
            Format::Rpm => archive.repository.is_none(),
        };
        match all.filter(other).map(|archive| &archive.id).next() {
            None => Ok(()),
            Some(id) => {
                let wanted = match format.value {
                    Format::Deb => "`suites` and `signed-by`",
                    Format::Rpm => "`baseurl` and `gpgkey`",
                };
                let name = format.value.as_str();
                let message =
                    format!("the format is `{name}`, and the archive `{id}` is of another: it needs {wanted}");
                Err(self.mistake(format, message).into())
            }
        }
    }

    /// What the files ask for, in order and without repeating what is there.
    fn requests(&self, format: Format) -> Result<Vec<PackageRequest>, Failure> {
        let mut requests: Vec<PackageRequest> = Vec::new();
        for AskedPackage { typed, folder } in &self.packages {
            let name = &typed.name;
            let mut request = format.parse_request(&name.value).map_err(|message| self.mistake(name, message))?;
            if request.kind == RequestKind::Package && self.exclude.iter().any(|e| e.value == request.name) {
                return Err(self.mistake(name, format!("`{}` is asked for and excluded", request.name)).into());
            }
            if request.kind == RequestKind::File {
                request.name = self.path_from_root(name, folder)?.display().to_string();
            }
            request.recommends = typed.recommends.as_ref().map(|value| value.value);
            request.suggests = typed.suggests.as_ref().map(|value| value.value);
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        Ok(requests)
    }

    fn mistake<T>(&self, at: &Located<T>, message: impl Into<String>) -> Mistake {
        self.sources.mistake::<Typed>(at.number, message)
    }
}

fn missing(path: &Path, key: &str, why: &str) -> Mistake {
    let message = format!("`{key}` is missing here and in all includes: {why}");
    Mistake { file: path.to_owned(), line: 1, column: 1, message, hint: None }
}

/// A path without `.` and `..`, by its text alone.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

/// A later file's value wins.
fn override_with<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

/// Appends what is not there yet.
fn append<T: PartialEq>(list: &mut Vec<T>, new: Vec<Located<T>>) {
    for located in new {
        if !list.contains(&located.value) {
            list.push(located.value);
        }
    }
}

/// As [`append`], for values whose places are still needed.
fn append_located(list: &mut Vec<Located<String>>, new: Vec<Located<String>>) {
    for located in new {
        if !list.iter().any(|known| known.value == located.value) {
            list.push(located);
        }
    }
}

fn position_or_push<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    list.iter().position(is_it).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}
