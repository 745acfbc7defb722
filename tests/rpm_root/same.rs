//! Whose files are, and who may have which path.

use std::fs;
use std::process::Command;

use compose::durable;

use crate::fixture::Scene;
use crate::support::program::run;

/// A user that a script makes, and files of that user, of one that nobody knows, and with capabilities.
const OWNERS: &str = "\
Requires(pre): rpm
%description
x
%install
mkdir -p %{buildroot}/srv/eels
cd %{buildroot}/srv/eels
echo a > eel; echo b > nobody; echo c > able; ln eel same; ln -s eel link
%pre
echo eel:x:77:78::/:/bin/sh >> /etc/passwd
echo eels:x:78: >> /etc/group
%files
%dir %attr(2750,eel,eels) /srv/eels
%attr(4755,eel,eels) /srv/eels/eel
%attr(4755,eel,eels) /srv/eels/same
%attr(-,eel,eels) /srv/eels/link
%attr(6755,nobody,nobody) /srv/eels/nobody
%caps(cap_net_raw=ep) /srv/eels/able
%ghost /srv/eels/ghost
";

#[test]
fn files_are_their_owners() {
    let spec = OWNERS.replace("ln -s eel link", "ln -s eel link; touch ghost");
    let Some(scene) = Scene::new(&[("owners", &spec)]) else { return };
    scene.compose(&["build", "m.yaml"]).result();
    let theirs = scene.install_by_rpm();
    let archive = scene.path().join("theirs.tar");
    run(Command::new("tar").arg("-cf").arg(&archive).arg("--directory").arg(&theirs).arg("srv")).result();
    let own = scene.list(&["srv/eels"]);
    fs::rename(&archive, scene.path().join("out/m.amd64.tar")).unwrap();
    let mut theirs = scene.list(&["srv/eels"]);
    theirs.sort_by_key(|line| line.split(' ').nth(2).map(str::to_owned));
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines.into_iter().map(|line| line.replace("./", "")).collect::<Vec<_>>()
    };
    assert_eq!(
        sorted(own.iter().map(|line| plain(line)).collect()),
        sorted(theirs.iter().map(|line| plain(line)).collect())
    );
    assert!(own.iter().any(|line| line.starts_with("drwxr-s--- 77/78")), "{own:?}");
}

/// Also of what only its owner's name makes another file than the one that the package has.
#[test]
fn a_diff_tells_whose_files_are() {
    let spec = OWNERS.replace("ln -s eel link", "ln -s eel link; touch ghost");
    let Some(scene) = Scene::new(&[("owners", &spec)]) else { return };
    let manifest = fs::read_to_string(scene.path().join("m.yaml")).unwrap();
    let without = manifest.replace("name: m\n", "name: n\n").replace("- owners\n", "");
    durable::write(&scene.path().join("n.yaml"), without.as_bytes()).unwrap();
    scene.compose(&["update-lock", "n.yaml"]).result();
    for manifest in ["n.yaml", "m.yaml"] {
        scene.compose(&["build", manifest]).result();
    }
    let told = scene.compose(&["diff", "template/n/amd64", "template/m/amd64"]).stdout;
    let line = told.lines().find(|line| line.contains("set-id") && line.contains("/srv/eels/eel ")).unwrap_or_default();
    assert!(line.contains("mode 4755, owner 77:78; owners 1-1"), "{told}");
}

/// A line of tar's list, of hard links only that they are files.
fn plain(line: &str) -> String {
    let line = line.replacen('h', "-", 1).trim_end_matches('/').to_owned();
    line.split(" link to ").next().unwrap_or_default().to_owned()
}

/// A package with one file.
fn file(content: &str) -> String {
    format!(
        "Requires: rpm\n%description\nx\n%install\nmkdir -p %{{buildroot}}/srv/both\necho {content} > %{{buildroot}}/srv/both/file\n\
         %files\n%dir /srv/both\n/srv/both/file\n"
    )
}

#[test]
fn packages_share_files_that_are_the_same() {
    let Some(scene) = Scene::new(&[("aa", &file("x")), ("bb", &file("x"))]) else { return };
    assert_eq!(scene.read("srv/both/file"), "x\n");
    let Some(scene) = Scene::new(&[("aa", &file("x")), ("bb", &file("y"))]) else { return };
    let failed = scene.compose(&["build", "m.yaml"]);
    assert_eq!(failed.code, Some(2));
    let told = "file /srv/both/file conflicts between attempted installs of bb-1-1.noarch and aa-1-1.noarch";
    assert!(failed.stderr.contains(told), "{}", failed.stderr);
}

#[test]
fn two_stores_and_two_builds_give_the_same_bytes() {
    let triggers = "Requires: rpm\n%description\nx\n%transfiletriggerin -p <lua> -- /usr/bin\n\
                    rpm.execute(\"/bin/sh\", \"-c\", \"echo $0 >> /etc/ran\", rpm.next_file())\n%post\nid > /etc/id\n%files\n";
    let Some(scene) = Scene::new(&[("aa", triggers), ("bb", &file("x"))]) else { return };
    assert_eq!(scene.read("etc/ran").lines().count(), 1);
    let verified = scene.compose(&["verify", "m.yaml"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}
