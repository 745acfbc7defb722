//! What is refused, in the words the user sees. Nothing of it is kept.

use compose::durable;

use crate::support::archive::SigningKey;
use crate::{Scene, primary};

fn scene(packages: &[&str]) -> Scene {
    let scene = Scene::new();
    scene.publish(&[("primary", primary(packages))]);
    scene
}

fn is_untouched(scene: &Scene) -> bool {
    !scene.folder.path().join("cache").exists()
}

#[test]
fn a_tampered_list_is_refused() {
    let scene = scene(&["a 1-1"]);
    scene.load().unwrap();
    let scene = self::scene(&["a 1-1"]);
    let text = std::fs::read_to_string(scene.path("repomd.xml")).unwrap();
    durable::write(&scene.path("repomd.xml"), text.replace("<revision>1", "<revision>2").as_bytes()).unwrap();
    assert_eq!(
        scene.refusal(),
        "cannot use the repository `base` for amd64: file://DIR/base/repodata/repomd.xml: it has no good signature: the \
         signature of key ITS-KEY does not fit what is signed"
    );
    assert!(is_untouched(&scene));
}

#[test]
fn a_list_signed_by_a_stranger_or_nobody_is_refused() {
    let scene = scene(&["a 1-1"]);
    let stranger = SigningKey::generate("stranger");
    let text = std::fs::read_to_string(scene.path("repomd.xml")).unwrap();
    durable::write(&scene.path("repomd.xml.asc"), &stranger.sign_detached(&text)).unwrap();
    assert_eq!(
        scene.refusal().replace(&stranger.id(), "OTHER-KEY"),
        "cannot use the repository `base` for amd64: file://DIR/base/repodata/repomd.xml: it is signed by key OTHER-KEY, and \
         the keyring DIR/keyring.asc has only key ITS-KEY\n\
         hint: `gpgkey:` in the manifest names the files with the repository's keys"
    );
    std::fs::remove_file(scene.path("repomd.xml.asc")).unwrap();
    assert_eq!(
        scene.refusal(),
        "cannot use the repository `base` for amd64: file://DIR/base/repodata/repomd.xml: it is not signed\n\
         hint: `repo_gpgcheck: false` in the manifest takes a repository whose metadata nobody signs"
    );
    assert!(is_untouched(&scene));
}

#[test]
fn an_older_list_is_refused() {
    let scene = Scene::new();
    scene.publish_as(&[("primary", primary(&["a 2-1"]))], 9, |repomd| repomd);
    scene.load().unwrap();
    scene.publish_as(&[("primary", primary(&["a 1-1"]))], 8, |repomd| repomd);
    assert_eq!(
        scene.refusal(),
        "cannot use the repository `base` for amd64: file://DIR/base/repodata/repomd.xml: it is of 8 seconds after 1970, older \
         than one seen before, of 9"
    );
}

#[test]
fn another_file_than_the_list_names_is_refused() {
    let scene = scene(&["a 1-1"]);
    let mut bytes = std::fs::read(scene.path("primary.xml.gz")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    durable::write(&scene.path("primary.xml.gz"), &bytes).unwrap();
    let told = scene.refusal();
    assert!(
        told.starts_with(
            "cannot fetch the metadata of the repository `base`: file://DIR/base/repodata/primary.xml.gz is not the file that \
             repomd.xml names: expected SHA-256 "
        ),
        "{told}"
    );
}

#[test]
fn a_list_without_a_strong_checksum_is_refused() {
    let scene = Scene::new();
    scene.publish_as(&[("primary", primary(&["a 1-1"]))], 7, |list| list.replace("'sha256'", "'sha'"));
    assert_eq!(
        scene.refusal(),
        "cannot use the repository `base` for amd64: file://DIR/base/repodata/repomd.xml: the file `primary` has a checksum of \
         the type `sha`: sha256 is expected"
    );
    assert!(is_untouched(&scene));
}

/// The causes of a refusal of primary metadata, after its first words.
fn refusal_of(primary: String) -> String {
    let scene = Scene::new();
    scene.publish(&[("primary", primary)]);
    let told = scene.refusal();
    let start = "cannot read repodata/primary.xml.gz of the repository `base`: ";
    told.strip_prefix(start).unwrap_or(&told).to_owned()
}

#[test]
fn hostile_primary_metadata_is_refused() {
    let good = primary(&["a 1-1"]);
    for (document, expected) in [
        (
            format!("<!DOCTYPE m [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>{}", good.replace(">a<", ">&b;<")),
            "it declares types or entities of its own, which no repository needs",
        ),
        (good.replace("</package></metadata>", ""), "it ends within an element"),
        (good.replace("packages='1'", "packages='2'"), "it announces 2 packages and has 1"),
        (good.replace("packages='1'", ""), "it has no element `metadata` with a number of `packages`"),
        (
            good.replace("Packages/a", "../../a"),
            "the package `a`: the location `../../a-1-1.noarch.rpm` is not a path below the repository",
        ),
        (
            good.replace("Packages/a", "/etc/a"),
            "the package `a`: the location `/etc/a-1-1.noarch.rpm` is not a path below the repository",
        ),
        (
            good.replace("Packages/a", "http://host.invalid/a"),
            "the package `a`: the location `http://host.invalid/a-1-1.noarch.rpm` is absolute: a path below the repository is expected",
        ),
        (
            good.replace("<location ", "<location xml:base='http://host.invalid/' "),
            "the package `a` is in another place than the repository",
        ),
        (good.replace(">a<", ">../a<"), "a package before its name: `../a` is no name of a package"),
        (good.replace("package='1'", "package='99999999999999999999'"), "`99999999999999999999` is no size"),
        (good.replace("ver='1'", "ver='1/../2'"), "`1/../2` is no part of a version"),
        (format!("{}{}", "<x>".repeat(50), good), "more than 32 elements stand in each other"),
    ] {
        assert_eq!(refusal_of(document), expected);
    }
}

#[test]
fn a_file_that_unpacks_to_more_than_is_said_is_refused() {
    let scene = Scene::new();
    let bomb = format!("{}{}", primary(&["a 1-1"]), " ".repeat(50 << 20));
    let size = bomb.len().to_string();
    scene.publish_as(&[("primary", bomb)], 7, |list| list.replace(&format!("<open-size>{size}"), "<open-size>1000"));
    let told = scene.refusal();
    assert!(told.ends_with("it has more bytes once unpacked than repomd.xml says"), "{told}");
    scene.publish_as(&[("primary", primary(&["a 1-1"]))], 7, |list| {
        list.replace("<open-size>", "<open-size>99999999999")
    });
    let told = scene.refusal();
    assert!(told.contains("bytes once unpacked: at most 4294967296 are taken"), "{told}");
}
