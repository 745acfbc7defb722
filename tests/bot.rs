//! `ci/update-locks`, between a remote and an archive on loopback: which branch and commits there are after which run.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::durable;

use support::archive::{SignedAs, SigningKey, Suite, at};
use support::http_server::HttpServer;
use support::needs::{host_program, needs};
use support::program::{Outcome, PROGRAM, compose, run};

const MANIFEST: &str = "\
name: m
format: deb
architectures: [amd64]
base: none
packages: [hello, lib]
outputs: [ostree]
archives:
  - {id: own, suites: [own, own-security], components: [main], trusted: true}
";

/// A remote with a manifest, a user's clone of it, and the archive.
struct Scene {
    folder: tempfile::TempDir,
    server: HttpServer,
}

impl Scene {
    /// The remote's branch `main` has a manifest with a lock of `hello 1.0` and `lib 1.0`, and one that cannot be locked.
    fn new() -> Option<Self> {
        for program in ["bash", "git", "jq"] {
            needs(host_program(program, "--version"))?;
        }
        let folder = tempfile::tempdir().unwrap();
        let server = HttpServer::serve(&folder.path().join("mirror"));
        let scene = Self { folder, server };
        scene.git(".", &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"]);
        scene.git(".", &["clone", "--quiet", "remote.git", "clone"]);
        scene.write("manifests/m.yaml", MANIFEST);
        scene.write(
            "manifests/unfinished.yaml",
            &MANIFEST.replace("name: m", "name: unfinished").replace("lib", "libb"),
        );
        scene.publish("1.0", "1.0", "2026-01-01T00:00:00Z");
        let lock = run(compose(&scene.path("clone"), ["update-lock", "manifests/m.yaml"]).args(scene.arguments()));
        lock.result();
        scene.commit_to_base("Begin");
        Some(scene)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file of the clone.
    fn write(&self, path: &str, text: &str) {
        durable::write(&self.path("clone").join(path), text.as_bytes()).unwrap();
    }

    /// A command that sees no configuration of the user who runs the test.
    fn hermetic(&self, mut command: Command) -> Command {
        command.env("HOME", self.folder.path()).env_remove("XDG_CONFIG_HOME");
        for name in
            ["GIT_DIR", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"]
        {
            command.env_remove(name);
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command
    }

    fn git(&self, folder: &str, words: &[&str]) -> String {
        let mut command = self.hermetic(Command::new("git"));
        command.args(["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]);
        run(command.args(words).current_dir(self.path(folder))).result()
    }

    fn commit_to_base(&self, subject: &str) {
        self.git("clone", &["add", "--all"]);
        self.git("clone", &["commit", "--quiet", "--message", subject]);
        self.git("clone", &["push", "--quiet", "origin", "HEAD:main"]);
    }

    /// Makes the archive have these versions alone; `lib` comes as a security update.
    fn publish(&self, hello: &str, lib: &str, date: &str) {
        let root = self.path("mirror/own");
        for (suite, package, version) in [("own", "hello", hello), ("own-security", "lib", lib)] {
            let mut suite = Suite::new(suite);
            suite.date = at(date);
            let control = format!("Package: {package}\nVersion: {version}\nArchitecture: amd64\n");
            suite.add_package(&root, "main/binary-amd64", &control, version.as_bytes());
            suite.write(&root, &SigningKey::generate("own"), SignedAs::Unsigned);
        }
    }

    /// What `compose update-lock` is told besides manifests.
    fn arguments(&self) -> Vec<String> {
        let store = self.path("store").display().to_string();
        vec!["--store".to_owned(), store, "--mirror".to_owned(), format!("own={}/own", self.server.uri())]
    }

    fn update_locks(&self, options: &[&str]) -> Outcome {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/update-locks");
        let mut command = self.hermetic(Command::new(script));
        command.args(["--compose", PROGRAM]).args(options).arg("--").args(self.arguments());
        run(command.current_dir(self.path("clone")))
    }

    /// The remote's branches with their commits.
    fn branches(&self) -> String {
        self.git("remote.git", &["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"])
    }

    /// What is on top of the base, a subject a line.
    fn log(&self, branch: &str) -> String {
        self.git("remote.git", &["log", "--format=%s", &format!("main..{branch}")])
    }

    /// A report, told by the program itself about the base's locks and the indexes in the store.
    fn report(&self, form: &str) -> String {
        let words = ["update-lock", "--check", "--offline", "--report", form, "manifests/m.yaml"];
        let outcome = run(compose(&self.path("clone"), words).args(self.arguments()));
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        outcome.stdout
    }

    /// All that a run may not change in the clone.
    fn clone_state(&self) -> [String; 4] {
        [
            &["status", "--porcelain"][..],
            &["rev-parse", "HEAD", "--abbrev-ref", "HEAD"],
            &["worktree", "list"],
            &["stash", "list"],
        ]
        .map(|words| self.git("clone", words))
    }
}

#[test]
fn an_update_is_one_commit_on_one_branch() {
    let Some(scene) = Scene::new() else { return };
    let base = scene.branches();
    assert_eq!(scene.update_locks(&["--body", "../body.md"]).result(), "current\n");
    assert_eq!((scene.branches(), fs::read_to_string(scene.path("body.md")).unwrap()), (base, String::new()));

    // The clone is in the middle of something else.
    scene.write("manifests/m.yaml", "name: broken\n");
    scene.write("new", "");
    let state = scene.clone_state();
    scene.publish("1.1", "1.0+deb1", "2026-01-02T00:00:00Z");
    let outcome = scene.update_locks(&["--body", "../body.md"]);
    assert!(
        outcome.stderr.contains("manifests/unfinished.yaml has no lock and cannot be locked"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.result(), "pushed update-locks\n");
    assert_eq!(scene.clone_state(), state);
    assert_eq!(scene.git("clone", &["for-each-ref", "refs/update-locks"]), "");
    scene.git("clone", &["checkout", "--quiet", "manifests"]);

    let subject = "Update locks: 2 upgraded, 1 from security\n";
    assert_eq!(scene.log("update-locks"), subject);
    let body = scene.git("remote.git", &["log", "-1", "--format=%an <%ae>%n%b", "update-locks"]);
    assert_eq!(body.trim_end(), format!("update-locks <update-locks@localhost>\n{}", scene.report("text")).trim_end());
    assert_eq!(fs::read_to_string(scene.path("body.md")).unwrap(), scene.report("markdown"));
    let changed = scene.git("remote.git", &["diff", "--name-only", "main", "update-locks"]);
    assert_eq!(changed, "locks/m.amd64.lock\n");

    let pushed = scene.branches();
    fs::remove_file(scene.path("body.md")).unwrap();
    assert_eq!(scene.update_locks(&["--body", "../body.md"]).result(), "unchanged update-locks\n");
    assert_eq!(scene.branches(), pushed);
    assert_eq!(fs::read_to_string(scene.path("body.md")).unwrap(), scene.report("markdown"));

    scene.publish("1.2", "1.0", "2026-01-03T00:00:00Z");
    assert_eq!(scene.update_locks(&[]).result(), "pushed update-locks\n");
    assert_eq!(scene.log("update-locks"), "Update locks: 1 upgraded\n");
}

#[test]
fn the_branch_follows_its_base() {
    let Some(scene) = Scene::new() else { return };
    scene.publish("1.1", "1.0", "2026-01-02T00:00:00Z");
    let other = ["--base", "main", "--branch", "bot/locks", "--remote", "../remote.git"];
    assert_eq!(scene.update_locks(&other).result(), "pushed bot/locks\n");
    scene.write("README", "more\n");
    scene.commit_to_base("Say more");
    assert_eq!(scene.update_locks(&other).result(), "pushed bot/locks\n");
    assert_eq!(scene.log("bot/locks"), "Update locks: 1 upgraded\n");
    let parent = scene.git("remote.git", &["log", "-1", "--format=%s", "bot/locks~1"]);
    assert_eq!(parent, "Say more\n");

    scene.git("remote.git", &["update-ref", "refs/heads/main", "refs/heads/bot/locks"]);
    let merged = scene.branches();
    assert_eq!(scene.update_locks(&other).result(), "current\n");
    assert_eq!(scene.branches(), merged);

    scene.git("clone", &["pull", "--quiet", "origin", "main"]);
    scene.write("manifests/m.yaml", &MANIFEST.replace("ostree", "tar"));
    scene.commit_to_base("Want something else");
    assert_eq!(scene.update_locks(&[&other[..], &["--body", "../body.md"]].concat()).result(), "pushed bot/locks\n");
    assert_eq!(scene.log("bot/locks"), "Update locks: no package changes\n");
    assert_ne!(fs::read_to_string(scene.path("body.md")).unwrap(), "");
}

#[test]
fn work_of_others_is_not_replaced() {
    let Some(scene) = Scene::new() else { return };
    scene.publish("1.1", "1.0", "2026-01-02T00:00:00Z");
    scene.git("remote.git", &["branch", "update-locks", "main"]);
    let before = scene.branches();
    let refusal = |options: &[&str]| {
        let outcome = scene.update_locks(options);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{}", outcome.stderr);
        outcome.stderr.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(
        refusal(&[]),
        "update-locks: the last commit of update-locks on origin was not made here: \"Begin\". Merge or remove the branch, \
         or give another --branch"
    );
    assert_eq!(refusal(&["--branch", "main"]), "update-locks: main is the base branch: give another --branch");
    assert_eq!(refusal(&["--base", "none"]), "update-locks: origin has no branch none");
    assert_eq!(refusal(&["--remote", "nowhere"]), "update-locks: cannot read the remote nowhere");
    assert_eq!(refusal(&["--base"]), "update-locks: --base needs a value");
    fs::remove_dir_all(scene.path("mirror")).unwrap();
    assert_eq!(refusal(&["--branch", "another"]), "update-locks: cannot update the locks of main");
    assert_eq!(scene.branches(), before);
}

#[test]
fn a_gitlab_is_asked_for_a_merge_request() {
    let Some(scene) = Scene::new() else { return };
    scene.git("remote.git", &["config", "receive.advertisePushOptions", "true"]);
    let hook = "#!/bin/sh\nenv | grep '^GIT_PUSH_OPTION_[0-9]' | sort | cut -d = -f 2- >options\n";
    let path = scene.path("remote.git/hooks/pre-receive");
    durable::write(&path, hook.as_bytes()).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    scene.publish("1.1", "1.0", "2026-01-02T00:00:00Z");
    scene.update_locks(&["--merge-request"]).result();
    let options = fs::read_to_string(scene.path("remote.git/options")).unwrap();
    let lines: Vec<&str> = options.lines().collect();
    assert_eq!(
        lines[..3],
        ["merge_request.create", "merge_request.target=main", "merge_request.title=Update locks: 1 upgraded"]
    );
    let report = scene.report("markdown");
    assert_eq!(lines[3], format!("merge_request.description={}", report.trim_end().replace('\n', "\\n")));
    assert_eq!(lines[4..], ["merge_request.remove_source_branch"]);
}
