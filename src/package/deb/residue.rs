//! What scripts of Debian packages leave behind that is no function of the packages, a row each: why, what is done with it,
//! and what makes it again.
//!
//! Secrets, and what tells one machine from another, are never shipped. Most of it systemd and the programs themselves make
//! when it is missing; for the rest a row names a [`Renewal`].

use super::keystore;
use crate::clock::Timestamp;
use crate::package::{Renewal, Residue, Treatment};

/// The table.
pub(super) const RESIDUE: &[Residue] = &[
    remove("var/log/dpkg.log", "has times"),
    remove("var/log/alternatives.log", "has times"),
    remove("var/log/bootstrap.log", "has times"),
    remove("var/log/fontconfig.log", "tells of caches that are removed"),
    remove("var/log/apt/*", "has times"),
    remove("var/log/munin/munin-node-configure.log", "has times"),
    remove("var/lib/dkms/*/*/*/*/log/make.log", "has times"),
    remove("var/lib/texmf/web2c/updmap.log", "has times"),
    remove(
        "var/lib/texmf/web2c/lua*tex/*.fmt",
        "is in an order of times and addresses; TeX makes it when it is missing",
    ),
    remove("var/lib/texmf/web2c/lua*tex/*.log", "goes with a format that is removed"),
    remove("var/lib/texmf/web2c/tex/tex.*", "has times; TeX makes it when it is missing"),
    rewrite("var/lib/texmf/ls-R", "is in the order of a file system's folders", sort_listing),
    rewrite("var/lib/texmf/fmtutil.cnf-*", "is in the order of a file system's folders", sort_settings),
    rewrite("var/lib/texmf/updmap.cfg-*", "is in the order of a file system's folders", sort_settings),
    remove("var/cache/ldconfig/aux-cache", "has inode numbers and times"),
    remove(
        "var/cache/fontconfig/*.cache-*",
        "holds for a folder's modification time alone, which each image sets anew",
    ),
    rewrite("etc/ssl/certs/java/cacerts", "has times", keystore::set_times),
    remove("var/lib/dpkg/*-old", "is a state in the middle of the installation"),
    remove("var/lib/dbus/machine-id", "identifies a machine"),
    Residue { treatment: Treatment::Truncate, ..remove("etc/machine-id", "identifies a machine") },
    remove("var/lib/systemd/random-seed", "is random"),
    remove("var/lib/systemd/credential.secret", "is a secret"),
    renew("etc/ssh/ssh_host_*", "is a secret", &HOST_KEYS),
    renew("etc/ssl/private/ssl-cert-snakeoil.key", "is a secret", &CERTIFICATE),
    renew("etc/ssl/certs/ssl-cert-snakeoil.pem", "belongs to a secret", &CERTIFICATE),
    renew("etc/bind/rndc.key", "is a secret", &CONTROL_KEY),
    renew("var/lib/rabbitmq/.erlang.cookie", "is a secret", &COOKIE),
    renew("etc/nvme/hostnqn", "identifies a machine", &NVME_HOST),
    renew("etc/nvme/hostid", "identifies a machine", &NVME_HOST),
    renew("etc/iscsi/initiatorname.iscsi", "identifies a machine", &INITIATOR),
    renew("etc/freeradius/3.0/certs/dh", "is random", &DH_PARAMETERS),
    renew("etc/aliases.db", "has times and inode numbers", &ALIASES),
    renew("var/lib/postgresql/*/main/*", "identifies a database cluster, and has times", &CLUSTER),
    renew("var/lib/mysql/*", "identifies a database server, and has times", &DATABASES),
];

/// As openssh-server's postinst script does for the keys that it wants.
const HOST_KEYS: Renewal = Renewal {
    unit: "compose-ssh-host-keys",
    description: "SSH host keys",
    done: "/etc/ssh/ssh_host_*_key",
    command: "/usr/bin/ssh-keygen -A",
};

/// As ssl-cert's postinst script does.
const CERTIFICATE: Renewal = Renewal {
    unit: "compose-ssl-certificate",
    description: "a self-signed TLS certificate",
    done: "/etc/ssl/private/ssl-cert-snakeoil.key",
    command: "/usr/sbin/make-ssl-cert generate-default-snakeoil",
};

/// What `pg_createcluster(1)` does for data; it refuses to where there is a configuration, which is shipped.
const CLUSTER: Renewal = Renewal {
    unit: "compose-postgresql-cluster",
    description: "PostgreSQL clusters",
    done: "/var/lib/postgresql/*/main/PG_VERSION",
    command: r#"/bin/sh -ec ' \
    for data in /var/lib/postgresql/*/main; do \
        version="$${data%%/main}"; \
        version="$${version##*/}"; \
        locale="$$(sed -nE "s/^lc_messages = .([A-Za-z0-9_.@-]*).*/\\1/p" "/etc/postgresql/$$version/main/postgresql.conf")"; \
        runuser -u "$$(stat -c %%U "$$data")" -- "/usr/lib/postgresql/$$version/bin/initdb" --pgdata="$$data" \
            --auth-local=peer --auth-host=scram-sha-256 --no-instructions --locale="$${locale:-C.UTF-8}"; \
        rm "$$data/postgresql.conf" "$$data/pg_hba.conf" "$$data/pg_ident.conf"; \
    done'"#,
};

/// As bind9's postinst script does; the folder is of BIND's group, and so is what is made in it.
const CONTROL_KEY: Renewal = Renewal {
    unit: "compose-bind-control-key",
    description: "the key by which BIND is controlled",
    done: "/etc/bind/rndc.key",
    command: "/bin/sh -ec 'rndc-confgen -a -u bind; chmod 640 /etc/bind/rndc.key'",
};

/// As rabbitmq-server's postinst script does.
const COOKIE: Renewal = Renewal {
    unit: "compose-rabbitmq-cookie",
    description: "the secret of RabbitMQ's nodes",
    done: "/var/lib/rabbitmq/.erlang.cookie",
    command: r"/bin/sh -ec ' \
    cookie=/var/lib/rabbitmq/.erlang.cookie; \
    (umask 077; openssl rand -base64 -out $$cookie 42); \
    chown rabbitmq:rabbitmq $$cookie; \
    chmod 400 $$cookie'",
};

/// As nvme-cli's postinst script does.
const NVME_HOST: Renewal = Renewal {
    unit: "compose-nvme-host",
    description: "the name and identifier of an NVMe host",
    done: "/etc/nvme/hostid",
    command: "/bin/sh -ec 'nvme gen-hostnqn > /etc/nvme/hostnqn; uuidgen > /etc/nvme/hostid'",
};

/// As open-iscsi's postinst script does.
const INITIATOR: Renewal = Renewal {
    unit: "compose-iscsi-initiator",
    description: "the name of an iSCSI initiator",
    done: "/etc/iscsi/initiatorname.iscsi",
    command: r#"/bin/sh -ec ' \
    umask 077; \
    name="$$(iscsi-iname -p iqn.1993-08.org.debian:01)"; \
    echo "InitiatorName=$$name" > /etc/iscsi/initiatorname.iscsi'"#,
};

/// As freeradius-config's postinst script does, with the owner and mode that freeradius' gives.
const DH_PARAMETERS: Renewal = Renewal {
    unit: "compose-freeradius-dh",
    description: "Diffie-Hellman parameters for FreeRADIUS",
    done: "/etc/freeradius/3.0/certs/dh",
    command: r"/bin/sh -ec ' \
    file=/etc/freeradius/3.0/certs/dh; \
    (umask 077; openssl dhparam -out $$file 1024); \
    chown freerad:freerad $$file; \
    chmod 640 $$file'",
};

/// As postfix's postinst script does.
const ALIASES: Renewal = Renewal {
    unit: "compose-mail-aliases",
    description: "the table of mail aliases",
    done: "/etc/aliases.db",
    command: "/usr/bin/newaliases",
};

/// As mariadb-server's postinst script does, which leaves a mark of the version beside the data.
const DATABASES: Renewal = Renewal {
    unit: "compose-mariadb-databases",
    description: "the databases that MariaDB itself needs",
    done: "/var/lib/mysql/mysql",
    command: r#"/bin/sh -ec ' \
    mariadb-install-db --rpm --cross-bootstrap --user=mysql --disable-log-bin --skip-test-db; \
    version="$$(mariadbd --version | sed -nE "s/.* Ver ([0-9]+[.][0-9]+)[.].*/\\1/p")"; \
    touch "/var/lib/mysql/debian-$$version.flag"'"#,
};

const fn remove(path: &'static str, why: &'static str) -> Residue {
    Residue { path, why, treatment: Treatment::Remove, renewal: None }
}

const fn renew(path: &'static str, why: &'static str, renewal: &'static Renewal) -> Residue {
    Residue { path, why, treatment: Treatment::Remove, renewal: Some(renewal) }
}

const fn rewrite(path: &'static str, why: &'static str, how: fn(&[u8], Timestamp) -> Option<Vec<u8>>) -> Residue {
    Residue { path, why, treatment: Treatment::Rewrite(how), renewal: None }
}

/// TeX's list of a tree's files (`ls-R` in kpathsea's manual) with folders, and files in each of them, in order. Paragraphs
/// begin with their folder's line; the first one has a comment ahead of it.
fn sort_listing(listing: &[u8], _: Timestamp) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(listing).ok()?;
    let (text, end) = text.split_at(text.trim_end().len());
    let mut folders: Vec<Vec<&str>> = text.split("\n\n").map(|folder| folder.lines().collect()).collect();
    for lines in &mut folders {
        let head = lines.iter().take_while(|line| line.starts_with('%') || line.ends_with(':')).count();
        lines[head..].sort_unstable();
    }
    folders[1..].sort_unstable();
    let folders: Vec<String> = folders.iter().map(|lines| lines.join("\n")).collect();
    Some((folders.join("\n\n") + end).into_bytes())
}

/// Lines that say one thing each, in order below the comment ahead of them (update-fmtutil(8), update-updmap(8)).
fn sort_settings(settings: &[u8], _: Timestamp) -> Option<Vec<u8>> {
    let mut lines: Vec<&str> = std::str::from_utf8(settings).ok()?.lines().collect();
    let head = lines.iter().take_while(|line| line.starts_with('#')).count();
    lines[head..].sort_unstable();
    Some(lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_sorted_by_folder_and_file() {
        let date = Timestamp::from_seconds(0).unwrap();
        let listing = "% ls-R\n./:\n.:\nweb\nls-R\n\n./web/b:\n2\n1\n\n./web:\nb\na\n\n./web/a:\n3\n\n";
        let sorted = "% ls-R\n./:\n.:\nls-R\nweb\n\n./web/a:\n3\n\n./web/b:\n1\n2\n\n./web:\na\nb\n\n";
        assert_eq!(sort_listing(listing.as_bytes(), date).unwrap(), sorted.as_bytes());
        assert_eq!(sort_listing(sorted.as_bytes(), date).unwrap(), sorted.as_bytes());
    }

    #[test]
    fn settings_are_sorted_below_their_comment() {
        let date = Timestamp::from_seconds(0).unwrap();
        let sorted = sort_settings(b"# z\n# a\nMixedMap b\nMap c\nMap a\n", date).unwrap();
        assert_eq!(sorted, b"# z\n# a\nMap a\nMap c\nMixedMap b\n");
    }

    /// systemd.service(5): a `$` or `%` that the shell or a program is to see is written twice.
    #[test]
    fn what_units_run_is_quoted_for_systemd() {
        for Renewal { unit, command, .. } in RESIDUE.iter().filter_map(|row| row.renewal) {
            assert!(unit.starts_with("compose-"), "{unit}");
            let rest = command.replace("$$", "").replace("%%", "");
            assert!(command.starts_with('/') && !rest.contains(['$', '%']), "{unit}: {command}");
        }
    }
}
