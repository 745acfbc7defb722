//! What users are told when a build cannot be: whole texts, exit code 2.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::fixture::{self, REQUIRED, path_of};
use crate::recover::assert_nothing_runs;
use crate::support::deb::Deb;
use crate::support::needs::needs;
use crate::support::program::{Outcome, run};

/// The lock of the small root.
const LOCK: &str = "locks/required.amd64.lock";

fn refusal(stderr: &str) -> Outcome {
    Outcome { code: Some(2), stdout: String::new(), stderr: stderr.to_owned() }
}

#[test]
fn a_stale_and_a_missing_lock_are_told_apart() {
    let Some(scene) = needs(fixture::empty()) else { return };
    let found = scene.lock(REQUIRED).manifest_sha256;
    scene.edit("manifests/required.yaml", "recommends: false", "recommends: true");
    let manifest = compose::manifest::load(&scene.path(&path_of(REQUIRED))).unwrap();
    for command in ["build", "fetch"] {
        let stale = format!(
            "error: locks/required.amd64.lock is stale: it was made for another state of manifests/required.yaml \
             (expected manifest-sha256 {}, found {found})\n\
             hint: compose update-lock manifests/required.yaml\n",
            manifest.digest
        );
        assert_eq!(run(&mut scene.compose([command, &path_of(REQUIRED)])), refusal(&stale));
    }
    fs::remove_file(scene.path(LOCK)).unwrap();
    for command in ["build", "fetch"] {
        let missing = "error: required has no lock for amd64: locks/required.amd64.lock is missing\n\
                       hint: compose update-lock manifests/required.yaml\n";
        assert_eq!(run(&mut scene.compose([command, &path_of(REQUIRED)])), refusal(missing));
    }
    assert!(!scene.path("out").exists());
}

#[test]
fn a_vanished_version_names_the_ways_out() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let lock = scene.lock(REQUIRED);
    let package = lock.packages.iter().find(|package| package.name == "dash").unwrap();
    let gone = "pool/main/d/dash/dash_0.0.1-1_amd64.deb";
    scene.edit(LOCK, &package.path, gone);
    fs::remove_file(compose::fetch::file_path(&scene.path("store"), &package.sha256)).unwrap();

    let mirrors = fixture::mirrors();
    let mirror = &mirrors["debian"][0];
    let told = format!(
        "packages: {}\n\
         error: 1 of {} package files could not be fetched:\n  \
           {}: the archive `debian` has dropped this version: MIRROR/{gone} does not exist\n\
         hint: compose update-lock manifests/required.yaml, to lock the versions that the archive has now\n\
         hint: --mirror debian=URI, with a snapshot of the archive that still has the locked versions\n\
         hint: --store DIR, with a store that has these packages already\n",
        indicatif::HumanBytes(package.size),
        lock.files().len(),
        package.describe(),
    );
    let mut said = run(scene.compose(["fetch", &path_of(REQUIRED)]).args(["--mirror", &format!("debian={mirror}")]));
    said.stderr = said.stderr.replace(mirror.trim_end_matches('/'), "MIRROR");
    assert_eq!(said, refusal(&told));
}

#[test]
fn offline_lists_what_is_missing() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let lock = scene.lock(REQUIRED);
    let missing: Vec<_> = lock.packages.iter().filter(|p| p.name.starts_with("lib")).collect();
    for package in &missing {
        fs::remove_file(compose::fetch::file_path(&scene.path("store"), &package.sha256)).unwrap();
    }
    let mut told = format!(
        "error: {} of {} package files are not here, and offline nothing is fetched:\n",
        missing.len(),
        lock.files().len()
    );
    for package in &missing {
        let _ = writeln!(told, "  {}: debian/{}", package.describe(), package.path);
    }
    told.push_str("hint: compose fetch manifests/required.yaml, without --offline\n");
    assert_eq!(run(&mut scene.compose(["--offline", "fetch", &path_of(REQUIRED)])), refusal(&told));
    let build = scene.build(REQUIRED, &["--offline"]);
    assert_eq!((build.code, build.stdout.as_str()), (Some(2), ""));
    assert!(build.stderr.starts_with("error: cannot build required for amd64\n"), "{}", build.stderr);
}

#[test]
fn a_failing_script_is_named() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let postinst = "#!/bin/sh\necho 'the disk is full of eels'\nexit 3\n";
    scene.add_packages(&[Deb::new("eels", "1.0").script("postinst", postinst)]);
    let failed = scene.build(REQUIRED, &[]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(2), ""));
    let begin = "\
error: cannot build required for amd64: the postinst script of eels ended with exit status 3
  caused by: dpkg --configure --pending ended with exit status 1:
";
    let end = "
    Setting up eels (1.0) ...
    the disk is full of eels
    dpkg: error processing package eels (--configure):
     installed eels package post-installation script subprocess returned error exit status 3
    dpkg: too many errors, stopping
    Errors were encountered while processing:
     eels
    Processing was halted because there were too many errors.
hint: for a shell at that point: compose shell manifests/required.yaml
";
    assert!(failed.stderr.contains(begin) && failed.stderr.ends_with(end), "{}", failed.stderr);
    assert_nothing_runs(&scene);
    assert!(!scene.path("out").exists());
    assert_eq!(fs::read_dir(scene.path("store/work")).unwrap().count(), 0);
    assert_eq!(run(&mut scene.compose(["store", "ls"])).result(), "");
    run(&mut scene.compose(["store", "verify"])).result();

    // The shell that the hint offers stands where the script failed.
    let mut shell = scene.compose(["shell", &path_of(REQUIRED)]);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"dpkg-query -Wf '${Status}' eels\nexit 7\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(7) && said.contains("install ok half-configured"), "{output:?}");
    assert_nothing_runs(&scene);
}
