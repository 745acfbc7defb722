//! What apt chooses is what we choose: closures of packages of a real archive, from an empty system, compared with
//! `apt-get -s install`. The indexes are those that the host's own apt sources lead to.
//! Skips, and says why, where there is no apt or its archives cannot be reached.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::manifest::{Base, ImageOptions, Manifest, OutputFormat, PackageRequest, Tools};
use compose::package::Format;
use compose::resolve;
use compose::source::Index;

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
        let (root, folder) = match std::env::var_os("COMPOSE_TEST_APT") {
            Some(root) => (PathBuf::from(root).join(suite), None),
            None => {
                let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
                (folder.path().to_owned(), Some(folder))
            }
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
            fs::copy("/dev/null", apt.root.join("var/lib/dpkg/status")).map_err(|e| e.to_string())?;
            let path = apt.root.join("etc/apt/sources.list.d/debian.sources");
            let mut file = fs::File::create(path).map_err(|e| e.to_string())?;
            std::io::Write::write_all(&mut file, sources.replace(host, suite).as_bytes()).map_err(|e| e.to_string())?;
            apt.run(&["update"])?;
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

    /// Its indexes, in the order of its sources.
    fn indexes(&self) -> Vec<Index> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.lists()).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.to_string_lossy().ends_with("_Packages"));
        files.sort_by_key(|f| {
            let name = f.to_string_lossy().into_owned();
            (name.contains("-security_"), name.contains("-updates_"))
        });
        files.iter().map(|f| index(f)).collect()
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
    let text = fs::read(path).unwrap();
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
        text,
    }
}

fn manifest(base: Base, packages: &[&str], recommends: bool) -> Manifest {
    Manifest {
        name: "test".to_owned(),
        format: Format::Deb,
        architectures: vec!["amd64".parse().unwrap()],
        archives: Vec::new(),
        base,
        recommends,
        packages: packages.iter().map(|name| PackageRequest { name: (*name).to_owned(), version: None }).collect(),
        exclude: Vec::new(),
        groups: Vec::new(),
        users: Vec::new(),
        files: Vec::new(),
        outputs: vec![OutputFormat::Ostree],
        image: ImageOptions { size: None, slack: 0, label: String::new() },
        tools: Tools { archives: Vec::new() },
        path: PathBuf::from("test.yaml"),
        digest: Sha256::of(b""),
    }
}

fn ours(indexes: &[Index], manifest: &Manifest) -> Result<Vec<String>, String> {
    let architecture: Architecture = "amd64".parse().unwrap();
    let lock = resolve::run(manifest, &architecture, indexes, &[], None).map_err(|e| format!("{e:#}"))?;
    let mut chosen: Vec<String> = lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
    chosen.sort();
    Ok(chosen)
}

/// Compares `count` packages drawn by a fixed rule; gives the differences, each with what only one side has.
fn compare(suite: &str, count: usize, recommends: bool) -> Option<Vec<String>> {
    let apt = match Apt::new(suite) {
        Ok(apt) => apt,
        Err(reason) => {
            eprintln!("skipped: no apt with {suite}: {reason}");
            return None;
        }
    };
    let indexes = apt.indexes();
    let more = if recommends { "--install-recommends" } else { "--no-install-recommends" };
    let mut questions: Vec<(Base, Vec<String>)> = Vec::new();
    let text = std::str::from_utf8(&indexes[0].text).unwrap();
    let names: BTreeMap<Sha256, &str> =
        text.lines().filter_map(|l| l.strip_prefix("Package: ")).map(|n| (Sha256::of(n.as_bytes()), n)).collect();
    questions.extend(names.values().take(count).map(|name| (Base::None, vec![(*name).to_owned()])));
    let mut differences = Vec::new();
    for (base, packages) in &questions {
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        let theirs = apt.closure(&[more], &names);
        let ours = ours(&indexes, &manifest(*base, &names, recommends));
        match (&theirs, &ours) {
            (Ok(theirs), Ok(ours)) if theirs == ours => {}
            (Err(_), Err(_)) => {}
            (Ok(theirs), Ok(ours)) => {
                let only =
                    |a: &[String], b: &[String]| a.iter().filter(|p| !b.contains(p)).cloned().collect::<Vec<_>>();
                differences.push(format!("{names:?}: apt {:?}, ours {:?}", only(theirs, ours), only(ours, theirs)));
            }
            (theirs, ours) => {
                differences.push(format!("{names:?}: apt {:?}, ours {:?}", theirs.as_ref().err(), ours.as_ref().err()))
            }
        }
    }
    let base = apt.closure(&[more], &["?essential", "?priority(required)", "apt"]).unwrap();
    let ours = ours(&indexes, &manifest(Base::Required, &[], recommends));
    if ours.as_ref() != Ok(&base) {
        differences.push(format!("base: apt {base:?}, ours {ours:?}"));
    }
    eprintln!("{suite}: {} questions, {} differences", questions.len() + 1, differences.len());
    differences.iter().for_each(|d| eprintln!("  {d}"));
    Some(differences)
}

#[test]
fn closures_are_those_of_apt() {
    let count = std::env::var("COMPOSE_TEST_APT_COUNT").ok().and_then(|c| c.parse().ok()).unwrap_or(5);
    for suite in ["bookworm", "trixie"] {
        if let Some(differences) = compare(suite, count, false) {
            assert!(differences.is_empty(), "{suite}");
        }
    }
}
