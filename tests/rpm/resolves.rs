//! What is chosen from rpm repositories.

use compose::lock::Lock;
use compose::manifest::Manifest;
use compose::package::Format;
use compose::resolve::{self, Previous};
use compose::source::Indexes;
use compose::{durable, manifest};

use crate::support::snapshot::assert_snapshot;
use crate::support::told;
use crate::{Scene, primary};

/// A manifest that asks for these packages of the scene's repository.
fn manifest(scene: &Scene, packages: &str, more: &str) -> Manifest {
    let path = scene.folder.path().join("m.yaml");
    let text = format!(
        "name: m\nformat: rpm\narchitectures: [amd64]\narchives:\n  - id: base\n    gpgkey: [keyring.asc]\nbase: none\n\
         packages: [{packages}]\noutputs: [ostree]\n{more}"
    );
    durable::write(&path, text.as_bytes()).unwrap();
    manifest::load(&path).unwrap()
}

fn lock(scene: &Scene, packages: &str, more: &str) -> anyhow::Result<Lock> {
    let indexes = Indexes { packages: vec![scene.load()?], tools: Vec::new(), machines: Vec::new() };
    resolve::run(&manifest(scene, packages, more), &"amd64".parse()?, &indexes, &Previous::default())
}

fn scene(packages: &[&str]) -> Scene {
    let scene = Scene::new();
    scene.publish(&[("primary", primary(packages))]);
    scene
}

/// The packages locked, `NAME VERSION ARCH`.
fn chosen(packages: &[&str], asked: &str, more: &str) -> String {
    let lock = lock(&scene(packages), asked, more).unwrap_or_else(|error| panic!("{}", told(&error)));
    lock.packages.iter().map(compose::lock::Package::describe).collect::<Vec<_>>().join(", ")
}

fn names(packages: &[&str], asked: &str, more: &str) -> String {
    let all = chosen(packages, asked, more);
    all.split(", ").map(|package| package.split(' ').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

#[test]
fn versions_and_architectures_are_chosen() {
    let packages = ["a 1-1 x86_64", "a 2-1 x86_64", "a 3-1 i686", "b 1-1 noarch; requires: a"];
    assert_eq!(chosen(&packages, "b", ""), "a 2-1 x86_64, b 1-1 noarch");
    assert_eq!(chosen(&packages, "a.i686, a = 1", ""), "a 3-1 i686, a 1-1 x86_64");
    assert_eq!(chosen(&["k 1-1; requires: a < 2", packages[0], packages[1]], "k", ""), "a 1-1 x86_64, k 1-1 noarch");
}

#[test]
fn providers_are_chosen_as_libsolv_does() {
    let packages = ["zz 1-1; provides: cap = 1", "yy 1-1; provides: cap", "x 1-1; requires: cap >= 1"];
    assert_eq!(names(&packages, "x", ""), "x yy");
    let obsolete = ["new 1-1; obsoletes: yy; provides: cap", packages[0], packages[1], packages[2]];
    assert_eq!(names(&obsolete, "x", ""), "new x");
    let asked = ["w 1-1; requires: cap; recommends: zz", packages[0], packages[1]];
    assert_eq!(names(&asked, "w", ""), "w zz");
    assert_eq!(names(&["new 1-1; obsoletes: old < 2", "old 1-1"], "old", ""), "new");
}

#[test]
fn a_choice_that_leads_nowhere_is_taken_back() {
    let packages = [
        "r 1-1; requires: cap, x",
        "a 1-1; provides: cap; requires: n",
        "b 1-1; provides: cap",
        "n 1-1",
        "x 1-1; conflicts: n",
    ];
    assert_eq!(names(&packages, "r", ""), "b r x");
}

#[test]
fn files_that_primary_metadata_lists_are_provided() {
    assert_eq!(names(&["a 1-1; requires: /usr/bin/tool", "b 1-1; file: /usr/bin/tool"], "a", ""), "a b");
    assert_eq!(names(&["b 1-1; file: /usr/bin/tool"], "/usr/bin/tool", ""), "b");
}

#[test]
fn file_lists_are_read_for_other_files_alone() {
    let scene = Scene::new();
    let packages = ["a 1-1; requires: /usr/share/x", "b 1-1"];
    let lists =
        "<filelists packages='2'><package name='a'/><package name='b'><file>/usr/share/x</file></package></filelists>";
    scene.publish(&[("primary", primary(&packages)), ("filelists", lists.to_owned())]);
    let lock = lock(&scene, "a", "").unwrap();
    assert_eq!(lock.packages.len(), 2);
    let plain = Scene::new();
    plain.publish(&[("primary", primary(&packages[1..])), ("filelists", "no XML <".to_owned())]);
    plain.load().unwrap();
}

#[test]
fn rich_dependencies_are_clauses() {
    let if_there = ["a 1-1; requires: (l if g)", "l 1-1", "g 1-1"];
    assert_eq!(names(&if_there, "a", ""), "a");
    assert_eq!(names(&if_there, "a, g", ""), "a g l");
    let with = ["a 1-1; requires: (c >= 2 with d)", "x 1-1; provides: c = 1, d", "y 1-1; provides: c = 2, d"];
    assert_eq!(names(&with, "a", ""), "a y");
    let conflict = ["a 1-1; conflicts: (b and c)", "b 1-1", "c 1-1"];
    assert_eq!(names(&conflict, "a, b", ""), "a b");
    let error = lock(&scene(&conflict), "a, b, c", "").unwrap_err();
    assert!(told(&error).contains("a 1-1 conflicts with `(b and c)`"), "{}", told(&error));
    let with_itself = ["a 1-1; conflicts: (a and b)", "b 1-1"];
    assert_eq!(names(&with_itself, "a", ""), "a");
    let error = lock(&scene(&with_itself), "a, b", "").unwrap_err();
    assert!(told(&error).contains("a 1-1 conflicts with `(a and b)`"), "{}", told(&error));
}

#[test]
fn choices_are_exchanged_for_better_ones() {
    // `a` is taken first; what testsolv says of each.
    for (packages, expected) in [
        (["a 1-1; provides: c; requires: b", "b 1-1; provides: c", "d 1-1; provides: c"], "b q"),
        (["a 1-1; provides: c; requires: b", "b 1-1; provides: c; requires: d", "d 1-1; provides: c"], "d q"),
        (["a 1-1; provides: c; requires: d", "b 1-1; provides: c", "d 1-1; provides: c; requires: a"], "a d q"),
        (["a 1-1; provides: c; recommends: b", "b 1-1; provides: c", "d 1-1"], "b q"),
        (["a 1-1; provides: c", "b 1-1; provides: c; supplements: a", "d 1-1"], "b q"),
        (["a 1-1; provides: c; recommends: b; requires: d", "b 1-1; provides: c", "d 1-1; conflicts: b"], "b q"),
        (["a 1-1; provides: c; suggests: b", "b 1-1; provides: c", "d 1-1"], "a q"),
        (["a 1-1; provides: c; recommends: b; requires: d", "b 1-1; provides: c", "d 1-1; provides: c"], "d q"),
        (["a 1-1; provides: c; recommends: d", "b 1-1; provides: c", "d 1-1; provides: c; recommends: b"], "b q"),
        (["a 1-1; provides: c; recommends: b", "b 1-1; provides: c; requires: d, e", "d 1-1; conflicts: q"], "a q"),
    ] {
        let all = [&packages[..], &["q 1-1; requires: c"]].concat();
        assert_eq!(names(&all, "q", ""), expected, "{packages:?}");
    }
    // What something likes stays, whatever else is liked too.
    let both =
        ["a 1-1; provides: c; recommends: b", "b 1-1; provides: c", "v 1-1; recommends: a", "z 1-1; requires: c"];
    assert_eq!(names(&[&both[..], &["q 1-1; requires: z, v"]].concat(), "q", ""), "a q v z");
}

#[test]
fn decisions_are_made_in_libsolvs_order() {
    // As testsolv says: where one option is best, before where several are.
    let packages =
        ["a 1-1; provides: c", "b 1-1; provides: c", "d 1-1", "d 2-1; conflicts: a", "q 1-1; requires: c, d"];
    assert_eq!(chosen(&packages, "q", ""), "b 1-1 noarch, d 2-1 noarch, q 1-1 noarch");
    // One part of a rich weak relation at a time: what the first one attracts comes before the others.
    let packages =
        ["w 1-1; recommends: ((x or y) and z)", "x 1-1", "y 1-1", "z 1-1", "p 1-1; conflicts: z; supplements: x"];
    assert_eq!(names(&packages, "w", "recommends: true\n"), "p w x");
}

#[test]
fn weak_dependencies_come_along_when_asked() {
    let packages =
        ["a 1-1; recommends: b, bad; suggests: s", "b 1-1", "bad 1-1; conflicts: a", "s 1-1", "p 1-1; supplements: b"];
    assert_eq!(names(&packages, "a", ""), "a");
    assert_eq!(names(&packages, "a", "recommends: true\n"), "a b p");
    let lock = lock(&scene(&packages), "a", "recommends: true\n").unwrap();
    let recommends = |name: &str| lock.packages.iter().find(|p| p.name == name).unwrap().recommends.clone();
    assert_eq!((recommends("a"), recommends("b")), (vec!["b".to_owned()], vec!["p".to_owned()]));
}

#[test]
fn rich_weak_dependencies_bring_what_libsolv_has_them_bring() {
    let weak = "recommends: true\n";
    let supplements = |relation: &str| format!("p 1-1; supplements: {relation}");
    // What merely holds sets nothing off.
    for (relation, expected) in [
        ("(missing if b)", "a"),
        ("(a if b)", "a p"),
        ("(b if a else missing)", "a"),
        ("(missing if b else a)", "a p"),
        ("(a unless b)", "a p"),
        ("(a unless a)", "a"),
        ("(b unless c else a)", "a"),
        ("(b unless a else a)", "a p"),
        ("((b if c) and a)", "a p"),
        ("((b if c) or missing)", "a"),
    ] {
        assert_eq!(names(&["a 1-1", "b 1-1", "c 1-1", &supplements(relation)], "a", weak), expected, "{relation}");
    }
    // It is enough to be taken before others, though, where one has to be.
    for (relation, expected) in [
        ("(missing if z)", "a p"),
        ("(missing if a)", "a o"),
        ("(z unless a)", "a o"),
        ("(z or (missing if z))", "a p"),
        ("(p if z else a)", "a p"),
    ] {
        let packages =
            ["a 1-1; requires: c", "o 1-1; provides: c", "z 1-1", &format!("{}; provides: c", supplements(relation))];
        assert_eq!(names(&packages, "a", ""), expected, "{relation}");
    }
    // What can never be recommended brings no part of itself.
    let recommends = "a 1-1; recommends: ((missing unless (c if b)) if (d if e))";
    assert_eq!(names(&[recommends, "b 1-1", "c 1-1", "d 1-1", "e 1-1"], "a", weak), "a e");
}

#[test]
fn groups_and_modules_are_asked_for() {
    let comps = "<comps><group><id>core</id><packagelist><packagereq type='mandatory'>a</packagereq>\
                 <packagereq type='default'>b</packagereq><packagereq type='optional'>c</packagereq>\
                 <packagereq type='conditional' requires='js'>d</packagereq></packagelist></group></comps>";
    let modules = "document: modulemd\nversion: 2\ndata:\n  name: js\n  stream: 9\n  version: 1\n  artifacts: {rpms: ['js-0:9-1.noarch']}\n\
                   ---\ndocument: modulemd\nversion: 2\ndata:\n  name: js\n  stream: 8\n  version: 1\n  profiles: {common: {rpms: [js]}}\n  \
                   artifacts: {rpms: ['js-0:8-1.noarch']}\n---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: js\n  \
                   stream: 9\n  profiles: {'8': [common]}\n";
    let scene = Scene::new();
    let packages = ["a 1-1", "b 1-1", "c 1-1", "d 1-1", "js 8-1", "js 9-1", "js 10-1"];
    scene.publish(&[("primary", primary(&packages)), ("group", comps.to_owned()), ("modules", modules.to_owned())]);
    let chosen = |asked: &str, more: &str| -> Vec<String> {
        let lock = lock(&scene, asked, more).unwrap_or_else(|error| panic!("{}", told(&error)));
        lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect()
    };
    assert_eq!(chosen("'@core'", ""), ["a 1-1", "b 1-1"]);
    assert_eq!(chosen("js", ""), ["js 9-1"]);
    assert_eq!(chosen("'@core', js", ""), ["a 1-1", "b 1-1", "d 1-1", "js 9-1"]);
    assert_eq!(chosen("'@js:8'", ""), ["js 8-1"]);
    let error = lock(&scene, "'@cor'", "").unwrap_err();
    assert!(
        told(&error).ends_with("no repository has the group `cor`\nhint: did you mean `@core`?"),
        "{}",
        told(&error)
    );
}

#[test]
fn a_fix_is_told_of() {
    let updates = "<updates><update type='security'><pkglist><collection><package name='a' epoch='0' version='1' release='1' \
                   arch='noarch'/></collection></pkglist></update></updates>";
    let scene = Scene::new();
    scene.publish(&[("primary", primary(&["a 2-1"])), ("updateinfo", updates.to_owned())]);
    assert_eq!(lock(&scene, "a", "").unwrap().packages[0].security_fix.as_deref(), Some("1-1"));
}

#[test]
fn what_cannot_be_is_explained() {
    let packages = ["a 1-1; requires: missing >= 2", "b 1-1; requires: a"];
    assert_eq!(
        told(&lock(&scene(&packages), "b", "").unwrap_err()),
        "cannot resolve m for amd64: nothing satisfies the manifest:\n  the manifest asks for `b`: b 1-1\n    b 1-1 requires \
         `a`: a 1-1\n      a 1-1 requires `missing >= 2`: no package is or provides `missing`\n\
         hint: name an archive that has `missing >= 2` under `archives`\nhint: leave `b` out of `packages`"
    );
    assert_eq!(
        told(&lock(&scene(&packages), "c", "").unwrap_err()),
        "cannot resolve m for amd64: no package is or provides `c`\nhint: did you mean `a` or `b`?"
    );
}

#[test]
fn what_cannot_be_installed_is_judged() {
    let packages = [
        // Only beside `c` does it need what cannot be installed.
        "a 1-1; requires: (b if c)",
        "b 1-1; requires: missing",
        "c 1-1",
        "d 1-1; requires: a, c",
        "e 1-1 i686; requires: b",
        "f 1-1; requires: a; conflicts: c",
        "g 1-1; requires: f, c",
        "h 1-1; requires: (b or c)",
        "i 1-1; requires: a, (c unless h)",
        "j 1-1; requires: i, (h if a)",
    ];
    let verdict = resolve::judge(Format::Rpm, &"amd64".parse().unwrap(), &[scene(&packages).load().unwrap()]).unwrap();
    let told = verdict.uninstallable.iter().map(|one| format!("{}:\n{}", one.package, one.proof)).collect::<Vec<_>>();
    assert_eq!(verdict.judged, packages.len());
    assert_snapshot("explain/judged.txt", &told.join("\n"));
}
