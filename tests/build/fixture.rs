//! What the tests of this tier share: manifests with fresh locks, downloaded packages, and one build of each shipped
//! manifest.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::durable;
use compose::lock::{self, Lock};
use compose::manifest;
use compose::source::mirrors::{self, MirrorMap};
use tempfile::TempDir;

use crate::support::archive::{SignedAs, SigningKey, Suite};
use crate::support::deb::Deb;
use crate::support::program::{Outcome, compose, run};

/// The shipped manifests.
pub const SHIPPED: [&str; 3] = ["debian-13-minimal", "debian-12-minimal", "debian-13-xen"];

/// The one of them whose image is a disk with partitions.
pub const PARTITIONED: &str = "debian-13-xen";

/// Where the root file system of a disk with partitions begins, in bytes.
pub const ROOT_START: u64 = 203 << 20;

/// A secret key in each scene.
pub const SIGNING_KEY: &str = "manifests/keyrings/templates.key";

/// A root that builds in few seconds, with every stage that the shipped ones have.
pub const REQUIRED: &str = "required";

const REQUIRED_TEXT: &str = "\
name: required
format: deb
architectures: [amd64]
outputs: [root.img]
recommends: false
base: required
archives:
  - id: debian
    suites: [trixie]
    components: [main]
    signed-by: keyrings/debian-archive-keyring.gpg
image:
  partitions: false
  size: fit
  slack: 16M
checks:
  init: the root is as small as can be
  console: there is no init
";

/// A folder as a user has it: manifests, locks, a store, outputs.
pub struct Scene {
    pub folder: TempDir,
}

/// The scene whose store has all downloaded packages and nothing else.
fn prepare() -> Result<PathBuf, String> {
    if Architecture::host().is_none_or(|host| host.as_str() != "amd64") {
        return Err("the shipped manifests are built for amd64".to_owned());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build");
    for name in ["manifests", "locks", "scenes"] {
        let _ = fs::remove_dir_all(folder.join(name));
    }
    fs::create_dir_all(folder.join("scenes")).map_err(|e| format!("{}: {e}", folder.display()))?;
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests"), &folder.join("manifests"));
    write(&folder.join("manifests/required.yaml"), REQUIRED_TEXT);
    for name in SHIPPED {
        let path = folder.join(path_of(name));
        let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        write(&path, &format!("{text}template: {{version: 4.3.0}}\n"));
    }
    write(&folder.join(SIGNING_KEY), &SigningKey::generate("templates").secret());
    let store = ["--store", "store"];
    run(compose(&folder, ["store", "ls"]).args(store)).or_reason()?;
    let manifests = [&SHIPPED[..], &[REQUIRED]].concat().into_iter().map(path_of);
    let own = ["--arch", "amd64"];
    run(compose(&folder, ["update-lock"]).args(store).args(own).args(manifests.clone())).or_reason()?;
    run(compose(&folder, ["fetch"]).args(store).args(own).args(manifests)).or_reason()?;
    Ok(folder)
}

/// The folder that all scenes are copied from; the reason is given when there can be none.
fn prepared() -> Result<&'static Path, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOLDER.get_or_init(prepare).as_ref().map(PathBuf::as_path).map_err(Clone::clone)
}

/// A scene with a cold store: all packages downloaded, none imported.
pub fn cold() -> Result<Scene, String> {
    let scene = empty()?;
    link(&prepared()?.join("store/files"), &scene.path("store/files"));
    Ok(scene)
}

/// A scene without a store.
pub fn empty() -> Result<Scene, String> {
    let from = prepared()?;
    let folder = tempfile::tempdir_in(from.join("scenes")).map_err(|e| e.to_string())?;
    for name in ["manifests", "locks"] {
        copy(&from.join(name), &folder.path().join(name));
    }
    Ok(Scene { folder })
}

/// A scene in which the shipped manifests are built, as root.img and tar; only to be looked at.
pub fn built() -> Result<&'static Scene, String> {
    static SCENE: OnceLock<Result<Scene, String>> = OnceLock::new();
    let make = || {
        let scene = cold()?;
        for name in SHIPPED {
            scene.build(name, &["--format", "root.img", "--format", "tar"]).result();
        }
        Ok(scene)
    };
    SCENE.get_or_init(make).as_ref().map_err(Clone::clone)
}

impl Scene {
    /// A path in the scene.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// An output of a build.
    pub fn output(&self, name: &str, ending: &str) -> PathBuf {
        self.path(&format!("out/{name}.amd64.{ending}"))
    }

    /// `compose --store store ARGUMENTS`, run in the scene's folder.
    pub fn compose<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = compose(self.folder.path(), ["--store", "store"]);
        command.args(arguments);
        command
    }

    /// `compose build` of a manifest.
    pub fn build(&self, name: &str, options: &[&str]) -> Outcome {
        run(self.compose(["build", &path_of(name)]).args(options))
    }

    /// `compose update-lock` of a manifest, with the indexes that are downloaded already, in a store apart: the one that
    /// the scene builds in has none, and what other scenes have seen of their archives is not known in it.
    pub fn update_lock(&self, name: &str) {
        self.update_lock_for(name, &[]);
    }

    /// The same with options.
    pub fn update_lock_for(&self, name: &str, options: &[&str]) {
        let store = self.path("indexes");
        if !store.exists() {
            link(&self.path("../../store/archives"), &store.join("archives"));
        }
        let mut command = compose(self.folder.path(), ["update-lock", &path_of(name)]);
        run(command.args(options).arg("--store").arg(store)).result();
    }

    /// Makes the small root ask for the last of these packages, which stand in an archive of their own.
    pub fn add_packages(&self, packages: &[Deb]) {
        let root = self.publish(packages);
        let archive = format!(
            "base: required\npackages: [{}]\narchives:\n  \
             - {{id: own, suites: [own], components: [main], trusted: true, uris: ['file://{}']}}\n",
            packages.last().and_then(|package| package.get("Package")).unwrap(),
            root.display()
        );
        self.edit("manifests/required.yaml", "base: required\narchives:\n", &archive);
        self.update_lock(REQUIRED);
    }

    /// Writes the scene's own archive, whose folder it gives.
    pub fn publish(&self, packages: &[Deb]) -> PathBuf {
        let root = self.path("own");
        let mut suite = Suite::new("own");
        suite.date = Timestamp::now();
        for package in packages {
            suite.add_package(&root, "main/binary-amd64", &package.control_text(), &package.build());
        }
        suite.write(&root, &SigningKey::generate("own"), SignedAs::Unsigned);
        root
    }

    /// A scene with the same manifests, locks and packages, in whose store nothing was built.
    pub fn with_empty_store(&self) -> Self {
        let other = cold().unwrap();
        for name in ["manifests", "locks", "own"] {
            let _ = fs::remove_dir_all(other.path(name));
            copy(&self.path(name), &other.path(name));
        }
        other
    }

    /// The lock of a manifest.
    pub fn lock(&self, name: &str) -> Lock {
        let manifest = manifest::load(&self.path(&path_of(name))).unwrap();
        lock::load(&manifest, &"amd64".parse().unwrap()).unwrap()
    }

    /// Replaces a text, which must be there, in a file of the scene.
    pub fn edit(&self, path: &str, old: &str, new: &str) {
        let path = self.path(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{} lacks {old:?}", path.display());
        write(&path, &text.replacen(old, new, 1));
    }

    /// Everything in a folder of the scene: path, size, and time of the last change.
    pub fn listing(&self, path: &str) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
        let mut found = Vec::new();
        walk(&self.path(path), &mut |path, metadata| {
            found.push((path.to_owned(), metadata.len(), metadata.modified().unwrap()));
        });
        found.sort();
        found
    }
}

/// A manifest's file in a scene.
pub fn path_of(name: &str) -> String {
    format!("manifests/{name}.yaml")
}

/// Writes a file of a scene.
pub fn write(path: &Path, text: &str) {
    durable::write(path, text.as_bytes()).unwrap();
}

/// The files of a folder, under a second name each in another.
fn link(from: &Path, to: &Path) {
    walk(from, &mut |path, _| {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::hard_link(path, target).unwrap();
    });
}

/// Calls `visit` for all files below a folder.
pub fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path, &metadata);
        }
    }
}

/// Copies a folder with all files.
pub fn copy(from: &Path, to: &Path) {
    walk(from, &mut |path, _| {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, &target).unwrap();
    });
}

/// Where archives are, as the program finds it outside manifests.
#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
pub fn mirrors() -> MirrorMap {
    let mut mirrors = mirrors::load_host(Path::new("/etc/apt"));
    let environment = std::env::var("COMPOSE_MIRROR").unwrap_or_default();
    mirrors.extend(mirrors::parse_pairs(environment.split_whitespace()).unwrap());
    mirrors
}
