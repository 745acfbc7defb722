//! Each check of trees on a small root that it has nothing against, and on ones that it has.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use compose::arch::Architecture;
use compose::check::{self, CHECKS, Finding, Severity};
use compose::manifest::{self, Manifest};
use compose::store::{Attributes, Content, Directory, Extras, Objects, Store, Tree};

use support::lock::MANIFEST;
use support::needs::{needs, root};

/// A root that is sound: path, mode (of a link its type alone), and content or target.
const SOUND: &[(&str, u32, &str)] = &[
    ("etc/fstab", 0o644, "# root\nLABEL=root / ext4 errors=remount-ro 0 1\nproc /proc proc\n"),
    ("etc/machine-id", 0o644, ""),
    ("sbin", LINK, "usr/sbin"),
    ("usr/bin/passwd", 0o4755, "elf"),
    ("usr/lib/systemd/systemd", 0o755, "elf"),
    ("usr/lib/systemd/system/serial-getty@.service", 0o644, "[Service]\n"),
    ("usr/lib/systemd/system-generators/systemd-getty-generator", 0o755, "elf"),
    ("usr/sbin/init", LINK, "../lib/systemd/systemd"),
    ("usr/share/doc/example.pem", 0o644, "-----BEGIN PRIVATE KEY-----\n"),
    ("var/lib/dpkg/info/passwd.list", 0o644, "/.\n/usr/bin/passwd\n/sbin/helper\n"),
];

const LINK: u32 = 0o120_000;

/// As long as the smallest image.
const LARGE: &str = match str::from_utf8(&[b'x'; 1 << 20]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nx\n";
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
}

impl Scene {
    fn new() -> Option<Self> {
        needs(root())?;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Some(Self { folder, store })
    }

    fn manifest(&self, more: &str) -> Manifest {
        let path = self.folder.path().join("small.yaml");
        compose::durable::write(&path, format!("{MANIFEST}{more}").as_bytes()).unwrap();
        manifest::load(&path).unwrap()
    }

    /// The sound root with these files in it or, without content, not in it.
    fn tree(&self, changes: &[(&str, u32, Option<&str>)]) -> Tree {
        let mut files: BTreeMap<&str, (u32, &str)> = BTreeMap::new();
        files.extend(SOUND.iter().map(|(path, mode, content)| (*path, (*mode, *content))));
        for (path, mode, content) in changes {
            match content {
                Some(content) => files.insert(path, (*mode, content)),
                None => files.remove(path),
            };
        }
        let (mut root, writer) = (Directory::new(0o755), self.store.writer());
        for (path, (mode, content)) in files {
            let (folder, name) = compose::store::split(path);
            let parts = folder.split('/').filter(|part| !part.is_empty());
            let directory = parts.fold(&mut root, |directory, part| {
                directory.directories.entry(part.to_owned()).or_insert_with(|| Directory::new(0o755))
            });
            let kind = if mode == LINK { LINK | 0o777 } else { 0o100_000 | mode };
            let attributes = Attributes { uid: 0, gid: 0, mode: kind, xattrs: BTreeMap::new() };
            let content = match mode {
                LINK => writer.write(&attributes, Content::Symlink(content)),
                _ => writer.write_bytes(&attributes, content.as_bytes()),
            };
            directory.files.insert(name.to_owned(), content.unwrap());
        }
        Tree { root, extras: Extras::default() }
    }

    fn check<'a>(&self, tree: &Tree, manifest: &'a Manifest, architecture: &Architecture) -> Vec<Finding<'a>> {
        let reader = self.store.reader();
        let objects = Objects::of(&reader, tree).unwrap();
        check::run(&reader, (tree, &objects), manifest, architecture, &|| Ok(BTreeSet::new())).unwrap()
    }

    /// The check that finds something, and what; nothing when none does.
    fn found(&self, more: &str, changes: &[(&str, u32, Option<&str>)]) -> Vec<(&'static str, Vec<String>)> {
        let (tree, manifest) = (self.tree(changes), self.manifest(more));
        let findings = self.check(&tree, &manifest, &amd64());
        findings.into_iter().map(|finding| (finding.check.name, finding.what)).collect()
    }
}

fn amd64() -> Architecture {
    "amd64".parse().unwrap()
}

const SELINUX: (&str, u32, Option<&str>) =
    ("etc/selinux/config", 0o644, Some("# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=eels\n"));
const CONTEXTS: (&str, u32, Option<&str>) =
    ("etc/selinux/eels/contexts/files/file_contexts", 0o644, Some("/.* system_u:object_r:default_t:s0\n"));
const POLICY: (&str, u32, Option<&str>) = ("etc/selinux/eels/policy/policy.33", 0o644, Some("policy"));

const OWN: &str = "image: {kernel: own}\n";
const GRUB: (&str, u32, Option<&str>) = ("boot/grub/grub.cfg", 0o644, Some("linux /vmlinuz\n"));
const KERNEL: (&str, u32, Option<&str>) = ("boot/vmlinuz-6.1", 0o644, Some("elf"));
const LINK_TO_KERNEL: (&str, u32, Option<&str>) = ("vmlinuz", LINK, Some("boot/vmlinuz-6.1"));
const INITRD: (&str, u32, Option<&str>) = ("initrd.img", 0o644, Some("cpio"));

/// A row: what is added to the manifest, what changes in the root, which check finds what.
type Row = (&'static str, &'static [(&'static str, u32, Option<&'static str>)], &'static str, &'static str);

const ROWS: &[Row] = &[
    (
        "",
        &[("etc/fstab", 0o644, Some("LABEL=other / ext4\n"))],
        "fstab",
        "/etc/fstab mounts LABEL=other on /, but the image's label is `root`",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("UUID=1-2 / ext4\n"))],
        "fstab",
        "/etc/fstab mounts UUID=1-2 on /, but the image's UUID changes with what is in it: name its label",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/sda1 / auto\n"))],
        "fstab",
        "/etc/fstab mounts /dev/sda1 on /, but a guest of Xen has the image's root file system as /dev/xvda3",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/xvda1 / auto\n"))],
        "fstab",
        "/etc/fstab mounts /dev/xvda1 on /, but a guest of Xen has the image's root file system as /dev/xvda3",
    ),
    (
        "image: {partitions: false}\n",
        &[("etc/fstab", 0o644, Some("/dev/xvda3 / auto\n"))],
        "fstab",
        "/etc/fstab mounts /dev/xvda3 on /, but a guest of Xen has the image's root file system as /dev/xvda",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("PARTUUID=fa4d6529-56da-47c7-ae88-e2dfecb72621 / ext4\n"))],
        "fstab",
        "/etc/fstab mounts PARTUUID=fa4d6529-56da-47c7-ae88-e2dfecb72621 on /, but the partition is 693244e6-3e07-47bf-ad79-acade4293fe7",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/disk/by-partuuid/1-2 / ext4\n"))],
        "fstab",
        "/etc/fstab mounts /dev/disk/by-partuuid/1-2 on /, but the partition is 693244e6-3e07-47bf-ad79-acade4293fe7",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/disk/by-label/other / ext4\n"))],
        "fstab",
        "/etc/fstab mounts /dev/disk/by-label/other on /, but the image's label is `root`",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/disk/by-uuid/1-2 / ext4\n"))],
        "fstab",
        "/etc/fstab mounts /dev/disk/by-uuid/1-2 on /, but the image's UUID changes with what is in it: name its label",
    ),
    (
        "image: {partitions: false}\n",
        &[("etc/fstab", 0o644, Some("/dev/disk/by-partlabel/Root\\x20filesystem / ext4\n"))],
        "fstab",
        "/etc/fstab mounts /dev/disk/by-partlabel/Root\\x20filesystem on /, but the image has no partitions",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("PARTLABEL=root / ext4\n"))],
        "fstab",
        "/etc/fstab mounts PARTLABEL=root on /, but the partition is `Root filesystem`",
    ),
    (
        "",
        &[("etc/fstab", 0o644, Some("/dev/mapper/dmroot / xfs\n"))],
        "fstab",
        "/etc/fstab mounts / as xfs, but it is ext4",
    ),
    ("", &[("usr/sbin/init", 0, None)], "init", "there is no /sbin/init: a package such as systemd-sysv has it"),
    ("", &[("usr/lib/systemd/systemd", 0o644, Some("elf"))], "init", "/sbin/init cannot be executed"),
    (
        "",
        &[("usr/lib/systemd/system/serial-getty@.service", 0, None)],
        "console",
        "nothing starts a getty on hvc0: systemd does, or a line in /etc/inittab",
    ),
    (
        "",
        &[("etc/systemd/system/serial-getty@hvc0.service", LINK, Some("/dev/null"))],
        "console",
        "serial-getty@hvc0.service is masked",
    ),
    (
        OWN,
        &[GRUB, KERNEL, LINK_TO_KERNEL, INITRD],
        "kernel-modules",
        "/boot has the kernel 6.1, and /usr/lib/modules/6.1 is missing",
    ),
    (
        OWN,
        &[GRUB, KERNEL, LINK_TO_KERNEL, INITRD, ("usr/lib/modules/6.1/kernel/a.ko", 0o644, Some("elf"))],
        "kernel-modules",
        "the kernel 6.1 has no xen-blkfront",
    ),
    (
        OWN,
        &[KERNEL, LINK_TO_KERNEL, INITRD, BLKFRONT],
        "own-kernel",
        "/boot/grub/grub.cfg is missing: it is GRUB's configuration; `include: [include/own-kernel.yaml]` of this project's manifests has one",
    ),
    (
        OWN,
        &[GRUB, LINK_TO_KERNEL, INITRD],
        "own-kernel",
        "/vmlinuz leads nowhere: it is the link that Debian's kernel packages make; one has to be among `packages:`",
    ),
    (
        OWN,
        &[GRUB, KERNEL, LINK_TO_KERNEL, BLKFRONT],
        "own-kernel",
        "/initrd.img is missing: it is the link that initramfs-tools makes; it has to be among `packages:`",
    ),
    (
        "",
        &[("etc/ssh/ssh_host_rsa_key", 0o600, Some("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"))],
        "secrets",
        "/etc/ssh/ssh_host_rsa_key has a private key",
    ),
    (
        "",
        &[("etc/ssl/private/ssl-cert-snakeoil.key", 0o640, Some("-----BEGIN PRIVATE KEY-----\nx\n"))],
        "secrets",
        "/etc/ssl/private/ssl-cert-snakeoil.key has a private key",
    ),
    (
        "",
        &[("opt/vendor/tls.pem", 0o640, Some("-----BEGIN RSA PRIVATE KEY-----\r\nx\r\n"))],
        "secrets",
        "/opt/vendor/tls.pem has a private key",
    ),
    ("", &[("usr/local/etc/a.key", 0o640, Some(KEY))], "secrets", "/usr/local/etc/a.key has a private key"),
    ("", &[("usr/local.orig/etc/a.key", 0o640, Some(KEY))], "secrets", "/usr/local.orig/etc/a.key has a private key"),
    ("", &[("home.orig/user/.ssh/id", 0o600, Some(KEY))], "secrets", "/home.orig/user/.ssh/id has a private key"),
    ("", &[("etc/machine-id", 0o644, Some("0123\n"))], "secrets", "/etc/machine-id identifies a machine"),
    (
        "",
        &[("usr/local/bin/become", 0o6755, Some("elf"))],
        "set-id",
        "/usr/local/bin/become has mode 6755 and is of no package",
    ),
    (
        "",
        &[("usr/sbin/policy-rc.d", 0o755, Some("#!/bin/sh\nexit 101\n"))],
        "policy-rc.d",
        "/usr/sbin/policy-rc.d is left from the installation",
    ),
    (
        "",
        &[SELINUX, CONTEXTS],
        "selinux",
        "/etc/selinux/config says that the policy eels is enforced, and there is no /etc/selinux/eels/policy/policy.VERSION to load",
    ),
    (
        "",
        &[SELINUX, POLICY],
        "selinux",
        "/etc/selinux/config says that the policy eels is enforced, and no file has a label, since there is no \
         /etc/selinux/eels/contexts/files/file_contexts",
    ),
    (
        "image: {partitions: false}\n",
        &[("etc/fstab", 0o644, Some("PARTLABEL=Root\\040filesystem / ext4\n"))],
        "fstab",
        "/etc/fstab mounts PARTLABEL=Root\\040filesystem on /, but the image has no partitions",
    ),
    (
        "image: {partitions: false, size: 1M}\n",
        &[("etc/large", 0o644, Some(LARGE))],
        "size",
        "the files have 1077248 bytes, the root file system of the image 1048576",
    ),
    (
        "template: {version: 4.3.0}\n",
        &[],
        "qubes-agent",
        "there is no /usr/share/qubes/marker-vm: none of Qubes' packages is in the template",
    ),
    (
        "template: {version: 4.3.0}\n",
        &[("usr/share/qubes/marker-vm", 0o644, Some("# the release\n4.2\n"))],
        "qubes-agent",
        "/usr/share/qubes/marker-vm tells of Qubes 4.2, the template is for 4.3.0",
    ),
];

#[test]
fn each_row_finds_what_it_is_for() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(scene.found("", &[]), []);
    for (more, changes, check, what) in ROWS {
        assert_eq!(scene.found(more, changes), [(*check, vec![(*what).to_owned()])], "{check}");
    }
    for check in CHECKS {
        assert!(ROWS.iter().any(|(_, _, name, _)| *name == check.name), "{} has no test", check.name);
    }
}

#[test]
fn what_is_as_good_passes() {
    let Some(scene) = Scene::new() else { return };
    let inittab = "h0:23:respawn:/sbin/getty 38400 hvc0\n";
    let rows: &[&[(&str, u32, Option<&str>)]] = &[
        &[("etc/fstab", 0, None)],
        &[("etc/fstab", 0o644, Some("/dev/mapper/dmroot / ext4 defaults,discard,noatime 1 1\n"))],
        &[("etc/fstab", 0o644, Some("PARTLABEL=Root\\040filesystem / auto\n/dev/xvdb /rw auto noauto\n"))],
        &[("usr/lib/systemd/system/serial-getty@.service", 0, None), ("etc/inittab", 0o644, Some(inittab))],
        &[("etc/fstab", 0o644, Some("/dev/xvda3 / ext4\n"))],
        &[("etc/fstab", 0o644, Some("/dev/disk/by-label/root / ext4\n"))],
        &[("etc/fstab", 0o644, Some("/dev/disk/by-partlabel/Root\\x20filesystem / ext4\n"))],
        &[("etc/fstab", 0o644, Some("PARTUUID=693244E6-3e07-47bf-ad79-acade4293fe7 / ext4\n"))],
        // It is dom0's kernel that starts, with modules of its own.
        &[("boot/vmlinuz-6.1", 0o644, Some("x"))],
        // The package names it by the link that /sbin is.
        &[("usr/sbin/helper", 0o2755, Some("elf"))],
        &[SELINUX, CONTEXTS, POLICY],
        &[CONTEXTS, ("etc/selinux/config", 0o644, Some("SELINUX=permissive\nSELINUXTYPE=eels\n"))],
    ];
    for row in rows {
        assert_eq!(scene.found("", row), [], "{row:?}");
    }
    for drivers in [&[("lib", LINK, Some("usr/lib")), BLKFRONT][..], &[BUILT_IN]] {
        assert_eq!(scene.found(OWN, &[&[GRUB, KERNEL, LINK_TO_KERNEL, INITRD], drivers].concat()), [], "{drivers:?}");
    }
    for marker in ["4.3\n", "# release\n4.3.2\n", "none\n"] {
        let agent = [("usr/share/qubes/marker-vm", 0o644, Some(marker))];
        assert_eq!(scene.found("template: {version: 4.3.0}\n", &agent), [], "{marker}");
    }
    let whole = [("etc/fstab", 0o644, Some("/dev/xvda / ext4\n"))];
    assert_eq!(scene.found("image: {partitions: false}\n", &whole), []);
}

#[test]
fn no_boot_loader_is_for_other_architectures() {
    let Some(scene) = Scene::new() else { return };
    let tree = scene.tree(&[GRUB, KERNEL, LINK_TO_KERNEL, INITRD, BLKFRONT]);
    let manifest = scene.manifest(OWN);
    let arm64 = "arm64".parse().unwrap();
    let findings = scene.check(&tree, &manifest, &arm64);
    let told: Vec<_> = findings.iter().map(|finding| (finding.check.name, finding.what.as_slice())).collect();
    assert_eq!(told, [("own-kernel", &["there is no boot loader for arm64, only for amd64".to_owned()][..])]);
}

#[test]
fn keys_are_found_in_files_of_any_size() {
    let Some(scene) = Scene::new() else { return };
    let backup = format!("{LARGE}\n{KEY}{LARGE}");
    let what = "/var/backups/all has a private key".to_owned();
    assert_eq!(scene.found("", &[("var/backups/all", 0o600, Some(&backup))]), [("secrets", vec![what])]);
}

/// `cap_net_raw=ep` as setcap(8) writes it.
const CAPABILITIES: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn capabilities_are_for_packages_to_give() {
    let Some(scene) = Scene::new() else { return };
    let (mut tree, manifest) = (scene.tree(&[]), scene.manifest(""));
    let xattrs = BTreeMap::from([("security.capability".to_owned(), CAPABILITIES.to_vec())]);
    let attributes = Attributes { uid: 0, gid: 0, mode: 0o100_755, xattrs };
    let file = scene.store.writer().write_bytes(&attributes, b"elf").unwrap();
    let mut found = |path: &str| {
        let (folder, name) = compose::store::split(path);
        tree.root.find_mut(folder).unwrap().files.insert(name.to_owned(), file);
        let findings = scene.check(&tree, &manifest, &amd64());
        findings.into_iter().map(|finding| (finding.check.name, finding.what)).collect::<Vec<_>>()
    };
    assert_eq!(found("usr/bin/passwd"), []);
    let what = "/usr/bin/ping has capabilities and is of no package".to_owned();
    assert_eq!(found("usr/bin/ping"), [("set-id", vec![what])]);
}

const BLKFRONT: (&str, u32, Option<&str>) =
    ("usr/lib/modules/6.1/kernel/drivers/block/xen-blkfront.ko.xz", 0o644, Some("x"));
const BUILT_IN: (&str, u32, Option<&str>) =
    ("usr/lib/modules/6.1/modules.builtin", 0o644, Some("kernel/drivers/block/xen-blkfront.ko\n"));

#[test]
fn the_manifest_silences_a_row_with_a_reason() {
    let Some(scene) = Scene::new() else { return };
    let tree = scene.tree(&[("usr/sbin/init", 0, None)]);
    let told = |more: &str| {
        let manifest = scene.manifest(more);
        let findings = scene.check(&tree, &manifest, &amd64());
        assert_eq!(findings[0].check.severity, Severity::Error);
        (findings[0].forbids(), findings[0].told())
    };
    let what = "init: there is no /sbin/init: a package such as systemd-sysv has it";
    let why = "  the kernel starts /sbin/init and panics without".to_owned();
    assert_eq!(told(""), (true, vec![format!("error {what}"), why]));
    let reason = "  the manifest's reason: it is a container's".to_owned();
    assert_eq!(told("checks: {init: it is a container's}\n"), (false, vec![format!("silenced {what}"), reason]));
}
