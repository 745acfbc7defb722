//! A comparison with something of every level in it, and names that would act if they could.

use compose::assemble::origins::{Cause, CauseKind};
use compose::diff::report;
use compose::diff::templates::{
    AccountChange, Alert, AlertKind, Change, Changes, Comparison, ModuleChange, Named, PathChange, PresetChange,
    ScriptChange, Size, SocketChange, State, UnitChange,
};
use compose::digest::Sha256;
use compose::lock::{Asked, Lock, Package};

use crate::support::lock::{lock_of, locked};

/// Names that would act in a page, if they could.
pub const HOSTILE: [&str; 4] = [
    "<script>document.title='caught'</script>",
    "\"><img src=x onerror=document.title='caught'>",
    "{{script}}",
    "</div></details><h1>caught</h1>",
];

fn package(name: &str, version: &str, size: u64) -> Package {
    Package {
        size: size / 3,
        asked: Some(Asked::Manifest),
        installed_size: size,
        sha256: Sha256::of(format!("{name} {version}").as_bytes()),
        ..locked(name, version)
    }
}

fn lock(packages: Vec<Package>) -> Lock {
    lock_of("desktop", packages)
}

/// Locks of many packages, some of which changed.
fn locks() -> [Lock; 2] {
    let names = ["linux-image", "firefox-esr", "libreoffice-core", "gcc-14", "perl-base", "systemd", "openssl", "bash"];
    let mut old: Vec<Package> = names
        .iter()
        .zip(1..)
        .map(|(name, n)| package(name, "1.0-1", 400_000_000 / (n * n)))
        .chain((0..60).map(|n| package(&format!("libsmall{n}"), "2.3", 900_000 + n * 40_000)))
        .collect();
    let mut new = old.clone();
    for (index, (version, size)) in [
        (0, ("1.1-1", 380_000_000)),
        (1, ("1.2-1", 140_000_000)),
        (3, ("1.0-2", 25_100_000)),
        (6, ("0.9-1", 8_000_000)),
    ] {
        new[index] = package(&new[index].name.clone(), version, size);
    }
    new[4].sha256 = Sha256::of(b"another file");
    old.push(package("exim4", "4.98", 30_000_000));
    new.push(package("postfix", "3.10", 21_000_000));
    for name in HOSTILE {
        new.push(package(&name.replace('/', "\u{2215}"), "6<b>7", 4_000_000));
    }
    for list in [&mut old, &mut new] {
        list.sort();
    }
    [lock(old), lock(new)]
}

fn state(kind: &'static str, mode: u32, size: u64) -> State {
    State {
        kind,
        mode: format!("{mode:04o}"),
        uid: 0,
        gid: 0,
        size: (kind == "file").then_some(size),
        object: None,
        target: (kind == "link").then(|| "../lib/x".to_owned()),
        capabilities: None,
        link: None,
        permissions: mode,
    }
}

fn path(path: &str, change: Change, aspects: &[&'static str], causes: &[(CauseKind, &str)]) -> PathChange {
    PathChange {
        path: path.to_owned(),
        change,
        aspects: aspects.to_vec(),
        old: (change != Change::Added).then(|| state("file", 0o755, 1000)),
        new: (change != Change::Removed).then(|| state("file", 0o4755, 1400)),
        configuration: path.starts_with("/etc/"),
        explained_by: causes.iter().map(|(kind, by)| Cause::new(*kind, *by)).collect(),
    }
}

pub fn comparison() -> Comparison {
    let [old, new] = locks();
    let linux = [(CauseKind::Package, "linux-image 1.0-1 → 1.1-1")];
    let script = [(CauseKind::Script, "the postinst script of man-db, triggered"), (CauseKind::Program, "dpkg")];
    let mut paths = vec![
        path(
            "/etc/ld.so.cache",
            Change::Changed,
            &["content"],
            &[(CauseKind::Script, "the postinst script of libc-bin")],
        ),
        path("/etc/shadow", Change::Changed, &["content"], &[(CauseKind::Manifest, "setting up the user anna")]),
        path("/usr/bin/env", Change::Changed, &["mode", "set-id"], &[]),
        path("/usr/bin/exim", Change::Removed, &[], &[(CauseKind::Package, "exim4 4.98, removed")]),
        path("/usr/sbin/postfix", Change::Added, &[], &[(CauseKind::Package, "postfix 3.10, added")]),
        path("/var/cache/man/index.db", Change::Changed, &["content"], &script),
    ];
    for n in 0..48 {
        let change = if n % 3 == 0 { Change::Added } else { Change::Changed };
        paths.push(path(
            &format!("/usr/lib/modules/6.12/kernel/drivers/net/card{n}.ko.xz"),
            change,
            &["content"],
            &linux,
        ));
    }
    for name in HOSTILE {
        paths.push(path(&format!("/opt/{name}"), Change::Added, &[], &[(CauseKind::Package, name)]));
    }
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    let size = |lock: &Lock, name: &str| lock.packages.iter().find(|p| p.name == name).map(|p| p.installed_size);
    let mut names: Vec<&str> = old.packages.iter().chain(&new.packages).map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let sizes =
        names.iter().map(|name| Size { package: (*name).to_owned(), old: size(&old, name), new: size(&new, name) });
    let account = |name: &str, line: &str| AccountChange {
        name: name.to_owned(),
        change: Change::Added,
        old: None,
        new: Some(line.to_owned()),
        gains_shell: true,
    };
    let alert = |kind, what: &str, details: &str| Alert { kind, what: what.to_owned(), details: details.to_owned() };
    let subject = |name: &str| Named {
        name: name.to_owned(),
        lock: Some("desktop.amd64".to_owned()),
        commit: Some(Sha256::of(name.as_bytes())),
    };
    Comparison {
        old: subject("template/desktop/amd64^"),
        new: subject(&format!("template/desktop/amd64 {}", HOSTILE[0])),
        notes: vec!["the store has no record of how the old tree was made".to_owned()],
        alerts: vec![
            alert(AlertKind::Unexplained, "/usr/bin/env", "changed: mode 0755 → 4755, set-id"),
            alert(AlertKind::Replaced, "perl-base", "another file as 1.0-1, the same version"),
            alert(AlertKind::SetId, "/usr/bin/env", "mode 4755, owner 0:0"),
            alert(AlertKind::UserWithShell, "anna", "anna:1000:1000::/home/anna:/bin/bash"),
            alert(AlertKind::Key, HOSTILE[1], HOSTILE[3]),
        ],
        packages: Some(report::compare([(Some(&old), &new)]).unwrap()),
        sizes: sizes.collect(),
        tree: Some(Changes {
            scripts: vec![ScriptChange {
                package: "systemd".to_owned(),
                script: "postinst".to_owned(),
                change: Change::Changed,
                lines_added: 1,
                lines_removed: 1,
                lines: ["@@ -1,3 +1,3 @@", " set -e", "-adduser x", "+adduser y </pre><script>"]
                    .map(str::to_owned)
                    .to_vec(),
            }],
            paths,
            users: vec![account("anna", "anna:1000:1000::/home/anna:/bin/bash"), account(HOSTILE[0], HOSTILE[0])],
            groups: vec![account("anna", "anna:1000:")],
            units: vec![UnitChange {
                unit: "postfix.service".to_owned(),
                manager: "system",
                wanted_by: Some("multi-user.target".to_owned()),
                change: Change::Added,
                path: "/etc/systemd/system/multi-user.target.wants/postfix.service".to_owned(),
            }],
            presets: vec![PresetChange {
                unit: "avahi-daemon.socket".to_owned(),
                manager: "user",
                old: "disable",
                new: "enable",
                file: Some("10-</pre><script>.preset".to_owned()),
            }],
            sockets: vec![SocketChange {
                unit: "ssh.socket".to_owned(),
                manager: "system",
                change: Change::Added,
                old: Vec::new(),
                new: vec!["ListenStream=22".to_owned()],
            }],
            modules: vec![ModuleChange { kernel: "6.12".to_owned(), added: 16, removed: 0, changed: 32 }],
        }),
    }
}
