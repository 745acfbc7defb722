//! What builds leave, and how commits are found.

use std::process::Command;

use compose::history;

use crate::scene::{Scene, template};
use crate::support::program::run;
use crate::support::told;

#[test]
fn a_history_grows_by_changed_trees() {
    let Some(scene) = Scene::new() else { return };
    let first = scene.build(&[("a", "1")], "2026-01-01T00:00:00Z", None).unwrap();
    assert_eq!((first.version.as_deref(), first.new), (Some("1"), true));
    let again = scene.build(&[("a", "1")], "2026-01-02T00:00:00Z", Some("other")).unwrap();
    assert_eq!((again.commit, again.version.as_deref(), again.new), (first.commit, Some("1"), false));
    let second = scene.build(&[("a", "2")], "2026-02-01T00:00:00Z", Some("13.2")).unwrap();
    let third = scene.build(&[("a", "3")], "2026-03-01T00:00:00Z", None).unwrap();

    let store = scene.store();
    let log = history::log(&store, third.commit).unwrap();
    let commits: Vec<_> = log.iter().map(|(commit, _)| *commit).collect();
    assert_eq!(commits, [third.commit, second.commit, first.commit]);
    let versions: Vec<_> = log.iter().map(|(_, stored)| stored.version.as_deref().unwrap()).collect();
    assert_eq!(versions, ["3", "13.2", "1"]);
    let stored = &log[1].1;
    assert_eq!(stored.refs, ["template/m/amd64"]);
    assert_eq!(stored.date.to_string(), "2026-02-01T00:00:00Z");
    let facts: Vec<&str> = stored.metadata.keys().map(String::as_str).collect();
    assert_eq!(facts, ["build", "extras", "lock", "manifest", "program"]);

    let lock = scene.lock(&[("a", "2")], "2026-02-01T00:00:00Z");
    assert_eq!(history::lock_of(&store, second.commit).unwrap(), Some(lock.clone()));
    assert_eq!(history::lock_text(&store, second.commit).unwrap(), Some(lock.render().unwrap()));
    let repo = scene.path("store/repo");
    let show = ["show", "--print-metadata-key=version", "template/m/amd64^", "--repo"];
    assert_eq!(run(Command::new("ostree").args(show).arg(repo)).result(), "'13.2'\n");
    drop(store);
    scene.verify();
}

#[test]
fn builds_at_the_same_time_all_enter_the_history() {
    let Some(scene) = Scene::new() else { return };
    scene.build(&[("a", "0")], "2026-01-01T00:00:00Z", None).unwrap();
    std::thread::scope(|scope| {
        for version in ["1", "2", "3", "4"] {
            let scene = &scene;
            scope.spawn(move || scene.build(&[("a", version)], "2026-02-01T00:00:00Z", None).unwrap());
        }
    });
    let store = scene.store();
    let tip = template().tip(&store).unwrap().unwrap();
    let log = history::log(&store, tip).unwrap();
    let versions: Vec<_> = log.iter().map(|(_, stored)| stored.version.as_deref().unwrap()).collect();
    assert_eq!(versions, ["5", "4", "3", "2", "1"]);
    drop(store);
    scene.verify();
}

#[test]
fn two_stores_have_the_same_first_commit() {
    let commit = || Scene::new().map(|scene| scene.build(&[("a", "1")], "2026-01-01T00:00:00Z", None).unwrap().commit);
    assert_eq!(commit(), commit());
}

#[test]
fn a_version_is_of_one_tree() {
    let Some(scene) = Scene::new() else { return };
    let first = scene.build(&[("a", "1")], "2026-01-01T00:00:00Z", Some("2")).unwrap();
    let refused = scene.build(&[("a", "2")], "2026-02-01T00:00:00Z", Some("2")).unwrap_err();
    assert_eq!(
        told(&refused),
        format!(
            "template/m/amd64 has the version 2 already, of another tree: {}\n\
             hint: give another --template-version, or none for a number",
            first.commit
        )
    );
    // The second build's number is taken.
    assert_eq!(scene.build(&[("a", "2")], "2026-02-01T00:00:00Z", None).unwrap().version.as_deref(), Some("3"));
}

#[test]
fn a_damaged_lock_is_not_believed() {
    let Some((scene, [_, _, _, newest])) = Scene::with_history() else { return };
    let store = scene.store();
    store.attach(newest, "lock-text", &zstd::encode_all(&b"version: 2\n"[..], 3).unwrap()).unwrap();
    let error = told(&history::lock_of(&store, newest).unwrap_err());
    assert!(error.starts_with(&format!("the lock kept with the commit {newest} is damaged: its text has SHA-256")));
}

#[test]
fn commits_are_found_by_name() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    let store = scene.store();
    let digits = newest.to_hex();
    let rows = [
        (digits.as_str(), newest),
        (&digits[..12], newest),
        ("m", newest),
        ("m/amd64", newest),
        ("template/m/amd64", newest),
        ("m^", third),
        ("m^^^", first),
        ("m@3", third),
        ("m@3^", second),
        ("m@good", second),
        ("m/amd64@good", second),
        ("good", second),
        ("good^", first),
        ("tag/m/amd64/good", second),
    ];
    for (word, commit) in rows {
        let named = history::resolve(&store, word, None).unwrap_or_else(|error| panic!("{word}: {error:#}"));
        assert_eq!((named.commit, named.template), (commit, Some(template())), "{word}");
    }
    let package = scene.refs("package").remove(0);
    assert_eq!(history::resolve(&store, &package, None).unwrap().template, None);
}

#[test]
fn what_is_not_found_is_told_with_what_there_is() {
    let Some((scene, [first, ..])) = Scene::with_history() else { return };
    let store = scene.store();
    let place = store.root().display();
    let nothing = |word: &str| {
        format!("nothing in the store {place} is called `{word}`: no ref, template, tag, or commit that begins so")
    };
    let none = "0".repeat(64);
    let rows = [
        ("god", nothing("god") + "\nhint: is it good?"),
        ("else", nothing("else") + "\nhint: compose store ls lists what there is"),
        ("../m", nothing("../m") + "\nhint: compose store ls lists what there is"),
        ("m@goood", "m has no version or tag goood for amd64\nhint: is it m@good?".to_owned()),
        ("m/arm64", "m has no history for arm64, only for amd64".to_owned()),
        ("m^^^^", format!("there is no m^^^^: {first} is the first commit of its history")),
        (&none, format!("the store {place} has no commit {none}")),
    ];
    for (word, expected) in rows {
        assert_eq!(told(&history::resolve(&store, word, None).unwrap_err()), expected);
    }
}
