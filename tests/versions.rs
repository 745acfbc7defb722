//! Our order of versions is that of `dpkg --compare-versions`. Skips where there is no dpkg.

mod support;

use std::cmp::Ordering;
use std::process::Command;

use compose::package::deb::version::compare;
use support::needs::{host_program, needs};

/// Texts that differ where comparing is easy to get wrong.
const HOSTILE: &[&str] = &[
    "0",
    "00",
    "0-0",
    "0~",
    "0~~",
    "0~a",
    "0a",
    "0+",
    "0.",
    "0.0",
    "0:0",
    "1:0",
    "01:0",
    "0-1",
    "0-1~",
    "0-1+b1",
    "0-1.1",
    "0-a",
    "0-~",
    "0-0~",
    "0-1-1",
    "1.0",
    "1.00",
    "1.0a",
    "1.0a1",
    "1.0a01",
    "1.0A",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.0~rc1-1",
    "1.0-1~bpo1",
    "2:1:1",
    "2:1-1",
    "18446744073709551615",
    "18446744073709551616",
    "018446744073709551616",
    "99999999999999999999999999999999",
    "1z9",
    "1.z",
    "1+z",
    "1~z",
];

#[test]
fn every_pair_of_hostile_versions_compares_as_in_dpkg() {
    if needs(host_program("dpkg", "--version")).is_none() {
        return;
    }
    let holds = |a: &str, relation: &str, b: &str| {
        let output = Command::new("dpkg").args(["--compare-versions", a, relation, b]).output().unwrap();
        assert_ne!(output.status.code(), Some(2), "{a} {b}");
        output.status.success()
    };
    for (number, a) in HOSTILE.iter().enumerate() {
        for b in &HOSTILE[number..] {
            let relation = match compare(a, b) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            assert!(holds(a, relation, b), "{a} {relation} {b}");
            assert_eq!(compare(b, a), compare(a, b).reverse(), "{a} {b}");
        }
    }
}
