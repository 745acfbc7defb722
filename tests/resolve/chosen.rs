//! Which packages are chosen.

use compose::manifest::{Base, PackageRequest};
use compose::package::Format;
use compose::source::Index;

use super::{chosen, index, lock, manifest};

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

#[test]
fn wishes_belong_to_packages_however_they_are_asked_for() {
    let archive = [index("trixie", &["a 1;Task: t;Recommends: b", "b 1", "c 1;Recommends: d", "d 1"])];
    let mut manifest = manifest(Base::None, &["^t", "c", "c (>= 1)"]);
    manifest.packages[0].recommends = Some(true);
    manifest.packages[1].recommends = Some(true);
    assert_eq!(chosen(&manifest, &archive), "a 1, b 1, c 1, d 1");
}
