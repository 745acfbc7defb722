//! Which packages of an archive can be installed.

use compose::package::Format;
use compose::resolve;
use compose::source::Index;

use super::support::snapshot::assert_snapshot;
use super::{amd64, index};

/// What cannot be installed, as `NAME VERSION` and the proof.
fn uninstallable(indexes: &[Index]) -> Vec<(String, String)> {
    let verdict = resolve::judge(Format::Deb, &amd64(), indexes).unwrap();
    verdict.uninstallable.into_iter().map(|p| (p.package, p.proof)).collect()
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
