//! Commits as files, from one store to another.

use std::fs;
use std::path::Path;
use std::process::Command;

use compose::durable;
use compose::history;

use crate::scene::{Scene, template};
use crate::support::needs::needs;
use crate::support::program::run;
use crate::support::user::User;

/// The user that one test runs as.
const USER: &str = "compose-history";

#[test]
fn a_commit_arrives_with_all_that_belongs_to_it() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    let Some(other) = Scene::new() else { return };
    let lines = |commit| format!("{commit}  template/m/amd64\n");
    let [whole, delta] = ["whole", "delta"].map(|name| other.path(name));
    scene.compose(["export".as_ref(), "m@2".as_ref(), whole.as_os_str()]).result();
    scene.compose(["export".as_ref(), "--from".as_ref(), "m@2".as_ref(), "m".as_ref(), delta.as_os_str()]).result();
    assert!(fs::metadata(&delta).unwrap().len() < fs::metadata(&whole).unwrap().len());

    std::thread::sleep(std::time::Duration::from_secs(1));
    scene.compose(["export", "m@2", "again"]).result();
    let same = fs::read(scene.path("again")).unwrap() == fs::read(&whole).unwrap();
    assert!(same, "the clock has no part in it");

    let early = other.compose(["import-delta", "delta"]);
    assert_eq!(
        early.stderr,
        format!(
            "import\nerror: delta needs the commit {second}, which this store does not have\n\
             hint: import that one first, or export without --from\n"
        )
    );
    assert_eq!(other.compose(["import-delta", "whole"]).result(), lines(second));
    other.verify();
    assert_eq!(other.compose(["import-delta", "delta"]).result(), lines(newest));
    let again = other.compose(["import-delta", "delta"]);
    assert_eq!(again.stderr, "import\ntemplate/m/amd64 has that commit already\n");
    assert_eq!(other.compose(["import-delta", "whole"]).code, Some(2), "what it has since is not taken back");
    other.verify();

    let (here, there) = (scene.store(), other.store());
    for commit in [second, newest] {
        assert_eq!(there.read_tree(commit).unwrap(), here.read_tree(commit).unwrap());
        assert_eq!(history::lock_text(&there, commit).unwrap(), history::lock_text(&here, commit).unwrap());
    }
    assert_eq!([first, third].map(|commit| there.has_commit(commit)), [false; 2]);
    assert_eq!(there.read_tree(newest).unwrap().extras.nodes.len(), 4);
    drop((here, there));
    other.compose(["checkout", "m", "tree"]).result();
    assert_eq!(other.compose(["store", "gc"]).code, Some(0));
    other.verify();
}

#[test]
fn the_real_ostree_reads_and_writes_the_same_files() {
    let Some((scene, [_, second, _, newest])) = Scene::with_history() else { return };
    let ostree = |words: &[&str]| run(Command::new("ostree").args(words).current_dir(scene.folder.path())).result();
    scene.compose(["export", "m@2", "whole"]).result();
    scene.compose(["export", "--from", "m@2", "m", "delta"]).result();
    for mode in ["archive", "bare"] {
        let repo = format!("--repo={mode}");
        ostree(&["init", &repo, &format!("--mode={mode}")]);
        ostree(&["static-delta", "apply-offline", &repo, "whole"]);
        assert_eq!(ostree(&["show", &repo, "--print-metadata-key=version", &second.to_hex()]), "'2'\n");
        // libostree finds the contents that a delta goes by only where files are themselves.
        if mode == "bare" {
            ostree(&["static-delta", "apply-offline", &repo, "delta"]);
            assert_eq!(ostree(&["show", &repo, "--print-metadata-key=version", &newest.to_hex()]), "'4'\n");
        }
        ostree(&["fsck", "--quiet", &repo]);
    }
    let (from, to) = (format!("--from={second}"), newest.to_hex());
    let generate = ["static-delta", "generate", "--repo=store/repo", "--inline", "--min-fallback-size=0"];
    ostree(&[&generate[..], &["--empty", "--filename=theirs", &second.to_hex()]].concat());
    ostree(&[&generate[..], &[&from, "--filename=their-delta", &to]].concat());
    let Some(other) = Scene::new() else { return };
    for (file, commit) in [("theirs", second), ("their-delta", newest)] {
        let imported = other.compose(["import-delta".as_ref(), scene.path(file).as_os_str()]).result();
        assert_eq!(imported, format!("{commit}  template/m/amd64\n"));
    }
    other.verify();
}

#[test]
fn another_history_is_not_overwritten() {
    let Some((scene, [first, ..])) = Scene::with_history() else { return };
    scene.compose(["export", "m@1", "first"]).result();
    let Some(other) = Scene::new() else { return };
    let own = other.build(&[("z", "1")], "2026-01-01T00:00:00Z", None).unwrap().commit;
    let file = scene.path("first");
    let refused = other.compose(["import-delta".as_ref(), file.as_os_str()]);
    assert_eq!(
        (refused.code, refused.stderr),
        (
            Some(2),
            format!(
                "import\nerror: {first} is not known to follow {own}, which template/m/amd64 is now\n\
                 hint: --replace sets it all the same; give the present one a tag to keep it\n"
            )
        )
    );
    assert!(!other.store().has_commit(first));
    other.compose(["import-delta".as_ref(), "--replace".as_ref(), file.as_os_str()]).result();
    assert_eq!(template().tip(&other.store()).unwrap(), Some(first));
}

#[test]
fn what_is_damaged_is_refused_whole() {
    let Some((scene, [.., newest])) = Scene::with_history() else { return };
    scene.compose(["export", "m", "whole"]).result();
    let whole = fs::read(scene.path("whole")).unwrap();
    let Some(other) = Scene::new() else { return };
    let mut tried = 0;
    let mut refuse = |bytes: &[u8], what: &str| {
        durable::write(&other.path("file"), bytes).unwrap();
        let outcome = other.compose(["import-delta", "file"]);
        tried += 1;
        if outcome.code == Some(0) {
            // Some bytes of the file are no part of what is imported: sizes, times.
            other.verify();
            assert!(history::lock_of(&other.store(), newest).unwrap().is_some(), "{what}");
            other.store().change_refs(&[(template().ref_name(), None)]).unwrap();
            other.compose(["store", "gc"]).result();
            return;
        }
        assert_eq!(other.refs("template"), [""; 0], "{what}");
        let objects = fs::read_dir(other.path("store/repo/objects")).unwrap();
        let commits = objects.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        let commits = commits.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "commit"));
        assert_eq!(commits.count(), 0, "{what}");
        assert!(outcome.code != Some(2) || outcome.stderr.starts_with("import\nerror: "), "{what}: {}", outcome.stderr);
    };
    refuse(b"", "empty");
    refuse(b"no delta at all", "text");
    for part in 1..8 {
        refuse(&whole[..whole.len() * part / 8], "cut");
    }
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        refuse(&bytes, &format!("byte {at}"));
    }
    assert!(tried > 40);
    let package = scene.refs("package").remove(0);
    let refused = scene.compose(["export", &package, "package"]);
    assert!(refused.stderr.contains("does not say which template it is of"), "{}", refused.stderr);
    other.verify();
}

#[test]
fn an_ordinary_user_has_true_owners_too() {
    let Some((scene, [.., newest])) = Scene::with_history() else { return };
    scene.compose(["export", "m", "whole"]).result();
    let fill = |home: &Path| assert!(fs::copy(scene.path("whole"), home.join("whole")).is_ok());
    let Some(user) = needs(User::new(USER, fill)) else { return };
    let compose = |words: &[&str]| run(user.compose("").args(["--store", "store"]).args(words));
    assert_eq!(compose(&["import-delta", "whole"]).result(), format!("{newest}  template/m/amd64\n"));
    compose(&["store", "verify"]).result();
    let checkout = compose(&["checkout", "m", "tree"]);
    assert_eq!(
        checkout.stderr,
        "warning: 2 devices are left out, which only root can make: var/a.device, var/b.device\n"
    );
    checkout.result();
    let log = compose(&["log", "m"]).result();
    assert!(log.contains("packages: 2\n"), "{log}");
    compose(&["tag", "m", "4", "good"]).result();
    compose(&["export", "good", "again"]).result();
    assert_eq!(compose(&["store", "gc"]).result(), "0 B freed\n");
}
