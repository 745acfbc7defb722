//! Builds that are killed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compose::clock::Timestamp;
use compose::digest::Sha256;

use crate::fixture::{self, REQUIRED, Scene, path_of};
use crate::support::needs::{self, needs};
use crate::support::program::run;

/// How many builds are killed.
const ROUNDS: u32 = 20;

#[test]
fn killed_at_any_moment_it_recovers() {
    let Some(()) = needs(needs::host_program("ostree", "--version")) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    let start = Instant::now();
    let expected = digest(&scene.build(REQUIRED, &[]).result());
    let mut duration = start.elapsed();
    drop(scene);

    let seed = seed();
    eprintln!("a cold build takes {duration:.1?}; moments are drawn with COMPOSE_TEST_SEED={seed}");
    let mut round = 0;
    while round < ROUNDS {
        let moment = duration.mul_f64((f64::from(round) + fraction(&seed, round)) / f64::from(ROUNDS));
        let scene = fixture::cold().unwrap();
        if let Some(shorter) = kill_at(&scene, moment) {
            // The machine had more to do before: the moment is drawn again, within the time that builds take now.
            duration = shorter;
            continue;
        }
        round += 1;
        eprintln!("killed after {moment:.3?} of {duration:.3?}");
        assert_nothing_runs(&scene);

        let stdout = scene.build(REQUIRED, &[]).result();
        assert_eq!(digest(&stdout), expected, "killed after {moment:.3?}");
        let outputs: Vec<_> = fs::read_dir(scene.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(outputs, ["required.amd64.root.img"], "killed after {moment:.3?}");
        let left = fs::read_dir(scene.path("store/work")).unwrap().count();
        assert_eq!(left, 0, "killed after {moment:.3?}");
        run(Command::new("ostree").args(["fsck", "--quiet", "--repo"]).arg(scene.path("store/repo"))).result();
        assert_nothing_runs(&scene);
    }
}

/// Starts a build and kills it at that moment; when it ends before, gives the time it took.
fn kill_at(scene: &Scene, moment: Duration) -> Option<Duration> {
    let mut command = scene.compose(["build", &path_of(REQUIRED)]);
    let start = Instant::now();
    let mut build = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while start.elapsed() < moment {
        if build.try_wait().unwrap().is_some() {
            return Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    build.kill().unwrap();
    build.wait().unwrap();
    None
}

/// Within seconds, no process has the scene's folder in its arguments or among its mounts.
pub fn assert_nothing_runs(scene: &Scene) {
    let name = scene.folder.path().file_name().unwrap().to_str().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(left) = user_of(name) {
        assert!(Instant::now() < deadline, "{left}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A line of /proc that mentions the name.
fn user_of(name: &str) -> Option<String> {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "mountinfo"] {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if let Some(line) = text.lines().find(|line| line.contains(name)) {
                return Some(format!("{}: {line}", entry.path().join(file).display()));
            }
        }
    }
    None
}

fn digest(stdout: &str) -> String {
    stdout.split(' ').next().unwrap().to_owned()
}

/// A number from 0 up to 1.
fn fraction(seed: &str, round: u32) -> f64 {
    let digest = Sha256::of(format!("{seed} {round}").as_bytes());
    let bytes: [u8; 4] = std::array::from_fn(|i| digest.as_bytes()[i]);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// Another one for each run, unless `COMPOSE_TEST_SEED` repeats one.
#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn seed() -> String {
    std::env::var("COMPOSE_TEST_SEED").unwrap_or_else(|_| Timestamp::now().seconds().to_string())
}
