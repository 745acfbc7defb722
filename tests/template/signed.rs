//! Signatures: what rpm says of them, that they have the form Qubes takes, and that all of the package is under them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::scene::{DATE, FILE, SIZE, Scene};
use crate::support::needs::{host_program, needs};
use crate::support::program::{Outcome, compose, run};
use crate::support::rpm;

/// What qvm-template waits for, to the letter.
const GOOD: &str = "-: digests signatures OK\n";

/// Names of keys, and their algorithms as gpg calls them.
const KEYS: [(&str, &str); 2] = [("rsa", "rsa4096"), ("ed25519", "ed25519")];

fn sign(scene: &Scene, options: &[&str]) -> Outcome {
    run(compose(&scene.path(""), ["--store", "store", "sign", FILE]).args(options).env("GNUPGHOME", scene.path("gpg")))
}

#[test]
fn rpm_takes_a_signed_package_and_so_would_rpmcanon() {
    let Some(scene) = needs(Scene::new()) else { return };
    let (_, stranger) = scene.key("stranger", "ed25519");
    for (name, algorithm) in KEYS {
        let (signer, public) = scene.signer(name, algorithm);
        let package = scene.package(&format!("{name}.rpm"), Some(&signer), 2);
        assert_eq!(scene.verify(&package, &public).result(), GOOD);
        assert_ne!(scene.verify(&package, &stranger).code, Some(0));
        let checked = rpm::check(&fs::read(&package).unwrap()).unwrap();
        assert_eq!(checked.text(1000), "qubes-template-debian-13");
    }
    let unsigned = scene.package("unsigned.rpm", None, 2);
    assert_ne!(scene.verify(&unsigned, &stranger).code, Some(0));
    let refused = rpm::check(&fs::read(&unsigned).unwrap()).unwrap_err();
    assert_eq!(refused, "the header is not signed once");
}

#[test]
fn the_same_bytes_each_time() {
    let Some(scene) = needs(Scene::new()) else { return };
    // What does not compress, for more than two of the payload's jobs of 8 MiB.
    let random =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    let numbers = std::iter::successors(Some(1), random).take(20 << 20);
    let content: Vec<u8> = numbers.map(|state| (state >> 56) as u8).collect();
    let image = fs::File::options().write(true).open(scene.path("root.img")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&image, &content, 1 << 30).unwrap();
    for (name, algorithm) in KEYS {
        let (signer, _) = scene.signer(name, algorithm);
        let read = |path: PathBuf| fs::read(path).unwrap();
        let first = read(scene.package(&format!("{name}-1.rpm"), Some(&signer), 1));
        for threads in [2, 3, 8] {
            let again = scene.package(&format!("{name}-{threads}.rpm"), Some(&signer), threads);
            assert!(read(again) == first, "{name} with {threads} threads");
        }
        assert!(first.len() > 2 * (8 << 20), "{} bytes are of too few jobs", first.len());
    }
}

#[test]
fn an_image_without_holes_makes_the_same_package() {
    let Some(scene) = needs(Scene::new()) else { return };
    let content = vec![5; 5000];
    let write = |at: u64| std::os::unix::fs::FileExt::write_all_at(&scene.image(64 << 20), &content, at).unwrap();
    write(1 << 20);
    let holes = scene.package("holes.rpm", None, 2);
    let zeros = fs::read(scene.path("root.img")).unwrap();
    fs::remove_file(scene.path("root.img")).unwrap();
    compose::durable::write(&scene.path("root.img"), &zeros).unwrap();
    let full = scene.package("full.rpm", None, 2);
    assert!(fs::read(holes).unwrap() == fs::read(full).unwrap());
    assert!(zeros.len() < SIZE as usize);
}

#[test]
fn every_changed_byte_is_noticed() {
    let Some(scene) = needs(Scene::new()) else { return };
    let (signer, public) = scene.signer("a", "ed25519");
    let package = scene.package("a.rpm", Some(&signer), 1);
    let bytes = fs::read(&package).unwrap();
    let checked = rpm::check(&bytes).unwrap();
    let header = checked.payload - checked.header_bytes.len();
    let middle = header + checked.header_bytes.len() / 2;
    for at in [header + 300, middle, checked.payload, usize::midpoint(checked.payload, bytes.len()), bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let path = scene.path("changed.rpm");
        compose::durable::write(&path, &changed).unwrap();
        let said = scene.verify(&path, &public);
        assert!(said.code != Some(0) && said.stdout != GOOD, "byte {at}: {said:?}");
        let refused = run(&mut compose(&scene.path(""), ["sign", "changed.rpm", "--store", "store", "--key", "a.key"]));
        assert_eq!(refused.code, Some(2), "byte {at}: {refused:?}");
        assert!(fs::read(&path).unwrap() == changed);
    }
}

#[test]
fn a_package_is_signed_later_as_at_once() {
    let Some(scene) = needs(Scene::new()) else { return };
    for (name, algorithm) in KEYS {
        let (signer, _) = scene.signer(name, algorithm);
        let at_once = scene.package(&format!("{name}.rpm"), Some(&signer), 1);
        let _ = fs::remove_file(scene.path(FILE));
        let later = scene.package(FILE, None, 1);
        fs::set_permissions(&later, fs::Permissions::from_mode(0o640)).unwrap();
        let said = sign(&scene, &["--key", &format!("{name}.key")]);
        assert_eq!((said.code, said.stderr), (Some(0), format!("{FILE} is signed\n")));
        assert!(fs::read(&later).unwrap() == fs::read(&at_once).unwrap());
        assert_eq!(fs::metadata(&later).unwrap().permissions().mode() & 0o7777, 0o640);
        let again = sign(&scene, &["--key", &format!("{name}.key")]);
        assert_eq!((again.code, again.stderr), (Some(0), format!("{FILE} was signed so before\n")));
    }
    // The second key's signature took the place of the first one's.
    assert_eq!(scene.verify(&scene.path(FILE), &scene.path("ed25519.asc")).result(), GOOD);
    assert_ne!(scene.verify(&scene.path(FILE), &scene.path("rsa.asc")).code, Some(0));
}

#[test]
fn the_file_that_a_link_leads_to_is_signed() {
    let Some(scene) = needs(Scene::new()) else { return };
    let (_, public) = scene.key("a", "ed25519");
    fs::create_dir(scene.path("pool")).unwrap();
    let package = scene.package(&format!("pool/{FILE}"), None, 1);
    std::os::unix::fs::symlink(format!("pool/{FILE}"), scene.path(FILE)).unwrap();
    assert_eq!(sign(&scene, &["--key", "a.key"]).code, Some(0));
    assert!(fs::symlink_metadata(scene.path(FILE)).unwrap().is_symlink());
    assert_eq!(scene.verify(&package, &public).result(), GOOD);
}

#[test]
fn gpg_and_commands_sign() {
    let Some(scene) = needs(Scene::new()) else { return };
    let (_, public) = scene.key("gpg-key", "rsa3072");
    let keys = scene.gpg(&["--list-secret-keys", "--with-colons"]);
    let fingerprint = keys.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();

    scene.package(FILE, None, 1);
    assert_eq!(sign(&scene, &["--gpg-key", &fingerprint]).code, Some(0));
    let by_agent = fs::read(scene.path(FILE)).unwrap();
    assert_eq!(scene.verify(&scene.path(FILE), &public).result(), GOOD);
    rpm::check(&by_agent).unwrap();
    let again = sign(&scene, &["--gpg-key", &fingerprint]);
    assert_eq!(again.stderr, format!("{FILE} was signed so before\n"));

    let command = format!("gpg --batch --armor --digest-algo SHA512 --local-user {fingerprint} --detach-sign");
    assert_eq!(sign(&scene, &["--command", &command]).code, Some(0));
    assert_eq!(scene.verify(&scene.path(FILE), &public).result(), GOOD);
    rpm::check(&fs::read(scene.path(FILE)).unwrap()).unwrap();
}

#[test]
fn who_cannot_sign_is_told_why() {
    let Some(scene) = needs(Scene::new()) else { return };
    let (_, public) = scene.key("a", "ed25519");
    let package = scene.package(FILE, None, 1);
    let before = fs::read(&package).unwrap();
    let told = |options: &[&str]| {
        let said = sign(&scene, options);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
        said.stderr.replace(&format!("{}/", scene.path("").display()).replace("//", "/"), "")
    };
    assert_eq!(
        told(&["--key", public.to_str().unwrap()]),
        "error: a.asc has no secret key\nhint: gpg --export-secret-keys FINGERPRINT writes one\n"
    );
    assert_eq!(
        told(&["--gpg-key", "0123ABCD"]),
        "error: `0123ABCD` is not a fingerprint: 40 hexadecimal digits are expected\n\
         hint: gpg --list-secret-keys shows those of your keys\n"
    );
    let silent = told(&["--command", "true"]);
    assert!(silent.contains("what `true` printed cannot be used"), "{silent}");
    let failed = told(&["--command", "echo no >&2; exit 3"]);
    assert!(failed.contains("ended with exit status: 3: no"), "{failed}");
    let early = told(&["--key", "a.key", "--date", "2020-01-01T00:00:00Z"]);
    assert!(early.contains("has no secret key that signs on 2020-01-01T00:00:00Z"), "{early}");
    assert!(early.contains("hint: for a key made later than the lock's date: "), "{early}");
    assert!(told(&[]).contains("Usage:"));
    assert!(fs::read(&package).unwrap() == before, "nothing of it changed the package of {DATE}");
}

#[test]
fn packages_of_rpmbuilds_form_can_be_signed_too() {
    let Some(scene) = needs(Scene::new()) else { return };
    let Some(()) = needs(host_program("rpmbuild", "--version")) else { return };
    let spec = "Name: a\nVersion: 1\nRelease: 1\nSummary: a\nLicense: a\nBuildArch: noarch\n%description\na\n%files\n";
    compose::durable::write(&scene.path("a.spec"), spec.as_bytes()).unwrap();
    let top = format!("_topdir {}", scene.path("top").display());
    run(Command::new("rpmbuild").args(["-bb", "--quiet", "--define", &top]).arg(scene.path("a.spec"))).result();
    let package = scene.path("top/RPMS/noarch/a-1-1.noarch.rpm");
    let (secret, public) = scene.key("a", "rsa2048");
    let mut command = compose(&scene.path(""), ["sign", "--store", "store", "--key"]);
    run(command.arg(secret).arg(&package)).result();
    assert_eq!(scene.verify(&package, &public).result(), GOOD);
}
