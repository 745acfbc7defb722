//! Images in a machine: the shipped manifests', and one that has to make what images do not ship.

use std::path::Path;
use std::process::Command;

use crate::fixture::{self, PARTITIONED, REQUIRED, SHIPPED};
use crate::support::needs::{self, needs};
use crate::support::program::run;

#[test]
fn it_boots() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::built()) else { return };
    for name in SHIPPED.iter().filter(|name| **name != PARTITIONED) {
        if needs(boot("boot", &[], &scene.output(name, "root.img"))).is_none() {
            return;
        }
    }
}

/// What the shipped guests have in common, for another architecture than this machine's.
const FOREIGN: &str = "\
name: guest
format: deb
architectures: [arm64]
archives:
  - id: debian
    suites: [trixie]
    components: [main]
    signed-by: keyrings/debian-archive-keyring.gpg
include: [include/xen-guest.yaml]
image: {partitions: false, size: fit}
";

#[test]
fn a_guest_of_another_architecture_boots() {
    let Some(()) = needs(needs::host_program("qemu-system-aarch64", "--version")) else { return };
    let Some(scene) = needs(fixture::empty()) else { return };
    fixture::write(&scene.path("manifests/guest.yaml"), FOREIGN);
    scene.update_lock("guest");
    scene.build("guest", &["--arch", "arm64"]).result();
    let image = scene.path("out/guest.arm64.root.img");
    let Some(said) = needs(boot("boot", &["--arch", "arm64"], &image)) else { return };
    assert!(said.contains("\nboot: kernel ") && said.contains("-arm64\n"), "{said}");
}

/// As a template and as a guest of it.
#[test]
fn it_boots_on_xen() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::built()) else { return };
    let image = scene.output(PARTITIONED, "root.img");
    let Some(said) = needs(boot("boot-on-xen", &[], &image)) else { return };
    assert!(said.contains("\nboot: root /dev/xvda3 ext4 rw,"), "{said}");
    let said = needs(boot("boot-on-xen", &["--read-only"], &image)).unwrap();
    assert!(said.contains("\nboot: root /dev/mapper/dmroot ext4 rw,"), "{said}");
}

/// Boots an image by a script of `ci/`, which must come up; gives what it tells, or why that cannot be tried.
fn boot(script: &str, options: &[&str], image: &Path) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci").join(script);
    let outcome = run(Command::new(script).args(options).arg(image));
    if outcome.code == Some(2) {
        return Err(outcome.stderr);
    }
    Ok(outcome.result())
}

/// What the scripts of `ci/` do with a cache that cannot be filled: the second of three steps fails.
const UNFILLED: &str = "\
set -euo pipefail
. ci/boot.functions
cache=$1
fill_cache() {
    mkdir \"$cache/new\"
    (cd \"$cache/new\" && false)
    mv \"$cache/new\" \"$1\"
}
prepare_cache ci/boot.functions
";

#[test]
fn a_cache_that_cannot_be_filled_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let mut script = Command::new("bash");
    script.args(["-c", UNFILLED, "boot"]).arg(&cache).current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = run(&mut script);
    assert_eq!((said.code, said.stderr.as_str()), (Some(2), "boot: cannot get kernels to boot with\n"));
    let left = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["lock", "new"]);
}

/// A root with a kernel of its own.
const OWN: &str = "\
name: own
format: deb
architectures: [amd64]
include: [debian-13-xen.yaml, include/own-kernel.yaml]
image: {size: 1G}
";

#[test]
fn a_root_with_its_own_kernel_boots_from_every_firmware() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    fixture::write(&scene.path("manifests/own.yaml"), OWN);
    scene.update_lock("own");
    let line = scene.build("own", &[]).result();
    let image = scene.output("own", "root.img");
    for firmware in ["bios", "efi", "pvh"] {
        let Some(said) = needs(boot("boot", &["--own", firmware], &image)) else { return };
        assert!(said.contains("\nboot: root /dev/vda3 ext4 rw,"), "{firmware}: {said}");
    }
    let Some(said) = needs(boot("boot-on-xen", &["--own"], &image)) else { return };
    assert!(said.contains("\nboot: root /dev/xvda3 ext4 rw,"), "grub-xen: {said}");
    // GRUB's images are the same again.
    std::fs::remove_file(&image).unwrap();
    assert_eq!(scene.build("own", &["--jobs", "1"]).result(), line);
}

#[test]
fn a_root_without_a_kernel_is_told_what_it_lacks() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let image = "image: {kernel: own}\n";
    scene.edit("manifests/required.yaml", "image:\n  partitions: false\n  size: fit\n  slack: 16M\n", image);
    scene.update_lock(REQUIRED);
    let said = scene.build(REQUIRED, &[]);
    let expected = "error own-kernel: /boot/grub/grub.cfg is missing: it is GRUB's configuration; \
                    `include: [include/own-kernel.yaml]` of this project's manifests has one\n";
    assert!(said.code == Some(2) && said.stderr.contains(expected), "{}", said.stderr);
    assert!(said.stderr.ends_with("`checks: {own-kernel: REASON}`\n"), "{}", said.stderr);
}

/// A server whose own unit uses all that was made: one that fails is told by `ci/boot`.
const SERVER: &str = "\
name: server
format: deb
architectures: [amd64]
include: [debian-13-minimal.yaml]
packages: [bind9, nvme-cli, open-iscsi, openssh-server, postgresql]
files:
  - path: /etc/systemd/system/check.service
    content: |
      [Unit]
      Requires=ssh.service
      After=ssh.service postgresql.service
      [Service]
      Type=oneshot
      ExecStart=systemd-analyze --man=no verify compose-postgresql-cluster.service compose-ssh-host-keys.service
      ExecStart=systemd-analyze --man=no verify compose-ssl-certificate.service compose-bind-control-key.service
      ExecStart=systemd-analyze --man=no verify compose-nvme-host.service compose-iscsi-initiator.service
      ExecStart=runuser -u bind -- grep -q 'secret \"..*\";' /etc/bind/rndc.key
      ExecStart=grep -Eqx 'nqn[.].*uuid:[-0-9a-f]{36}' /etc/nvme/hostnqn
      ExecStart=grep -Eqx '[-0-9a-f]{36}' /etc/nvme/hostid
      ExecStart=grep -Eqx 'InitiatorName=iqn[.].*:[0-9a-f]+' /etc/iscsi/initiatorname.iscsi
      ExecStart=ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key
      ExecStart=openssl pkey -noout -in /etc/ssl/private/ssl-cert-snakeoil.key
      ExecStart=openssl x509 -noout -in /etc/ssl/certs/ssl-cert-snakeoil.pem
      ExecStart=runuser -u postgres -- psql --command='select 1'
  - path: /etc/systemd/system/multi-user.target.wants/check.service
    link: ../check.service
";

#[test]
fn what_images_do_not_ship_is_made_at_the_first_boot() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::cold()) else { return };
    fixture::write(&scene.path("manifests/server.yaml"), SERVER);
    scene.update_lock_for("server", &["--arch", "amd64"]);
    scene.build("server", &["--format", "root.img", "--format", "tar"]).result();
    let list = run(Command::new("tar").arg("-tf").arg(scene.output("server", "tar"))).result();
    let of = |part: &str| list.lines().filter(|path| path.contains(part)).collect::<Vec<_>>();
    let made =
        ["bind/rndc.key", "etc/nvme/host", "iscsi/initiatorname", "ssh_host_", "snakeoil", "lib/postgresql/17/main/"];
    assert_eq!(made.map(of).concat(), [""; 0]);
    let units =
        ["bind-control-key", "iscsi-initiator", "nvme-host", "postgresql-cluster", "ssh-host-keys", "ssl-certificate"];
    let paths = |folder: &str| units.map(|unit| format!("etc/systemd/system/{folder}compose-{unit}.service")).to_vec();
    assert_eq!(of("/compose-"), [paths(""), paths("sysinit.target.wants/")].concat());
    needs(boot("boot", &[], &scene.output("server", "root.img")));
}
