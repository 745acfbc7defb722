//! Scripts that run ahead of their turn: what comes of them is what comes of scripts that run one after another.

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::needs;
use crate::support::program::{Outcome, run};

fn package(name: &str, postinst: &str) -> Deb {
    Deb::new(name, "1.0").script("postinst", &format!("#!/bin/sh\nset -e\n{postinst}"))
}

/// A package whose script runs after that of `first`, which takes its time.
fn after_first(name: &str, postinst: &str) -> Deb {
    package(name, postinst).depends("first")
}

fn scene(packages: &[Deb]) -> Option<Scene> {
    let scene = needs(fixture::cold())?;
    scene.add_packages(packages);
    Some(scene)
}

/// Builds from nothing with this many threads.
fn build(scene: &Scene, jobs: &str) -> Outcome {
    build_within(scene, jobs, "30m")
}

/// The same, where no script may take longer than this.
fn build_within(scene: &Scene, jobs: &str, time: &str) -> Outcome {
    let scene = scene.with_empty_store();
    let options = ["--verbose", "--jobs", jobs, "--script-timeout", time, "--format", "tar"];
    run(scene.compose(["build", &fixture::path_of(REQUIRED)]).args(options))
}

/// How many scripts ran ahead of their turn, by what was printed.
fn ahead(said: &Outcome) -> usize {
    let line = said.stderr.lines().find_map(|line| line.trim().strip_suffix(" ran ahead of their turn"));
    line.unwrap_or_else(|| panic!("{}", said.stderr)).trim().parse().unwrap()
}

#[test]
fn scripts_that_run_ahead_make_the_same_root() {
    let packages = [
        package("first", "sleep 1\necho one > /var/lib/first\nuseradd --system lamprey\n"),
        // Ahead it fails.
        after_first("follower", "cat /var/lib/first > /var/lib/follower\n"),
        // Ahead it takes another turn, and leaves what nobody else makes.
        after_first(
            "looker",
            "if [ -e /var/lib/first ]; then echo late; else touch /var/lib/early; fi > /var/lib/looker\n",
        ),
        after_first("owner", "chown lamprey /var/lib/owner\n").dir("var/lib/owner"),
        // These can run ahead, and the last one needs what is done ahead of it.
        package("configured", "cat /etc/configured > /var/lib/configured\n")
            .file("etc/configured", "yes\n")
            .conffiles(&["/etc/configured"]),
        package("environment", "env > /var/lib/environment\n"),
        package("dated", "touch -d @86400 /var/lib/dated\ncp -p /var/lib/dated /var/lib/copied\n"),
        package("dater", "stat -c '%Y %n' /var/lib/dated /var/lib/copied > /var/lib/dater\n").depends("dated, first"),
        // Which files are newer follows the order of turns, and no change of a mode makes one new.
        after_first("keeper", "sleep 1\nchmod 600 /var/lib/first\n"),
        package("comparer", "cd /var/lib\nfind first teller two environment -newer first > comparer-first\nfind first teller two environment -newer teller > comparer-teller\n").depends("environment, keeper, linker, teller"),
        // Which folders are newer than a file: those alone where names came and went.
        package("folders", "true\n")
            .file("usr/share/folders/kept/file", "")
            .dir("usr/share/folders/kept/folder")
            .dir("usr/share/folders/new")
            .dir("usr/share/folders/old")
            .dir("usr/share/folders/used"),
        package("stamp", "touch /var/lib/stamp\n").depends("folders"),
        package(
            "toucher",
            "cd /usr/share/folders\necho new > kept/file\nchown 1 kept/folder\ntouch new/file\ntouch used/file\nrm used/file\ntouch -d @86400 old\n",
        )
        .depends("stamp"),
        package(
            "judge",
            "cd /usr/share/folders\ncat kept/file\nfind . -newer /var/lib/stamp | sort > /var/lib/judge\n",
        )
        .depends("toucher, first"),
        package("linker", "echo x > /var/lib/one\nln /var/lib/one /var/lib/two\nmkdir -p /usr/local/lib/linker\n"),
        package("teller", "echo teller runs\nsleep 1\necho told > /var/lib/teller\n"),
        package("waiter", "cat /var/lib/teller > /var/lib/waiter\n").depends("teller"),
    ];
    let names: Vec<_> = packages.iter().filter_map(|package| package.get("Package")).collect();
    let all = Deb::new("everything", "1.0").depends(&names.join(", "));
    let Some(scene) = scene(&[&packages[..], &[all]].concat()) else { return };
    let (one, several) = (build(&scene, "1"), build(&scene, "4"));
    assert_eq!(ahead(&one), 0);
    assert!(ahead(&several) > 0, "{}", several.stderr);
    for said in [&one, &several] {
        assert_eq!(said.stderr.lines().filter(|line| line.trim() == "teller runs").count(), 1, "{}", said.stderr);
        assert!(!said.stderr.contains("all scripts run:"), "{}", said.stderr);
    }
    let digest = |said: Outcome| said.result().split(' ').next().unwrap().to_owned();
    assert_eq!(digest(one), digest(several));
}

#[test]
fn what_fails_ahead_is_told_in_its_turn() {
    let failing = "echo broken\nif [ -e /var/lib/first ]; then echo late; else echo early; fi\nexit 7\n";
    let packages = [
        package("first", "sleep 1\ntouch /var/lib/first\n"),
        after_first("failing", failing),
        package("another", "true\n"),
        package("further", "true\n"),
        Deb::new("everything", "1.0").depends("failing, another, further"),
    ];
    let Some(scene) = scene(&packages) else { return };
    let said = build(&scene, "4");
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("postinst script of failing") && said.stderr.contains("late"), "{}", said.stderr);
    assert!(!said.stderr.contains("early"), "{}", said.stderr);
}

#[test]
fn who_waits_for_a_script_ahead_takes_no_time() {
    // Each of its two runs is within the limit, and both together are not.
    let slow = "if [ -e /var/lib/first ]; then sleep 6; else sleep 10; exit 1; fi\n";
    let packages = [
        package("first", "sleep 1\ntouch /var/lib/first\n"),
        after_first("slow", slow),
        package("another", "true\n"),
        Deb::new("everything", "1.0").depends("slow, another"),
    ];
    let Some(scene) = scene(&packages) else { return };
    let said = build_within(&scene, "4", "12s");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
