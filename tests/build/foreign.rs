//! Roots of another architecture than this machine's.

use std::fs;
use std::path::Path;
use std::process::Command;

use compose::arch::Architecture;
use compose::fetch;
use compose::lock;
use compose::manifest;

use crate::fixture::{self, Scene, path_of, write};
use crate::older_kernel;
use crate::same::{build_as, digests};
use crate::support::needs::{self, needs};
use crate::support::program::run;
use crate::support::user::User;

const FOREIGN: &str = "foreign";

/// The hook tells what programs take the machine for, and by which name they were called; then runs one with set-id rights.
const FOREIGN_TEXT: &str = "\
name: foreign
format: deb
architectures: [arm64]
outputs: [tar]
base: essential
archives:
  - id: debian
    suites: [trixie]
    components: [main]
    signed-by: keyrings/debian-archive-keyring.gpg
hooks:
- name: told
  script: |
    uname -m >/var/lib/told
    bash -c 'exec -a eel sh -c \"echo \\$0\"' >>/var/lib/told
    install -m 4755 /usr/bin/id /var/lib/id
    setpriv --reuid 65534 --clear-groups /var/lib/id -u >>/var/lib/told
    rm /var/lib/id
";

/// One script more; all others did the same before.
const MORE: &str = "\
- name: more
  script: echo more >>/var/lib/told
";

/// A scene with a lock for arm64 and the interpreter of this machine, nothing downloaded.
fn scene() -> Result<Scene, String> {
    let scene = fixture::empty()?;
    write(&scene.path(&path_of(FOREIGN)), FOREIGN_TEXT);
    scene.update_lock(FOREIGN);
    Ok(scene)
}

/// The downloads of a scene, kept for the next run.
fn fetch(scene: &Scene) {
    run(&mut scene.compose(["fetch", &path_of(FOREIGN)])).result();
}

/// A file of the built tar archive.
fn file(scene: &Scene, path: &str) -> Vec<u8> {
    let archive = scene.path("out/foreign.arm64.tar");
    let output = Command::new("tar").args(["--extract", "--to-stdout", "--file"]).arg(archive).arg(path).output();
    output.unwrap().stdout
}

#[test]
fn a_root_of_another_architecture_is_built_here() {
    let Some(scene) = needs(scene()) else { return };
    let lock = fs::read_to_string(scene.path("locks/foreign.arm64.lock")).unwrap();
    let interpreters = lock.split("\ninterpreters:\n").nth(1).unwrap();
    assert!(interpreters.starts_with("- name: qemu-user\n  architecture: amd64\n"), "{interpreters}");
    fetch(&scene);
    let fill = |home: &Path| fixture::copy(scene.folder.path(), &home.join("project"));
    let user = needs(User::new("compose-foreign", fill));

    let built = digests(&scene.build(FOREIGN, &[]).result());
    assert_eq!(String::from_utf8(file(&scene, "var/lib/told")).unwrap(), "aarch64\neel\n0\n");
    // `e_machine` of elf(5).
    assert_eq!(file(&scene, "usr/bin/dash")[18..20], 183_u16.to_le_bytes());
    let archive = scene.path("out/foreign.arm64.tar");
    let listed = Command::new("tar").args(["--list", "--file"]).arg(archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.lines().any(|path| path.contains("qemu") || path.contains("probe")), "{listed}");
    assert_no_registration();
    if let Some(user) = user {
        assert_eq!(build_as(&user, FOREIGN, &[]), built, "as an ordinary user with four jobs");
    }

    let last = "    rm /var/lib/id\n";
    scene.edit(&path_of(FOREIGN), last, &format!("{last}{MORE}"));
    scene.update_lock(FOREIGN);
    let again = scene.build(FOREIGN, &["--verbose"]);
    let (spared, count) = spared(&again.stderr);
    assert!(spared * 2 > count, "{spared} of {count} scripts need not run:\n{}", again.stderr);
    let fresh = fixture::empty().unwrap();
    for folder in ["manifests", "locks", "store/files"] {
        fixture::copy(&scene.path(folder), &fresh.path(folder));
    }
    assert_eq!(digests(&fresh.build(FOREIGN, &[]).result()), digests(&again.result()), "when all scripts run");
}

#[test]
fn an_older_kernel_needs_what_the_host_has_registered() {
    let Some(()) = needs(needs::root()) else { return };
    let Some(scene) = needs(scene()) else { return };
    let said = older_kernel::run_on_it(&scene.compose(["build", &path_of(FOREIGN)]), "");
    assert_eq!(said.code, Some(2));
    assert_eq!(
        said.stderr,
        "error: cannot build foreign for arm64\n  \
           caused by: programs of arm64 do not run here: the machine itself (Exec format error (os error 8)); an interpreter that \
           the host has registered with the flag F (there is none that runs); a binfmt_misc of the sandbox's own, which Linux \
           has from 6.7 on (No such device (os error 19))\n\
         hint: apt-get install qemu-user-static (as root) registers interpreters; Linux 6.7 or later needs none\n"
    );
    assert!(scene.listing("store/work").is_empty());

    fetch(&scene);
    let arm64: Architecture = "arm64".parse().unwrap();
    let lock = lock::load(&manifest::load(&scene.path(&path_of(FOREIGN))).unwrap(), &arm64).unwrap();
    let package = lock.interpreter(&Architecture::host().unwrap()).unwrap();
    let package = fetch::file_path(&scene.path("store"), &package.sha256);
    let interpreter = older_kernel::unpack_interpreter(&package, &arm64, scene.folder.path());
    let line = older_kernel::line(&arm64, &interpreter);
    let said = older_kernel::run_on_it(&scene.compose(["build", &path_of(FOREIGN)]), &line).stderr;
    assert!(!said.contains("do not run here") && said.contains("cannot mount an overlay on "), "{said}");
}

/// The second runs on most machines of the first kind by itself.
const TWO: [&str; 2] = ["amd64", "i386"];

#[test]
fn packages_for_all_architectures_are_fetched_and_imported_once() {
    let Some(scene) = needs(fixture::empty()) else { return };
    let hooks = FOREIGN_TEXT.find("hooks:").unwrap();
    write(&scene.path(&path_of(FOREIGN)), &FOREIGN_TEXT[..hooks].replace("[arm64]", &format!("[{}]", TWO.join(", "))));
    let report = run(scene.compose(["update-lock", &path_of(FOREIGN)]).args(["--store", "store"])).result();
    assert_eq!(report.matches("added base-passwd").count(), 1, "{report}");
    assert!(TWO.iter().all(|name| report.contains(&format!("\ntotal foreign.{name}: "))), "{report}");

    let manifest = manifest::load(&scene.path(&path_of(FOREIGN))).unwrap();
    let [first, second] = TWO.map(|name| lock::load(&manifest, &name.parse().unwrap()).unwrap());
    let shared = second.packages.iter().filter(|package| package.architecture == "all").count();
    assert!(shared > 0 && second.packages.iter().all(|p| p.architecture != "all" || first.packages.contains(p)));
    let (all, others) = (first.packages.len(), second.packages.len() - shared);
    let said = scene.build(FOREIGN, &["--arch", TWO[0], "--arch", TWO[1], "--format", "ostree", "--verbose"]);
    let counted: Vec<&str> = said.stderr.lines().filter(|line| line.contains(" packages fetched, ")).collect();
    let expected = [
        format!("{all} packages fetched, {all} imported, 0 reused"),
        format!("{others} packages fetched, {others} imported, {shared} reused"),
    ];
    assert_eq!(counted, expected, "{}", said.stderr);
    said.result();
}

/// How many scripts did not run, of how many.
fn spared(said: &str) -> (usize, usize) {
    let line = said.lines().find(|line| line.contains("scripts need not run again")).unwrap_or_default();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1))
}

/// Nothing that runs a sandbox registers interpreters on the host.
fn assert_no_registration() {
    for entry in Path::new("/proc/sys/fs/binfmt_misc").read_dir().into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        assert!(!text.contains("interpreter /qemu-"), "{}: {text}", entry.path().display());
    }
}

#[test]
fn without_an_interpreter_the_error_tells_what_was_tried() {
    let Some(scene) = needs(scene()) else { return };
    let path = scene.path("locks/foreign.arm64.lock");
    let lock = fs::read_to_string(&path).unwrap();
    write(&path, &format!("{}\n", lock.split("\ninterpreters:\n").next().unwrap()));
    let said = scene.build(FOREIGN, &[]);
    assert_eq!(said.code, Some(2));
    assert_eq!(
        said.stderr,
        "error: cannot build foreign for arm64\n  \
           caused by: the lock pins no interpreter of arm64 programs for this machine\n  \
           caused by: programs of arm64 do not run here: the machine itself (Exec format error (os error 8))\n\
         hint: compose update-lock manifests/foreign.yaml; for that the archives, or those under `tools: \
         archives:`, have to have `qemu-user (>= 1:10)` or `qemu-user-static` for amd64\n"
    );
    assert!(scene.listing("store/work").is_empty());
}
