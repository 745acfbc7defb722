//! The same lock gives the same bytes, whoever builds where.

use std::path::Path;
use std::process::Command;

use crate::fixture::{self, REQUIRED, SHIPPED, SIGNING_KEY, Scene, path_of};
use crate::support::needs::needs;
use crate::support::program::{PROGRAM, run};
use crate::support::user::User;

/// What is built of the shipped manifests.
const FORMATS: [&str; 6] = ["--format", "root.img", "--format", "tar", "--format", "qubes-template"];

/// All other outputs that are files, of the small root.
const OTHERS: &str = "outputs: [private.img, swap.img, erofs, squashfs, oci]\n";

#[test]
fn the_image_is_the_same_for_everyone() {
    let Some(reference) = needs(fixture::built()) else { return };
    let expected = SHIPPED
        .map(|name| digests(&reference.build(name, &[&FORMATS[..], &["--sign-key", SIGNING_KEY]].concat()).result()));

    let elsewhere = fixture::cold().unwrap();
    elsewhere.edit("manifests/required.yaml", "outputs: [root.img]\n", OTHERS);
    elsewhere.update_lock(REQUIRED);
    for (name, expected) in SHIPPED.iter().zip(&expected) {
        assert_eq!(&elsewhere_with_one_job(&elsewhere, name, &FORMATS), expected, "{name}, elsewhere, with one job");
    }
    let others = elsewhere_with_one_job(&elsewhere, REQUIRED, &[]);
    assert_eq!(others.len(), 5);
    let scene = fixture::cold().unwrap();
    for folder in ["manifests", "locks"] {
        fixture::copy(&elsewhere.path(folder), &scene.path(folder));
    }
    drop(elsewhere);

    let fill = |home: &Path| fixture::copy(scene.folder.path(), &home.join("project"));
    let Some(user) = needs(User::new("compose-test", fill)) else { return };
    for (name, expected) in SHIPPED.iter().zip(&expected) {
        assert_eq!(&build_as(&user, name, &FORMATS), expected, "{name}, as an ordinary user with four jobs");
    }
    assert_eq!(build_as(&user, REQUIRED, &[]), others, "other outputs, as an ordinary user with four jobs");
}

/// The digests that a build prints, without the paths.
pub fn digests(stdout: &str) -> Vec<String> {
    stdout.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// Builds in another store, folder and working directory, with one job, another umask, locale and time zone.
fn elsewhere_with_one_job(scene: &Scene, name: &str, formats: &[&str]) -> Vec<String> {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh", PROGRAM, "--jobs", "1", "build"]).args(formats);
    command.arg("--sign-key").arg(scene.path(SIGNING_KEY));
    command.arg(scene.path(&path_of(name))).arg("--store").arg(scene.path("store"));
    command.arg("--output").arg(scene.path("a folder, with: odd\\name/out"));
    command.current_dir("/").env("TZ", "Asia/Tokyo").env("LC_ALL", "tr_TR.UTF-8").env("LANG", "de_DE.UTF-8");
    digests(&run(&mut command).result())
}

/// Builds as an ordinary user, who has the scene's folder as a project of their own.
pub fn build_as(user: &User, name: &str, formats: &[&str]) -> Vec<String> {
    let mut command = user.compose("project");
    command.args(["--jobs", "4", "build"]).args(formats).args(["--sign-key", SIGNING_KEY]).arg(path_of(name));
    digests(&run(&mut command).result())
}
