//! File systems of images under the tools of those who use them: e2fsprogs, and the kernel.

mod hostile;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::durable;
use compose::manifest::OutputFormat;

use scene::{SECONDS, Scene, check, listing};
use support::program::{run, sbin};
use support::told;

/// What mke2fs(8) 1.47.2 comes with, as far as it counts here.
const MKE2FS: &str = "\
[defaults]
	base_features = none
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
	blocksize = 4096
	inode_size = 256
	inode_ratio = 16384
[fs_types]
	ext4 = {
		features = has_journal,ext_attr,resize_inode,dir_index,orphan_file,filetype,extent,64bit,flex_bg,metadata_csum_seed,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum
	}
	small = {
		inode_ratio = 4096
	}
	floppy = {
		inode_ratio = 8192
	}
";

#[test]
fn a_hostile_tree_is_the_same_in_the_file_system() {
    let Some(scene) = Scene::new() else { return };
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    hostile::make(&source);
    let (commit, _) = scene.put(&source);
    let image = "{partitions: false, size: 1G}";
    let written = scene.write(commit, image, OutputFormat::RootImg, ("out", 1)).unwrap();
    check(&written.path);

    // What is free is holes, and so is what is zeros in files.
    let taken = |path: &Path| path.metadata().unwrap().blocks();
    let before = taken(&written.path);
    assert!(before * 512 < 220 << 20, "{before}");
    run(Command::new("fallocate").arg("--dig-holes").arg(&written.path)).result();
    assert_eq!(before, taken(&written.path));
    let digest = run(Command::new("fsverity").arg("digest").arg(&written.path)).result();
    assert!(digest.starts_with(&written.digest.to_string().replace("fs-verity-", "")), "{digest}");

    for threads in [2, 4] {
        let again = scene.write(commit, image, OutputFormat::RootImg, (&format!("out-{threads}"), threads)).unwrap();
        assert_eq!(again.digest, written.digest);
    }

    let mount = scene.mount(&written.path, "loop,ro");
    let (found, expected) = (listing(mount.path()), listing(&source));
    let differs = |path: &&PathBuf| found.get(*path) != expected.get(*path);
    let different: Vec<&PathBuf> = found.keys().chain(expected.keys()).filter(differs).collect();
    assert!(different.is_empty(), "{different:?}");
    for path in ["", "many", "many/file-1", "sparse", "link-60", "null"] {
        let metadata = fs::symlink_metadata(mount.path().join(path)).unwrap();
        assert_eq!([metadata.atime(), metadata.mtime(), metadata.ctime()], [SECONDS; 3], "{path}");
        assert_eq!([metadata.atime_nsec(), metadata.mtime_nsec(), metadata.ctime_nsec()], [0; 3], "{path}");
    }
    assert!(fs::metadata(mount.path().join("sparse")).unwrap().blocks() * 512 < 8 << 20);
    drop(mount);

    // It can be written to, and it grows.
    let copy = scene.path("copy");
    run(Command::new("cp").arg("--sparse=always").arg(&written.path).arg(&copy)).result();
    let mount = scene.mount(&copy, "loop,rw");
    let place = mount.path();
    for number in 0..2000 {
        durable::write(&place.join(format!("long/new-{number}")), b"new").unwrap();
        fs::remove_file(place.join("long").join(format!("{number:05}").repeat(51))).unwrap();
    }
    fs::remove_file(place.join("sparse")).unwrap();
    fs::remove_dir_all(place.join("deep")).unwrap();
    rustix::fs::lremovexattr(place.join("attributes"), "user.number-29").unwrap();
    drop(mount);
    check(&copy);
    File::options().write(true).open(&copy).unwrap().set_len(9 << 30).unwrap();
    run(sbin("e2fsck").arg("-fy").arg(&copy)).result();
    run(sbin("resize2fs").arg(&copy)).result();
    assert!(check(&copy).stdout.contains("/2359296 blocks"));
}

/// What dumpe2fs(8) prints of a file system, without what goes by how it was written: e2fsprogs before 1.47.2 leaves out
/// more bitmaps.
fn dump(image: &Path) -> Vec<String> {
    let text = run(sbin("dumpe2fs").arg(image)).result();
    let lines = text.lines().filter(|line| !line.starts_with("Lifetime writes:") && !line.starts_with("Checksum:"));
    lines.map(|line| line.split(" csum ").next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn an_empty_file_system_is_like_that_of_mke2fs() {
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.path("source")).unwrap();
    let (commit, _) = scene.put(&scene.path("source"));
    durable::write(&scene.path("mke2fs.conf"), MKE2FS.as_bytes()).unwrap();
    for mib in [256_u64, 511, 512, 513, 700, 1024, 2048, 10_000, 20_480, 102_400] {
        let image = format!("{{private: {mib}M}}");
        let ours = scene.write(commit, &image, OutputFormat::PrivateImg, ("out", 2)).unwrap().path;
        check(&ours);
        let rows = dump(&ours);
        let value = |name: &str| rows.iter().find_map(|row| row.strip_prefix(name)).unwrap().trim().to_owned();
        let theirs = scene.path("theirs");
        File::create(&theirs).unwrap();
        let extended =
            format!("hash_seed={},lazy_itable_init=0,lazy_journal_init=0,nodiscard", value("Directory Hash Seed:"));
        let mut mke2fs = sbin("mke2fs");
        mke2fs.env("MKE2FS_CONFIG", scene.path("mke2fs.conf")).env("E2FSPROGS_FAKE_TIME", SECONDS.to_string());
        mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "private", "-E", &extended]);
        run(mke2fs.args(["-U", &value("Filesystem UUID:")]).arg(&theirs).arg((mib * 256).to_string())).result();
        assert_eq!(rows, dump(&theirs), "{mib} MiB");
        for inode in 1..=12 {
            let stat = |image: &Path| run(sbin("debugfs").args(["-R", &format!("stat <{inode}>")]).arg(image)).result();
            assert_eq!(stat(&ours), stat(&theirs), "{mib} MiB, inode {inode}");
        }
    }
}

#[test]
fn small_file_systems_are_sound() {
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.path("source")).unwrap();
    let (commit, _) = scene.put(&scene.path("source"));
    for mib in [1, 2, 3, 7, 8, 16, 64, 127, 128, 129, 130, 257, 4097] {
        let image = format!("{{private: {mib}M}}");
        check(&scene.write(commit, &image, OutputFormat::PrivateImg, ("out", 2)).unwrap().path);
    }
}

#[test]
fn a_file_system_is_as_large_as_it_must_be() {
    let Some(scene) = Scene::new() else { return };
    let source = scene.path("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    for number in 0..200_u32 {
        durable::write(&source.join(format!("folder/{number}")), &vec![b'x'; number as usize * 1000]).unwrap();
    }
    let (commit, _) = scene.put(&source);
    for slack in [0_u64, 1, 40, 700] {
        let image = format!("{{partitions: false, size: fit, slack: {slack}M}}");
        let path = scene.write(commit, &image, OutputFormat::RootImg, (&format!("out-{slack}"), 2)).unwrap().path;
        check(&path);
        let rows = dump(&path);
        let free: u64 = rows.iter().find_map(|row| row.strip_prefix("Free blocks:")).unwrap().trim().parse().unwrap();
        assert!((slack * 256..slack * 256 + 512).contains(&free), "{slack} MiB: {free}");
    }
    let failed =
        scene.write(commit, "{partitions: false, size: 20M}", OutputFormat::RootImg, ("small", 2)).unwrap_err();
    assert_eq!(
        told(&failed),
        "an ext4 file system of 20971520 bytes has no room for 203 files that need 20328448\n\
         hint: if the files do not fit, raise `image: size:` in the manifest, or write `size: fit`"
    );
    assert_eq!(fs::read_dir(scene.path("small")).unwrap().count(), 0);
}
