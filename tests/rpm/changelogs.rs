//! Changelogs of packages, in reports and as rpm tells them.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use compose::durable;
use compose::package::rpm::header::Value;
use compose::package::rpm::tag;
use compose::package::{Format, printable};
use serde_json::json;

use crate::builder::Package;
use crate::support::needs::{host_program, needs};
use crate::support::program::{compose, run};
use crate::{Scene, oracle, primary, with_file};

const NOON: u32 = 1_700_049_600;
const HEADS: [&str; 4] = ["A Man <a@b.org> - 2-3.1", "A Man <a@b.org>", "B <b@b.org> 2-3", "C <c@b.org> - 2-2"];
const TEXTS: [&str; 4] = ["- CVE-2026-1111 (rhbz#5)\n- \u{1b}[31mred", "- Of the same", "- Three", "- Two"];

/// A package whose changelog has the last of these entries.
fn package(release: &str, entries: usize) -> Vec<u8> {
    let last =
        |texts: &[&str]| Value::Texts(texts[texts.len() - entries..].iter().map(|text| (*text).into()).collect());
    let times = (1..=entries as u32).rev().map(|day| NOON + 86400 * day).collect();
    let more = vec![
        (tag::NAME, Value::Text("lib".to_owned())),
        (tag::VERSION, Value::Text("2".to_owned())),
        (tag::RELEASE, Value::Text(release.to_owned())),
        (tag::ARCH, Value::Text("noarch".to_owned())),
        (tag::CHANGELOGTIME, Value::Int32(times)),
        (tag::CHANGELOGNAME, last(&HEADS)),
        (tag::CHANGELOGTEXT, last(&TEXTS)),
    ];
    Package { more, ..Package::new(Vec::new(), &[]) }.to_bytes()
}

#[test]
fn what_a_newer_package_adds_is_told() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    let manifest = format!(
        "name: m\nformat: rpm\narchitectures: [amd64]\nbase: none\npackages: [lib]\noutputs: [ostree]\narchives:\n  \
         - {{id: base, baseurl: ['file://{}/base'], gpgkey: [keyring.asc], gpgcheck: false, repo_gpgcheck: false}}\n",
        folder.display()
    );
    durable::write(&folder.join("m.yaml"), manifest.as_bytes()).unwrap();
    let publish = |release: &str, entries| {
        let (name, bytes) = (format!("lib 2-{release}"), package(release, entries));
        durable::write(&folder.join(format!("base/Packages/lib-2-{release}.noarch.rpm")), &bytes).unwrap();
        scene.publish(&[("primary", with_file(&primary(&[&name]), &name, &bytes))]);
    };
    let update = |words: &[&str]| run(compose(folder, ["--store", "store", "update-lock", "m.yaml"]).args(words));
    publish("2.el9", 1);
    update(&[]).result();
    publish("3.el9.1", 4);
    let report: serde_json::Value =
        serde_json::from_str(&update(&["--changelogs", "--report", "json"]).result()).unwrap();
    let told = &report["changes"][0]["changelog"];
    let entries: Vec<_> = told["entries"].as_array().unwrap().iter().map(|entry| &entry["version"]).collect();
    assert_eq!(entries, ["2-3.el9.1", "2-3.el9.1", "2-3.el9"]);
    assert_eq!(told["cves"], json!(["CVE-2026-1111"]));
    assert_eq!(told["bugs"], json!([{"tracker": "redhat", "number": 5}]));
    let text = "* Sun Nov 19 2023 A Man <a@b.org> - 2-3.1\n- CVE-2026-1111 (rhbz#5)\n- \u{fffd}[31mred\n";
    assert_eq!(told["entries"][0]["text"], text);
}

/// What rpm tells of a package, and what is told of it here.
fn both(package: &Path) -> Option<[String; 2]> {
    let mut rpm = Command::new("rpm");
    rpm.args(["--query", "--package", "--nosignature", "--changelog"]).arg(package).env("LC_ALL", "C.UTF-8");
    let said = run(rpm.env("TZ", "UTC")).or_reason().ok()?;
    let entries = Format::Rpm.changelog(&mut File::open(package).unwrap(), "").unwrap();
    let own = entries.iter().map(|entry| entry.text.clone() + "\n").collect::<String>();
    // How many newlines stand between entries is the texts' affair.
    let plain = |text: &str| text.lines().map(printable).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    Some([plain(&said), plain(&own)])
}

#[test]
fn rpm_tells_the_same_of_packages_made_here() {
    let Some(()) = needs(host_program("rpm", "--version")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lib.rpm");
    durable::write(&path, &package("3.el9.1", 4)).unwrap();
    let [said, own] = both(&path).unwrap();
    assert_eq!(own, said);
    assert!(own.starts_with("* Sun Nov 19 2023 A Man <a@b.org> - 2-3.1\n- CVE"), "{own}");
}

#[test]
#[ignore = "compares the packages of a folder: ci/oracle-rpm"]
#[allow(clippy::disallowed_methods, reason = "the test's own environment")]
fn changelogs_are_what_rpm_says() {
    let folder = std::env::var("COMPOSE_RPM_PACKAGES").expect("COMPOSE_RPM_PACKAGES names a folder of packages");
    let (mut compared, mut lines) = (0, 0);
    for package in oracle::packages(Path::new(&folder)) {
        let Some([said, own]) = both(&package) else { continue };
        assert_eq!(own, said, "{}", package.display());
        (compared, lines) = (compared + 1, lines + own.lines().count());
    }
    println!("the changelogs of {compared} packages are rpm's, {lines} lines");
    assert!(lines > 0);
}
