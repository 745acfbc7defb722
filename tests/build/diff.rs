//! Two builds compared: what explains each path, what is found in a tree that somebody tampered with, and files that lead to
//! their trees.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use compose::store::{Attributes, Content, Directory, NewCommit, Store};
use serde_json::Value;

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::{self, needs};
use crate::support::program::{Outcome, compose, run};

const REF: &str = "template/required/amd64";

fn eels(version: &str, more: &str) -> Deb {
    let postinst = format!("#!/bin/sh\nset -e\nmkdir -p /var/lib/eels\necho {version} > /var/lib/eels/state\n{more}");
    let postinst = format!("{postinst}dpkg-trigger --no-await /usr/share/eels\n");
    Deb::new("eels", version)
        .file("usr/share/eels/version", version)
        .file("usr/share/eels/same", "same")
        .file("usr/share/eels/packed.gz", packed(version))
        .file("usr/share/eels/packed.tar", archived(version))
        .file("usr/lib/eels/program", program(version))
        .file("etc/eels.conf", format!("version {version}\n"))
        .file(
            "usr/lib/systemd/system/eels.socket",
            format!("[Socket]\nListenStream={version}\n[Install]\nWantedBy=sockets.target\n"),
        )
        .file("usr/lib/systemd/system-preset/10-eels.preset", format!("{} eels.*\n", preset(version)))
        .conffiles(&["/etc/eels.conf"])
        .script("postinst", &postinst)
        .script("prerm", &format!("#!/bin/sh\nset -e\n# {version}\nrm -f /var/lib/eels/state\n"))
        .triggers(&format!("activate-noawait eels-{version}\n"))
}

/// What the package's presets say of its units.
fn preset(version: &str) -> &'static str {
    if version == "1.0" { "disable" } else { "enable" }
}

/// A package whose trigger counts the files of eels.
fn counter() -> Deb {
    Deb::new("counter", "1.0")
        .script(
            "postinst",
            "#!/bin/sh\nset -e\n[ $1 != triggered ] || cat /usr/share/eels/version > /var/lib/counter\n",
        )
        .triggers("interest-noawait /usr/share/eels\n")
}

/// A text in gzip.
fn packed(version: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(format!("packed {version}\n").as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive with one file.
fn archived(version: &str) -> Vec<u8> {
    let (mut archive, mut header, text) =
        (tar::Builder::new(Vec::new()), tar::Header::new_gnu(), format!("in {version}\n"));
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "inner/text", text.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}

/// One of two programs of the host.
fn program(version: &str) -> Vec<u8> {
    fs::read(if version == "1.0" { "/usr/bin/true" } else { "/usr/bin/false" }).unwrap()
}

fn build(scene: &Scene) -> String {
    scene.build(REQUIRED, &["--format", "ostree"]).result();
    let refs = run(&mut scene.compose(["store", "ls", "template"])).result();
    refs.lines().find(|line| line.ends_with(REF)).and_then(|line| line.split(' ').next()).unwrap().to_owned()
}

fn diff(scene: &Scene, words: &[&str]) -> Outcome {
    run(scene.compose(["diff"]).args(words))
}

fn json(scene: &Scene, old: &str, new: &str) -> Value {
    let outcome = diff(scene, &[old, new, "--report", "json"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// What explains each path, a line each.
fn explained(comparison: &Value) -> BTreeMap<String, String> {
    let paths = comparison["tree"]["paths"].as_array().unwrap().iter();
    let causes = |path: &Value| {
        let causes = path["explained-by"].as_array().unwrap().iter();
        let words =
            causes.map(|cause| format!("{}: {}", cause["kind"].as_str().unwrap(), cause["by"].as_str().unwrap()));
        words.collect::<Vec<_>>().join("; ")
    };
    paths.map(|path| (path["path"].as_str().unwrap().to_owned(), causes(path))).collect()
}

fn unexplained(comparison: &Value) -> Vec<String> {
    explained(comparison).into_iter().filter(|(_, why)| why.is_empty()).map(|(path, _)| path).collect()
}

#[test]
fn every_path_is_explained_and_tampering_is_found() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.add_packages(&[counter(), eels("1.0", "").depends("counter")]);
    let old = build(&scene);
    scene.publish(&[counter(), eels("2.0", "useradd --system --shell /bin/sh elver\n").depends("counter")]);
    scene.edit(
        "manifests/required.yaml",
        "base: required\n",
        "base: required\nhostname: pond\nfiles:\n  - {path: /etc/pond.d/deep, content: deep}\n",
    );
    scene.update_lock(REQUIRED);
    let new = build(&scene);

    let comparison = json(&scene, &old, &new);
    assert_eq!(unexplained(&comparison), Vec::<String>::new());
    let why = explained(&comparison);
    for (path, expected) in [
        ("/etc/eels.conf", "package: eels 1.0 → 2.0"),
        ("/usr/share/eels/version", "package: eels 1.0 → 2.0"),
        ("/var/lib/eels/state", "script: the postinst script of eels"),
        ("/var/lib/counter", "script: the postinst script of counter, triggered"),
        ("/etc/hostname", "manifest: setting the host name"),
        ("/etc/pond.d", "manifest: files"),
        ("/etc/pond.d/deep", "manifest: files"),
    ] {
        assert_eq!(why.get(path).map(String::as_str), Some(expected), "{path}");
    }
    assert!(why["/etc/passwd"].contains("the postinst script of eels"), "{}", why["/etc/passwd"]);
    assert!(!why.contains_key("/usr/share/eels/same"));
    let alerts = comparison["alerts"].as_array().unwrap();
    assert!(alerts.iter().any(|alert| alert["kind"] == "user-with-shell" && alert["what"] == "elver"), "{alerts:?}");
    let tree = &comparison["tree"];
    let scripts = tree["scripts"].as_array().unwrap().iter();
    let scripts: Vec<_> = scripts.map(|s| (s["package"].as_str().unwrap(), s["script"].as_str().unwrap())).collect();
    assert_eq!(scripts, [("eels", "postinst"), ("eels", "prerm"), ("eels", "triggers")]);
    assert_eq!(tree["sockets"][0]["new"], serde_json::json!(["ListenStream=2.0"]));
    let preset = &tree["presets"][0];
    assert_eq!(
        (&preset["unit"], &preset["old"], &preset["new"]),
        (&"eels.socket".into(), &"disable".into(), &"enable".into())
    );
    assert!(alerts.iter().any(|alert| alert["kind"] == "enabled-unit" && alert["what"] == "eels.socket"), "{alerts:?}");

    // The record is a function of lock and manifest: of a build whose scripts ran before as of one from nothing.
    let fresh = scene.with_empty_store();
    build(&fresh);
    let records = |scene: &Scene| run(&mut scene.compose(["store", "ls", "cache/origins"])).result();
    let record = records(&fresh);
    assert!(record.lines().count() == 1 && records(&scene).contains(record.trim_end()), "{record}");

    // The same commit, and a file of both.
    let same = diff(&scene, &[&new, REF]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
    let shown = diff(&scene, &[&old, &new, "--files", "/etc/eels.conf"]);
    let lines = "@@ -1 +1 @@\n-version 1.0\n+version 2.0\n";
    assert!(shown.code == Some(1) && shown.stdout.ends_with(lines), "{}", shown.stdout);
    let locks = ["old.lock", "locks/required.amd64.lock"];
    fixture::write(&scene.path(locks[0]), &run(&mut scene.compose(["show", &old, "--lock"])).result());
    for sides in [[old.as_str(), &new], locks] {
        let shown = diff(&scene, &[sides[0], sides[1], "--scripts", "eels"]);
        assert!(shown.code == Some(1) && shown.stdout.contains("\n-# 1.0\n+# 2.0\n"), "{}", shown.stdout);
        assert!(
            shown.stdout.starts_with("--- postinst of eels  ") && shown.stdout.contains("\n+++ triggers of eels  ")
        );
    }
    assert_eq!(diff(&scene, &[&old, &new, "--scripts", "counter"]).code, Some(0));
    let unknown = diff(&scene, &[&old, &new, "--scripts", "eel"]);
    assert_eq!(unknown.stderr, "error: neither lock has a package eel\nhint: is it eels?\n");
    if needs(needs::host_program("diffoscope", "--version")).is_some() {
        for (path, words) in [
            ("usr/share/eels/packed.gz", "\n│ -packed 1.0\n│ +packed 2.0\n"),
            ("usr/share/eels/packed.tar", "\n│ -in 1.0\n│ +in 2.0\n"),
            ("usr/lib/eels/program", "readelf"),
        ] {
            let shown = diff(&scene, &[&old, &new, "--files", path]);
            assert!(shown.code == Some(1) && shown.stdout.contains(words), "{}", shown.stdout);
        }
    }

    let Some(()) = needs(needs::root()) else { return };
    let tampered = tamper(&scene, &new);
    let expected =
        ["/etc/eels.conf", "/root/.ssh", "/root/.ssh/authorized_keys", "/usr/bin/env", "/var/lib/eels/state"];
    for (one, other) in [(&new, &tampered), (&tampered, &new)] {
        assert_eq!(unexplained(&json(&scene, one, other)), expected);
    }
    let told = diff(&scene, &[&new, &tampered]).stdout;
    let begin = told.lines().skip_while(|line| !line.starts_with("to be looked at")).take(6).collect::<Vec<_>>();
    assert!(begin[0].ends_with("5 unexplained)"), "{told}");
    for (line, path) in begin[1..].iter().zip(expected) {
        assert!(line.starts_with("  unexplained") && line.contains(path), "{told}");
    }
    assert!(told.contains("  set-id ") && told.contains("  key or certificate "), "{told}");
    // Against the build before, what the build did is explained still.
    let far = json(&scene, &old, &tampered);
    assert!(expected.iter().all(|path| unexplained(&far).iter().any(|found| found == path)));
}

/// A commit of the same tree with a set-id bit, a key, one byte of a configuration file, and a state that a script left gone.
fn tamper(scene: &Scene, commit: &str) -> String {
    let store = Store::open(&scene.path("store")).unwrap();
    let commit = commit.parse().unwrap();
    let (reader, writer) = (store.reader(), store.writer());
    let mut tree = store.read_tree(commit).unwrap();
    let bin = tree.root.find_mut("usr/bin").unwrap();
    let env = bin.files["env"];
    let mut attributes = reader.attributes(env).unwrap();
    attributes.mode |= 0o4000;
    bin.files.insert("env".to_owned(), writer.write_bytes(&attributes, &reader.read(env).unwrap()).unwrap());
    let etc = tree.root.find_mut("etc").unwrap();
    let attributes = reader.attributes(etc.files["eels.conf"]).unwrap();
    etc.files.insert("eels.conf".to_owned(), writer.write_bytes(&attributes, b"version 2.1\n").unwrap());
    let mut ssh = Directory::new(0o700);
    let private = Attributes { uid: 0, gid: 0, mode: 0o100_600, xattrs: BTreeMap::new() };
    let key = writer.write(&private, Content::File(&mut &b"ssh-ed25519 AAAA\n"[..], 17)).unwrap();
    ssh.files.insert("authorized_keys".to_owned(), key);
    tree.root.find_mut("root").unwrap().directories.insert(".ssh".to_owned(), ssh);
    tree.root.find_mut("var/lib/eels").unwrap().files.remove("state").unwrap();
    let (_, metadata) = store.read_commit(commit).unwrap();
    let new = NewCommit {
        name: "template/tampered/amd64".to_owned(),
        parent: Some(commit),
        subject: "tampered".to_owned(),
        metadata,
        version: None,
        root: writer.write_tree(&tree).unwrap(),
        date: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    store.commit(&[new]).unwrap()[0].to_hex()
}

#[test]
fn files_lead_to_their_trees_and_locks_need_no_store() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.add_packages(&[eels("1.0", "")]);
    scene.build(REQUIRED, &["--format", "tar", "--format", "root.img"]).result();
    for name in ["required.amd64.tar", "required.amd64.root.img", "required.amd64.lock"] {
        let from = if name.ends_with("lock") { "locks" } else { "out" };
        fs::rename(scene.path(&format!("{from}/{name}")), scene.path(&format!("old.{name}"))).unwrap();
    }
    scene.publish(&[eels("2.0", "")]);
    scene.update_lock(REQUIRED);
    scene.build(REQUIRED, &["--format", "tar", "--format", "root.img"]).result();
    for end in ["tar", "root.img"] {
        let comparison = json(&scene, &format!("old.required.amd64.{end}"), &format!("out/required.amd64.{end}"));
        assert_eq!(explained(&comparison)["/usr/share/eels/version"], "package: eels 1.0 → 2.0", "{end}");
    }
    // A copy is known by its digest.
    for end in ["tar", "root.img"] {
        let copy = format!("copy.{end}");
        fs::copy(scene.path(&format!("old.required.amd64.{end}")), scene.path(&copy)).unwrap();
        assert_eq!(diff(&scene, &[&copy, &format!("old.required.amd64.{end}")]).code, Some(0), "{end}");
    }
    fixture::write(&scene.path("foreign.tar"), "foreign");
    let foreign = diff(&scene, &["foreign.tar", REF]);
    assert_eq!(foreign.code, Some(2));
    assert!(foreign.stderr.contains("does not know of which tree foreign.tar was made"), "{}", foreign.stderr);

    let store = scene.path("nowhere");
    let words = ["diff", "old.required.amd64.lock", "locks/required.amd64.lock", "--report", "json"];
    let outcome = run(compose(scene.folder.path(), words).arg("--store").arg(&store).arg("--offline"));
    assert_eq!((outcome.code, store.exists()), (Some(1), false), "{}", outcome.stderr);
    let comparison: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(comparison["packages"]["changes"][0]["source"], "eels");
    assert!(comparison.get("tree").is_none());
    let lock = "locks/required.amd64.lock";
    assert_eq!(diff(&scene, &[lock, lock]).code, Some(0));
}
