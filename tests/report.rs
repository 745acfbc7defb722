//! `compose update-lock --report` and `--changelogs`: packages made by builders, served on loopback.

mod support;

use std::io::Write as _;

use compose::durable;
use serde_json::Value;

use support::archive::{SignedAs, SigningKey, Suite, at};
use support::deb::Deb;
use support::http_server::HttpServer;
use support::program::{Outcome, compose, run};

/// A manifest that asks for some packages, and a mirror of the archive that has them.
struct Scene {
    folder: tempfile::TempDir,
    server: HttpServer,
}

impl Scene {
    fn new(requests: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = HttpServer::serve(&folder.path().join("archive"));
        let scene = Self { folder, server };
        scene.write_manifest("m", requests);
        scene
    }

    fn write_manifest(&self, name: &str, requests: &str) {
        let manifest = format!(
            "name: {name}\nformat: deb\narchitectures: [amd64]\nbase: none\npackages: [{requests}]\noutputs: [ostree]\n\
             archives:\n  - {{id: own, suites: [own-security], components: [main], trusted: true, uris: ['{}']}}\n",
            self.server.uri()
        );
        durable::write(&self.path(&format!("{name}.yaml")), manifest.as_bytes()).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Makes these the archive's packages, as of a day of January.
    fn publish(&self, day: u32, packages: &[Deb]) {
        let root = self.path("archive");
        let mut suite = Suite::new("own-security");
        suite.date = at(&format!("2026-01-{day:02}T00:00:00Z"));
        for package in packages {
            suite.add_package(&root, "main/binary-amd64", &package.control_text(), &package.build());
        }
        suite.write(&root, &SigningKey::generate("own"), SignedAs::Unsigned);
    }

    fn update_lock(&self, words: &[&str]) -> Outcome {
        run(compose(self.folder.path(), ["--store", "store", "update-lock"]).args(words))
    }

    fn lock(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(&format!("locks/{name}.amd64.lock"))).ok()
    }
}

fn entry(source: &str, version: &str, text: &str) -> String {
    format!(
        "{source} ({version}) own; urgency=low\n\n  * {text}\n\n -- M <m@example.org>  Sat, 14 Nov 2026 09:00:00 +0000\n\n"
    )
}

fn gz(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn doc(package: &str, file: &str) -> String {
    format!("usr/share/doc/{package}/{file}")
}

/// The versions of the entries of each source package, and the note.
fn entries(report: &Value) -> Vec<String> {
    let changes = report["changes"].as_array().unwrap().iter();
    changes
        .map(|change| {
            let changelog = &change["changelog"];
            let entries = changelog["entries"].as_array().into_iter().flatten();
            let versions: Vec<&str> = entries.map(|entry| entry["version"].as_str().unwrap()).collect();
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (kind, source) = (text(&change["kind"]), text(&change["source"]));
            let (package, note) = (text(&changelog["package"]), text(&changelog["note"]));
            format!("{kind} {source}: {} from {package}, {note}", versions.join(" "))
        })
        .collect()
}

/// Packages that keep their changelogs in all the ways there are.
fn with_changelogs(new: bool) -> Vec<Deb> {
    let pick = |before: &'static str, now: &'static str| if new { now } else { before };
    let library = entry("lib", "2.0-2", "Third. CVE-2026-1111 (Closes: #3)")
        + &entry("lib", "2.0-1", "Second. LP: #2")
        + &entry("lib", "1.0-1", "First.");
    let rebuilt = entry("rebuilt", "1.0-1", "Made.");
    let binary_only = entry("rebuilt", "1.0-1+b1", "Rebuilt.") + &rebuilt;
    let other = entry("other-versions", "7", "Seven.") + &entry("other-versions", "6", "Six.");
    let bomb = gz(vec![b' '; 300 << 20]);
    vec![
        Deb::new("a-lib1", pick("1.0-1", "2.0-2")).field("Source", "lib").symlink("usr/share/doc/a-lib1", "lib-common"),
        Deb::new("back", pick("2", "1")).file(&doc("back", "changelog.gz"), gz(entry("back", "2", "Two."))),
        Deb::new("bomb", pick("1", "2")).file(&doc("bomb", "changelog.gz"), if new { bomb } else { gz("") }),
        Deb::new("broken", pick("1", "2")).file(&doc("broken", "changelog.gz"), "not compressed"),
        Deb::new("lib-common", pick("1.0-1", "2.0-2"))
            .field("Source", "lib")
            .file(&doc("lib-common", "changelog.Debian.gz"), gz(library))
            .file(&doc("lib-common", "changelog.gz"), gz(entry("lib", "2.0-2", "That of the authors."))),
        Deb::new("native", pick("1", "1.1")).file(&doc("native", "changelog"), entry("native", "1.1", "By \u{7}bell.")),
        Deb::new("none", pick("1", "2")),
        Deb::new("other", pick("1:1.0", "1:1.1"))
            .field("Source", "other-versions (7)")
            .file(&doc("other", "changelog.Debian.gz"), gz(other)),
        Deb::new("rebuilt", pick("1.0-1", "1.0-1+b1"))
            .file(&doc("rebuilt", "changelog.Debian.gz"), gz(rebuilt))
            .file(&doc("rebuilt", "changelog.Debian.all.gz"), gz(binary_only)),
    ]
}

const ALL: &str = "a-lib1, back, bomb, broken, lib-common, native, none, other, rebuilt";

#[test]
fn changelogs_are_read_from_the_packages() {
    let scene = Scene::new(ALL);
    scene.publish(1, &with_changelogs(false));
    scene.update_lock(&["m.yaml"]).result();
    scene.publish(2, &with_changelogs(true));
    let before = scene.lock("m");
    let outcome = scene.update_lock(&["m.yaml", "--check", "--changelogs", "--report", "json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert_eq!(scene.lock("m"), before);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        entries(&report),
        [
            "downgraded back: 2 from back, -",
            "upgraded bomb:  from -, the packages have none",
            "upgraded broken:  from -, the changelog of broken 2 cannot be read: in data.tar.xz: at the member \
             `usr/share/doc/broken/changelog.gz`: cannot read changelog.gz: invalid gzip header",
            "upgraded lib: 2.0-2 2.0-1 from lib-common, -",
            "upgraded native: 1.1 from native, -",
            "upgraded none:  from -, the packages have none",
            "upgraded other-versions: 7 from other, it has no entry for 1:1.1, so only its newest one is told",
            "upgraded rebuilt: 1.0-1+b1 from rebuilt, -",
        ]
    );
    let library = &report["changes"][3];
    assert_eq!(library["security"], true);
    assert_eq!(library["changelog"]["cves"], serde_json::json!(["CVE-2026-1111"]));
    let bugs = r#"[{"number":3,"tracker":"debian"},{"number":2,"tracker":"launchpad"}]"#;
    assert_eq!(library["changelog"]["bugs"].to_string(), bugs);

    let text = scene.update_lock(&["m.yaml", "--changelogs"]).result();
    assert!(text.contains("\n      * By \u{fffd}bell.\n"), "{text}");
}

#[test]
fn offline_it_is_told_which_packages_are_missing() {
    let scene = Scene::new("native, rebuilt");
    scene.publish(1, &with_changelogs(false));
    scene.update_lock(&["m.yaml"]).result();
    scene.publish(2, &with_changelogs(true));
    scene.update_lock(&["m.yaml", "--check"]);
    let outcome = scene.update_lock(&["m.yaml", "--offline", "--changelogs", "--report", "markdown"]);
    assert!(outcome.stderr.contains("2 of 2 package files are not here"), "{}", outcome.stderr);
    for told in ["Note: `the file of native 1.1 is not here`.", "Note: `the file of rebuilt 1.0-1+b1 is not here`."] {
        assert!(outcome.stdout.contains(told), "{}", outcome.stdout);
    }
    assert_eq!(outcome.code, Some(0), "the locks are what was asked for");
    assert!(scene.lock("m").unwrap().contains("version: 1.0-1+b1"));
}

#[test]
fn several_manifests_make_one_report_or_nothing() {
    let scene = Scene::new("native");
    scene.write_manifest("n", "native, none");
    scene.publish(1, &with_changelogs(false));
    let report = scene.update_lock(&["m.yaml", "n.yaml", "--report", "json"]).result();
    let report: Value = serde_json::from_str(&report).unwrap();
    let places = |i: usize| {
        let places = report["changes"][i]["places"].as_array().unwrap().iter();
        places.map(|place| place["lock"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((places(0), places(1)), (vec!["m.amd64", "n.amd64"], vec!["n.amd64"]));

    let before = (scene.lock("m"), scene.lock("n"));
    scene.publish(2, &with_changelogs(true));
    scene.write_manifest("n", "native, missing");
    let outcome = scene.update_lock(&["m.yaml", "n.yaml"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{}", outcome.stderr);
    assert_eq!((scene.lock("m"), scene.lock("n")), before, "no lock is written");

    scene.update_lock(&["m.yaml"]).result();
    let nothing = scene.update_lock(&["m.yaml", "--check", "--report", "markdown"]).result();
    assert!(nothing.starts_with("## No package changed\n"), "{nothing}");
}
