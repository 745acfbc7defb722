//! What other tools say of the real archive, on one suite; over more of it the scripts in `ci/` are run by hand.

mod support;

use std::path::Path;
use std::process::Command;

use support::needs::{host_program, needs};

#[test]
fn the_packages_of_a_suite_that_cannot_be_installed_are_those_that_dose_debcheck_finds() {
    if needs(host_program("dose-debcheck", "--version")).is_none() {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/oracle-dose");
    let outcome = Command::new(script).args(["--suites", "bookworm", "--arch", "amd64"]).output().unwrap();
    let told = || [outcome.stdout.as_slice(), &outcome.stderr].map(String::from_utf8_lossy).concat();
    match outcome.status.code() {
        Some(0) => {}
        Some(1) => panic!("{}", told()),
        // Neither yes nor no: the archive cannot be reached.
        _ => drop(needs(Err::<(), _>(told()))),
    }
}
