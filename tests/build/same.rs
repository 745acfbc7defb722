//! The same lock gives the same bytes, whoever builds where.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fixture::{self, REQUIRED, SHIPPED, SIGNING_KEY, Scene, path_of};
use crate::support::needs::{self, needs};
use crate::support::program::{PROGRAM, run};

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

    let Some(user) = needs(User::new(&scene, "compose-test")) else { return };
    for (name, expected) in SHIPPED.iter().zip(&expected) {
        assert_eq!(&user.build(name, &FORMATS), expected, "{name}, as an ordinary user with four jobs");
    }
    assert_eq!(user.build(REQUIRED, &[]), others, "other outputs, as an ordinary user with four jobs");
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

/// An ordinary user with subordinate ids, with a project and the program in the home folder.
pub struct User {
    home: tempfile::TempDir,
    /// Who is there as long as this.
    name: &'static str,
}

impl User {
    /// Makes the user, with what a scene has, which only root can.
    pub fn new(scene: &Scene, name: &'static str) -> Result<Self, String> {
        needs::root()?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        fixture::copy(scene.folder.path(), &home.path().join("project"));
        fs::copy(PROGRAM, home.path().join("compose")).map_err(|e| e.to_string())?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        let user = Self { home, name };
        user.remove();
        let folder = user.home.path();
        run(Command::new("useradd").args(["--no-create-home", "--home-dir"]).arg(folder).arg(name)).or_reason()?;
        let subordinate = |file: &str| fs::read_to_string(file).unwrap_or_default().contains(name);
        if !subordinate("/etc/subuid") || !subordinate("/etc/subgid") {
            let ranges = ["--add-subuids", "500000000-500065535", "--add-subgids", "500000000-500065535"];
            run(Command::new("usermod").args(ranges).arg(name)).or_reason()?;
        }
        run(Command::new("chown").arg("-R").arg(format!("{name}:")).arg(folder)).or_reason()?;
        Ok(user)
    }

    pub fn build(&self, name: &str, formats: &[&str]) -> Vec<String> {
        let path = |path: &str| self.home.path().join(path);
        let mut command = Command::new("runuser");
        command.args(["-u", self.name, "--"]).arg(path("compose")).args(["--jobs", "4", "build"]).args(formats);
        command.args(["--sign-key", SIGNING_KEY]);
        command.arg(path_of(name)).env("HOME", path("")).current_dir(path("project"));
        digests(&run(&mut command).result())
    }

    /// Also of an earlier run that was killed.
    fn remove(&self) {
        if fs::read_to_string("/etc/passwd").is_ok_and(|text| text.contains(&format!("\n{}:", self.name))) {
            run(Command::new("userdel").arg(self.name)).result();
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.remove();
    }
}
