//! What is said when nothing can be chosen.

use compose::manifest::Base;
use compose::source::Index;

use super::support::snapshot::assert_snapshot;
use super::{chosen, index, manifest};

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
