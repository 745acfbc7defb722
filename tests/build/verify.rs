//! Builds that are made again from nothing: the report, the exit code, and what is left of the second build.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use compose::assemble;
use compose::finalize::{self, Request};
use compose::manifest::{self, OutputFormat};
use compose::sandbox::Program;
use compose::store::Store;

use crate::fixture::{self, REQUIRED, Scene, path_of};
use crate::recover::assert_nothing_runs;
use crate::support::deb::Deb;
use crate::support::needs::{self, needs};
use crate::support::program::{Outcome, PROGRAM, run};

/// A text that no other file of a root has.
const TEXT: &str = "Eels are told apart by the bytes in their images.\n";

/// Both outputs that are files.
const FORMATS: [&str; 4] = ["--format", "root.img", "--format", "tar"];

fn verify(scene: &Scene, options: &[&str]) -> Outcome {
    run(scene.compose(["verify", &path_of(REQUIRED)]).args(FORMATS).args(options))
}

fn entries(scene: &Scene, path: &str) -> usize {
    fs::read_dir(scene.path(path)).unwrap().count()
}

/// The report without what is another in each run: digests, bytes, offsets and sizes of outputs.
fn masked(report: &str) -> String {
    let mask = |line: &str| {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        let is_bytes = |words: &str| words.split(' ').all(|word| word.len() == 2 && is_hex(word));
        match text.split_at_checked(1) {
            Some((sign @ ("-" | "+"), bytes)) if is_bytes(bytes) => return format!("{indent}{sign}BYTES\n"),
            _ => {}
        }
        let words = text.split(' ').collect::<Vec<_>>();
        let masked = words.iter().enumerate().map(|(at, word)| {
            let digits = word.trim_start_matches(['-', '+']).trim_end_matches(',');
            let volatile = is_hex(digits) && digits.len() > 15
                || at > 0 && words[at - 1] == "byte"
                || words.get(at + 1).is_some_and(|unit| unit.starts_with("MiB"));
            if volatile { word.replace(digits, "X") } else { (*word).to_owned() }
        });
        format!("{indent}{}\n", masked.collect::<Vec<_>>().join(" "))
    };
    report.lines().map(mask).collect()
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn a_reproducible_build_is_the_same_again() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let lock = scene.lock(REQUIRED);
    let expected = format!(
        "\
required amd64: both builds are the same
import: {} packages are the same
merge: the trees are the same
configure: the trees are the same, commit X
required.amd64.root.img: the same, X MiB, fs-verity X
required.amd64.tar: the same, X MiB, SHA-256 X
",
        lock.files().len()
    );
    let report = verify(&scene, &[]).result();
    assert_eq!(masked(&report), expected);
    assert_eq!(entries(&scene, "store/work"), 0);

    // In another place, by as many threads as otherwise; what the first build made stays as it is.
    let before = scene.listing("out");
    let again = verify(&scene, &["--second-store", "second", "--jobs", "1"]);
    assert!(again.stderr.contains("\nbuilding again from nothing, --jobs 4, in "), "{}", again.stderr);
    assert_eq!(again.result(), report);
    assert_eq!((entries(&scene, "second"), scene.listing("out")), (0, before));
}

#[test]
fn what_differs_is_told_with_its_origin() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let postinst = "\
#!/bin/sh
set -e
mkdir -p /var/lib/eels
head -c 64 /dev/urandom >/var/lib/eels/key
printf 'eels\\n%s\\n' \"$(date +%s%N)\" >/var/lib/eels/token
date +%s%N >/usr/share/eels/seed
";
    let eels = Deb::new("eels", "1.0").file("usr/share/eels/seed", "none").file("usr/share/eels/text", TEXT);
    scene.add_packages(&[eels.script("postinst", postinst)]);
    let outcome = verify(&scene, &[]);
    let expected = format!(
        "\
required amd64: the builds differ in configure, required.amd64.root.img, required.amd64.tar
import: {} packages are the same
merge: the trees are the same
configure: 3 paths differ
  /usr/share/eels/seed: 20 B, then 20 B
    of eels 1.0 all, changed by scripts; named in eels (postinst)
    @@ -1 +1 @@
    -X
    +X
  /var/lib/eels/key: 64 B, then 64 B
    made by scripts; named in eels (postinst)
    from byte X on:
    -BYTES
    +BYTES
  /var/lib/eels/token: 25 B, then 25 B
    made by scripts; named in eels (postinst)
    @@ -1,2 +1,2 @@
     eels
    -X
    +X
required.amd64.root.img: X MiB, then X MiB
  -fs-verity X
  +fs-verity X
  from byte X on, in the superblock:
  -BYTES
  +BYTES
required.amd64.tar: X MiB, then X MiB
  -SHA-256 X
  +SHA-256 X
  from byte X on, in /usr/share/eels/seed:
  -BYTES
  +BYTES
",
        scene.lock(REQUIRED).files().len()
    );
    assert_eq!((masked(&outcome.stdout), outcome.code), (expected, Some(1)), "{}", outcome.stderr);
    assert_eq!(entries(&scene, "store/work"), 0);

    let Some(()) = needs(needs::root()) else { return };
    for (ending, format) in [("root.img", OutputFormat::RootImg), ("tar", OutputFormat::Tar)] {
        assert_eq!(place_of_text(&scene, ending, format), Some("/usr/share/eels/text".to_owned()), "{ending}");
    }
}

/// What is said to lie where an output has the text.
fn place_of_text(scene: &Scene, ending: &str, format: OutputFormat) -> Option<String> {
    let manifest = manifest::load(&scene.path(&path_of(REQUIRED))).unwrap();
    let (lock, store) = (scene.lock(REQUIRED), Store::open(&scene.path("store")).unwrap());
    let commit = assemble::cached(&store, assemble::key(&manifest, &lock).unwrap()).unwrap().unwrap();
    let program = &Program { file: PROGRAM.into(), emulations: Vec::new() };
    let folder = &scene.path("out");
    let request = Request { store: &store, program, manifest: &manifest, lock: &lock, commit, folder };
    let file = scene.output(REQUIRED, ending);
    let offset = memchr::memmem::find(&fs::read(&file).unwrap(), TEXT.as_bytes()).expect("the output has the text");
    finalize::path_at(&request, format, &file, offset as u64).unwrap()
}

#[test]
fn killed_it_leaves_nothing_running_and_nothing_for_long() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let mut command = scene.compose(["verify", &path_of(REQUIRED), "--format", "ostree"]);
    let mut verify = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(verify.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with("building again ")).expect("the second build begins");
    lines.find(|line| line == "configure").expect("scripts run");
    verify.kill().unwrap();
    verify.wait().unwrap();
    assert_nothing_runs(&scene);
    assert_eq!(entries(&scene, "store/work"), 1);
    run(&mut scene.compose(["store", "verify"])).result();
    assert_eq!(entries(&scene, "store/work"), 0);
}
