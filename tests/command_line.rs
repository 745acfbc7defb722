//! The command line itself: help, exit codes, `update-lock --check`. No network and no rights are needed.

mod support;

use std::path::Path;

use compose::durable;

use support::archive::{SignedAs, SigningKey, Suite, at};
use support::program::{Outcome, compose, run};
use support::snapshot::assert_snapshot;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The help of a command, given by its words.
fn help(words: &[&str]) -> String {
    let outcome = run(&mut compose(here(), [words, &["--help"]].concat()));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    outcome.stdout
}

/// The commands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn help_is_as_it_was() {
    let top = help(&[]);
    assert_snapshot("help/compose.txt", &top);
    for name in commands_of(&top) {
        let text = help(&[&name]);
        assert_snapshot(&format!("help/{name}.txt"), &text);
        for inner in commands_of(&text) {
            assert_snapshot(&format!("help/{name}-{inner}.txt"), &help(&[&name, &inner]));
        }
    }
}

#[test]
fn misuse_has_exit_code_2() {
    for words in [&[][..], &["bild"], &["build"], &["build", "--jobs", "many", "m.yaml"], &["-q", "-v", "store", "ls"]]
    {
        let outcome = run(&mut compose(here(), words));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            outcome.stderr.contains("--help") || outcome.stderr.contains("Usage:"),
            "{words:?}: {}",
            outcome.stderr
        );
    }
    assert_eq!(
        run(&mut compose(here(), ["fetch", "manifests/none.yaml"])),
        Outcome {
            code: Some(2),
            stdout: String::new(),
            stderr: "error: cannot read manifests/none.yaml\n  caused by: No such file or directory (os error 2)\n"
                .to_owned(),
        }
    );
    let version = format!("compose {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&mut compose(here(), ["--version"])).result(), version);
}

/// A manifest of one package, and the archive that has it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            "name: m\nformat: deb\narchitectures: [amd64]\nbase: none\npackages: [hello]\noutputs: [ostree]\n\
             archives:\n  - {{id: own, suites: [own], components: [main], trusted: true, uris: ['file://{}']}}\n",
            folder.path().join("archive").display()
        );
        durable::write(&folder.path().join("m.yaml"), manifest.as_bytes()).unwrap();
        Self { folder }
    }

    /// Writes the archive with this version of the package alone.
    fn publish(&self, version: &str, date: &str) {
        self.publish_with(version, date, "");
    }

    /// Likewise, with these fields too.
    fn publish_with(&self, version: &str, date: &str, fields: &str) {
        let root = self.folder.path().join("archive");
        let mut suite = Suite::new("own");
        suite.date = at(date);
        let control = format!("Package: hello\nVersion: {version}\nArchitecture: amd64\n{fields}");
        suite.add_package(&root, "main/binary-amd64", &control, version.as_bytes());
        suite.write(&root, &SigningKey::generate("own"), SignedAs::Unsigned);
    }

    /// Exit code, results, and the last line on standard error.
    fn update_lock(&self, options: &[&str]) -> (Option<i32>, String, String) {
        let outcome = run(compose(self.folder.path(), ["--store", "store", "update-lock", "m.yaml"]).args(options));
        (outcome.code, outcome.stdout, outcome.stderr.lines().last().unwrap_or_default().to_owned())
    }

    fn check_archive(&self) -> Outcome {
        run(&mut compose(self.folder.path(), ["--store", "store", "check-archive", "m.yaml"]))
    }

    fn lock(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("locks/m.amd64.lock")).ok()
    }
}

#[test]
fn a_check_of_the_lock_answers_and_writes_nothing() {
    let told = |code: i32, stdout: &str, state: &str| {
        (Some(code), stdout.to_owned(), format!("locks/m.amd64.lock {state}: 1 packages, 3 B"))
    };
    let scene = Scene::new();
    scene.publish("1.0", "2026-01-01T00:00:00Z");
    let added = "added hello 1.0 (own/own/main)\n  download 3 B, installed 0 B\n  why: named by the manifest\n\
                 total m.amd64: 1 packages (+1), download 3 B (+3 B), installed 0 B (±0 B)\n";
    assert_eq!(scene.update_lock(&["--check"]), told(1, added, "is to be updated"));
    assert_eq!(scene.lock(), None);
    assert_eq!(scene.update_lock(&[]), told(0, added, "is written"));
    assert_eq!(scene.update_lock(&["--check"]), told(0, "", "is current"));

    let before = scene.lock();
    scene.publish("1.1", "2026-01-02T00:00:00Z");
    let upgraded = "upgraded hello 1.0 → 1.1 (own/own/main)\n  download 3 B (±0 B), installed 0 B (±0 B)\n\
                    total m.amd64: 1 packages (+0), download 3 B (±0 B), installed 0 B (±0 B)\n";
    assert_eq!(scene.update_lock(&["--check"]), told(1, upgraded, "is to be updated"));
    assert_eq!(scene.lock(), before);
    assert_eq!(scene.update_lock(&["--quiet"]), (Some(0), upgraded.to_owned(), String::new()));
    assert_eq!(scene.update_lock(&["--check"]), told(0, "", "is current"));
}

#[test]
fn templates_for_other_architectures_are_refused_ahead_of_all_work() {
    let scene = Scene::new();
    let (folder, root) = (scene.folder.path(), scene.folder.path().join("archive"));
    let manifest = std::fs::read_to_string(folder.join("m.yaml")).unwrap().replace("[amd64]", "[arm64]");
    durable::write(&folder.join("m.yaml"), format!("{manifest}template: {{version: 4.3.0}}\n").as_bytes()).unwrap();
    let mut suite = Suite::new("own");
    suite.date = at("2026-01-01T00:00:00Z");
    suite.add_package(&root, "main/binary-arm64", "Package: hello\nVersion: 1.0\nArchitecture: arm64\n", b"1.0");
    suite.write(&root, &SigningKey::generate("own"), SignedAs::Unsigned);
    run(&mut compose(folder, ["--store", "store", "update-lock", "m.yaml"])).result();
    for command in ["build", "verify"] {
        let words = ["--store", "other", command, "m.yaml", "--arch", "arm64", "--format", "qubes-template"];
        let said = run(&mut compose(folder, words));
        let expected = "error: cannot build m for arm64\n  \
                        caused by: Qubes runs on amd64, and there are no templates for arm64\n\
                        hint: give --arch amd64, or --format for other outputs\n";
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(2), "", expected));
        assert!(!folder.join("other").exists());
    }
}

#[test]
fn a_check_of_the_archive_answers_with_proofs() {
    let scene = Scene::new();
    scene.publish("1.0", "2026-01-01T00:00:00Z");
    let sound = scene.check_archive();
    assert_eq!((sound.code, sound.stdout.as_str()), (Some(0), ""));
    assert_eq!(sound.stderr.lines().last(), Some("m amd64: 1 packages judged, 0 cannot be installed"));

    scene.publish_with("1.1", "2026-01-02T00:00:00Z", "Depends: libhello (>= 2)\n");
    let broken = scene.check_archive();
    assert_eq!(
        (broken.code, broken.stdout.as_str()),
        (
            Some(1),
            "hello 1.1 cannot be installed on amd64:\n  \
             hello 1.1 depends on `libhello (>= 2)`: no archive has a package `libhello`\n"
        )
    );
    assert_eq!(broken.stderr.lines().last(), Some("m amd64: 1 packages judged, 1 cannot be installed"));
}

#[test]
fn who_reads_may_have_enough() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = compose(here(), ["graph", "manifests/debian-13-minimal.yaml"]);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}
