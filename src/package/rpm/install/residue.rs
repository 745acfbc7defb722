//! What scriptlets of rpm packages leave behind that is no function of the packages.

use crate::package::{Renewal, Residue, Treatment};

/// The table.
pub(super) static RESIDUE: &[Residue] = &[
    remove("var/cache/ldconfig/aux-cache", "has inode numbers and times"),
    remove(
        "var/cache/fontconfig/*.cache-*",
        "holds for a folder's modification time alone, which each image sets anew",
    ),
    remove(
        "usr/lib/fontconfig/cache/*.cache-*",
        "holds for a folder's modification time alone, which each image sets anew",
    ),
    remove("var/lib/dbus/machine-id", "identifies a machine"),
    Residue { treatment: Treatment::Truncate, ..remove("etc/machine-id", "identifies a machine") },
    remove("var/lib/systemd/random-seed", "is random"),
    remove("var/lib/systemd/credential.secret", "is a secret"),
    Residue { renewal: Some(&HOST_KEYS), ..remove("etc/ssh/ssh_host_*", "is a secret") },
];

/// For distributions whose own units do not make them.
const HOST_KEYS: Renewal = Renewal {
    unit: "compose-ssh-host-keys",
    description: "SSH host keys",
    done: "/etc/ssh/ssh_host_*_key",
    command: "/usr/bin/ssh-keygen -A",
};

const fn remove(path: &'static str, why: &'static str) -> Residue {
    Residue { path, why, treatment: Treatment::Remove, renewal: None }
}
