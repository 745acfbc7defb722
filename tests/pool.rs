//! Package files without an index: pools and files named one by one, from manifest to fetched packages. No network.

mod support;

use std::fs;
use std::path::Path;

use compose::durable;

use support::deb::Deb;
use support::program::{Outcome, compose, run};

const MANIFEST: &str = "name: own\nformat: deb\narchitectures: [amd64]\nbase: none\noutputs: [ostree]\n\
                        archives:\n- id: mine\n  pool: ../debs\n";

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// A pool of `a`, which depends on `b` of a folder below, and `c` beside the pool.
    fn new(packages: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.put("debs", &Deb::new("a", "1").arch("amd64").depends("b"));
        scene.put(
            "debs/more",
            &Deb::new("b", "1").arch("amd64").field("Filename", "../../etc/passwd").mtime(1_700_000_000),
        );
        scene.put("extra", &Deb::new("c", "2").arch("amd64"));
        scene.write("manifests/own.yaml", &format!("{MANIFEST}packages: {packages}\n"));
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, folder: &str, deb: &Deb) {
        durable::write(&self.path().join(folder).join(deb.file_name()), &deb.build()).unwrap();
    }

    fn write(&self, path: &str, text: &str) {
        durable::write(&self.path().join(path), text.as_bytes()).unwrap();
    }

    fn run(&self, words: &[&str]) -> Outcome {
        run(&mut compose(self.path(), [&["--store", "store", "--quiet"], words].concat()))
    }

    fn refusal(&self) -> String {
        let outcome = self.run(&["update-lock", "manifests/own.yaml"]);
        assert_eq!(outcome.code, Some(2));
        outcome.stderr.replace(&self.path().display().to_string(), "DIR")
    }
}

#[test]
fn pools_and_files_are_locked_and_fetched_like_archives() {
    let scene = Scene::new("[a, ../extra/c_2_amd64.deb]");
    let updated = scene.run(&["update-lock", "manifests/own.yaml"]);
    assert_eq!((updated.code, updated.stderr.as_str()), (Some(0), ""));
    let lock = fs::read_to_string(scene.path().join("locks/own.amd64.lock")).unwrap();
    let places: Vec<&str> =
        lock.lines().filter(|line| ["  archive:", "  path:"].iter().any(|key| line.starts_with(key))).collect();
    assert_eq!(
        places,
        [
            "  archive: mine",
            "  path: a_1_amd64.deb",
            "  archive: mine",
            "  path: more/b_1_amd64.deb",
            "  archive: .",
            "  path: extra/c_2_amd64.deb"
        ]
    );
    assert!(lock.contains("date: 2023-11-14T22:13:20Z\n"), "{lock}");
    let fetched = scene.run(&["fetch", "manifests/own.yaml"]);
    assert_eq!((fetched.code, fetched.stderr.as_str()), (Some(0), ""));
    assert_eq!(scene.run(&["--offline", "fetch", "manifests/own.yaml"]).code, Some(0));
}

#[test]
fn a_file_is_taken_whatever_the_archives_have() {
    let scene = Scene::new("[../extra/a_0_amd64.deb]");
    scene.put("extra", &Deb::new("a", "0").arch("amd64"));
    assert_eq!(scene.run(&["update-lock", "manifests/own.yaml"]).stderr, "");
    let lock = fs::read_to_string(scene.path().join("locks/own.amd64.lock")).unwrap();
    assert!(lock.contains("version: '0'\n  archive: .\n") && !lock.contains("name: b"), "{lock}");
}

#[test]
fn what_cannot_be_used_is_refused() {
    let scene = Scene::new("[./none.deb]");
    assert_eq!(
        scene.refusal(),
        "error: cannot read the package file manifests/none.deb\n  caused by: No such file or directory (os error 2)\n\
             hint: paths of package files are relative to the manifest that names them\n"
    );
    let broken = Scene::new("[a]");
    broken.write("debs/broken.deb", "no package");
    assert_eq!(
        broken.refusal(),
        "error: DIR/debs/broken.deb is not a package that can be used\n  caused by: not a Debian package: no ar archive, or a truncated one\n  caused by: Not an archive file (invalid global header)\n"
    );
    let outside = Scene::new("[../../c.deb]");
    assert_eq!(
        outside.refusal(),
        "error: manifests/own.yaml:9:12: `../../c.deb` is not below DIR, which locks are relative to\n"
    );
    let both = Scene::new("[a]");
    both.write("manifests/own.yaml", &format!("{MANIFEST}  suites: [trixie]\n"));
    assert_eq!(
        both.refusal(),
        "error: manifests/own.yaml:7:7: the archive `mine` has a `pool`, a folder of package files: `suites`, `components`, `uris`, `signed-by` and `trusted` are for archives with an index\n"
    );
    let empty = Scene::new("[a]");
    empty.write("manifests/own.yaml", &MANIFEST.replace("../debs", "../manifests"));
    assert_eq!(empty.refusal(), "error: the pool of the archive `mine`, DIR/manifests, has no .deb file\n");
}
