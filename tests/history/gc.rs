//! What `store gc` frees, and what it leaves.

use std::process::Stdio;
use std::time::{Duration, Instant};

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use compose::history;
use compose::store::Store;

use crate::scene::{Scene, template};
use crate::support::program::Outcome;

/// How many runs are killed.
const ROUNDS: u32 = 12;

#[test]
fn a_store_without_garbage_stays_as_it_is() {
    let Some((scene, commits)) = Scene::with_history() else { return };
    // Every package is in a lock of the newest commit or the tagged one.
    let before = scene.disk_usage("store");
    assert_eq!(scene.compose(["store", "gc"]).result(), "0 B freed\n");
    assert_eq!(scene.disk_usage("store"), before);
    let found = history::log(&scene.store(), commits[3]).unwrap().len();
    assert_eq!(found, 4);
    scene.verify();
}

#[test]
fn what_nothing_needs_goes() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    scene.build(&[("a", "1"), ("b", "2"), ("c", "1")], "2026-05-01T00:00:00Z", None).unwrap();
    scene.compose(["rollback", "m", "4"]).result();
    scene.compose(["tag", "m", "--delete", "good"]).result();
    durable::write(&scene.path("store/files/00").join("0".repeat(64)), &[1; 9000]).unwrap();
    durable::write(&scene.path("store/archives/old/suite").join("1".repeat(64)), &[1; 9000]).unwrap();
    durable::write(&scene.path("store/archives/own/suite").join("1".repeat(64)), &[1; 9000]).unwrap();
    durable::write(&scene.path("store/archives/old/suite/state.json"), b"{}").unwrap();

    let before = scene.disk_usage("store");
    let planned = scene.compose(["store", "gc", "--keep", "2", "--dry-run"]).result();
    assert_eq!(scene.disk_usage("store"), before);
    let told = scene.compose(["store", "gc", "--keep", "2"]).result();
    assert_eq!(planned.replace("would be freed", "freed"), told);
    // a 2, b 1 and c 1, and the configured trees that lead to no kept commit.
    for line in
        ["refs of cache: 3", "refs of package: 3", "commits of templates: 4", "indexes of archives: 1, 12.00 KiB"]
    {
        assert!(told.lines().any(|found| found == line), "{line} in\n{told}");
    }
    let freed = before - scene.disk_usage("store");
    let said = told.lines().last().unwrap().strip_suffix(" freed").unwrap();
    assert_eq!(said, indicatif::HumanBytes(freed).to_string(), "as du counts");

    let store = scene.store();
    let tip = template().tip(&store).unwrap().unwrap();
    assert_eq!(history::log(&store, tip).unwrap().len(), 2);
    for gone in [first, second, third, newest] {
        assert!(!store.has_commit(gone));
    }
    assert_eq!(store.read_tree(tip).unwrap().extras.nodes.len(), 4);
    drop(store);
    let files: Vec<_> = ["00/".to_owned() + &"0".repeat(64)]
        .into_iter()
        .filter(|f| scene.path("store/files").join(f).exists())
        .collect();
    assert_eq!(files, [""; 0]);
    assert!(scene.path("store/archives/old/suite/state.json").exists(), "the archive's age is still known");
    assert!(scene.path("store/archives/own/suite").join("1".repeat(64)).exists());
    assert_eq!(scene.compose(["store", "gc", "--keep", "2"]).result(), "0 B freed\n");
    scene.verify();
}

#[test]
fn tags_and_locks_keep_what_they_need() {
    let Some((scene, [first, second, third, newest])) = Scene::with_history() else { return };
    let lock = scene.lock(&[("d", "1")], "2026-06-01T00:00:00Z");
    durable::write(&scene.path("d.lock"), lock.render().unwrap().as_bytes()).unwrap();
    let d =
        scene.path("store/files").join(&lock.packages[0].sha256.to_hex()[..2]).join(lock.packages[0].sha256.to_hex());
    scene.compose(["store", "gc", "--keep", "1", "--lock", "d.lock"]).result();
    assert!(d.exists());
    let store = scene.store();
    let has = [first, second, third, newest].map(|commit| store.has_commit(commit));
    assert_eq!(has, [false, true, false, true]);
    store.read_tree(second).unwrap();
    drop(store);
    // a 1, a 2, b 1 and b 2 are in the locks of the newest commit and of the tagged one.
    assert_eq!(scene.refs("package").len(), 4);
    scene.verify();
    let log = scene.compose(["log", "m"]).result();
    assert_eq!(log.matches("commit ").count(), 1, "{log}");
    let further = scene.compose(["show", "m^"]);
    assert!(further.stderr.contains("this store has the history from"), "{}", further.stderr);

    // Without it nothing needs the package; and a lock that is missing is a mistake, not nothing to keep.
    assert_eq!(scene.compose(["store", "gc", "--lock", "none.lock"]).code, Some(2));
    scene.compose(["store", "gc"]).result();
    assert!(!d.exists());
}

#[test]
fn locks_of_builds_are_found_while_they_are_there() {
    let Some((scene, _)) = Scene::with_history() else { return };
    let lock = scene.lock(&[("d", "1")], "2026-06-01T00:00:00Z");
    let path = scene.path("d.lock");
    durable::write(&path, lock.render().unwrap().as_bytes()).unwrap();
    compose::store::remember_lock(&scene.path("store"), &path).unwrap();
    assert_eq!(scene.compose(["store", "gc"]).result(), "0 B freed\n");
    durable::write(&path, b"no lock").unwrap();
    let refused = scene.compose(["store", "gc"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("d.lock is not a lock"), "{}", refused.stderr);
    std::fs::remove_file(&path).unwrap();
    assert!(scene.compose(["store", "gc"]).result().starts_with("downloaded files: 1, "));
    assert_eq!(std::fs::read_dir(scene.path("store/locks")).unwrap().count(), 0);
}

#[test]
fn it_waits_for_other_runs() {
    let Some((scene, _)) = Scene::with_history() else { return };
    let store = scene.store();
    let mut command = scene.command(["store", "gc"]);
    let mut gc = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(gc.try_wait().unwrap(), None);
    drop(store);
    let output = gc.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "waiting for other runs that use the store\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn killed_at_any_moment_it_leaves_a_sound_store() {
    let seed = Timestamp::now().seconds();
    eprintln!("seed {seed}");
    let mut duration = Duration::from_millis(200);
    for round in 0..ROUNDS {
        let Some((scene, [_, second, _, newest])) = Scene::with_history() else { return };
        let moment = duration.mul_f64(f64::from(round) / f64::from(ROUNDS)) + jitter(seed, round);
        let start = Instant::now();
        let mut gc = scene.command(["store", "gc", "--keep", "1"]).stdout(Stdio::null()).spawn().unwrap();
        while start.elapsed() < moment && gc.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        if gc.try_wait().unwrap().is_some() {
            duration = start.elapsed();
        }
        let _ = gc.kill();
        gc.wait().unwrap();
        scene.verify();
        assert_sound(&scene, [second, newest]);
        let Outcome { code, stderr, .. } = scene.compose(["store", "gc", "--keep", "1"]);
        assert_eq!(code, Some(0), "killed after {moment:?}: {stderr}");
        assert_eq!(scene.compose(["store", "gc", "--keep", "1"]).result(), "0 B freed\n", "killed after {moment:?}");
        scene.verify();
    }
}

/// What is kept can be read.
fn assert_sound(scene: &Scene, commits: [Sha256; 2]) {
    let store: Store = scene.store();
    for commit in commits {
        store.size_of(&store.read_tree(commit).unwrap()).unwrap();
        assert!(history::lock_of(&store, commit).unwrap().is_some());
    }
}

/// Up to 10 ms.
fn jitter(seed: i64, round: u32) -> Duration {
    let digest = Sha256::of(format!("{seed} {round}").as_bytes());
    Duration::from_micros(u64::from(digest.as_bytes()[0]) * 40)
}
