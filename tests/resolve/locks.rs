//! What locks tell, and which tools they pin.

use std::sync::Arc;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::manifest::{Base, Manifest, OutputFormat};
use compose::package;
use compose::package::deb::table::Table;
use compose::resolve::{self, Previous};
use compose::source::{Index, Indexes};

use super::{all_of, amd64, chosen, index, lock, manifest};

#[test]
fn tools_come_with_outputs_that_they_write() {
    let mut small = manifest(Base::None, &["a"]);
    small.outputs = vec![OutputFormat::RootImg, OutputFormat::Erofs];
    let old = index("bookworm", &["a 1", "erofs-utils 1.5-1"]);
    assert_eq!(
        chosen(&small, std::slice::from_ref(&old)),
        "cannot resolve the tools of small for amd64: its mkfs.erofs packs tar streams; older ones do not: no archive has \
         `erofs-utils (>= 1.8)`, found 1.5-1 (debian/bookworm/main)\n\
         hint: name an archive that has it under `tools: archives:` in the manifest, in the form of `archives:`"
    );
    let new = index("trixie", &["erofs-utils 1.8.6-1;Depends: libc6", "libc6 2.41", "dpkg 1;Essential: yes"]);
    let lock = resolve::run(&small, &amd64(), &all_of(&[old, new]), &Previous::default()).unwrap();
    let names = |packages: &[compose::lock::Package]| packages.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&lock.packages), ["a"]);
    assert_eq!(names(&lock.tools), ["erofs-utils", "libc6"]);
}

#[test]
fn interpreters_are_those_of_machines_that_need_them() {
    let locked = |architectures: &[&str], own: &str, machines: Vec<Index>| {
        let architectures = architectures.iter().map(|name| name.parse().unwrap()).collect();
        let manifest = Manifest { architectures, ..manifest(Base::None, &["a"]) };
        let own: Architecture = own.parse().unwrap();
        let root = Index { architecture: own.clone(), ..index("trixie", &["a 1;Architecture: all"]) };
        let indexes = Indexes { packages: vec![root], tools: Vec::new(), machines };
        let lock = resolve::run(&manifest, &own, &indexes, &Previous::default()).unwrap();
        let told = lock.interpreters.iter().map(|p| format!("{} {} {}", p.name, p.version, p.architecture));
        told.collect::<Vec<_>>().join(", ")
    };
    let amd64 = || index("trixie", &["qemu-user 1:10.0;Depends: b", "qemu-user-static 1:10.0", "b 1"]);
    let older = || index("bookworm", &["qemu-user 1:7.2", "qemu-user-static 1:7.2"]);
    let arm64 = || Index {
        architecture: "arm64".parse().unwrap(),
        ..index("trixie", &["qemu-user 1:10.0;Architecture: arm64"])
    };
    assert_eq!(locked(&["amd64"], "amd64", vec![amd64()]), "");
    assert_eq!(locked(&["arm64"], "arm64", vec![amd64(), arm64()]), "qemu-user 1:10.0 amd64");
    assert_eq!(locked(&["arm64"], "arm64", vec![older()]), "qemu-user-static 1:7.2 amd64");
    assert_eq!(locked(&["arm64"], "arm64", Vec::new()), "");
    let both = vec![amd64(), arm64()];
    assert_eq!(locked(&["amd64", "arm64"], "amd64", both.clone()), "qemu-user 1:10.0 arm64");
    assert_eq!(locked(&["arm64", "riscv64"], "riscv64", both), "qemu-user 1:10.0 amd64, qemu-user 1:10.0 arm64");
}

#[test]
fn a_lock_tells_what_satisfies_what_and_keeps_its_date() {
    let packages = ["b 1;Architecture: all;Depends: v, c (>= 1)", "c 1.0", "a 1;Provides: v"];
    let mut archive = [index("trixie", &packages)];
    let manifest = manifest(Base::None, &["b"]);
    let first = lock(&manifest, &archive).unwrap();
    let rows: Vec<String> = first
        .packages
        .iter()
        .map(|p| format!("{} {} {} {} {:?}", p.name, p.architecture, p.archive, p.path, p.depends))
        .collect();
    assert_eq!(
        rows,
        [
            "a amd64 debian/trixie/main pool/a_1.deb []",
            "b all debian/trixie/main pool/b_1.deb [\"a\", \"c\"]",
            "c amd64 debian/trixie/main pool/c_1.0.deb []",
        ]
    );
    assert_eq!(first.date.seconds(), 1000);
    archive[0].date = Timestamp::from_seconds(2000).unwrap();
    assert_eq!(
        resolve::run(&manifest, &amd64(), &all_of(&archive), &Previous { lock: Some(&first), only: None }).unwrap(),
        first
    );
    assert_eq!(lock(&manifest, &archive).unwrap().date.seconds(), 2000);
}

#[test]
fn a_package_that_no_lock_can_hold_is_told() {
    let odd = |path: &str| {
        let text = format!(
            "Package: a\nVersion: 1\nArchitecture: amd64\nFilename: {path}\nSize: 7\nSHA256: {}\n",
            "1".repeat(64)
        );
        [Index { table: Arc::new(package::Table::Deb(Table::of(&text).unwrap())), ..index("trixie", &[]) }]
    };
    let manifest = manifest(Base::None, &["a"]);
    assert_eq!(lock(&manifest, &odd("./pool//a.deb")).unwrap().packages[0].path, "pool/a.deb");
    for (path, reason) in [
        ("../a.deb", "`a` has the path `../a.deb`: expected one below the archive"),
        ("a file.deb", "`a` has an empty value, or one with spaces or control characters"),
    ] {
        assert_eq!(chosen(&manifest, &odd(path)), format!("the packages chosen make no lock: {reason}"));
    }
}
