//! Qubes template packages of built roots, and the checks that come before them.

use std::fs;
use std::process::Command;

use crate::fixture::{self, REQUIRED, SHIPPED, path_of};
use crate::support::archive::SigningKey;
use crate::support::needs::{host_program, needs};
use crate::support::program::run;

#[test]
fn the_package_has_the_image_that_is_written_beside_it() {
    let Some(()) = needs(host_program("rpm", "--version")) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "base: required\n", "base: required\ntemplate: {version: 4.3.0}\n");
    scene.update_lock(REQUIRED);
    let alone = scene.build(REQUIRED, &["--format", "qubes-template"]).result();
    let line = alone.lines().next().unwrap();
    let (digest, path) = line.split_once("  ").unwrap();
    let name = path.rsplit('/').next().unwrap();
    let release: String = scene.lock(REQUIRED).date.to_string().chars().filter(char::is_ascii_digit).take(12).collect();
    assert_eq!(name, format!("qubes-template-required-4.3.0-{release}.noarch.rpm"));
    let left: Vec<_> = fs::read_dir(scene.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [name], "the image of its own is gone");

    let again = scene.build(REQUIRED, &["--format", "qubes-template"]);
    assert!(again.stderr.contains("nothing to do: everything is as the lock says"), "{}", again.stderr);
    // Now from the image that stands there; the package comes after it, whatever the order asked for.
    fs::remove_file(path).unwrap();
    let both = scene.build(REQUIRED, &["--format", "qubes-template", "--format", "root.img"]).result();
    assert_eq!(both.lines().nth(1).unwrap(), line, "{digest}");

    let out = scene.path("unpacked");
    fs::create_dir(&out).unwrap();
    let script = "set -e; rpm2cpio \"$0\" >a.cpio; cpio -id --quiet --no-absolute-filenames <a.cpio; \
                  cat var/lib/qubes/vm-templates/required/root.img.part.* | tar -xS; cmp root.img \"$1\"";
    let mut command = Command::new("sh");
    run(command.args(["-c", script]).arg(path).arg(scene.output(REQUIRED, "root.img")).current_dir(&out)).result();
}

#[test]
fn a_signature_is_part_of_what_is_asked_for() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "base: required\n", "base: required\ntemplate: {version: 4.3.0}\n");
    scene.update_lock(REQUIRED);
    let plain = scene.build(REQUIRED, &["--format", "qubes-template"]).result();
    let key = ["--format", "qubes-template", "--sign-key", fixture::SIGNING_KEY];
    let signed = scene.build(REQUIRED, &key).result();
    assert_ne!(plain, signed);
    assert_eq!(scene.build(REQUIRED, &key).result(), signed);
    assert_eq!(scene.build(REQUIRED, &["--format", "qubes-template"]).result(), plain);
}

#[test]
fn a_key_made_later_than_the_lock_is_told_of() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "base: required\n", "base: required\ntemplate: {version: 4.3.0}\n");
    scene.update_lock(REQUIRED);
    fixture::write(&scene.path("later.key"), &SigningKey::generate_at("later", "2100-01-01T00:00:00Z").secret());
    let said = scene.build(REQUIRED, &["--format", "qubes-template", "--sign-key", "later.key"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains(" has no secret key that signs on "), "{}", said.stderr);
    let hint = "\nhint: for a key made later than the lock's date: build without a signature, then compose sign --date gives \
                it another time\n";
    assert!(said.stderr.ends_with(hint), "{}", said.stderr);
}

#[test]
fn only_what_tells_its_release_becomes_a_template() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let said = scene.build(REQUIRED, &["--format", "qubes-template"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("does not tell which Qubes release the template is for"), "{}", said.stderr);
    assert!(said.stderr.contains("hint: add `template: {version: 4.3.0}` to the manifest"), "{}", said.stderr);
}

#[test]
fn shipped_manifests_pass_all_checks() {
    let Some(scene) = needs(fixture::built()) else { return };
    for name in SHIPPED {
        let said = run(&mut scene.compose(["check", &path_of(name)]));
        let agent = "warning qubes-agent: there is no /usr/share/qubes/marker-vm: none of Qubes' packages is in the template\n  \
                     Qubes may not be able to start programs in it: then install the template with --skip-start\n";
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), agent), "{name}: {}", said.stderr);
    }
}

#[test]
fn no_image_is_written_of_a_tree_that_fails() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "  init: the root is as small as can be\n", "");
    let told = "error init: there is no /sbin/init: a package such as systemd-sysv has it";
    let checked = run(&mut scene.compose(["check", &path_of(REQUIRED)]));
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(checked.stdout.contains(told) && checked.stdout.contains("silenced console: "), "{}", checked.stdout);
    let built = scene.build(REQUIRED, &["--format", "root.img"]);
    assert_eq!(built.code, Some(2));
    assert!(built.stderr.contains(told), "{}", built.stderr);
    assert!(built.stderr.contains("hint: where it is to be so, say why in the manifest: `checks: {init: REASON}`"));
    assert!(!scene.output(REQUIRED, "root.img").exists());
    scene.build(REQUIRED, &["--format", "tar"]).result();
}
