//! Outputs other than images and tar hold the same tree: as mounted by the kernel, and as podman unpacks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{self, REQUIRED};
use crate::support::needs::{self, needs};
use crate::support::program::run;

const OUTPUTS: &str = "outputs: [tar, erofs, squashfs, oci]\n";

/// Path, type, mode, owners, time and link target of everything below a folder.
fn listing(folder: &Path) -> BTreeSet<String> {
    let format = "%04m %y %U %G %T@ %p %l\n";
    let list = run(Command::new("find").args([".", "-mindepth", "1", "-printf", format]).current_dir(folder)).result();
    list.lines().map(str::to_owned).collect()
}

#[test]
fn every_output_holds_the_same_tree() {
    let Some(()) = needs(needs::root()) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "outputs: [root.img]\n", OUTPUTS);
    scene.update_lock(REQUIRED);
    let lines = scene.build(REQUIRED, &[]).result();
    let folder = tempfile::tempdir_in(scene.path(".")).unwrap();
    let (root, mount) = (folder.path().join("root"), folder.path().join("mount"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&mount).unwrap();
    let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    run(Command::new("tar").arg("-C").arg(&root).args(options).arg(scene.output(REQUIRED, "tar"))).result();
    let expected = listing(&root);
    for kind in ["erofs", "squashfs"] {
        // In a mount namespace of its own, which takes the mount with it.
        let script = "mount -o ro,loop -t \"$1\" \"$2\" \"$3\" && diff -r --no-dereference \"$4\" \"$3\" && cd \"$3\" && \
                      find . -mindepth 1 -printf '%04m %y %U %G %T@ %p %l\\n'";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script, "sh", kind])
            .arg(scene.output(REQUIRED, kind))
            .arg(&mount)
            .arg(&root);
        let found: BTreeSet<String> = run(&mut command).result().lines().map(str::to_owned).collect();
        let different: Vec<&String> = found.symmetric_difference(&expected).collect();
        assert!(different.is_empty(), "{kind}: {different:#?}");
    }
    is_an_image_for_containers(&scene.output(REQUIRED, "oci"), folder.path(), &root);

    for kind in ["erofs", "squashfs", "oci"] {
        fs::remove_file(scene.output(REQUIRED, kind)).unwrap();
    }
    assert_eq!(scene.build(REQUIRED, &["--jobs", "1"]).result(), lines, "the same again");
}

/// podman takes the archive, unpacks it to the same tree, and crun runs it.
fn is_an_image_for_containers(archive: &Path, folder: &Path, root: &Path) {
    // podman takes no long name for this folder.
    let short = tempfile::tempdir().unwrap();
    // crun refuses machines with cgroups of both versions. In a mount namespace of its own it finds those of version 2 alone.
    let script = "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh", "podman"]);
        command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(short.path());
        command.args(["--cgroup-manager=cgroupfs", "--events-backend=none", "--storage-driver=vfs", "--runtime=crun"]);
        run(command.args(arguments)).result()
    };
    podman(&["pull", &format!("oci-archive:{}", archive.display())]);
    let limits = ["--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let container = [&["run", "--rm", "--network=none"], limits.as_slice(), &[REQUIRED]].concat();
    // The image's own command is a shell, and does nothing without input.
    assert_eq!(podman(&container), "");
    let dpkg = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev}\n", "base-files", "dpkg"];
    assert_eq!(podman(&[container.as_slice(), &dpkg].concat()), "base-files ii \ndpkg ii \n");
    let place = podman(&["image", "mount", REQUIRED]);
    let same = run(Command::new("diff").args(["-r", "--no-dereference"]).arg(root).arg(place.trim_end()));
    assert_eq!((same.stdout.as_str(), same.code), ("", Some(0)));
    assert_eq!(listing(Path::new(place.trim_end())), listing(root));
    podman(&["image", "unmount", "--all"]);
    podman(&["rmi", "--all", "--force"]);
}
