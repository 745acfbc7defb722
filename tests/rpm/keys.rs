//! Every package of a folder that is signed, beside what `rpmkeys` says of its signatures with the same keys.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::package::Format;
use compose::source::openpgp::Keyring;

use crate::oracle::packages;

/// What rpm 4.18 takes and this program does not, by words of the refusal: its own reader of `OpenPGP` knows no algorithm that is too
/// weak, as rpm has it since it leaves that to Sequoia.
const WEAK: &[&str] = &["is too weak: ", "Policy rejected asymmetric algorithm"];

/// What rpm refuses and this program takes: one good signature of all is enough here, while rpm wants each to be good. In this
/// package another one has bytes that are no signature.
const GOOD_IN_PART: &[&str] = &["rpmlint/hello-2.0-1.x86_64-signed.rpm"];

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn rpmkeys(database: &Path) -> Command {
    let mut rpmkeys = Command::new("rpmkeys");
    rpmkeys.env("LC_ALL", "C.UTF-8").arg("--dbpath").arg(database);
    rpmkeys
}

/// Whether rpm finds a package signed, as dnf asks it with `gpgcheck`.
fn rpm_is_content(package: &Path, database: &Path) -> bool {
    let mut rpmkeys = rpmkeys(database);
    rpmkeys.args(["--checksig", "--define", "_pkgverify_level signature", "--define", "_pkgverify_flags 0x0"]);
    rpmkeys.arg(package).output().unwrap().status.success()
}

#[test]
#[ignore = "compares the packages of a folder: ci/oracle-rpm"]
#[allow(clippy::disallowed_methods, reason = "the test's own environment")]
fn signatures_are_what_rpm_says() {
    let folder =
        PathBuf::from(std::env::var("COMPOSE_RPM_PACKAGES").expect("COMPOSE_RPM_PACKAGES names a folder of packages"));
    if !folder.join("keys").is_dir() {
        return println!("{} has no folder `keys`: signatures are not compared", folder.display());
    }
    let database = tempfile::tempdir().unwrap();
    let imports = |key: &PathBuf| rpmkeys(database.path()).arg("--import").arg(key).output().unwrap().status.success();
    let keys: Vec<PathBuf> = files(&folder.join("keys")).into_iter().filter(imports).collect();
    let keyring = Keyring::load_all(&keys).unwrap();
    let (mut good, mut bad, mut explained, mut different) = (0, 0, 0, 0);
    for package in &packages(&folder) {
        let here = Format::Rpm.check_signature(&mut File::open(package).unwrap(), &keyring);
        let rpm = rpm_is_content(package, database.path());
        match (&here, rpm) {
            (Ok(()), true) => good += 1,
            (Err(_), false) => bad += 1,
            (Err(error), true) if WEAK.iter().any(|words| error.to_string().contains(words)) => {
                explained += 1;
                println!("{}: weak: {error}", package.display());
            }
            (Ok(()), false) if GOOD_IN_PART.iter().any(|path| package.to_string_lossy().ends_with(path)) => {
                explained += 1;
                println!("{}: good in part", package.display());
            }
            _ => {
                different += 1;
                let here = here.map_or_else(|error| error.to_string(), |()| "rpm alone refuses it".to_owned());
                println!("{}: DIFFERENCE: {here}", package.display());
            }
        }
    }
    println!(
        "{} files with keys; {good} packages are good for both, {bad} for neither, {explained} differ for known reasons, {different} \
         differ",
        keys.len()
    );
    assert!(good > 0 && different == 0);
}
