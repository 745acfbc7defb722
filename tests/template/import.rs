//! The image comes out of the package as qvm-template takes it out, a test for each of its rules.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::scene::{FOLDER, SIZE, Scene, are_same};
use crate::support::needs::needs;
use crate::support::program::run;

/// What `extract_rpm` does: rpm2archive, and tar with the template's folder.
fn extract(package: &Path, target: &Path) {
    fs::create_dir(target).unwrap();
    let script = "set -e; rpm2archive - <\"$0\" | tar xz -C \"$1\" \"$2\"";
    run(Command::new("sh").args(["-c", script]).arg(package).arg(target).arg(format!(".{FOLDER}/"))).result();
}

#[test]
fn the_first_block_of_the_first_part_tells_the_images_size() {
    let Some(scene) = needs(Scene::new()) else { return };
    let target = scene.path("target");
    extract(&scene.package("a.rpm", None, 1), &target);
    let part = fs::read(target.join(FOLDER.trim_start_matches('/')).join("root.img.part.00")).unwrap();
    // As get_root_img_size does: the third word of what tar lists of the first 512 bytes.
    let mut tar = Command::new("tar").arg("tvf").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&part[..512]).unwrap();
    let listed = String::from_utf8(tar.wait_with_output().unwrap().stdout).unwrap();
    let words: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!((words[2], words[5]), (SIZE.to_string().as_str(), "root.img"), "{listed}");
    // The member's own header, neither one of long names nor of extended attributes; it has many extents behind it.
    assert_eq!((part[156], part[482], &part[257..265]), (b'S', 1, &b"ustar  \0"[..]));
}

#[test]
fn the_image_comes_out_byte_for_byte() {
    let Some(scene) = needs(Scene::new()) else { return };
    let target = scene.path("target");
    extract(&scene.package("a.rpm", None, 2), &target);
    check_image(&scene, &target.join(FOLDER.trim_start_matches('/')), 1);
}

#[test]
fn parts_of_1_gib_stand_in_order() {
    let Some(scene) = needs(Scene::new()) else { return };
    // More than fits in one part, of which most compresses in no time.
    let image = scene.image(2 << 30);
    let block = vec![7; 16 << 20];
    (0..65).for_each(|number| image.write_all_at(&block, number * (16 << 20)).unwrap());
    image.write_all_at(b"the end", (2 << 30) - 7).unwrap();
    let package = scene.package("a.rpm", None, 2);
    let names = run(Command::new("sh").args(["-c", "rpm2cpio \"$0\" | cpio -t --quiet"]).arg(&package)).result();
    let parts: Vec<&str> = names.lines().filter_map(|line| line.split_once("root.img.part.")).map(|(_, n)| n).collect();
    assert_eq!(parts, ["00", "01"]);
    let folder = scene.unpack(&package, "root");
    let size = |part: &str| fs::metadata(folder.join(format!("root.img.part.{part}"))).unwrap().len();
    assert!(size("00") == 1 << 30 && size("01") < 1 << 30);
    check_image(&scene, &folder, 2);
}

/// The parts of a folder, joined, are the scene's image.
fn check_image(scene: &Scene, folder: &Path, parts: usize) {
    let out = folder.join("out");
    fs::create_dir(&out).unwrap();
    let script = "set -e; cat \"$0\"/root.img.part.* | tar -xS -C \"$1\"";
    run(Command::new("sh").args(["-c", script]).arg(folder).arg(&out)).result();
    assert!(are_same(&out.join("root.img"), &scene.path("root.img")));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&out.join("root.img")) <= blocks(&scene.path("root.img")), "holes are lost");
    let is_part = |name: &str| name.starts_with("root.img.part.");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| is_part(name)).count(), parts);
}

#[test]
fn settings_and_menus_are_lines_of_ascii() {
    let Some(scene) = needs(Scene::new()) else { return };
    let folder = scene.unpack(&scene.package("a.rpm", None, 1), "root");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("template.conf"), "gui=1\nvirt-mode=pvh\n");
    for name in ["whitelisted", "vm-whitelisted", "netvm-whitelisted"] {
        assert_eq!(read(&format!("{name}-appmenus.list")), "xterm.desktop\n");
    }
}
