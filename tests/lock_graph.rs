//! `compose why` and `compose graph`, over locks written for the purpose. No network, no store, no rights.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use compose::lock::{self, Asked, Lock, Package};
use compose::manifest;
use compose::package::Format;

use support::program::{Outcome, compose, run};
use support::snapshot::assert_snapshot;

/// A folder with a manifest and its lock.
struct Scene {
    folder: tempfile::TempDir,
}

/// `NAME[:ARCH] [base|manifest] [DEPENDS…] [~RECOMMENDS…]`, as a lock has it.
fn package(line: &str) -> Package {
    let mut words = line.split(' ');
    let label = words.next().unwrap();
    let (name, architecture) = label.split_once(':').unwrap_or((label, "amd64"));
    let mut package = Package {
        name: name.to_owned(),
        architecture: architecture.to_owned(),
        version: format!("1.{}", name.len()),
        source: None,
        archive: "debian/trixie/main".to_owned(),
        path: format!("pool/{name}.deb"),
        size: 1000,
        installed_size: 4096,
        sha256: Sha256::of(label.as_bytes()),
        asked: None,
        depends: Vec::new(),
        security_fix: None,
        recommends: Vec::new(),
    };
    for word in words {
        match (word, word.strip_prefix('~')) {
            ("base", _) => package.asked = Some(Asked::Base),
            ("manifest", _) => package.asked = Some(Asked::Manifest),
            (_, Some(name)) => package.recommends.push(name.to_owned()),
            (_, None) => package.depends.push(word.to_owned()),
        }
    }
    package
}

impl Scene {
    fn new(packages: &[&str], tools: &[&str]) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.write_manifest("packages: [init]");
        let manifest = manifest::load(&scene.folder.path().join("m.yaml")).unwrap();
        for architecture in &manifest.architectures {
            let lock = Lock {
                version: lock::VERSION,
                manifest: manifest.name.clone(),
                manifest_sha256: manifest.digest,
                format: Format::Deb,
                architecture: architecture.clone(),
                date: Timestamp::from_seconds(0).unwrap(),
                packages: packages.iter().map(|line| package(&line.replace("ARCH", architecture.as_str()))).collect(),
                tools: tools.iter().map(|line| package(line)).collect(),
                interpreters: Vec::new(),
            };
            lock::save(&lock, &lock::path_for(&manifest, architecture)).unwrap();
        }
        scene
    }

    fn write_manifest(&self, more: &str) {
        let text = format!(
            "name: m\nformat: deb\narchitectures: [amd64, s390x]\narchives:\n  \
             - {{id: debian, suites: [trixie], components: [main], trusted: true}}\n{more}\n"
        );
        durable::write(&self.folder.path().join("m.yaml"), text.as_bytes()).unwrap();
    }

    /// A system of few packages, with each kind of relation.
    fn small() -> Self {
        Self::new(
            &[
                "bash base libc6",
                "dash base libc6",
                "dbus libc6 ~init",
                "init manifest libc6 libinit ~dbus",
                "libc6",
                "libc6-only-ARCH",
                "libinit libc6",
                "logger manifest init ~logrotate",
                "logrotate dbus",
            ],
            &["e2fsprogs manifest libc6", "libc6"],
        )
    }

    fn run(&self, words: &[&str]) -> Outcome {
        run(&mut compose(self.folder.path(), words))
    }

    /// What `compose why m.yaml WORDS` prints for amd64, saying nothing else.
    fn why(&self, words: &[&str]) -> String {
        let outcome = self.run(&[&["why", "--arch", "amd64", "m.yaml"], words].concat());
        assert_eq!(outcome.stderr, "");
        outcome.result()
    }

    /// Likewise `compose graph`.
    fn graph(&self, words: &[&str]) -> String {
        let outcome = self.run(&[&["graph", "--arch", "amd64", "m.yaml"], words].concat());
        assert_eq!(outcome.stderr, "");
        outcome.result()
    }
}

#[test]
fn why_shows_who_asks_and_by_which_chains() {
    let scene = Scene::small();
    let told: Vec<String> =
        ["bash", "init", "libinit", "dbus", "libc6", "libc6-only-amd64"].map(|name| scene.why(&[name])).into();
    assert_snapshot("why/small.txt", &told.join("\n"));
}

#[test]
fn why_is_short_about_what_everything_needs() {
    let roots: Vec<String> =
        (10..30).map(|i| format!("p{i} base {}", if i % 7 == 0 { "liba" } else { "libc6" })).collect();
    let mut lines = vec!["a manifest libc6 ~zlib", "liba libc6", "libc6"];
    lines.extend(roots.iter().map(String::as_str));
    lines.push("zlib libc6");
    let scene = Scene::new(&lines, &[]);
    assert_snapshot("why/many.txt", &scene.why(&["libc6"]));
    assert_snapshot("why/many-all.txt", &scene.why(&["libc6", "--all"]));
}

#[test]
fn why_answers_no_for_what_is_not_there() {
    let scene = Scene::small();
    let no = |stderr: &str| Outcome { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() };
    assert_eq!(
        scene.run(&["why", "m.yaml", "libint", "--arch", "s390x"]),
        no("error: the lock of m for s390x has no package `libint`\nhint: did you mean `libinit`?\n")
    );
    assert_eq!(
        scene.run(&["graph", "m.yaml", "--package", "emacs", "--arch", "amd64"]),
        no("error: the lock of m for amd64 has no package `emacs`\n")
    );
    assert_eq!(
        scene.run(&["graph", "m.yaml", "--package", "e2fsprogs", "--arch", "amd64"]),
        no("error: `e2fsprogs` is among the tools alone, which are not drawn\nhint: add --tools\n")
    );
    let other = scene.run(&["why", "m.yaml", "libc6-only-s390x", "--arch", "s390x"]);
    assert_eq!(other.result(), "libc6-only-s390x 1.16 amd64, in the root:\n  nothing that was asked for needs it\n");
}

#[test]
fn a_stale_lock_is_told_about_with_a_warning() {
    let scene = Scene::small();
    let current = scene.why(&["init"]);
    scene.write_manifest("packages: [logger]");
    let outcome = scene.run(&["why", "--arch", "amd64", "m.yaml", "init"]);
    assert_eq!((outcome.code, outcome.stdout), (Some(0), current));
    let (start, end) = ("warning: locks/m.amd64.lock is stale: ", "; this is about the lock as it is\n");
    assert!(outcome.stderr.starts_with(start) && outcome.stderr.ends_with(end), "{}", outcome.stderr);

    fs::remove_file(scene.folder.path().join("locks/m.amd64.lock")).unwrap();
    assert_eq!(
        scene.run(&["why", "--arch", "amd64", "m.yaml", "init"]),
        Outcome {
            code: Some(2),
            stdout: String::new(),
            stderr: "error: m has no lock for amd64: locks/m.amd64.lock is missing\nhint: compose update-lock m.yaml\n"
                .to_owned()
        }
    );
}

#[test]
fn graphs_are_drawn_whole_or_in_part() {
    let scene = Scene::small();
    let whole = scene.graph(&["--tools"]);
    assert_snapshot("graph/whole.dot", &whole);
    assert_snapshot("graph/package.dot", &scene.graph(&["--package", "logrotate"]));
    assert_eq!(scene.graph(&["--tools", "--output", "out/m.dot"]), "");
    assert_eq!(fs::read_to_string(scene.folder.path().join("out/m.dot")).unwrap(), whole);
}

#[test]
fn svg_is_what_graphviz_makes() {
    let scene = Scene::small();
    let bin = scene.folder.path().join("bin");
    let words = ["graph", "--arch", "amd64", "m.yaml", "--format", "svg"];
    let with_path = |words: &[&str]| run(compose(scene.folder.path(), words).env("PATH", &bin));
    let missing = with_path(&words);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(2), ""));
    assert!(missing.stderr.starts_with("error: cannot run `dot -Tsvg "), "{}", missing.stderr);
    let hint = "\nhint: install graphviz, whose program it is, or write --format dot\n";
    assert!(missing.stderr.ends_with(hint), "{}", missing.stderr);

    let dot = bin.join("dot");
    durable::write(&dot, b"#!/bin/sh\nread -r line <\"$2\"\necho \"$1: $line\"\n").unwrap();
    fs::set_permissions(&dot, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(with_path(&words).result(), "-Tsvg: digraph \"m amd64\" {\n");
}
