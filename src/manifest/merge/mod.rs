//! From typed-in files to one checked [`Manifest`]: merging, defaults, checks, and the digest.

mod additions;
mod archives;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::manifest::digest::digest;
use crate::manifest::load::Failure;
use crate::manifest::located::{Located, Mistake, Sources};
use crate::manifest::typed::{Typed, TypedChecks, TypedPackage};
use crate::manifest::{
    AddedFile, Archive, Base, Group, Manifest, OutputFormat, PackageRequest, RequestKind, System, Tools, User, root_of,
};
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
