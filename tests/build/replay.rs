//! Scripts of the build before: which run again after a change, and that the result is the one of a build from nothing.

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::needs;

/// A package whose postinst script tells that it runs.
fn telling(name: &str, script: &str) -> Deb {
    Deb::new(name, "1.0").script("postinst", &format!("#!/bin/sh\nset -e\necho {name} runs\n{script}"))
}

/// The packages whose scripts do not change.
fn others() -> Vec<Deb> {
    vec![
        telling("appender", "echo appender >> /var/lib/journal\n").depends("loner"),
        // What it makes of another script's result.
        telling("chain", "cat /var/lib/reader > /var/lib/chain\n").depends("reader"),
        telling("conffiles", "sed s/a/b/ /etc/conffile > /var/lib/conffiles\nchmod 600 /etc/conffile\n")
            .file("etc/conffile", "a\n")
            .conffiles(&["/etc/conffile"]),
        telling("linker", LINKER).file("usr/share/linker/gone", "").symlink("usr/share/linker/link", "gone"),
        telling("lister", "ls /usr/share/eels > /var/lib/lister\n")
            .triggers("interest-noawait /usr/share/eels\n")
            .depends("eels"),
        telling("loner", "echo loner >> /var/lib/journal\n"),
        telling("looker", "if [ -e /usr/share/eels/later ]; then echo yes; else echo no; fi > /var/lib/looker\n"),
        telling("quitter", "mkdir /var/lib/quitter\n")
            .script("preinst", "#!/bin/sh\necho quitter begins\nln -sf eels /var/lib/before\n"),
        telling("reader", "tr a-z A-Z < /usr/share/eels/data > /var/lib/reader\n").depends("eels"),
        telling("user", "useradd --system --user-group lamprey\nchown lamprey /var/lib/user\n").dir("var/lib/user"),
    ]
}

/// What names can be made to mean.
const LINKER: &str = "\
cd /usr/share/linker
rm gone
mkdir -p deep/er
mv link deep/er/link
echo x > new
ln new newer && rm new
install -m 4755 -o 1 -g 2 newer deep/set-id
mkfifo pipe && rm pipe
cp -a deep copied && rm -r copied
touch empty
";

fn eels(version: &str) -> Deb {
    eels_with(version, "echo well > /var/lib/eels\n")
}

fn eels_with(version: &str, script: &str) -> Deb {
    let package = Deb::new("eels", version).file("usr/share/doc/eels/version", version);
    package.script("postinst", &format!("#!/bin/sh\necho eels runs\n{script}"))
}

/// Builds with these eels: which scripts ran; the result has to be that of a build from nothing.
fn build(scene: &Scene, eels: Deb) -> Vec<String> {
    let mut packages = others();
    packages.push(eels);
    let names: Vec<_> = packages.iter().filter_map(|package| package.get("Package")).collect();
    let all = Deb::new("everything", "1.0").depends(&names.join(", "));
    packages.push(all);
    if scene.path("own").exists() {
        scene.publish(&packages);
        scene.update_lock(REQUIRED);
    } else {
        scene.add_packages(&packages);
    }
    let built = fixture_build(scene);
    let digest = |line: &str| line.split(' ').next().unwrap().to_owned();
    let with_empty_store = fixture_build(&scene.with_empty_store());
    assert_eq!(digest(&built.0), digest(&with_empty_store.0), "{:?}", built.1);
    built.1
}

/// What is printed, and the packages whose scripts ran.
fn fixture_build(scene: &Scene) -> (String, Vec<String>) {
    let said = crate::support::program::run(
        scene.compose(["build", "--verbose", &fixture::path_of(REQUIRED)]).args(["--format", "tar"]),
    );
    let mut ran: Vec<String> =
        said.stderr.lines().filter_map(|line| line.trim().strip_suffix(" runs")).map(str::to_owned).collect();
    ran.sort();
    ran.dedup();
    (said.result(), ran)
}

#[test]
fn a_changed_package_reruns_the_scripts_that_it_reaches() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let first = eels("1.0").file("usr/share/eels/data", "one");
    let mut all: Vec<String> = others().iter().filter_map(|p| p.get("Package")).map(str::to_owned).collect();
    all.push("eels".to_owned());
    all.sort();
    assert_eq!(build(&scene, first), all);

    let nothing: [&str; 0] = [];
    assert_eq!(build(&scene, eels("1.1").file("usr/share/eels/data", "one")), nothing, "nothing that scripts look at");
    assert_eq!(build(&scene, eels("1.2").file("usr/share/eels/data", "two")), ["chain", "reader"]);
    let case = eels("1.3").file("usr/share/eels/data", "TWO");
    assert_eq!(build(&scene, case), ["reader"], "the result of one script is as before");
    let later = eels("1.4").file("usr/share/eels/data", "TWO").file("usr/share/eels/later", "");
    assert_eq!(build(&scene, later), ["lister", "looker"]);
    let scripted = eels_with("1.5", "echo better > /var/lib/eels\n").file("usr/share/eels/data", "TWO");
    assert_eq!(build(&scene, scripted), ["eels", "lister", "looker"]);
    let linked = eels("1.6").file("usr/share/other/data", "TWO").file("usr/share/other/later", "");
    let linked = linked.symlink("usr/share/eels", "other");
    assert_eq!(build(&scene, linked), ["eels", "lister", "looker", "reader"], "a folder became a link");
}
