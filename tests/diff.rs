//! Reports of what an update changes, from small locks: what is told, in which order, and that nothing of a package can act in
//! it.

mod support;

use boon::{Compiler, SchemaIndex, Schemas};
use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::diff::changes;
use compose::diff::report::{self, Changelog, Report};
use compose::digest::Sha256;
use compose::lock::{Asked, Lock, Package, VERSION};
use compose::package::{Bug, Entry, Format, Tracker, printable};

use support::snapshot::assert_snapshot;

/// A locked package: `NAME VERSION` and options, of which `from=` is the archive, `file=` distinguishes the file's bytes, and
/// `size=` is the file's, a quarter of what is installed.
fn package(text: &str) -> Package {
    let mut words = text.split(' ');
    let (name, version) = (words.next().unwrap(), words.next().unwrap());
    let mut package = Package {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        version: version.to_owned(),
        source: None,
        archive: "debian/trixie/main".to_owned(),
        path: format!("pool/{name}_{version}.deb"),
        size: 1000,
        installed_size: 4000,
        sha256: Sha256::of(format!("{name} {version}").as_bytes()),
        asked: None,
        depends: Vec::new(),
        security_fix: None,
        recommends: Vec::new(),
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let names = || value.split(',').map(str::to_owned).collect();
        match key {
            "arch" => value.clone_into(&mut package.architecture),
            "source" => package.source = Some(value.to_owned()),
            "from" => value.clone_into(&mut package.archive),
            "file" => package.sha256 = Sha256::of(text.as_bytes()),
            "size" => {
                package.size = value.parse().unwrap();
                package.installed_size = package.size * 4;
            }
            "asked" => package.asked = Some(if value == "base" { Asked::Base } else { Asked::Manifest }),
            "depends" => package.depends = names(),
            "recommends" => package.recommends = names(),
            other => panic!("unknown option {other}"),
        }
    }
    package
}

fn lock(manifest: &str, packages: &[&str], tools: &[&str]) -> Lock {
    let list = |texts: &[&str]| texts.iter().map(|text| package(text)).collect();
    Lock {
        version: VERSION,
        manifest: manifest.to_owned(),
        manifest_sha256: Sha256::of(b""),
        format: Format::Deb,
        architecture: "amd64".parse::<Architecture>().unwrap(),
        date: Timestamp::from_seconds(0).unwrap(),
        packages: list(packages),
        tools: list(tools),
        interpreters: Vec::new(),
    }
}

const SECURITY: &str = "from=debian-security/trixie-security/main";

/// One update with everything in it.
fn update() -> (Lock, Lock) {
    let old = [
        "apt 3.0.3 asked=base depends=gpgv,libc6 size=2000000",
        "base-files 13.8 asked=base file=1",
        "cpp-14 14.2.0-19 source=gcc-14",
        "gpgv 2.4.7 source=gnupg2 depends=libgcrypt20 size=500000",
        "libc6 2.41-12 source=glibc",
        "libdevmapper1.02.1 2:1.02.205-2 source=lvm2",
        "libgcc-s1 14.2.0-19 source=gcc-14",
        "libgcrypt20 1.11.0-7",
        "libssl3t64 3.5.1-1 source=openssl",
        "libstdc++6 14.2.0-19 source=gcc-14",
        "lvm2 2.03.31-2 asked=manifest",
        "nano 8.4-1 asked=manifest",
        "openssl 3.5.1-1",
        "tzdata 2026a-1 arch=all from=debian/trixie-updates/main",
    ];
    let security =
        [format!("libssl3t64 3.5.4-1 source=openssl size=1200 {SECURITY}"), format!("openssl 3.5.4-1 {SECURITY}")];
    let new = [
        "apt 3.0.4 asked=base depends=libc6,sqv size=2100000",
        "base-files 13.8 asked=base file=2",
        "cpp-14 14.2.0-20 source=gcc-14",
        "libc6 2.41-11 source=glibc",
        "libdevmapper1.02.1 2:1.02.205-3 source=lvm2",
        "libgcc-s1 14.2.0-20 source=gcc-14",
        &security[0],
        "libstdc++6 14.2.0-20 source=gcc-14 size=900",
        "lvm2 2.03.31-3 asked=manifest recommends=thin-provisioning-tools",
        &security[1],
        "sqv 1.3.0-3 source=rust-sequoia-sqv",
        "thin-provisioning-tools 1.1.0-4",
        "tzdata 2026a-1 arch=all",
        "vim-tiny 9.1 source=vim asked=manifest",
    ];
    let old_tools = ["e2fsprogs 1.47.2-3 asked=manifest", old[8]];
    let new_tools =
        ["e2fsprogs 1.47.2-4 asked=manifest depends=libcom-err2", "libcom-err2 1.47.2-4 source=e2fsprogs", new[6]];
    (lock("small", &old, &old_tools), lock("small", &new, &new_tools))
}

fn entry(version: &str, text: &str, cves: &[&str], bugs: &[Bug]) -> Entry {
    Entry {
        version: version.to_owned(),
        text: format!(
            "p ({version}) trixie; urgency=medium\n\n{text}\n\n -- M <m@example.org>  Sat, 14 Nov 2026 09:00:00 +0000\n"
        ),
        cves: cves.iter().map(|&cve| cve.to_owned()).collect(),
        bugs: bugs.to_vec(),
    }
}

fn of_source<'a>(report: &'a mut Report, source: &str) -> &'a mut report::SourceChange {
    report.changes.iter_mut().find(|change| change.source == source).unwrap()
}

/// The report must be as the committed schema says.
fn assert_valid(json: &str) {
    let mut schemas = Schemas::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diff/report.schema.json");
    let schema: SchemaIndex = Compiler::new().compile(path, &mut schemas).unwrap_or_else(|e| panic!("{e:#}"));
    let value = serde_json::from_str(json).unwrap();
    schemas.validate(&value, schema).unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn every_kind_of_change_is_told() {
    let (old, new) = update();
    let mut report = report::compare([(Some(&old), &new)]).unwrap();
    let bugs = [Bug { tracker: Tracker::Debian, number: 1_094_027 }, Bug { tracker: Tracker::Launchpad, number: 7 }];
    let cves = ["CVE-2026-0001", "CVE-2026-0002"];
    of_source(&mut report, "openssl").changelog = Some(Changelog {
        package: Some("openssl".to_owned()),
        entries: vec![entry(
            "3.5.4-1",
            "  * Fix CVE-2026-0001, CVE-2026-0002 (Closes: #1094027). LP: #7",
            &cves,
            &bugs,
        )],
        cves: cves.map(str::to_owned).to_vec(),
        bugs: bugs.to_vec(),
        note: None,
    });
    of_source(&mut report, "glibc").changelog = Some(Changelog {
        package: Some("libc6".to_owned()),
        entries: vec![entry("2.41-12", "  * Something.", &[], &[])],
        ..Changelog::default()
    });
    of_source(&mut report, "apt").changelog =
        Some(Changelog { note: Some("the file of apt 3.0.4 is not here".to_owned()), ..Changelog::default() });
    assert_snapshot("report/every-kind.txt", &report::text::render(&report));
    assert_snapshot("report/every-kind.md", &report::markdown::render(&report));
    let json = report::json::render(&report).unwrap();
    assert_valid(&json);
    assert_snapshot("report/every-kind.json", &json);
}

#[test]
fn what_stands_in_several_locks_is_told_once() {
    let one = |manifest: &str, version: &str, architecture: &str| {
        let mut lock = lock(
            manifest,
            &[&format!("hello {version} asked=manifest arch={architecture}"), "words 1 arch=all"][..],
            &[],
        );
        lock.architecture = architecture.parse().unwrap();
        lock.packages[0].sha256 = Sha256::of(format!("{version} {architecture}").as_bytes());
        lock.packages[0].size += u64::from(architecture == "arm64" && version == "2") * 500;
        lock
    };
    let old = [one("a", "1", "amd64"), one("a", "1", "arm64"), one("b", "1", "amd64"), one("c", "2", "amd64")];
    let mut new = [one("a", "2", "amd64"), one("a", "2", "arm64"), one("b", "3", "amd64"), one("c", "2", "amd64")];
    for lock in &mut new[..2] {
        lock.packages[1] = package("words 2 arch=all");
    }
    let mut pairs: Vec<_> = old.iter().map(Some).zip(&new).collect();
    let fresh = one("d", "1", "amd64");
    pairs.push((None, &fresh));
    let report = report::compare(pairs).unwrap();
    assert_snapshot("report/several-locks.txt", &report::text::render(&report));
    assert_snapshot("report/several-locks.md", &report::markdown::render(&report));
    assert_valid(&report::json::render(&report).unwrap());
}

#[test]
fn nothing_is_told_of_nothing() {
    let (mut old, _) = update();
    let report = report::compare([(Some(&old), &old)]).unwrap();
    assert_eq!(report::text::render(&report), "");
    assert!(report::markdown::render(&report).starts_with("## No package changed\n"));
    let json = report::json::render(&report).unwrap();
    assert_valid(&json);
    assert!(json.ends_with("  \"changes\": []\n}\n"), "{json}");

    let new = old.clone();
    old.manifest_sha256 = Sha256::of(b"another");
    let markdown = report::markdown::render(&report::compare([(Some(&old), &new)]).unwrap());
    assert!(markdown.contains("`small.amd64`: no package moves, but"), "{markdown}");
}

#[test]
fn changes_go_by_the_order_of_versions() {
    let list = |texts: &[&str]| -> Vec<Package> { texts.iter().map(|text| package(text)).collect() };
    let old = list(&["a 1.9", "b 2", "c 1", "e 1 file=1", "f 1", "g 1", "h 1 arch=all", "i 1", "i 1 arch=i386"]);
    let new =
        list(&["a 1.10", "b 2~rc1", "d 1", "e 1 file=2", "f 1 depends=a", "g 1 from=x/y/z", "h 2", "i 1 arch=i386"]);
    let told: Vec<String> = changes(Format::Deb, &old, &new)
        .into_iter()
        .map(|change| {
            let version = |package: Option<&Package>| package.map_or("none", |p| &p.version).to_owned();
            let name = &change.new.or(change.old).unwrap().name;
            format!("{name} {} {} {}", change.kind.as_str(), version(change.old), version(change.new))
        })
        .collect();
    assert_eq!(
        told,
        [
            "a upgraded 1.9 1.10",
            "b downgraded 2 2~rc1",
            "c removed 1 none",
            "d added none 1",
            "e replaced 1 1",
            "g moved 1 1",
            "h upgraded 1 2",
            "i removed 1 none",
        ]
    );
}

#[test]
fn a_reason_is_the_shortest_chain_of_dependencies() {
    let why = |packages: &[&str], wanted: &str| {
        let new = lock("m", packages, &[]);
        let report = report::compare([(None, &new)]).unwrap();
        let text = report::text::render(&report);
        let lines = text.lines().skip_while(|line| !line.starts_with(&format!("added {wanted} ")));
        lines.into_iter().find_map(|line| line.strip_prefix("  why: ")).unwrap().to_owned()
    };
    let circle = ["a 1 asked=base depends=b", "b 1 depends=a,c recommends=d", "c 1 depends=d", "d 1", "e 1"];
    assert_eq!(why(&circle, "a"), "in the base");
    assert_eq!(why(&circle, "d"), "a (in the base) → b → c → d", "dependencies before a shorter recommendation");
    assert_eq!(why(&circle, "e"), "not told by the lock");
    assert_eq!(why(&["a 1 asked=manifest recommends=b", "b 1"], "b"), "a (named by the manifest) recommends b");
    let multiarch = ["a 1 asked=manifest depends=b:i386", "b 1", "b 1 arch=i386 depends=c", "c 1"];
    assert_eq!(why(&multiarch, "c"), "a (named by the manifest) → b → c");
}

#[test]
fn nothing_of_a_package_acts_in_markdown() {
    const HOSTILE: &str = "@you|`<img/src=x>`\\|[x](//x)#1!2*b*\u{202e}\u{1b}[2J";
    let mut new = lock("m", &["p 2"], &[]);
    let mut old = lock("m", &["p 1"], &[]);
    for lock in [&mut old, &mut new] {
        lock.packages[0].name = HOSTILE.to_owned();
        lock.packages[0].source = Some(format!("{HOSTILE}\n\n# head\n/close"));
        lock.packages[0].version += HOSTILE;
        lock.packages[0].archive = HOSTILE.to_owned();
    }
    let mut report = report::compare([(Some(&old), &new)]).unwrap();
    let text = "```\n</details>\n/close\n@you Closes: #1 fixes me/you#2\n~~~\n````text";
    let entries = vec![entry("2", text, &[], &[])];
    report.changes[0].changelog = Some(Changelog { entries, note: Some(printable(HOSTILE)), ..Changelog::default() });
    let markdown = report::markdown::render(&report);
    assert_snapshot("report/hostile.md", &markdown);
    assert!(!markdown.contains(['\u{1b}', '\u{202e}']));

    // Outside of code there is nothing of the package.
    let mut in_block = false;
    for line in markdown.lines() {
        match line {
            "```text" => in_block = true,
            "```" => in_block = false,
            _ if in_block => {}
            _ => {
                let outside: String = line.split('`').step_by(2).collect();
                let outside: String =
                    outside.split("<code>").map(|part| part.rsplit("</code>").next().unwrap()).collect();
                assert!(!outside.contains(['@', '#', '!', '\\']) || line.starts_with('#'), "{line}");
                assert_eq!(line.matches('`').count() % 2, 0, "{line}");
            }
        }
    }
    assert!(!in_block);
    assert!(!markdown.contains("#1") && !markdown.contains("#2"), "{markdown}");
}

#[test]
fn a_body_is_never_too_long() {
    let names: Vec<String> = (0..1500).map(|i| format!("package-{i:04}")).collect();
    let list = |version: &str, count: usize| {
        let texts: Vec<String> = names.iter().take(count).map(|name| format!("{name} {version} asked=base")).collect();
        lock("large", &texts.iter().map(String::as_str).collect::<Vec<_>>(), &[])
    };
    for (count, with_changelog) in [(1500, 1500), (300, 300), (40, 3)] {
        let mut report = report::compare([(Some(&list("1", count)), &list("2", count))]).unwrap();
        for (i, change) in report.changes.iter_mut().take(with_changelog).enumerate() {
            let lines = "  * äöü\n".repeat(if i == 0 { 2 } else { 8_000 });
            let cves: Vec<String> = (0..1000).map(|n| format!("CVE-2026-{:05}", n + i)).collect();
            let entries = vec![entry("2", &lines, &[], &[])];
            change.changelog = Some(Changelog { entries, cves, ..Changelog::default() });
        }
        let markdown = report::markdown::render(&report);
        assert!(markdown.len() <= report::markdown::LIMIT, "{} bytes", markdown.len());
        assert!(markdown.len() > report::markdown::LIMIT / 2, "{} bytes", markdown.len());
        assert_eq!(markdown.matches("<details>").count(), markdown.matches("</details>").count());
        assert!(markdown.contains("would not fit"));
        if count == 40 {
            assert_eq!(markdown.matches("**Cut:**").count(), 2, "the short one stands in full");
            assert!(markdown.contains("and 900 more"), "not all CVEs of one changelog");
        }
    }
}
