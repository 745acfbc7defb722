//! A distribution made on the spot: packages that tests write as spec files, and one with the host's rpm and a shell.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::durable;
use tempfile::TempDir;

use crate::support::needs::{host_program, needs, root};
use crate::support::program::{Outcome, compose, run};

/// What every spec file begins with.
const HEAD: &str = "Version: 1\nRelease: 1\nSummary: a test\nLicense: none\n";

/// The package of the programs that roots need: rpm with its libraries and settings, among them one of rpm 4.19, and busybox.
const PROGRAMS: &str = r#"
%define __os_install_post %{nil}
%define debug_package %{nil}
%define _build_id_links none
Name: rpm
AutoReqProv: no
Provides: /bin/sh
%description
Programs of the host.
%install
cd %{buildroot}
mkdir -p usr/bin usr/lib usr/lib64 dev proc run tmp etc
for name in bin lib lib64; do ln -s usr/$name $name; done
for file in /usr/bin/rpm $(ldd /usr/bin/rpm | grep -o '/[^ ]*'); do
    real=$(realpath -s "$file")
    case $real in /lib*) real=/usr$real ;; esac
    mkdir -p ".${real%/*}"
    cp -L "$file" ".$real"
done
cp -a /usr/lib/rpm usr/lib/
sed -i 's,^%%_dbpath[[:space:]].*,%%_dbpath /var/lib/rpm,; /__systemd_sysusers/d' usr/lib/rpm/macros
echo '%%__systemd_sysusers /usr/bin/systemd-sysusers' >> usr/lib/rpm/macros
cp "$(command -v busybox)" usr/bin/busybox
for name in sh cat echo sleep true false id; do ln -s busybox usr/bin/$name; done
echo root:x:0:0:root:/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
%files
/*
"#;

/// A folder with a repository and a manifest of its packages, which is locked.
pub struct Scene {
    pub folder: TempDir,
    names: Vec<String>,
}

impl Scene {
    /// `None`, with the reason told, where the test cannot run.
    pub fn new(specs: &[(&str, &str)]) -> Option<Self> {
        needs(root())?;
        for (program, argument) in [("rpmbuild", "--version"), ("createrepo_c", "--version"), ("busybox", "true")] {
            needs(host_program(program, argument))?;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("rpms")).unwrap();
        link(&programs(), &folder.path().join("rpms/rpm.rpm"));
        let names = ["rpm"].into_iter().chain(specs.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
        let scene = Self { folder, names };
        for (name, spec) in specs {
            build(scene.path(), name, spec);
        }
        run(Command::new("createrepo_c").arg("--quiet").arg(scene.path().join("rpms"))).result();
        let mut text = format!(
            "name: m\nformat: rpm\narchitectures: [amd64]\nbase: none\noutputs: [tar]\narchives:\n  - id: a\n    \
             baseurl: ['file://{}/rpms']\n    repo_gpgcheck: false\n    gpgcheck: false\npackages:\n",
            scene.path().display()
        );
        scene.names.iter().for_each(|name| writeln!(text, "- {name}").unwrap());
        durable::write(&scene.path().join("m.yaml"), text.as_bytes()).unwrap();
        scene.compose(&["update-lock", "m.yaml"]).result();
        Some(scene)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `compose` with a store beside the manifest.
    pub fn compose(&self, arguments: &[&str]) -> Outcome {
        run(&mut compose(self.path(), ["--store", "store", "--quiet"].iter().chain(arguments)))
    }

    /// Builds the root, and gives a file of it.
    pub fn read(&self, path: &str) -> String {
        self.compose(&["build", "m.yaml"]).result();
        run(Command::new("tar").arg("-xOf").arg(self.path().join("out/m.amd64.tar")).arg(path)).result()
    }

    /// A file of the root that was built.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let mut tar = Command::new("tar");
        tar.arg("-xOf").arg(self.path().join("out/m.amd64.tar")).arg(path).output().unwrap().stdout
    }

    /// The lines of a list of the root's files that name one of these.
    pub fn list(&self, names: &[&str]) -> Vec<String> {
        let listed =
            run(Command::new("tar").arg("-tvf").arg(self.path().join("out/m.amd64.tar")).arg("--numeric-owner"));
        let wanted = |line: &&str| names.iter().any(|name| line.contains(name));
        listed.result().lines().filter(wanted).map(without_time).collect()
    }

    /// What the host's rpm makes of the same packages, which it is given in the order of their names.
    pub fn install_by_rpm(&self) -> PathBuf {
        let root = self.path().join("theirs");
        fs::create_dir_all(root.join("dev")).unwrap();
        let mut names = self.names.clone();
        names.sort();
        let mut rpm = Command::new("rpm");
        rpm.args(["--install", "--noplugins", "--nosignature", "--ignorearch", "--dbpath", "/var/lib/rpm", "--root"])
            .arg(&root);
        rpm.args(names.iter().map(|name| self.path().join(format!("rpms/{name}.rpm"))))
            .env("PATH", "/usr/bin:/usr/sbin");
        run(&mut rpm).result();
        root
    }
}

/// A line of tar's list without the time, whose columns' width depends on others.
fn without_time(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    [&words[..2], &words[5..]].concat().join(" ")
}

fn link(source: &Path, target: &Path) {
    fs::hard_link(source, target).or_else(|_| fs::copy(source, target).map(drop)).unwrap();
}

/// The package of programs, which is made once for all tests.
fn programs() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpm_root");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("rpms")).unwrap();
        build(&folder, "rpm", PROGRAMS);
        folder.join("rpms/rpm.rpm")
    })
    .clone()
}

/// Makes `rpms/NAME.rpm` of a spec file; `NAME.ARCHITECTURE` names a package for that, others but `rpm` are for all.
fn build(folder: &Path, name: &str, spec: &str) {
    let file = folder.join(format!("{name}.spec"));
    let (plain, architecture) = name.split_once('.').unwrap_or((name, if name == "rpm" { "x86_64" } else { "noarch" }));
    let name_line = if name == "rpm" { String::new() } else { format!("Name: {plain}\n") };
    durable::write(&file, format!("{name_line}{HEAD}{spec}").as_bytes()).unwrap();
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--nodeps"]).arg("--define").arg(format!("_topdir {}/top", folder.display()));
    rpmbuild.arg("--define").arg(format!("_rpmdir {}/rpms", folder.display()));
    rpmbuild.args(["--target", architecture, "--define", "_binary_payload w1.gzdio"]);
    rpmbuild.arg("--define").arg(format!("_build_name_fmt {name}.rpm"));
    run(rpmbuild.arg(&file)).result();
}
