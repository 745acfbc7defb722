//! Resolving small archives written out as stanzas: what is chosen, what is locked, and what is said when nothing can be.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::error::hints;
use compose::lock::Lock;
use compose::manifest::{Base, ImageOptions, Manifest, OutputFormat, PackageRequest, System, Tools};
use compose::package;
use compose::package::Format;
use compose::package::deb::table::Table;
use compose::resolve::{self, Previous};
use compose::source::{Index, Indexes};

use support::snapshot::assert_snapshot;

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
        table: Arc::new(package::Table::Deb(Table::of(&text).unwrap())),
    }
}

fn manifest(base: Base, packages: &[&str]) -> Manifest {
    Manifest {
        name: "small".to_owned(),
        format: Format::Deb,
        architectures: vec![amd64()],
        foreign_architectures: Vec::new(),
        archives: Vec::new(),
        base,
        recommends: false,
        suggests: false,
        packages: packages.iter().map(|text| Format::Deb.parse_request(text).unwrap()).collect::<Vec<PackageRequest>>(),
        exclude: Vec::new(),
        groups: Vec::new(),
        users: Vec::new(),
        files: Vec::new(),
        system: System::default(),
        outputs: vec![OutputFormat::Ostree],
        image: ImageOptions::default(),
        template: None,
        checks: Vec::new(),
        tools: Tools { archives: Vec::new() },
        path: PathBuf::from("small.yaml"),
        digest: Sha256::of(b"small"),
    }
}

fn all_of(indexes: &[Index]) -> Indexes {
    Indexes { packages: indexes.to_vec(), tools: Vec::new(), machines: Vec::new() }
}

fn lock(manifest: &Manifest, indexes: &[Index]) -> anyhow::Result<Lock> {
    resolve::run(manifest, &amd64(), &all_of(indexes), &Previous::default())
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
fn one_package_can_have_its_own_say_on_recommendations() {
    let archive =
        [index("trixie", &["a 1;Recommends: b;Suggests: c", "b 1;Recommends: d", "c 1;Depends: e", "d 1", "e 1"])];
    let mut manifest = manifest(Base::None, &["a"]);
    manifest.packages[0].recommends = Some(true);
    assert_eq!(chosen(&manifest, &archive), "a 1, b 1");
    manifest.packages[0].suggests = Some(true);
    assert_eq!(chosen(&manifest, &archive), "a 1, b 1, c 1, e 1");
    manifest.recommends = true;
    manifest.packages[0] = PackageRequest { recommends: Some(false), ..manifest.packages[0].clone() };
    assert_eq!(chosen(&manifest, &archive), "a 1, c 1, e 1");
    manifest.packages[0] = Format::Deb.parse_request("a").unwrap();
    (manifest.recommends, manifest.suggests) = (false, true);
    assert_eq!(chosen(&manifest, &archive), "a 1, c 1, e 1");
}

#[test]
fn a_task_is_all_packages_that_say_so() {
    let packages = [
        "a 1;Task: web-server, mail-server;Depends: c",
        "b 1;Task: mail-server",
        "c 1",
        "task-web-server 1;Depends: d",
        "d 1",
    ];
    let archive = [index("trixie", &packages)];
    assert_eq!(chosen(&manifest(Base::None, &["^mail-server"]), &archive), "a 1, b 1, c 1");
    assert_eq!(chosen(&manifest(Base::None, &["web-server^"]), &archive), "a 1, c 1, d 1, task-web-server 1");
    assert_eq!(
        chosen(&manifest(Base::None, &["^print-server"]), &archive),
        "cannot resolve small for amd64: no package belongs to the task `print-server`, and there is no package \
         `task-print-server`"
    );
}

#[test]
fn a_release_is_taken_with_what_it_needs() {
    let stable = index("trixie", &["a 1;Depends: b", "b 1", "c 1;Depends: d", "d 1", "e 1"]);
    let new = ["a 2;Depends: b (>= 2), e, v", "b 2;Depends: d (>= 2)", "d 2", "e 2", "v 2"];
    let backports = Index { not_automatic: true, but_automatic_upgrades: true, ..index("trixie-backports", &new) };
    let indexes = [stable, backports];
    assert_eq!(chosen(&manifest(Base::None, &["a", "c"]), &indexes), "a 1, b 1, c 1, d 1");
    assert_eq!(chosen(&manifest(Base::None, &["a/trixie-backports", "c"]), &indexes), "a 2, b 2, c 1, d 2, e 1, v 2");
    assert_eq!(
        chosen(&manifest(Base::None, &["a/sid"]), &indexes),
        "cannot resolve small for amd64: priorities and the versions under `packages` leave no `a`, \
         found 1 (debian/trixie/main), 2 (debian/trixie-backports/main)"
    );
}

#[test]
fn packages_of_foreign_architectures_stand_beside_those_of_the_root() {
    let own = [
        "libc 1;Multi-Arch: same",
        "tool 1;Multi-Arch: foreign",
        "old 1",
        "data 1;Architecture: all;Multi-Arch: foreign",
    ];
    let i386 = |more: &[&'static str]| {
        let packages: Vec<String> =
            own.iter().chain(more).map(|p| p.replace("Architecture: all", "Architecture: all;X: y")).collect();
        let packages: Vec<String> = packages
            .iter()
            .map(|p| if p.contains("Architecture") { p.clone() } else { format!("{p};Architecture: i386") })
            .collect();
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        Index { architecture: "i386".parse().unwrap(), ..index("trixie", &packages) }
    };
    let wine = i386(&["wine 1;Depends: libc (= 1), tool, data", "needs 1;Depends: old", "exact 1;Depends: old:amd64"]);
    let both = [index("trixie", &own), wine];
    let labels = |requests: &[&str]| match lock(&manifest(Base::None, requests), &both) {
        Ok(lock) => {
            lock.packages.iter().map(|p| format!("{}:{}", p.name, p.architecture)).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("{error:#}"),
    };
    assert_eq!(labels(&["wine:i386", "libc"]), "data:all libc:amd64 libc:i386 tool:amd64 wine:i386");
    assert_eq!(labels(&["needs:i386"]), "needs:i386 old:i386");
    assert_eq!(labels(&["exact:i386"]), "exact:i386 old:amd64");
    assert_eq!(
        labels(&["wine"]),
        "data:all libc:i386 tool:amd64 wine:i386",
        "as apt does where the root's own architecture has none"
    );
    assert!(labels(&["old", "old:i386"]).contains("cannot be installed beside another architecture's"));
    assert!(labels(&["libc:armhf"]).contains("`libc:armhf` is for armhf, and the root is for amd64"));
    let depends = lock(&manifest(Base::None, &["wine:i386", "libc"]), &both).unwrap().packages.pop().unwrap().depends;
    assert_eq!(depends, ["data", "libc:i386", "tool"]);
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
    c 1 depends on `a (>= 2)`: `a (>= 2)` is 2 (debian/trixie-backports/main), but the candidate is 1+deb13u1
hint: ask for `a (>= 2)` under `packages`"
    );
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let archive = [index("trixie", &["a 1", "right 2;Provides: both", "other 1;Provides: both", "systemd-sysv 1"])];
    for (request, expected) in [
        ("systemd-syv", "no archive has a package `systemd-syv`\nhint: did you mean `systemd-sysv`?"),
        ("both", "`both` is a virtual package, provided by other, right: ask for one of them"),
        ("a (>= 3)", "no archive has `a (>= 3)`, found 1 (debian/trixie/main)"),
    ] {
        let expected = format!("cannot resolve small for amd64: {expected}");
        assert_eq!(chosen(&manifest(Base::None, &[request]), &archive), expected);
    }
    let mut excluding = manifest(Base::None, &["a"]);
    excluding.exclude = vec!["a".to_owned()];
    assert_eq!(
        chosen(&excluding, &archive),
        "cannot resolve small for amd64: `a` is excluded by the manifest\nhint: take `a` out of `exclude`"
    );
}

/// A manifest that nothing satisfies.
struct Unsatisfiable<'a> {
    /// The snapshot of its explanation.
    name: &'a str,
    base: Base,
    requests: &'a [&'a str],
    exclude: &'a [&'a str],
    /// The packages of each suite; backports are taken when asked for.
    suites: &'a [(&'a str, &'a [&'a str])],
}

/// Packages asked for, of suites.
fn plain<'a>(name: &'a str, requests: &'a [&'a str], suites: &'a [(&'a str, &'a [&'a str])]) -> Unsatisfiable<'a> {
    Unsatisfiable { name, base: Base::None, requests, exclude: &[], suites }
}

impl Unsatisfiable<'_> {
    fn check(&self) {
        assert_snapshot(&format!("explain/{}.txt", self.name), &self.explanation());
    }

    fn explanation(&self) -> String {
        let mut manifest = manifest(self.base, self.requests);
        manifest.exclude = self.exclude.iter().map(ToString::to_string).collect();
        let indexes: Vec<Index> = self
            .suites
            .iter()
            .map(|(suite, packages)| {
                let backports = suite.ends_with("-backports");
                Index { not_automatic: backports, but_automatic_upgrades: backports, ..index(suite, packages) }
            })
            .collect();
        chosen(&manifest, &indexes) + "\n"
    }
}

/// As sid had it in November 2026: a rebuild of filtermail is due.
const FILTERMAIL: &[&str] = &[
    "filtermail 1.07.01-1;Depends: libbobcat6 (>= 6.11.00), libc6 (>= 2.38), whois",
    "libbobcat6 6.15.01-3;Source: bobcat;Depends: libc6 (>= 2.38);Breaks: filtermail (<< 1.07.01-1+b1)",
    "libc6 2.43-7",
    "whois 5.6.6",
];

#[test]
fn what_cannot_be_had_is_explained_with_a_way_out() {
    for case in [
        plain("conflict", &["left", "right"], &[("trixie", &["left 1;Conflicts: right", "right 2"])]),
        plain(
            "conflict-of-dependencies",
            &["mail", "news", "editor"],
            &[(
                "trixie",
                &[
                    "mail 1;Depends: exim",
                    "news 1;Depends: postfix",
                    "exim 4;Provides: mta;Conflicts: mta",
                    "postfix 3;Provides: mta;Conflicts: mta",
                    "editor 1",
                ],
            )],
        ),
        Unsatisfiable {
            base: Base::Required,
            ..plain(
                "conflict-with-the-base",
                &["toybox"],
                &[("trixie", &["coreutils 9;Essential: yes;Priority: required", "toybox 1;Conflicts: coreutils"])],
            )
        },
        plain("missing-version", &["a"], &[("trixie", &["a 1;Depends: b (>= 2)", "b 1"])]),
        plain(
            "version-in-backports",
            &["a"],
            &[("trixie", &["a 1;Depends: b (>= 2)", "b 1"]), ("trixie-backports", &["b 2"])],
        ),
        plain(
            "version-in-backports-that-does-not-help",
            &["a"],
            &[("trixie", &["a 1;Depends: b (>= 2)", "b 1"]), ("trixie-backports", &["b 2;Depends: c"])],
        ),
        plain("missing-package", &["a"], &[("trixie", &["a 1;Depends: b", "b 1;Depends: firmware-b"])]),
        Unsatisfiable {
            exclude: &["dbus"],
            ..plain("excluded-dependency", &["a"], &[("trixie", &["a 1;Depends: dbus", "dbus 1"])])
        },
        plain("broken-in-sid", &["filtermail"], &[("sid", FILTERMAIL)]),
        plain(
            "broken-in-sid-but-not-in-testing",
            &["filtermail"],
            &[("sid", FILTERMAIL), ("forky", &["filtermail 1.06.00-2;Depends: libc6 (>= 2.38), whois"])],
        ),
    ] {
        case.check();
    }
}

#[test]
fn a_proof_is_a_tree() {
    for case in [
        plain(
            "alternatives-that-fail-for-different-reasons",
            &["c"],
            &[(
                "trixie",
                &[
                    "c 1;Depends: d, unrelated",
                    "d 1;Depends: e | f | g (>= 2) | h",
                    "e 1;Conflicts: c",
                    "f 1;Depends: i",
                    "g 1",
                    "h 1;Depends: j",
                    "j 1;Breaks: unrelated (<< 2)",
                    "unrelated 1",
                ],
            )],
        ),
        plain(
            "long-chain",
            &["a"],
            &[(
                "trixie",
                &[
                    "a 1;Depends: b, x",
                    "b 2;Depends: c (>= 3)",
                    "c 3;Depends: d | x, d | y",
                    "d 4;Depends: e",
                    "e 5;Depends: f",
                    "f 6;Depends: g | h",
                    "g 7;Depends: z",
                    "h 8;Conflicts: a",
                    "x 1;Conflicts: b",
                    "y 1;Conflicts: b",
                ],
            )],
        ),
        plain(
            "longer-chain",
            &["a"],
            &[(
                "trixie",
                &[
                    "a 1;Depends: b",
                    "b 2;Depends: c (>= 3)",
                    "c 3;Depends: d",
                    "d 4;Depends: e",
                    "e 5;Depends: f | g",
                    "f 6;Depends: missing-for-f",
                    "g 7;Depends: c (<< 3)",
                ],
            )],
        ),
    ] {
        case.check();
    }
}

/// What cannot be installed, as `NAME VERSION` and the proof.
fn uninstallable(indexes: &[Index]) -> Vec<(String, String)> {
    let verdict = resolve::judge(Format::Deb, &amd64(), indexes).unwrap();
    verdict.uninstallable.into_iter().map(|p| (format!("{} {}", p.name, p.version), p.proof)).collect()
}

#[test]
fn every_version_of_every_package_is_judged() {
    let sid = index(
        "sid",
        &[
            "base-files 13;Essential: yes",
            "compilers 3.7;Architecture: all;Depends: dev (>= 3.7), slice (= 3.7)",
            "compilers 3.8;Architecture: all;Depends: dev (>= 3.7)",
            "dev 3.8;Depends: slice (= 3.8)",
            "hostile 1;Depends: x | enemy",
            "enemy 2;Breaks: base-files",
            "one 1;Depends: two",
            "slice 3.7;Architecture: all",
            "slice 3.8;Architecture: all",
            "two 1;Depends: one, three (>= 4)",
            "x 1;Conflicts: hostile",
        ],
    );
    let verdict = resolve::judge(Format::Deb, &amd64(), std::slice::from_ref(&sid)).unwrap();
    assert_eq!(verdict.judged, 11);
    let told: Vec<String> =
        uninstallable(&[sid]).into_iter().map(|(package, proof)| format!("{package}:\n{proof}\n")).collect();
    assert_snapshot("explain/uninstallable.txt", &told.concat());
}

#[test]
fn an_archive_without_a_base_is_not_judged() {
    let archive = [index("sid", &["a 1;Essential: yes;Depends: x", "b 1;Essential: yes", "c 1"])];
    assert_eq!(
        resolve::judge(Format::Deb, &amd64(), &archive).unwrap_err().to_string(),
        "the essential packages cannot be installed together:
  every root has the essential package `a`: a 1
    a 1 depends on `x`: no archive has a package `x`"
    );
}

#[test]
fn packages_that_exclude_each_other_can_be_installed_each() {
    let archive = [index(
        "sid",
        &[
            "a 1;Depends: v",
            "b 1;Provides: v;Conflicts: v",
            "c 1;Provides: v;Conflicts: v",
            "d 1;Depends: c",
            "e 1;Depends: a, d | x",
            "f 1;Depends: a, b",
            // The first choice for `b | c` leaves none for `d`.
            "g 1;Depends: b | c, d",
        ],
    )];
    assert_eq!(uninstallable(&archive), []);
    let both = [index("sid", &["b 1;Conflicts: c", "c 1", "g 1;Depends: b, h", "h 1;Depends: c"])];
    let names: Vec<String> = uninstallable(&both).into_iter().map(|(package, _)| package).collect();
    assert_eq!(names, ["g 1"]);
}

/// Packages numbered from 0, each in one version.
struct SmallArchive {
    /// Of each, the alternatives of each dependency; a number beyond the last is a package that is missing.
    depends: Vec<Vec<Vec<usize>>>,
    conflicts: Vec<Vec<usize>>,
}

impl SmallArchive {
    const PACKAGES: usize = 9;

    /// Looks random, the same on every run.
    fn generate(seed: &mut u64) -> Self {
        let mut below = |limit: usize| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) as usize % limit
        };
        let mut archive = Self { depends: Vec::new(), conflicts: Vec::new() };
        for own in 0..Self::PACKAGES {
            let depends = (0..below(3)).map(|_| (0..=below(2)).map(|_| below(Self::PACKAGES + 1)).collect()).collect();
            archive.depends.push(depends);
            archive
                .conflicts
                .push((0..below(3)).map(|_| below(Self::PACKAGES)).filter(|other| *other != own).collect());
        }
        archive
    }

    fn index(&self) -> Index {
        let name = |number: &usize| format!("p{number}");
        let packages: Vec<String> = (0..Self::PACKAGES)
            .map(|own| {
                let joined = |numbers: &Vec<usize>, by: &str| numbers.iter().map(name).collect::<Vec<_>>().join(by);
                let depends: Vec<String> = self.depends[own].iter().map(|member| joined(member, " | ")).collect();
                let conflicts = joined(&self.conflicts[own], ", ");
                format!("p{own} 1;Depends: {};Conflicts: {conflicts}", depends.join(", "))
            })
            .collect();
        index("sid", &packages.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Finds by trying every set of packages which are in none that is complete and without conflict.
    fn uninstallable(&self) -> Vec<String> {
        let mut installable = 0;
        for set in 0_usize..1 << Self::PACKAGES {
            let has = |number: &usize| set >> number & 1 == 1;
            let fits = |own: usize| {
                self.depends[own].iter().all(|member| member.iter().any(has)) && !self.conflicts[own].iter().any(has)
            };
            if (0..Self::PACKAGES).all(|own| !has(&own) || fits(own)) {
                installable |= set;
            }
        }
        (0..Self::PACKAGES).filter(|own| installable >> own & 1 == 0).map(|own| format!("p{own} 1")).collect()
    }
}

#[test]
fn the_verdict_is_that_of_trying_all_sets() {
    let mut seed = 1;
    let mut kinds = [0; SmallArchive::PACKAGES + 1];
    for _ in 0..400 {
        let archive = SmallArchive::generate(&mut seed);
        let names: Vec<String> = uninstallable(&[archive.index()]).into_iter().map(|(package, _)| package).collect();
        assert_eq!(names, archive.uninstallable());
        kinds[names.len()] += 1;
    }
    assert!(kinds[0] < 200 && kinds[1..6].iter().all(|count| *count > 10), "{kinds:?}");
}

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

/// What is chosen when only some packages are to move, from what `before` gave.
fn moved(before: &[Index], after: &[Index], requests: &[&str], only: &[&str]) -> String {
    let manifest = manifest(Base::None, requests);
    let old = lock(&manifest, before).unwrap();
    let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
    let previous = Previous { lock: Some(&old), only: Some(&only) };
    match resolve::run(&manifest, &amd64(), &all_of(after), &previous) {
        Ok(lock) => lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect::<Vec<_>>().join(", "),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn one_package_moves_with_no_more_than_it_needs() {
    for (why, before, after, only, expected) in [
        ("it alone", &["a 1", "b 1"][..], &["a 2", "b 2"][..], "a", "a 2, b 1"),
        (
            "what it needs anew",
            &["a 1;Depends: c", "b 1", "c 1"],
            &["a 2;Depends: c (>= 2)", "b 2", "c 1", "c 2"],
            "a",
            "a 2, b 1, c 2",
        ),
        (
            "no more than fits",
            &["a 1;Depends: c", "b 1", "c 1"],
            &["a 2;Depends: c (>= 1)", "b 2", "c 1", "c 2"],
            "a",
            "a 2, b 1, c 1",
        ),
        (
            "those bound to its version",
            &["a 1;Depends: d (= 1)", "b 1", "d 1"],
            &["a 1;Depends: d (= 1)", "a 2;Depends: d (= 2)", "b 1", "b 2", "d 1", "d 2"],
            "d",
            "a 2, b 1, d 2",
        ),
        (
            "what it breaks",
            &["a 1", "b 1", "c 1"],
            &["a 2;Breaks: b (<< 2)", "b 1", "b 2", "c 1", "c 2"],
            "a",
            "a 2, b 2",
        ),
        (
            "along a chain",
            &["a 1;Depends: c", "b 1;Depends: d", "c 1;Depends: d", "d 1"],
            &[
                "a 2;Depends: c (>= 2)",
                "b 1;Depends: d",
                "b 2",
                "c 1;Depends: d",
                "c 2;Depends: d (>= 2)",
                "d 1",
                "d 2",
            ],
            "a",
            "a 2, b 1, c 2, d 2",
        ),
        ("what the archive no longer has", &["a 1", "b 1"], &["a 2", "b 2"], "a", "a 2, b 2"),
        (
            "not another choice",
            &["a 1;Depends: x | y", "b 1", "y 1"],
            &["a 1;Depends: x | y", "b 1", "b 2", "x 1", "y 1"],
            "b",
            "a 1, b 2, y 1",
        ),
    ] {
        let before = [index("trixie", before)];
        // The stanzas of what stays are those of before.
        let kept = if why.contains("no longer") { Vec::new() } else { before.to_vec() };
        let after = [kept, vec![index("trixie", after)]].concat();
        assert_eq!(moved(&before, &after, &["a", "b"], &[only]), expected, "{why}");
    }
}

#[test]
fn an_update_of_one_package_changes_its_block_alone() {
    let packages = |b: &'static str| {
        ["a 1;Depends: b", b, "c 1;Depends: b (>= 1);Recommends: d", "d 1;Architecture: all", "e 1;Depends: a, c"]
    };
    let before = index("trixie", &packages("b 1;Source: bees;Installed-Size: 10;Depends: d"));
    let after = Index {
        date: Timestamp::from_seconds(2000).unwrap(),
        ..index("trixie", &packages("b 2;Source: bees;Installed-Size: 20;Depends: d"))
    };
    let mut manifest = manifest(Base::None, &["e"]);
    manifest.recommends = true;
    let old = lock(&manifest, &[before]).unwrap();
    let previous = Previous { lock: Some(&old), only: None };
    let new = resolve::run(&manifest, &amd64(), &all_of(&[after]), &previous).unwrap();
    let (old, new) = (old.render().unwrap(), new.render().unwrap());
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    assert_eq!(old.len(), new.len());
    let mut block = "";
    let mut changed = Vec::new();
    for (old, new) in old.iter().zip(&new) {
        block = old.strip_prefix("- name: ").unwrap_or(block);
        if old != new {
            changed.push(format!("{block}{}", new.trim_start().split_once(':').unwrap().0.replace(' ', "_")));
        }
    }
    assert_eq!(changed, ["date", "bversion", "bpath", "binstalled-size", "bsha256"]);
}

#[test]
fn what_is_kept_keeps_its_place() {
    let both = |first: &[&str], second: &[&str]| [index("trixie", first), index("trixie-security", second)];
    let manifest = manifest(Base::None, &["a", "b"]);
    let old = lock(&manifest, &both(&["a 1"], &["b 1"])).unwrap();
    let only = ["a".to_owned()];
    let previous = Previous { lock: Some(&old), only: Some(&only) };
    for (why, first) in [("the same file", "b 1"), ("another file under the same version", "b 1;Description: x")] {
        let now = both(&["a 1", "a 2", first], &["b 1"]);
        let new = resolve::run(&manifest, &amd64(), &all_of(&now), &previous).unwrap();
        assert_eq!(new.packages[0].version, "2");
        assert_eq!(new.packages[1], old.packages[1], "{why}");
    }
}

#[test]
fn a_release_that_needs_itself_in_two_versions_ends() {
    let stable = index("trixie", &["a 1", "x 1", "y 1"]);
    let new = [
        "a 2;Depends: x (= 2)",
        "x 2;Depends: y (= 3)",
        "x 3;Depends: y (= 2)",
        "y 2;Depends: x (= 2)",
        "y 3;Depends: x (= 3)",
    ];
    let backports = Index { not_automatic: true, but_automatic_upgrades: true, ..index("bpo", &new) };
    assert!(
        chosen(&manifest(Base::None, &["a/bpo"]), &[stable.clone(), backports]).contains("x 2 depends on `y (= 3)`")
    );
    // The highest that fits, as apt takes it; and what the manifest says of versions stands.
    let new = ["a 2;Depends: x (>= 2)", "x 2", "x 3"];
    let backports = Index { not_automatic: true, but_automatic_upgrades: true, ..index("bpo", &new) };
    let both = [stable, backports];
    assert_eq!(chosen(&manifest(Base::None, &["a/bpo"]), &both), "a 2, x 3");
    assert_eq!(chosen(&manifest(Base::None, &["a/bpo", "x (<< 3)"]), &both), "a 2, x 2");
    assert_eq!(
        chosen(&manifest(Base::None, &["a/bpo", "x=1"]), &both),
        "cannot resolve small for amd64: nothing satisfies the manifest:
  the manifest asks for `a/bpo`: a 2
    a 2 depends on `x (>= 2)`: `x (>= 2)` is 2 (debian/bpo/main), 3 (debian/bpo/main), but the candidate is 1
hint: name an archive that has `x (>= 2)` under `archives`
hint: leave `a/bpo` out of `packages`"
    );
}

#[test]
fn wishes_belong_to_packages_however_they_are_asked_for() {
    let archive = [index("trixie", &["a 1;Task: t;Recommends: b", "b 1", "c 1;Recommends: d", "d 1"])];
    let mut manifest = manifest(Base::None, &["^t", "c", "c (>= 1)"]);
    manifest.packages[0].recommends = Some(true);
    manifest.packages[1].recommends = Some(true);
    assert_eq!(chosen(&manifest, &archive), "a 1, b 1, c 1, d 1");
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
