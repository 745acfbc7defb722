//! The shipped manifests' images in a machine.

use std::path::Path;
use std::process::Command;

use crate::fixture::{self, SHIPPED};
use crate::support::needs::{self, needs};
use crate::support::program::run;

#[test]
fn it_boots() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::built()) else { return };
    for name in SHIPPED {
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/boot");
        let outcome = run(Command::new(boot).arg(scene.output(name, "root.img")));
        if outcome.code == Some(2) {
            needs::<()>(Err(outcome.stderr));
            return;
        }
        outcome.result();
    }
}
