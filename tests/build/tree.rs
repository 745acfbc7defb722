//! Debian's own tools on what was built.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use compose::manifest;
use compose::source::mirrors::MirrorMap;

use crate::fixture::{self, PARTITIONED, ROOT_START, SHIPPED, Scene, path_of};
use crate::support::needs::{self, needs};
use crate::support::program::{Outcome, run, sbin};

#[test]
fn the_tree_is_what_dpkg_and_apt_accept() {
    let Some(()) = needs(needs::root()) else { return };
    let Some(scene) = needs(fixture::built()) else { return };
    for name in SHIPPED {
        let folder = tempfile::tempdir_in(scene.path(".")).unwrap();
        let root = folder.path().join("root");
        unpack(&scene.output(name, "tar"), &root);
        let image = scene.output(name, "root.img").display().to_string();
        let start = if name == PARTITIONED { format!("?offset={ROOT_START}") } else { String::new() };
        check_image(&format!("{image}{start}"), &root);
        check_packages(name, &root);
        check_archives(scene, name, &root);
    }
}

/// Unpacks an output `tar`, with owners and attributes.
fn unpack(tar: &Path, root: &Path) {
    fs::create_dir(root).unwrap();
    let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
    run(Command::new("tar").arg("-xpf").arg(tar).args(options).arg("-C").arg(root)).result();
}

/// The image is a sound file system that holds what the tar holds.
fn check_image(image: &str, root: &Path) {
    run(sbin("e2fsck").arg("-fn").arg(image)).result();
    let copy = root.with_file_name("image");
    fs::create_dir(&copy).unwrap();
    run(sbin("debugfs").args(["-R", &format!("rdump / {}", copy.display())]).arg(image)).result();
    fs::remove_dir(copy.join("lost+found")).unwrap();
    let same = run(Command::new("diff").args(["-r", "--no-dereference"]).args([root, &copy]));
    assert_eq!((same.stdout.as_str(), same.code), ("", Some(0)));
    let (packed, copied) = (attributes(root), attributes(&copy));
    let different: Vec<&String> = packed.symmetric_difference(&copied).collect();
    assert!(different.is_empty(), "{different:#?}");
    // The copy lacks these bits, whatever the image has.
    for (path, mode) in [("/usr/bin/passwd", "04755"), ("/usr/bin/chage", "02755"), ("/var/tmp", "01777")] {
        let stat = run(sbin("debugfs").args(["-R", &format!("stat {path}")]).arg(image)).result();
        assert!(stat.contains(&format!("Mode:  {mode} ")), "{path}: {stat}");
    }
}

/// Path, type, mode without set-id and sticky bits, and owners of everything below a folder.
fn attributes(folder: &Path) -> BTreeSet<String> {
    let list = run(Command::new("find").args([".", "-printf", "%04m %y %U %G %p\n"]).current_dir(folder)).result();
    list.lines().map(|line| line[1..].to_owned()).collect()
}

/// All packages are configured, and no file differs from its package's.
fn check_packages(name: &str, root: &Path) {
    for arguments in [["dpkg", "--audit"], ["dpkg", "--verify"]] {
        let said = inside(root, &arguments);
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""), "{name}: {arguments:?}");
    }
    inside(root, &["apt-get", "check"]).result();
}

/// apt loads the indexes of the manifest's archives from the host's mirrors and finds nothing to change.
fn check_archives(scene: &Scene, name: &str, root: &Path) {
    fixture::write(&root.join("etc/apt/sources.list.d/host.sources"), &sources(scene, name));
    // It may be a link, which leads out of the root here.
    let names = root.join("etc/resolv.conf");
    let _ = fs::remove_file(&names);
    fs::copy("/etc/resolv.conf", names).unwrap();
    inside(root, &["apt-get", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Languages=none", "update"]).result();
    let upgrade = inside(root, &["apt-get", "-s", "dist-upgrade"]).result();
    let summary = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.";
    assert_eq!(upgrade.lines().last(), Some(summary), "{name}: {upgrade}");
}

/// The manifest's archives as apt's sources, deb822-style, with the mirrors that the program itself finds on this host.
fn sources(scene: &Scene, name: &str) -> String {
    let mirrors: MirrorMap = fixture::mirrors();
    let manifest = manifest::load(&scene.path(&path_of(name))).unwrap();
    let mut text = String::new();
    for archive in manifest.archives {
        let _ = writeln!(
            text,
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            mirrors[&archive.id][0],
            archive.suites.join(" "),
            archive.components.join(" "),
        );
    }
    text
}

/// Runs a command in the root, which gets the host's devices for as long.
fn inside(root: &Path, command: &[&str]) -> Outcome {
    let script = "mount --bind /dev \"$1/dev\" && exec chroot \"$@\"";
    run(sbin("unshare").args(["--mount", "sh", "-c", script, "sh"]).arg(root).args(command).env("LC_ALL", "C.UTF-8"))
}
