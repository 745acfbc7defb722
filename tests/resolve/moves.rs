//! Updates of some packages of a lock.

use compose::clock::Timestamp;
use compose::manifest::Base;
use compose::resolve::{self, Previous};
use compose::source::Index;

use super::{all_of, amd64, chosen, index, lock, manifest};

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
