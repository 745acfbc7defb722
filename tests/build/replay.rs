//! Scripts of the build before: which run again after a change, and that the result is the one of a build from nothing.

use std::fs;

use crate::fixture::{self, REQUIRED, Scene};
use crate::support::deb::Deb;
use crate::support::needs::needs;
use crate::support::program::{Outcome, run};

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

/// Builds with these packages and eels: which scripts ran; the result has to be that of a build from nothing.
fn build(scene: &Scene, mut packages: Vec<Deb>, eels: Deb) -> Vec<String> {
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

fn run_verbose(scene: &Scene) -> Outcome {
    run(scene.compose(["build", "--verbose", &fixture::path_of(REQUIRED)]).args(["--format", "tar"]))
}

/// What is printed, and the packages whose scripts ran.
fn fixture_build(scene: &Scene) -> (String, Vec<String>) {
    let said = run_verbose(scene);
    for unseen in ["all scripts run:", " is not kept: "] {
        assert!(!said.stderr.contains(unseen), "{}", said.stderr);
    }
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
    assert_eq!(build(&scene, others(), first), all);

    let nothing: [&str; 0] = [];
    assert_eq!(
        build(&scene, others(), eels("1.1").file("usr/share/eels/data", "one")),
        nothing,
        "nothing that scripts look at"
    );
    assert_eq!(build(&scene, others(), eels("1.2").file("usr/share/eels/data", "two")), ["chain", "reader"]);
    let case = eels("1.3").file("usr/share/eels/data", "TWO");
    assert_eq!(build(&scene, others(), case), ["reader"], "the result of one script is as before");
    let later = eels("1.4").file("usr/share/eels/data", "TWO").file("usr/share/eels/later", "");
    assert_eq!(build(&scene, others(), later), ["lister", "looker"]);
    let scripted = eels_with("1.5", "echo better > /var/lib/eels\n").file("usr/share/eels/data", "TWO");
    assert_eq!(build(&scene, others(), scripted), ["eels", "lister", "looker"]);
    let linked = eels("1.6").file("usr/share/other/data", "TWO").file("usr/share/other/later", "");
    let linked = linked.symlink("usr/share/eels", "other");
    assert_eq!(build(&scene, others(), linked), ["eels", "lister", "looker", "reader"], "a folder became a link");
}

/// Packages whose scripts depend on more than what they read, or do more than they write.
fn subtle() -> Vec<Deb> {
    let reading = "cat /usr/share/eels/data > /dev/null\n";
    let after = |name: &str, before: &str, script: &str| telling(name, script).depends(&format!("eels, {before}"));
    let alone = |name: &str, script: &str| telling(name, script).depends("eels");
    let timed = format!("{reading}if [ /var/lib/early -nt /usr/share/eels ]; then echo newer; fi > /var/lib/late\n");
    let tested = format!("{reading}if [ -e /dev/eels ]; then echo there; fi > /var/lib/tested\n");
    vec![
        // Links that are retargeted between two who look through them.
        after("alt-a", "alt-data", &format!("{reading}cat /usr/share/alt/x > /var/lib/alt-a\n")),
        after("alt-b", "alt-a", "ln -sfn eels/two /usr/share/alt\n"),
        after("alt-c", "alt-b", &format!("{reading}cat /usr/share/alt/x > /var/lib/alt-c\n")),
        Deb::new("alt-data", "1.0").file("usr/share/one/x", "one").symlink("usr/share/alt", "one"),
        alone("early", "echo early > /var/lib/early\n"),
        alone("giver", "chown 0:0 /usr/share/eels/owned\n"),
        alone("heir", "echo heir > /usr/share/eels/pit/heir\nmkdir /usr/share/eels/pit/deep\n"),
        after("late", "early", &timed),
        alone("maker", "mkdir -p /usr/share/eels/made\nchown 1 /usr/share/eels/made\n"),
        alone("mounted", "mkdir -p /sys/fs/eels\ntouch /dev/eels\n"),
        alone("remover", "rmdir --ignore-fail-on-non-empty /usr/share/eels/pool\n"),
        after("tester", "mounted", &tested),
        alone("typist", "find /usr/share/eels -type f | sort > /var/lib/typist\n"),
        // Of what follows these not all is known, and so it runs: it comes after all others.
        after("z-link", EARLIER, "echo 1 > /var/lib/z-one\nln /var/lib/z-one /var/lib/z-two\n"),
        after("z-more", "z-link", "cat /usr/share/eels/data >> /var/lib/z-one\n"),
        after(
            "z-move",
            "z-read",
            "mkdir /usr/share/new\necho x > /usr/share/new/x\nmv /usr/share/new /usr/share/moved\n",
        ),
        after("z-read", "z-more", "cat /var/lib/z-two > /var/lib/z-read\n"),
    ]
}

const EARLIER: &str = "alt-c, giver, heir, late, maker, remover, tester, typist";

/// What they depend on, of which `kind` is the mode of folders and `data` the content of files.
fn depths(version: &str, mode: u32, data: &str) -> Deb {
    let package = eels(version).file("usr/share/eels/data", data).file("usr/share/eels/two/x", data);
    let package = package.dir("usr/share/eels/made").mode(mode).dir("usr/share/eels/pit").mode(mode).owner(0, 50);
    package.dir("usr/share/eels/owned").owner(5, 5).dir("usr/share/eels/pool")
}

#[test]
fn what_scripts_do_not_read_has_a_part_in_what_they_do() {
    let Some(scene) = needs(fixture::cold()) else { return };
    build(&scene, subtle(), depths("1.0", 0o755, "one").file("usr/share/eels/thing", "x"));
    let lost = ["z-more", "z-move", "z-read"];
    let ran = |package: Deb| {
        let mut ran = build(&scene, subtle(), package);
        ran.retain(|name| !lost.contains(&name.as_str()));
        ran
    };
    let data = depths("1.1", 0o755, "two").file("usr/share/eels/thing", "x");
    assert_eq!(ran(data), ["alt-a", "alt-c", "late", "tester"], "data");
    let modes = depths("1.2", 0o2750, "two").file("usr/share/eels/thing", "x");
    assert_eq!(ran(modes), ["heir", "maker", "typist"], "modes");
    let kinds = depths("1.3", 0o2750, "two").symlink("usr/share/eels/thing", "data");
    assert_eq!(ran(kinds), ["typist"], "kinds");
    let content =
        depths("1.4", 0o2750, "two").symlink("usr/share/eels/thing", "data").file("usr/share/eels/pool/fish", "");
    assert_eq!(ran(content), ["remover", "typist"], "content");

    // What a run left is in the store no more: all is made anew, and is the same.
    let before = fixture_build(&scene).0;
    for folder in fs::read_dir(scene.path("store/repo/objects")).unwrap() {
        for object in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = object.unwrap().path();
            if path.metadata().is_ok_and(|m| m.is_file() && m.len() == 6) && fs::read(&path).unwrap() == b"early\n" {
                fs::remove_file(path).unwrap();
            }
        }
    }
    fs::remove_dir_all(scene.path("store/repo/refs/heads/cache/root")).unwrap();
    fs::remove_dir_all(scene.path("out")).unwrap();
    let said = run_verbose(&scene);
    assert!(said.stderr.contains("all scripts run: cannot do what a script did before: cannot write /var/lib/early"));
    assert_eq!(said.result(), before);
}

/// Packages whose scripts ask dpkg's database.
fn asking() -> Vec<Deb> {
    let version = r"dpkg-query --show --showformat='${Version} ${Status}\n'";
    vec![
        telling("absent", &format!("{version} newcomer > /var/lib/absent 2>&1 || true\n")),
        telling("asker", &format!("{version} eels > /var/lib/asker\n")).depends("eels"),
        telling("diverter", "dpkg-divert --package diverter --rename --divert /usr/share/far --add /usr/share/near\n"),
        telling("files", "dpkg --listfiles eels > /var/lib/files\n").depends("eels"),
        telling("finder", "dpkg --search '/usr/share/eels/*' > /var/lib/finder\n").depends("eels"),
        telling("other", &format!("{version} loner 'base-fil*' > /var/lib/other\n")).depends("loner"),
        telling("single", &format!("{version} loner > /var/lib/single\n")).depends("loner"),
        telling("whole", "grep ^Version: /var/lib/dpkg/status > /var/lib/whole\n"),
        Deb::new("loner", "1.0"),
    ]
}

#[test]
fn who_asks_for_a_package_has_seen_no_other() {
    let Some(scene) = needs(fixture::cold()) else { return };
    let data = |version: &str| eels(version).file("usr/share/eels/data", "");
    build(&scene, asking(), data("1.0"));
    assert_eq!(build(&scene, asking(), data("1.1")), ["asker", "files", "other", "whole"], "a version");
    let more = data("1.1").file("usr/share/eels/more", "");
    assert_eq!(build(&scene, asking(), more), ["files", "finder"], "a file");
    let mentioned = || data("1.1").file("usr/share/eels/more", "").field("Suggests", "newcomer");
    assert_eq!(build(&scene, asking(), mentioned()), ["absent", "asker", "files", "other", "whole"], "a mention");
    let mut packages = asking();
    packages.push(Deb::new("newcomer", "1.0"));
    assert_eq!(build(&scene, packages, mentioned()), ["absent", "finder", "other", "whole"], "a package");
}
