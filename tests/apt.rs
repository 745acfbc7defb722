//! What apt chooses is what we choose: closures of packages of a real archive, from an empty system, compared with
//! `apt-get -s install`. The indexes are those that the host's own apt sources lead to.
//! Skips, and says why, where there is no apt or its archives cannot be reached.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use support::needs::needs;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::manifest::{Base, Manifest, PackageRequest};
use compose::package;
use compose::package::deb::table::Table;
use compose::resolve::{self, Previous};
use compose::source::{Index, Indexes};

const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// An apt of its own: nothing installed, the host's mirrors, another suite.
struct Apt {
    root: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Apt {
    /// The reason is given when there can be none.
    fn new(suite: &str) -> Result<Self, String> {
        let sources = fs::read_to_string(SOURCES).map_err(|e| format!("{SOURCES}: {e}"))?;
        let host = sources.lines().find_map(|l| l.strip_prefix("Suites:")).and_then(|l| l.split_whitespace().next());
        let host = host.ok_or_else(|| format!("{SOURCES} has no Suites"))?;
        let (root, folder) = if let Some(root) = variable("FOLDER") {
            (PathBuf::from(root).join(suite), None)
        } else {
            let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
            (folder.path().to_owned(), Some(folder))
        };
        let apt = Self { root, _folder: folder };
        if !apt.lists().exists() {
            for part in [
                "etc/apt/preferences.d",
                "etc/apt/apt.conf.d",
                "etc/apt/sources.list.d",
                "var/lib/dpkg",
                "var/lib/apt/lists/partial",
                "var/cache/apt/archives/partial",
            ] {
                fs::create_dir_all(apt.root.join(part)).map_err(|e| e.to_string())?;
            }
            fs::File::create(apt.root.join("var/lib/dpkg/status")).map_err(|e| e.to_string())?;
            let path = apt.root.join("etc/apt/sources.list.d/debian.sources");
            let mut file = fs::File::create(path).map_err(|e| e.to_string())?;
            std::io::Write::write_all(&mut file, sources.replace(host, suite).as_bytes()).map_err(|e| e.to_string())?;
            apt.run(&["update"])?;
            if apt.index_files().is_empty() {
                return Err("its indexes cannot be fetched".to_owned());
            }
        }
        Ok(apt)
    }

    fn lists(&self) -> PathBuf {
        self.root.join("var/lib/apt/lists")
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let root = self.root.display();
        let output = Command::new("apt-get")
            .args(["-o", &format!("Dir={root}"), "-o", &format!("Dir::State::status={root}/var/lib/dpkg/status")])
            .args([
                "-o",
                "APT::Architecture=amd64",
                "-o",
                "APT::Architectures=amd64",
                "-o",
                "Acquire::GzipIndexes=false",
            ])
            .args(["-o", "Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d"])
            .args(["-o", "APT::Solver=internal", "-o", "APT::Sandbox::User=root"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .map_err(|e| format!("apt-get: {e}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn index_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.lists()).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.to_string_lossy().ends_with("_Packages"));
        files.sort_by_key(|f| {
            let name = f.to_string_lossy().into_owned();
            (name.contains("-security_"), name.contains("-updates_"))
        });
        files
    }

    /// Its indexes, in the order of its sources.
    fn indexes(&self) -> Vec<Index> {
        self.index_files().iter().map(|f| index(f)).collect()
    }

    /// What it would install, as `NAME VERSION`.
    fn closure(&self, more: &[&str], packages: &[&str]) -> Result<Vec<String>, String> {
        let out = self.run(&[&["-s", "install"], more, packages].concat())?;
        let mut chosen: Vec<String> = out
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
                Some(format!("{name} {}", rest.split(' ').next()?))
            })
            .collect();
        chosen.sort();
        Ok(chosen)
    }
}

fn index(path: &Path) -> Index {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let suite = name.split("_dists_").nth(1).unwrap().split('_').next().unwrap().to_owned();
    let table = Table::of(&fs::read_to_string(path).unwrap()).unwrap();
    Index {
        archive: format!("debian/{suite}/main"),
        codename: suite.clone(),
        suite,
        priority: None,
        not_automatic: false,
        but_automatic_upgrades: false,
        architecture: "amd64".parse().unwrap(),
        date: Timestamp::from_seconds(0).unwrap(),
        sha256: Sha256::of(b""),
        table: Arc::new(package::Table::Deb(table)),
    }
}

fn manifest(base: Base, packages: &[&str], recommends: bool) -> Manifest {
    let request = |name: &&str| PackageRequest { name: (*name).to_owned(), ..PackageRequest::default() };
    Manifest { recommends, ..support::manifest::manifest(base, packages.iter().map(request).collect()) }
}

fn ours(indexes: &[Index], manifest: &Manifest) -> Result<Vec<String>, String> {
    let architecture: Architecture = "amd64".parse().unwrap();
    let indexes = Indexes { packages: indexes.to_vec(), tools: Vec::new(), machines: Vec::new() };
    let lock = resolve::run(manifest, &architecture, &indexes, &Previous::default()).map_err(|e| format!("{e:#}"))?;
    let mut chosen: Vec<String> = lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
    chosen.sort();
    Ok(chosen)
}

/// The packages and the sets of packages to ask for, drawn by a seed.
fn questions(index: &Index, seed: &str, count: usize) -> Vec<Vec<String>> {
    let view = index.table.deb().unwrap().view();
    let draw = |name: &str| Sha256::of(format!("{seed} {name}").as_bytes());
    let names: BTreeMap<Sha256, &str> =
        view.rows.iter().map(|row| view.name(row.name)).map(|name| (draw(name), name)).collect();
    let mut names = names.into_values().map(str::to_owned);
    let mut questions: Vec<Vec<String>> = names.by_ref().take(count).map(|name| vec![name]).collect();
    questions.extend((0..count / 10).map(|_| names.by_ref().take(3).collect()));
    questions
}

/// What differs between apt's answer and ours; an answer is the closure or the reason why there is none.
fn difference(theirs: &Result<Vec<String>, String>, ours: &Result<Vec<String>, String>) -> Option<String> {
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) if theirs != ours => {
            let only = |a: &[String], b: &[String]| a.iter().filter(|p| !b.contains(p)).cloned().collect::<Vec<_>>();
            Some(format!("apt {:?}, ours {:?}", only(theirs, ours), only(ours, theirs)))
        }
        (Ok(_), Err(ours)) => Some(format!("ours {ours}")),
        (Err(theirs), Ok(_)) => Some(format!("apt {theirs}")),
        _ => None,
    }
}

/// Compares the base and `count` packages, and tells how many agree.
fn compare(suite: &str, seed: &str, count: usize, recommends: bool) {
    let Some(apt) = needs(Apt::new(suite).map_err(|reason| format!("no apt with {suite}: {reason}"))) else { return };
    let indexes = apt.indexes();
    let more = if recommends { "--install-recommends" } else { "--no-install-recommends" };
    let mut differences = Vec::new();
    let questions = questions(&indexes[0], seed, count);
    for packages in &questions {
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        let theirs = apt.closure(&[more], &names);
        let ours = ours(&indexes, &manifest(Base::None, &names, recommends));
        differences.extend(difference(&theirs, &ours).map(|d| format!("{names:?}: {d}")));
    }
    let theirs = apt.closure(&[more], &["?essential", "?priority(required)", "apt"]);
    let ours = ours(&indexes, &manifest(Base::Required, &[], recommends));
    differences.extend(difference(&theirs, &ours).map(|d| format!("base required: {d}")));
    eprintln!("{suite}, seed {seed}: {} of {} differ", differences.len(), questions.len() + 1);
    assert!(differences.is_empty(), "{suite}:\n{}", differences.join("\n"));
}

#[test]
fn closures_are_those_of_apt() {
    let count = variable("COUNT").and_then(|count| count.parse().ok()).unwrap_or(3);
    let seed = variable("SEED").unwrap_or_else(|| "1".to_owned());
    let recommends = variable("RECOMMENDS").is_some();
    for suite in variable("SUITES").unwrap_or_else(|| "bookworm trixie".to_owned()).split(' ') {
        compare(suite, &seed, count, recommends);
    }
}

/// `COMPOSE_TEST_APT_…`: `FOLDER` keeps apt's files for the next run, `COUNT`, `SEED`, `RECOMMENDS`, `SUITES` say what to ask.
#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn variable(name: &str) -> Option<String> {
    std::env::var(format!("COMPOSE_TEST_APT_{name}")).ok()
}
