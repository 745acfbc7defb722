//! Resolving small archives written out as stanzas: what is chosen, what is locked, and what is said when nothing can be.

use std::path::PathBuf;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::error::hints;
use compose::lock::Lock;
use compose::manifest::{Base, ImageOptions, Manifest, OutputFormat, PackageRequest, Tools};
use compose::package::Format;
use compose::resolve::{self, Change};
use compose::source::Index;

fn amd64() -> Architecture {
    "amd64".parse().unwrap()
}

/// An index of packages, each `NAME VERSION` and fields, separated by `;`.
fn index(suite: &str, packages: &[&str]) -> Index {
    let mut stanzas = Vec::new();
    for package in packages {
        let mut parts = package.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let mut fields: Vec<String> = parts.map(str::to_owned).collect();
        if !fields.iter().any(|f| f.starts_with("Architecture")) {
            fields.push("Architecture: amd64".to_owned());
        }
        let sha256 = Sha256::of(format!("{name} {version} {fields:?}").as_bytes());
        stanzas.push(format!(
            "Package: {name}\nVersion: {version}\n{}\nFilename: pool/{name}_{version}.deb\nSize: 7\nSHA256: {sha256}\n\n",
            fields.join("\n")
        ));
    }
    let text = stanzas.concat();
    Index {
        archive: format!("debian/{suite}/main"),
        suite: suite.to_owned(),
        codename: suite.to_owned(),
        priority: None,
        not_automatic: false,
        but_automatic_upgrades: false,
        architecture: amd64(),
        date: Timestamp::from_seconds(1000).unwrap(),
        sha256: Sha256::of(text.as_bytes()),
        text: text.into_bytes(),
    }
}

fn manifest(base: Base, packages: &[&str]) -> Manifest {
    Manifest {
        name: "small".to_owned(),
        format: Format::Deb,
        architectures: vec![amd64()],
        archives: Vec::new(),
        base,
        recommends: false,
        packages: packages.iter().map(|text| Format::Deb.parse_request(text).unwrap()).collect::<Vec<PackageRequest>>(),
        exclude: Vec::new(),
        groups: Vec::new(),
        users: Vec::new(),
        files: Vec::new(),
        outputs: vec![OutputFormat::Ostree],
        image: ImageOptions { size: None, slack: 0, label: "root".to_owned() },
        tools: Tools { archives: Vec::new() },
        path: PathBuf::from("small.yaml"),
        digest: Sha256::of(b"small"),
    }
}

fn lock(manifest: &Manifest, indexes: &[Index]) -> anyhow::Result<Lock> {
    resolve::run(manifest, &amd64(), indexes, &[], None)
}

/// What is chosen, as `NAME VERSION` joined by commas; or the error with its hints.
fn chosen(manifest: &Manifest, indexes: &[Index]) -> String {
    match lock(manifest, indexes) {
        Ok(lock) => lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect::<Vec<_>>().join(", "),
        Err(error) => {
            let mut lines = vec![format!("{error:#}")];
            lines.extend(hints(&error).into_iter().map(|hint| format!("hint: {hint}")));
            lines.join("\n")
        }
    }
}

#[test]
fn relations_are_followed_as_apt_does() {
    for (why, packages, expected) in [
        ("both kinds of dependency", &["a 1;Pre-Depends: b;Depends: c", "b 1", "c 1", "d 1"][..], "a 1, b 1, c 1"),
        ("the first alternative", &["a 1;Depends: c | b", "b 1", "c 1"], "a 1, c 1"),
        ("an alternative that is there already", &["a 1;Depends: b, c | b", "b 1", "c 1"], "a 1, b 1"),
        ("the first alternative that there is", &["a 1;Depends: x | b (>= 2) | c", "b 1", "c 1"], "a 1, c 1"),
        ("an alternative that can itself be had", &["a 1;Depends: b | c", "b 1;Depends: x", "c 1"], "a 1, c 1"),
        (
            "what a failed alternative brought is dropped",
            &["a 1;Depends: b | c", "b 1;Depends: d, e", "c 1", "d 1", "e 1;Depends: x"],
            "a 1, c 1",
        ),
        (
            "what a failed alternative brought stays where it is suggested",
            &["a 1;Depends: b | c", "b 1;Depends: d, e", "c 1;Suggests: d", "d 1;Depends: f", "e 1;Depends: x", "f 1"],
            "a 1, c 1, d 1, f 1",
        ),
        (
            "or where it is recommended",
            &["a 1;Depends: b | c", "b 1;Depends: d, e", "c 1;Recommends: x | d", "d 1", "e 1;Depends: x"],
            "a 1, c 1, d 1",
        ),
        (
            "or essential",
            &["a 1;Depends: b | c", "b 1;Depends: d, e", "c 1", "d 1;Essential: yes", "e 1;Depends: x"],
            "a 1, c 1, d 1",
        ),
        (
            "a conflict with what cannot be dropped drops nothing else",
            &[
                "h 1;Provides: v",
                "a 1;Depends: j | e",
                "j 1;Depends: h, k;Provides: v",
                "k 1;Depends: g",
                "g 1;Conflicts: v",
                "e 1;Suggests: h",
            ],
            "a 1, e 1, h 1",
        ),
        ("a real package before a virtual one", &["a 1;Depends: v", "b 1;Provides: v", "v 1"], "a 1, v 1"),
        (
            "of providers, the higher priority",
            &["a 1;Depends: v", "b 1;Provides: v", "c 1;Provides: v;Priority: important"],
            "a 1, c 1",
        ),
        (
            "of equal providers, the one mentioned last",
            &["a 1;Depends: v;Suggests: c", "b 1;Provides: v", "c 1;Provides: v"],
            "a 1, b 1",
        ),
        (
            "a version provided",
            &["a 1;Depends: v (>= 2)", "b 1;Provides: v (= 1)", "c 1;Provides: v (= 2)"],
            "a 1, c 1",
        ),
        ("no version provided", &["a 1;Depends: v (>= 2) | d", "b 1;Provides: v", "d 1"], "a 1, d 1"),
        ("a conflict", &["a 1;Depends: b | c;Conflicts: b", "b 1", "c 1"], "a 1, c 1"),
        ("a conflict with what it provides itself", &["a 1;Provides: v;Conflicts: v"], "a 1"),
        ("a dependency that breaks it", &["a 1;Depends: b | c", "b 1;Breaks: a (<< 2)", "c 1"], "a 1, c 1"),
        (
            "a choice that has to be taken back",
            &["a 1;Depends: b, c", "b 1;Depends: d | e", "c 1;Depends: f", "d 1;Conflicts: f", "e 1", "f 1"],
            "a 1, b 1, c 1, e 1, f 1",
        ),
        ("any architecture of an allowed package", &["a 1;Depends: b:any", "b 1;Multi-Arch: allowed"], "a 1, b 1"),
        ("packages for all architectures", &["a 1;Architecture: all;Depends: b", "b 1"], "a 1, b 1"),
        ("a circle", &["a 1;Depends: b", "b 1;Depends: a"], "a 1, b 1"),
        ("recommendations are not followed", &["a 1;Recommends: b", "b 1"], "a 1"),
    ] {
        assert_eq!(chosen(&manifest(Base::None, &["a"]), &[index("trixie", packages)]), expected, "{why}");
    }
}

#[test]
fn requests_are_treated_in_their_order() {
    let archive = [index("trixie", &["a 1;Depends: x | y", "b 1;Depends: y", "x 1", "y 1"])];
    assert_eq!(chosen(&manifest(Base::None, &["a", "b"]), &archive), "a 1, b 1, x 1, y 1");
    assert_eq!(chosen(&manifest(Base::None, &["b", "a"]), &archive), "a 1, b 1, y 1");
}

#[test]
fn recommendations_are_followed_when_asked_for() {
    let mut manifest = manifest(Base::None, &["a"]);
    manifest.recommends = true;
    let packages = ["a 1;Recommends: b, x, c", "b 1", "c 1;Depends: x"];
    assert_eq!(chosen(&manifest, &[index("trixie", &packages)]), "a 1, b 1");
    // Where two exclude each other and it was not seen in time, apt's problem resolver decides by their scores.
    let packages = ["a 1;Recommends: d, b, c", "d 1;Conflicts: e", "b 1;Depends: e;Priority: standard", "c 1", "e 1"];
    assert_eq!(chosen(&manifest, &[index("trixie", &packages)]), "a 1, b 1, c 1, e 1");
    let packages = ["a 1;Recommends: d, b, c", "d 1;Conflicts: e", "b 1;Depends: e", "c 1;Depends: d", "e 1"];
    assert_eq!(chosen(&manifest, &[index("trixie", &packages)]), "a 1, c 1, d 1");
}

#[test]
fn a_base_is_a_set_of_priorities() {
    let packages = [
        "apt 1;Priority: important",
        "dpkg 1;Essential: yes;Priority: required;Depends: libc6",
        "libc6 1",
        "mount 1;Priority: required",
        "nano 1;Priority: important",
        "perl 1;Priority: standard",
        "zsh 1",
    ];
    for (base, expected) in [
        (Base::Essential, "dpkg 1, libc6 1"),
        (Base::Required, "apt 1, dpkg 1, libc6 1, mount 1"),
        (Base::Standard, "apt 1, dpkg 1, libc6 1, mount 1, nano 1, perl 1"),
    ] {
        assert_eq!(chosen(&manifest(base, &[]), &[index("trixie", &packages)]), expected, "{base:?}");
    }
}

#[test]
fn candidates_are_chosen_by_priority_then_version() {
    let stable = index("trixie", &["a 1", "b 1;Depends: a"]);
    let security = index("trixie-security", &["a 1+deb13u1"]);
    let backports =
        Index { not_automatic: true, but_automatic_upgrades: true, ..index("trixie-backports", &["a 2", "new 2"]) };
    let indexes = [stable.clone(), security, backports.clone()];
    assert_eq!(chosen(&manifest(Base::None, &["b"]), &indexes), "a 1+deb13u1, b 1");
    assert_eq!(chosen(&manifest(Base::None, &["b", "a (>= 2)"]), &indexes), "a 2, b 1");
    assert_eq!(chosen(&manifest(Base::None, &["b", "a=1"]), &indexes), "a 1, b 1");
    assert_eq!(chosen(&manifest(Base::None, &["new"]), &indexes), "new 2");
    let pinned = [stable.clone(), Index { priority: Some(990), ..backports }];
    assert_eq!(chosen(&manifest(Base::None, &["b"]), &pinned), "a 2, b 1");
    let never = [Index { priority: Some(-1), ..stable }];
    assert_eq!(
        chosen(&manifest(Base::None, &["a"]), &never),
        "cannot resolve small for amd64: priorities and the versions under `packages` leave no `a`, found 1 (debian/trixie/main)"
    );
    assert_eq!(
        chosen(&manifest(Base::None, &["a (>= 2)", "a (<< 2)"]), &indexes),
        "cannot resolve small for amd64: priorities and the versions under `packages` leave no `a`, \
         found 1 (debian/trixie/main), 1+deb13u1 (debian/trixie-security/main), 2 (debian/trixie-backports/main)"
    );
    let needs_backport = [indexes.as_slice(), &[index("extra", &["c 1;Depends: a (>= 2)"])]].concat();
    assert_eq!(
        chosen(&manifest(Base::None, &["c"]), &needs_backport),
        "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `c`: c 1
    c 1 depends on `a (>= 2)`: `a (>= 2)` is 2 (debian/trixie-backports/main), but the candidate is 1+deb13u1: \
         a version under `packages` changes that"
    );
}

#[test]
fn what_cannot_be_had_is_explained() {
    let packages = [
        "a 1;Depends: b (>= 2)",
        "b 1",
        "c 1;Depends: d",
        "d 1;Depends: e | f",
        "e 1;Conflicts: c",
        "f 1;Depends: g",
        "left 1;Conflicts: right",
        "right 2;Provides: both",
        "other 1;Provides: both",
        "systemd-sysv 1",
    ];
    let archive = [index("trixie", &packages)];
    for (requests, expected) in [
        (
            &["a"][..],
            "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `a`: a 1
    a 1 depends on `b (>= 2)`: no archive has `b (>= 2)`, found 1 (debian/trixie/main)",
        ),
        (
            &["c"],
            "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `c`: c 1
    c 1 depends on `d`: d 1
      d 1 depends on `e | f`: e 1 or f 1
        e 1 conflicts with `c`, which rules out c 1
        f 1 depends on `g`: no archive has a package `g`",
        ),
        (
            &["left", "right"],
            "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `left`: left 1
    left 1 conflicts with `right`, which rules out right 2
  the manifest asks for `right`: right 2",
        ),
        (
            &["systemd-syv"],
            "cannot resolve small for amd64: no archive has a package `systemd-syv`
hint: did you mean `systemd-sysv`?",
        ),
        (
            &["both"],
            "cannot resolve small for amd64: `both` is a virtual package, provided by other, right: ask for one of them",
        ),
        (&["b (>= 3)"], "cannot resolve small for amd64: no archive has `b (>= 3)`, found 1 (debian/trixie/main)"),
    ] {
        assert_eq!(chosen(&manifest(Base::None, requests), &archive), expected);
    }
    let mut excluding = manifest(Base::None, &["c"]);
    excluding.exclude = vec!["d".to_owned()];
    assert_eq!(
        chosen(&excluding, &archive),
        "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `c`: c 1
    c 1 depends on `d`: `d` is excluded by the manifest"
    );
}

#[test]
fn tools_come_with_root_img_alone() {
    let mut small = manifest(Base::None, &["a"]);
    small.outputs = vec![OutputFormat::Tar, OutputFormat::RootImg];
    let old = index("bookworm", &["a 1", "e2fsprogs 1.47.0-2", "libarchive13 3"]);
    assert_eq!(
        chosen(&small, std::slice::from_ref(&old)),
        "cannot resolve the tools of small for amd64: root.img is written by mke2fs, and older ones give different bytes \
         on every run: no archive has `e2fsprogs (>= 1.47.2)`, found 1.47.0-2 (debian/bookworm/main)\n\
         hint: name an archive that has it under `tools: archives:` in the manifest, in the form of `archives:`"
    );
    let new = index(
        "trixie",
        &["e2fsprogs 1.47.2-3;Depends: libc6", "libarchive13t64 3", "libc6 2.41", "dpkg 1;Essential: yes"],
    );
    let lock = resolve::run(&small, &amd64(), &[old, new], &[], None).unwrap();
    let names = |packages: &[compose::lock::Package]| packages.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&lock.packages), ["a"]);
    assert_eq!(names(&lock.tools), ["e2fsprogs", "libarchive13t64", "libc6"]);
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
    assert_eq!(resolve::run(&manifest, &amd64(), &archive, &[], Some(&first)).unwrap(), first);
    assert_eq!(lock(&manifest, &archive).unwrap().date.seconds(), 2000);
}

#[test]
fn changes_are_told_by_version_order() {
    let of = |packages: &[&str], requests: &[&str]| {
        lock(&manifest(Base::None, requests), &[index("trixie", packages)]).unwrap().packages
    };
    let old = of(&["a 1.9", "b 2", "c 1", "e 1", "f 1"], &["a", "b", "c", "e", "f"]);
    let new = of(&["a 1.10", "b 2~rc1", "d 1", "e 1;Section: admin", "f 1"], &["a", "b", "d", "e", "f"]);
    let told: Vec<String> = resolve::changes(Format::Deb, &old, &new)
        .into_iter()
        .map(|change| match change {
            Change::Added(new) => format!("+ {}", new.describe()),
            Change::Removed(old) => format!("- {}", old.describe()),
            Change::Upgraded(old, new) => format!("{} {} up to {}", old.name, old.version, new.version),
            Change::Downgraded(old, new) => format!("{} {} down to {}", old.name, old.version, new.version),
            Change::Replaced(old, _) => format!("{} replaced", old.name),
        })
        .collect();
    assert_eq!(told, ["a 1.9 up to 1.10", "b 2 down to 2~rc1", "- c 1 amd64", "+ d 1 amd64", "e replaced"]);
}
