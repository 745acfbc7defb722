//! The package has upstream's form: what rpm reads in it, and what rpmbuild makes of a spec of that form.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::scene::{FOLDER, SECONDS, Scene, query, template};
use crate::support::needs::{host_program, needs};
use crate::support::program::run;

#[test]
fn the_one_script_is_upstreams_refusal() {
    let Some(scene) = needs(Scene::new()) else { return };
    let package = scene.package("a.rpm", None, 1);
    assert_eq!(
        query(&package, &["--scripts"]),
        "preinstall scriptlet (using /bin/sh):\n\
         echo '***** ERROR: do not install template using rpm/dnf or similar' >&2\n\
         echo \"*****        use 'qvm-template install' instead\" >&2\n\
         exit 1\n"
    );
    assert_eq!(query(&package, &["--triggers", "--filetriggers"]), "");
}

#[test]
fn files_have_upstreams_modes_and_owners() {
    let Some(scene) = needs(Scene::new()) else { return };
    let package = scene.package("a.rpm", None, 1);
    let format =
        "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILESIZES}\n]";
    let listed = query(&package, &["--queryformat", format]);
    let image = fs::metadata(scene.unpack(&package, "root").join("root.img.part.00")).unwrap().len();
    let expected = format!(
        " 42770 root:qubes  0
/apps 40775 root:qubes  0
/apps.tempicons 40775 root:qubes  0
/apps.templates 40775 root:qubes  0
/clean-volatile.img.tar 100660 root:qubes  0
/netvm-whitelisted-appmenus.list 100664 root:qubes  14
/private.img 100660 root:qubes g 0
/root.img 100660 root:qubes g 0
/root.img.part.00 100660 root:qubes  {image}
/template.conf 100664 root:qubes  20
/vm-whitelisted-appmenus.list 100664 root:qubes  14
/volatile.img 100660 root:qubes g 0
/whitelisted-appmenus.list 100664 root:qubes  14
"
    );
    let expected: Vec<String> = expected.lines().map(|line| format!("{FOLDER}{line}")).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

/// A spec of the same files in upstream's form.
const SPEC: &str = r#"
%define dest /var/lib/qubes/vm-templates/debian-13
Name: qubes-template-debian-13
Version: 4.3.0
Release: 202611140912
Summary: Qubes OS template for debian-13
License: GPLv3+
URL: http://www.qubes-os.org
BuildArch: noarch
Requires: xdg-utils
Requires(post): tar
Provides: qubes-template
Obsoletes: %{name} > %{version}-%{release}
%description
%{summary}.
%install
mkdir -p %{buildroot}/var/lib/qubes/vm-templates
cp -r %{source_folder} %{buildroot}/var/lib/qubes/vm-templates/debian-13
cd %{buildroot}/var/lib/qubes/vm-templates/debian-13
touch root.img private.img volatile.img
%pre
echo '***** ERROR: do not install template using rpm/dnf or similar' >&2
echo "*****        use 'qvm-template install' instead" >&2
exit 1
%files
%attr(2770,root,qubes) %dir %{dest}
%attr(0660,root,qubes) %{dest}/root.img.part.*
%attr(0660,root,qubes) %{dest}/clean-volatile.img.tar
%attr(0664,root,qubes) %{dest}/*appmenus.list
%attr(0664,root,qubes) %{dest}/template.conf
%attr(0660,root,qubes) %ghost %{dest}/root.img
%attr(0660,root,qubes) %ghost %{dest}/private.img
%attr(0660,root,qubes) %ghost %{dest}/volatile.img
%attr(0775,root,qubes) %dir %{dest}/apps
%attr(0775,root,qubes) %dir %{dest}/apps.templates
%attr(0775,root,qubes) %dir %{dest}/apps.tempicons
"#;

/// Tags that rpmbuild adds by itself about the machine and the compiler, and by libmagic about files; and what follows from
/// them, and from another writer of the same archive in zstd.
const OWN: [&str; 10] = [
    "Classdict",
    "Fileclass",
    "Filecolors",
    "Headerimmutable",
    "Optflags",
    "Payloaddigest",
    "Payloadflags",
    "Platform",
    "Sha1header",
    "Sha256header",
];

#[test]
fn rpmbuild_makes_the_same_of_a_spec() {
    let Some(scene) = needs(Scene::new()) else { return };
    let Some(()) = needs(host_program("rpmbuild", "--version")) else { return };
    let package = scene.package("a.rpm", None, 2);
    let files = scene.unpack(&package, "root");
    let (spec, top) = (scene.path("template.spec"), scene.path("top"));
    compose::durable::write(&spec, SPEC.as_bytes()).unwrap();
    let mut build = Command::new("rpmbuild");
    for (name, value) in [
        ("_topdir", top.to_str().unwrap()),
        ("source_folder", files.to_str().unwrap()),
        ("_buildhost", "localhost"),
        ("_binary_payload", "w3.zstdio"),
        ("use_source_date_epoch_as_buildtime", "1"),
        ("clamp_mtime_to_source_date_epoch", "1"),
        ("source_date_epoch_from_changelog", "0"),
    ] {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    run(build.args(["-bb", "--quiet"]).arg(&spec).env("SOURCE_DATE_EPOCH", SECONDS)).result();
    let other = top.join("RPMS/noarch").join(crate::scene::FILE);

    let (mut ours, mut theirs) = (tags(&package), tags(&other));
    for name in OWN {
        ours.remove(name);
        theirs.remove(name);
    }
    // Times of files that are older than the date are not clamped.
    for times in [&mut ours, &mut theirs] {
        times.remove("Filemtimes");
    }
    for known in [&mut ours, &mut theirs] {
        known.retain(|name, _| !name.starts_with("Sig") && !name.starts_with("Rpmversion"));
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, value) in &ours {
        assert_eq!(value, &theirs[name], "{name}");
    }
}

/// The package's tags as rpm prints them in XML, by name.
fn tags(package: &Path) -> BTreeMap<String, String> {
    let xml = query(package, &["--xml"]);
    let mut tags = BTreeMap::new();
    for block in xml.split("<rpmTag name=\"").skip(1) {
        let (name, rest) = block.split_once("\">").unwrap();
        tags.insert(name.to_owned(), rest.split("</rpmTag>").next().unwrap().to_owned());
    }
    tags
}

#[test]
fn the_metadata_is_of_the_template_alone() {
    let Some(scene) = needs(Scene::new()) else { return };
    let mut other = template();
    other.name = "name-of-31-characters-000000000".to_owned();
    other.summary = "A summary with ~ and \"quotes\"".to_owned();
    other.description = "Two\nlines.".to_owned();
    other.license = "GPL-3.0-or-later".to_owned();
    other.url = "https://test.invalid/".to_owned();
    other.revision = Some(10);
    let package = scene.package_of(&other, "a.rpm", None, 1);
    let format = "%{NAME}|%{EPOCH}|%{VERSION}|%{RELEASE}|%{ARCH}|%{LICENSE}|%{URL}|%{SUMMARY}|%{DESCRIPTION}|%{BUILDTIME}|%{BUILDHOST}";
    assert_eq!(
        query(&package, &["--queryformat", format]),
        format!(
            "qubes-template-name-of-31-characters-000000000|(none)|4.3.0|202611140912.10|noarch|GPL-3.0-or-later|https://test.invalid/|A summary with ~ and \"quotes\"|Two\nlines.|{SECONDS}|localhost"
        )
    );
}
