//! Images under the tools of those who use them: partition table, file systems, holes, volumes.

use compose::finalize::{self, Request};
use compose::manifest::{self, OutputFormat};
use compose::sandbox::Program;
use compose::store::Store;
use compose::{assemble, digest::Sha256};

use crate::fixture::{self, PARTITIONED, REQUIRED, ROOT_START, Scene, path_of};
use crate::support::needs::{self, needs};
use crate::support::program::{PROGRAM, run, sbin};

/// What sfdisk(8) prints of a disk that Qubes' own builder made, without the names of the file.
const TABLE: &str = "\
label: gpt
label-id: F4796A2A-E377-45BD-B539-D6D49E569055
device: DISK
unit: sectors
first-lba: 2048
last-lba: 41943006
sector-size: 512

DISK1 : start=        2048, size=      409600, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=FA4D6529-56DA-47C7-AE88-E2DFECB72621, name=\"EFI System\"
DISK2 : start=      411648, size=        4096, type=21686148-6449-6E6F-744E-656564454649, uuid=1E6C9DB4-1E91-46C4-846A-2030DCB13B8C, name=\"BIOS boot partition\"
DISK3 : start=      415744, size=    41525248, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=693244E6-3E07-47BF-AD79-ACADE4293FE7, name=\"Root filesystem\"
";

/// A program for the administrator, which must end well.
fn said(name: &str, arguments: &[&str], file: &str) -> String {
    run(sbin(name).args(arguments).arg(file)).result()
}

/// How many bytes a file takes.
fn taken(file: &str) -> u64 {
    said("du", &["--block-size=1"], file).split('\t').next().unwrap().parse().unwrap()
}

#[test]
fn a_disk_is_that_of_a_qubes_template() {
    let Some(scene) = needs(fixture::built()) else { return };
    let image = scene.output(PARTITIONED, "root.img").display().to_string();
    assert_eq!(said("sfdisk", &["--dump"], &image).replace(&image, "DISK"), TABLE);
    assert!(said("sfdisk", &["--verify"], &image).contains("No errors detected."));
    said("e2fsck", &["-fn"], &format!("{image}?offset={ROOT_START}"));
    let folder = tempfile::tempdir_in(scene.path(".")).unwrap();
    let efi = folder.path().join("efi").display().to_string();
    let place = [&format!("if={image}"), "bs=1M", "skip=1", "count=200", "conv=sparse"];
    said("dd", &place, &format!("of={efi}"));
    let checked = said("fsck.fat", &["-nv"], &efi);
    assert!(checked.contains("      4096 bytes per logical sector\n"), "{checked}");
    assert!(said("fatlabel", &[], &efi).starts_with("EFI"));
    // There is no block of zeros that could be a hole.
    let before = taken(&image);
    said("fallocate", &["--dig-holes"], &image);
    assert_eq!(before, taken(&image));
}

const VOLUMES: &str = "\
image: {partitions: true, size: 1G, private: 64M, swap: 16M}
outputs: [private.img, swap.img]
";

#[test]
fn volumes_and_sizes_are_as_asked_for() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "image:\n  partitions: false\n  size: fit\n  slack: 16M\n", VOLUMES);
    scene.edit(
        "manifests/required.yaml",
        "outputs: [root.img]\n",
        "files:\n  - {path: /etc/eels, content: \"The fatal flaw of eels\\n\"}\n",
    );
    scene.update_lock(REQUIRED);
    let built = scene.build(REQUIRED, &["--format", "root.img", "--format", "private.img", "--format", "swap.img"]);
    let mut lines = built.result();
    for (ending, size) in [("root.img", 1 << 30), ("private.img", 64 << 20), ("swap.img", 16 << 20)] {
        let file = scene.output(REQUIRED, ending);
        assert_eq!(file.metadata().unwrap().len(), size, "{ending}");
        let file = file.display().to_string();
        // The line is what fsverity(1) prints, but for its first word.
        let line = said("fsverity", &["digest"], &file).replacen("sha256:", "fs-verity-sha256:", 1);
        let line = line.replacen(&format!(" {file}"), &format!("  {file}"), 1);
        assert!(lines.contains(&line), "{line}{lines}");
        lines = lines.replacen(&line, "", 1);
    }
    assert_eq!(lines, "");
    let private = scene.output(REQUIRED, "private.img").display().to_string();
    said("e2fsck", &["-fn"], &private);
    assert_eq!(said("e2label", &[], &private), "private\n");
    let swap = said("swaplabel", &[], &scene.output(REQUIRED, "swap.img").display().to_string());
    assert!(swap.starts_with("LABEL: swap\nUUID:  "), "{swap}");

    let Some(()) = needs(needs::root()) else { return };
    let table = |offset| place_at(&scene, offset);
    assert_eq!(table(600).as_deref(), Some("the partition table"));
    assert_eq!(table(1 << 20).as_deref(), Some("the EFI system partition"));
    assert_eq!(table(202 << 20).as_deref(), Some("the BIOS boot partition"));
    assert_eq!(table(ROOT_START + 1024).as_deref(), Some("the superblock"));
    let bytes = std::fs::read(scene.output(REQUIRED, "root.img")).unwrap();
    let text = memchr::memmem::find(&bytes, b"The fatal flaw of eels\n").expect("the file is in the image");
    assert_eq!(table(text as u64).as_deref(), Some("/etc/eels"));
}

/// What is said to lie at a byte of the small root's image.
fn place_at(scene: &Scene, offset: u64) -> Option<String> {
    let manifest = manifest::load(&scene.path(&path_of(REQUIRED))).unwrap();
    let (lock, store) = (scene.lock(REQUIRED), Store::open(&scene.path("store")).unwrap());
    let commit: Sha256 = assemble::cached(&store, assemble::key(&manifest, &lock).unwrap()).unwrap().unwrap();
    let program = &Program { file: PROGRAM.into(), emulations: Vec::new() };
    let folder = &scene.path("out");
    let request = Request { store: &store, program, manifest: &manifest, lock: &lock, commit, folder };
    finalize::path_at(&request, OutputFormat::RootImg, &scene.output(REQUIRED, "root.img"), offset).unwrap()
}
