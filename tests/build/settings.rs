//! What a manifest sets in the root besides packages: host name, time zone, answers, hooks.

use std::process::Command;

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::needs::needs;

const SETTINGS: &str = "\
base: required
hostname: guest
timezone: Europe/Berlin
locale: C.UTF-8
debconf:
  - debconf debconf/frontend select Readline
hooks:
  - name: first
    at: unpacked
    script: |
      [ ! -e /etc/hostname ]
      echo \"$0 before\" >>/var/lib/hooks
  - name: last
    script: |
      #!/usr/bin/perl
      open my $file, '>>', '/var/lib/hooks';
      print $file \"perl after $ENV{SOURCE_DATE_EPOCH}\\n\";
";

/// A file of the built tar archive.
fn file(scene: &Scene, path: &str) -> String {
    let archive = scene.output(REQUIRED, "tar");
    let output = Command::new("tar").arg("--extract").arg("--to-stdout").arg("--file").arg(archive).arg(path).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn settings_and_hooks_take_effect_and_leave_no_trace() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "base: required\n", SETTINGS);
    scene.update_lock(REQUIRED);
    scene.build(REQUIRED, &["--format", "tar"]).result();
    assert_eq!(file(&scene, "etc/hostname"), "guest\n");
    assert_eq!(file(&scene, "etc/default/locale"), "LANG=C.UTF-8\n");
    let clock = scene.lock(REQUIRED).date.start_of_month().seconds();
    assert_eq!(file(&scene, "var/lib/hooks"), format!("/tmp/hook-0 before\nperl after {clock}\n"));
    let answers = file(&scene, "var/cache/debconf/config.dat");
    let frontend = answers.split("\n\n").find(|answer| answer.contains("Name: debconf/frontend\n")).unwrap();
    assert!(frontend.contains("\nValue: Readline\n"), "{frontend}");
    let names = Command::new("tar").args(["--list", "--verbose", "--file"]).arg(scene.output(REQUIRED, "tar")).output();
    let names = String::from_utf8(names.unwrap().stdout).unwrap();
    assert!(names.contains("etc/localtime -> /usr/share/zoneinfo/Europe/Berlin\n"));
    assert!(!names.contains("hook-"));
}

#[test]
fn a_hook_that_fails_is_named() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let hook = "base: essential\nhooks:\n- {name: broken, at: unpacked, script: 'echo said; false; echo never'}\n";
    scene.edit("manifests/required.yaml", "base: required\n", hook);
    scene.update_lock(REQUIRED);
    let said = scene.build(REQUIRED, &["--format", "tar"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("the hook broken"), "{}", said.stderr);
    assert!(said.stderr.contains("said") && !said.stderr.contains("never"), "{}", said.stderr);
}
