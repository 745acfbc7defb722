//! Images in a machine: the shipped manifests', and one that has to make what images do not ship.

use std::path::Path;
use std::process::Command;

use crate::fixture::{self, SHIPPED};
use crate::support::needs::{self, needs};
use crate::support::program::run;

#[test]
fn it_boots() {
    let Some(()) = needs(needs::host_program("qemu-system-x86_64", "--version")) else { return };
    let Some(scene) = needs(fixture::built()) else { return };
    for name in SHIPPED {
        if needs(boot(&scene.output(name, "root.img"))).is_none() {
            return;
        }
    }
}

/// Boots an image, which must come up; the reason is given when that cannot be tried.
fn boot(image: &Path) -> Result<(), String> {
    let outcome = run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/boot")).arg(image));
    if outcome.code == Some(2) {
        return Err(outcome.stderr);
    }
    outcome.result();
    Ok(())
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
    scene.update_lock("server");
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
    needs(boot(&scene.output("server", "root.img")));
}
