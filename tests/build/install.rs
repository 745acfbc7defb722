//! Installing as apt and dpkg would: in their order, and with what scripts see of them.

use std::process::Command;

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::{self, needs};
use crate::support::program::run;

/// A file of the root that was built.
fn text(scene: &Scene, path: &str) -> String {
    run(Command::new("tar").arg("-xOf").arg(scene.output(REQUIRED, "tar")).arg(path)).result()
}

#[test]
fn packages_are_unpacked_and_configured_as_apt_plans_it() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let says = |what: &str| format!("#!/bin/sh\necho {what} >> /var/lib/order\n");
    let divert = "#!/bin/sh\ndpkg-divert --package pike --rename --add --divert /usr/bin/fish.real /usr/bin/fish\n";
    let asks = "#!/bin/sh\n. /usr/share/debconf/confmodule\n\
                dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' eel pike rayfish > /var/lib/states\n\
                cp /var/lib/dpkg/tmp.ci/control /var/lib/control\ndpkg-trigger --check-supported\n";
    scene.add_packages(&[
        Deb::new("eel", "1.0")
            .file("usr/bin/fish", "eel")
            .triggers("interest /usr/share/fish\n")
            .script("postinst", "#!/bin/sh\necho eel $1 $2 >> /var/lib/order\n"),
        Deb::new("pike", "1.0")
            .depends("eel")
            .file("usr/bin/fish", "pike")
            .script("preinst", divert)
            .script("postinst", &says("pike")),
        Deb::new("rayfish", "1.0").depends("pike").pre_depends("eel").script("postinst", &says("rayfish")),
        Deb::new("tunafish", "1.0")
            .pre_depends("rayfish")
            .file("usr/share/fish/tunafish", "tunafish")
            .control_file("conffiles", "/etc/tunafish\nremove-on-upgrade /etc/old\n")
            .file("etc/tunafish", "tunafish")
            .script("preinst", asks)
            .script("postinst", &says("tunafish")),
    ]);
    let line = scene.build(REQUIRED, &["--format", "tar"]).result();

    assert_eq!(text(&scene, "usr/bin/fish"), "pike");
    assert_eq!(text(&scene, "usr/bin/fish.real"), "eel");
    assert_eq!(text(&scene, "etc/tunafish"), "tunafish");
    // tunafish's preinst script ran when what it needs ahead was configured; eel was told of tunafish's file at the end.
    assert_eq!(text(&scene, "var/lib/states"), "eel installed\npike installed\nrayfish installed\n");
    let order = "eel configure\npike\nrayfish\ntunafish\neel triggered /usr/share/fish\n";
    assert_eq!(text(&scene, "var/lib/order"), order);
    assert!(text(&scene, "var/lib/control").starts_with("Package: tunafish\n"));
    let states = text(&scene, "var/lib/apt/extended_states");
    let automatic: Vec<&str> = states.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
    assert_eq!(
        ["eel", "pike", "rayfish", "tunafish", "passwd"].map(|name| automatic.contains(&name)),
        [true, true, true, false, false]
    );
    let known = text(&scene, "var/lib/dpkg/status");
    assert!(known.contains(" /etc/old newconffile remove-on-upgrade\n"), "{known}");

    let again = scene.with_empty_store();
    let digest = |line: &str| line.split(' ').next().unwrap().to_owned();
    assert_eq!(digest(&again.build(REQUIRED, &["--format", "tar"]).result()), digest(&line));
}

#[test]
fn the_root_is_the_one_that_mmdebstrap_makes() {
    let Some(()) = needs(needs::root()) else { return };
    let Some(()) = needs(needs::host_program("mmdebstrap", "--version")) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    let mut oracle = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/oracle-mmdebstrap"));
    oracle.args(["required", "--suite", "trixie", "--store"]).arg(scene.path("store"));
    let said = run(&mut oracle);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}
