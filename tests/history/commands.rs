//! Commands that look at a history or change it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use compose::history;

use crate::scene::{Scene, template};

#[test]
fn log_has_a_block_for_each_commit() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    let block = |commit, version, date: &str, more: &str| {
        format!("commit {commit}\nversion: {version}\ndate: {date}\n{more}packages: 2\n")
    };
    let blocks = [
        block(newest, 4, "2026-04-01T00:00:00Z", "") + "changes: 1 downgraded\n",
        block(third, 3, "2026-03-01T00:00:00Z", "") + "changes: 1 upgraded\n",
        block(second, 2, "2026-02-01T00:00:00Z", "tags: good\n") + "changes: 1 upgraded\n",
        block(first, 1, "2026-01-01T00:00:00Z", ""),
    ];
    assert_eq!(scene.compose(["log", "m"]).result(), blocks.join("\n"));
    assert_eq!(scene.compose(["log", "good", "-n", "1"]).result(), blocks[2]);

    let json = scene.compose(["log", "m", "--report", "json"]).result();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["commit"], newest.to_hex());
    assert_eq!(json[0]["parent"], third.to_hex());
    assert_eq!(json[0]["changes"], serde_json::json!({"downgraded": 1}));
    assert_eq!(json[2]["tags"], serde_json::json!(["good"]));
    assert_eq!(json[3]["changes"], serde_json::Value::Null);
}

#[test]
fn show_tells_facts_and_packages() {
    let Some((scene, [first, second, ..])) = Scene::with_history() else { return };
    let shown = scene.compose(["show", "good"]).result();
    let start = format!("commit {second}\nparent: {first}\nversion: 2\ndate: 2026-02-01T00:00:00Z\ntags: good\nlock: ");
    assert!(shown.starts_with(&start), "{shown}");
    assert!(shown.ends_with("\npackages: 2\n  a 2 amd64\n  b 1 amd64\n"), "{shown}");
    let lock = scene.lock(&[("a", "2"), ("b", "1")], "2026-02-01T00:00:00Z").render().unwrap();
    assert_eq!(scene.compose(["show", "good", "--lock"]).result(), lock);
    let json: serde_json::Value =
        serde_json::from_str(&scene.compose(["show", "m", "--report", "json"]).result()).unwrap();
    assert_eq!(json["packages"][1]["version"], "2");
}

#[test]
fn a_checkout_is_a_tree_of_its_own() {
    let Some((scene, [_, second, ..])) = Scene::with_history() else { return };
    let stdout = scene.compose(["checkout", "good", "tree"]).result();
    assert_eq!(stdout, format!("{second}  tree\n"));
    let metadata = |path: &str| fs::symlink_metadata(scene.path("tree").join(path)).unwrap();
    let version = metadata("usr/share/a/version");
    assert_eq!((version.uid(), version.gid(), version.mode(), version.mtime()), (7, 8, 0o100_640, 0));
    assert_eq!(version.nlink(), 1, "it is no object of the store");
    assert_eq!(fs::read_to_string(scene.path("tree/usr/share/a/version")).unwrap(), "2".repeat(5000));
    assert_eq!(metadata("usr/share/a/same").ino(), metadata("usr/share/a/again").ino());
    assert_eq!(metadata("usr/share/a/same").nlink(), 2);
    assert!(metadata("var/a.pipe").file_type().is_fifo());
    let device = metadata("var/b.device");
    assert!(device.file_type().is_char_device());
    assert_eq!(device.rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(metadata("usr/share").mtime(), 0);

    let refused = scene.compose(["checkout", "m", "tree"]);
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (Some(2), "error: tree exists already: a checkout needs a new folder\n")
    );
    assert_eq!(scene.compose(["checkout", "none", "other"]).code, Some(2));
    let mut left: Vec<_> = fs::read_dir(scene.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["store", "tree"]);
    scene.verify();
}

#[test]
fn a_rollback_goes_on_from_where_it_is() {
    let Some((scene, [_, second, _, newest])) = Scene::with_history() else { return };
    let stdout = scene.compose(["rollback", "m", "good"]).result();
    let store = scene.store();
    let tip = template().tip(&store).unwrap().unwrap();
    assert_eq!(stdout, format!("{tip}  template/m/amd64\n"));
    let (now, then) = (store.load_commit(tip).unwrap(), store.load_commit(second).unwrap());
    assert_eq!((now.root, now.parent, now.version.as_deref()), (then.root, Some(newest), Some("5")));
    assert_eq!(now.metadata["restored"], second.to_hex());
    assert_eq!(history::lock_of(&store, tip).unwrap(), history::lock_of(&store, second).unwrap());
    drop(store);
    let again = scene.compose(["rollback", "m", "2"]);
    assert_eq!(again.stderr, "template/m/amd64 has that tree already\n");
    assert_eq!(again.result(), stdout);
    // The next build of the newer lock is a change again.
    let built = scene.build(&[("a", "1"), ("b", "2")], "2026-04-01T00:00:00Z", None).unwrap();
    assert_eq!((built.new, built.version.as_deref()), (true, Some("6")));
    let package = scene.refs("package").remove(0);
    let refused = scene.compose(["rollback", "m", &package]);
    assert!(refused.stderr.ends_with("is no commit of a template\n"), "{}", refused.stderr);
    scene.verify();
}

#[test]
fn tags_are_moved_only_on_purpose() {
    let Some((scene, [first, second, ..])) = Scene::with_history() else { return };
    let listed = |commit| format!("{commit}  tag/m/amd64/good\n");
    assert_eq!(scene.compose(["tag", "m"]).result(), listed(second));
    let refused = scene.compose(["tag", "m", "1", "good"]);
    assert_eq!(
        (refused.code, refused.stderr),
        (Some(2), format!("error: tag/m/amd64/good is {second} already\nhint: --force moves it\n"))
    );
    assert_eq!(scene.compose(["tag", "m", "1", "good", "--force"]).result(), listed(first));
    assert_eq!(scene.compose(["tag", "m", "1", "no/name"]).code, Some(2));
    let unknown = scene.compose(["tag", "m", "--delete", "god"]);
    assert_eq!(unknown.stderr, "error: m has no tag god for amd64\nhint: is it good?\n");
    scene.compose(["tag", "m", "--delete", "good"]).result();
    assert_eq!(scene.compose(["tag", "m"]).result(), "");
}

#[test]
fn a_forgotten_history_leaves_what_has_tags() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    let forgotten = scene.compose(["forget", "m"]);
    let lines = [
        "template/m/amd64 is forgotten: 4 commits",
        "kept, with what they name: good",
        "compose store gc frees what nothing else needs",
    ];
    assert_eq!((forgotten.code, forgotten.stderr), (Some(0), lines.join("\n") + "\n"));
    let freed = scene.compose(["store", "gc"]).result();
    assert!(freed.lines().any(|line| line == "refs of package: 2"), "a 1 and b 2 are in no other lock:\n{freed}");
    let has = [first, second, third, newest].map(|commit| scene.store().has_commit(commit));
    assert_eq!(has, [false, true, false, false]);
    scene.verify();

    let log = scene.compose(["log", "m"]);
    let error = "error: template/m/amd64 has no history any more, only tags\nhint: compose tag m lists them\n";
    assert_eq!((log.code, log.stderr.as_str()), (Some(2), error));
    assert_eq!(scene.compose(["tag", "m"]).result(), format!("{second}  tag/m/amd64/good\n"));
    assert!(scene.compose(["show", "m@good"]).result().starts_with(&format!("commit {second}\n")));
    // A tag is enough to begin again.
    scene.compose(["rollback", "m", "good"]).result();
    assert!(scene.compose(["log", "m"]).result().contains(&format!("restored: {second}\n")));

    let forgotten = scene.compose(["forget", "m", "--tags"]);
    assert!(forgotten.stderr.contains(": 1 commit\ndeleted 1 tag: good\n"), "{}", forgotten.stderr);
    scene.compose(["store", "gc"]).result();
    assert!(["package", "template", "tag"].iter().all(|kind| scene.refs(kind).is_empty()));
    let unknown = scene.compose(["forget", "m"]);
    assert!(unknown.stderr.ends_with("\nhint: compose store ls lists what there is\n"), "{}", unknown.stderr);
    scene.verify();
}
