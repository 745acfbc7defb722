//! Each check of trees on a small root that it has nothing against, and on ones that it has.

mod support;

use std::collections::BTreeMap;

use compose::check::{self, CHECKS, Severity};
use compose::manifest::{self, Manifest};
use compose::store::{Attributes, Content, Directory, Extras, Store, Tree};

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

const MANIFEST: &str = "\
name: small
format: deb
architectures: [amd64]
archives:
- {id: own, suites: [own], components: [main], trusted: true}
";

/// As long as the smallest image.
const LARGE: &str = match str::from_utf8(&[b'x'; 1 << 20]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

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

    /// The check that finds something, and what; nothing when none does.
    fn found(&self, more: &str, changes: &[(&str, u32, Option<&str>)]) -> Vec<(&'static str, Vec<String>)> {
        let (tree, manifest) = (self.tree(changes), self.manifest(more));
        let findings = check::run(&self.store.reader(), &tree, &manifest).unwrap();
        findings.into_iter().map(|finding| (finding.check.name, finding.what)).collect()
    }
}

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
        "/etc/fstab mounts /dev/sda1 on /, but Xen's first disk is /dev/xvda",
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
        "",
        &[("boot/vmlinuz-6.1", 0o644, Some("elf"))],
        "kernel-modules",
        "/boot has the kernel 6.1, and /usr/lib/modules/6.1 is missing",
    ),
    (
        "",
        &[("boot/vmlinuz-6.1", 0o644, Some("elf")), ("usr/lib/modules/6.1/kernel/a.ko", 0o644, Some("elf"))],
        "kernel-modules",
        "the kernel 6.1 has no xen-blkfront",
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
        &[("boot/vmlinuz-6.1", 0o644, Some("x")), ("lib", LINK, Some("usr/lib")), BLKFRONT],
        &[("boot/vmlinuz-6.1", 0o644, Some("x")), BUILT_IN],
        // The package names it by the link that /sbin is.
        &[("usr/sbin/helper", 0o2755, Some("elf"))],
    ];
    for row in rows {
        assert_eq!(scene.found("", row), [], "{row:?}");
    }
    let agent = [("usr/share/qubes/marker-vm", 0o644, Some("4.3\n"))];
    assert_eq!(scene.found("template: {version: 4.3.0}\n", &agent), []);
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
        let findings = check::run(&scene.store.reader(), &tree, &manifest).unwrap();
        assert_eq!(findings[0].check.severity, Severity::Error);
        (findings[0].forbids(), findings[0].told())
    };
    let what = "init: there is no /sbin/init: a package such as systemd-sysv has it";
    let why = "  the kernel starts /sbin/init and panics without".to_owned();
    assert_eq!(told(""), (true, vec![format!("error {what}"), why]));
    let reason = "  the manifest's reason: it is a container's".to_owned();
    assert_eq!(told("checks: {init: it is a container's}\n"), (false, vec![format!("silenced {what}"), reason]));
}
