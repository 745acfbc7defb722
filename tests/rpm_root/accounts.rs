//! Users and groups of packages' sysusers.d, as rpm 4.19 has them made: ahead of the package's own scripts and files.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fixture::Scene;
use crate::support::needs::{host_program, needs};

/// The host's program that makes users and groups, with its libraries.
const SYSTEMD: &str = r#"
%define __os_install_post %{nil}
%define debug_package %{nil}
%define _build_id_links none
%define _binaries_in_noarch_packages_terminate_build 0
AutoReqProv: no
Requires: rpm
%description
x
%install
cd %{buildroot}
for file in /usr/bin/systemd-sysusers $(ldd /usr/bin/systemd-sysusers | grep -o '/[^ ]*'); do
    real=$(realpath -s "$file")
    case $real in /lib*) real=/usr$real ;; esac
    mkdir -p ".${real%/*}"
    cp -L "$file" ".$real"
done
%files
/*
"#;

/// A package with a file of sysusers.d, which provides what rpm's generator makes of its lines, and one that its user owns.
fn package(name: &str, needs: &str, lines: &[(&str, &str)]) -> String {
    let mut generated = String::new();
    for (provides, line) in lines {
        let mut bytes = line.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(3), 0);
        writeln!(generated, "{provides} = {}", STANDARD.encode(bytes)).unwrap();
    }
    let text: String = lines.iter().flat_map(|(_, line)| [line, "\n"]).collect();
    format!(
        "Requires(pre): {needs}\n%define _fileattrsdir %{{_topdir}}/attributes\n%define __accounts_path ^/usr/lib/sysusers.d/\n\
         %define __accounts_provides() %{{lua:print([[{generated}]])}}\n%description\nx\n%install\n\
         mkdir -p %{{buildroot}}/usr/lib/sysusers.d %{{buildroot}}/srv %{{_fileattrsdir}}\ntouch %{{_fileattrsdir}}/accounts.attr\ncat > %{{buildroot}}/usr/lib/sysusers.d/{name}.conf <<'END'\n\
         {text}END\necho {name} > %{{buildroot}}/srv/{name}\n%pre\ncat /etc/passwd /etc/group > /ahead-of-{name}\n%files\n\
         %attr(4750,{name},{name}) /srv/{name}\n/usr/lib/sysusers.d/{name}.conf\n"
    )
}

fn eel() -> String {
    package("eel", "rpm", &[("user(eel)", "u eel 77:eel \"An eel\" /srv"), ("group(eel)", "g eel 78")])
}

#[test]
fn users_are_there_before_the_scripts_and_files_of_their_package() {
    if needs(host_program("systemd-sysusers", "--version")).is_none() {
        return;
    }
    // What the administrator says of a file counts, which the program sees by the file's name.
    let administrator = "Requires(pre): rpm\n%description\nx\n%install\nmkdir -p %{buildroot}/etc/sysusers.d\n\
                         echo 'u pike 99' > %{buildroot}/etc/sysusers.d/pike.conf\n%files\n/etc/sysusers.d/pike.conf\n";
    let pike = package("pike", "own", &[("user(pike)", "u pike 88")]);
    let specs = [("systemd", SYSTEMD), ("eel", &eel()), ("own", administrator), ("pike", &pike)];
    let Some(scene) = Scene::new(&specs) else { return };
    let ahead = scene.read("ahead-of-eel");
    assert!(ahead.contains("\neel:x:77:78:An eel:/srv:"), "{ahead}");
    assert!(ahead.contains("\neel:x:78:\n"), "{ahead}");
    assert_eq!(scene.list(&["srv/eel"]), ["-rwsr-x--- 77/78 srv/eel"]);
    assert_eq!(scene.list(&["srv/pike"]), ["-rwsr-x--- 99/99 srv/pike"]);
    let verified = scene.compose(&["verify", "m.yaml"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn without_the_program_it_is_said_who_needs_it() {
    let Some(scene) = Scene::new(&[("eel", &eel())]) else { return };
    let failed = scene.compose(&["build", "m.yaml"]);
    assert_eq!(failed.code, Some(2));
    assert_eq!(
        failed.stderr,
        "error: cannot build m for amd64\n  caused by: eel has users and groups, and no package of the lock has \
         /usr/bin/systemd-sysusers, which makes them\nhint: add the package that has it, such as systemd, to `packages:`, and update \
         the lock\n"
    );
}
