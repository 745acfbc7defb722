//! The page that `compose diff --report html` writes, in a real browser: sorting, filtering and the tree by keyboard, both
//! colour schemes, wide and narrow, and that nothing of a package or tree acts in it. Pictures of it are left in the build
//! folder.

mod support;

use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use compose::arch::Architecture;
use compose::assemble::origins::{Cause, CauseKind};
use compose::clock::Timestamp;
use compose::diff::report;
use compose::diff::templates::{
    AccountChange, Alert, AlertKind, Change, Changes, Comparison, ModuleChange, Named, PathChange, ScriptChange, Size,
    SocketChange, State, UnitChange, html, json, markdown, text,
};
use compose::digest::Sha256;
use compose::durable;
use compose::lock::{Asked, Lock, Package, VERSION};
use compose::package::Format;
use serde_json::{Value, json};

use support::browser::Browser;
use support::needs::needs;

/// Names that would act in a page, if they could.
const HOSTILE: [&str; 4] = [
    "<script>document.title='caught'</script>",
    "\"><img src=x onerror=document.title='caught'>",
    "{{script}}",
    "</div></details><h1>caught</h1>",
];

fn package(name: &str, version: &str, size: u64) -> Package {
    Package {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        version: version.to_owned(),
        source: None,
        archive: "debian/trixie/main".to_owned(),
        path: format!("pool/{}.deb", Sha256::of(name.as_bytes())),
        size: size / 3,
        installed_size: size,
        sha256: Sha256::of(format!("{name} {version}").as_bytes()),
        asked: Some(Asked::Manifest),
        depends: Vec::new(),
        security_fix: None,
        recommends: Vec::new(),
    }
}

fn lock(packages: Vec<Package>) -> Lock {
    Lock {
        version: VERSION,
        manifest: "desktop".to_owned(),
        manifest_sha256: Sha256::of(b""),
        format: Format::Deb,
        architecture: "amd64".parse::<Architecture>().unwrap(),
        date: Timestamp::from_seconds(0).unwrap(),
        packages,
        tools: Vec::new(),
        interpreters: Vec::new(),
    }
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

fn comparison() -> Comparison {
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
                lines: ["@@ -1,3 +1,3 @@", " set -e", "-adduser x", "+adduser y </pre><script>"]
                    .map(str::to_owned)
                    .to_vec(),
            }],
            paths,
            users: vec![account("anna", "anna:1000:1000::/home/anna:/bin/bash"), account(HOSTILE[0], HOSTILE[0])],
            groups: vec![account("anna", "anna:1000:")],
            units: vec![UnitChange {
                unit: "postfix.service".to_owned(),
                wanted_by: Some("multi-user.target".to_owned()),
                change: Change::Added,
                path: "/etc/systemd/system/multi-user.target.wants/postfix.service".to_owned(),
            }],
            sockets: vec![SocketChange {
                unit: "ssh.socket".to_owned(),
                change: Change::Added,
                old: Vec::new(),
                new: vec!["ListenStream=22".to_owned()],
            }],
            modules: vec![ModuleChange { kernel: "6.12".to_owned(), added: 16, removed: 0, changed: 32 }],
        }),
    }
}

fn write_page(folder: &Path) -> PathBuf {
    let file = folder.join("page.html");
    durable::write(&file, html::render(&comparison()).as_bytes()).unwrap();
    file
}

#[test]
fn json_has_its_documented_shape() {
    let value: Value = serde_json::from_str(&json::render(&comparison()).unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diff");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    for name in ["report.schema.json", "diff.schema.json"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        compiler.add_resource(&format!("file:///{name}"), serde_json::from_str(&text).unwrap()).unwrap();
    }
    let schema: SchemaIndex = compiler.compile("file:///diff.schema.json", &mut schemas).unwrap();
    schemas.validate(&value, schema).unwrap_or_else(|e| panic!("{e:#}"));
    let mut other = value.clone();
    other["tree"]["paths"][0]["change"] = json!("eaten");
    assert!(schemas.validate(&other, schema).is_err());
}

#[test]
fn what_is_unexplained_stands_ahead_of_everything() {
    let told = text::render(&comparison(), text::Paint(false));
    let at = |words: &str| told.find(words).unwrap_or_else(|| panic!("{words} is not in\n{told}"));
    assert!(at("to be looked at (5, of which 1 unexplained)") < at("  unexplained"));
    assert!(at("  unexplained") < at("  REPLACED") && at("  REPLACED") < at("\npackages\n"));
    assert!(at("\npackages\n") < at("\nusers (2)") && at("\nconfiguration (") < at("\nfiles ("));
    assert!(told.contains("~ /usr/bin/env") && told.contains("mode 0755 → 4755, set-id  UNEXPLAINED"));
    assert!(text::render(&comparison(), text::Paint(true)).contains("\x1b[1;31mUNEXPLAINED\x1b[0m"));
}

#[test]
fn markdown_is_short_enough_and_inert() {
    let told = markdown::render(&comparison());
    assert!(told.len() <= 65_000 && told.starts_with("## `template/desktop/amd64^` → `"), "{told}");
    assert!(told.contains("> [!CAUTION]\n> **To be looked at: 5**"), "{told}");
    for line in told.lines() {
        let outside: String = line.split('`').step_by(2).collect();
        assert!(!outside.contains("<script") && !outside.contains("<img") && !outside.contains("<h1"), "{line}");
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let page = html::render(&comparison());
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"));
    for word in ["http:", "https:", "<link", " src=", "url(", " style="] {
        let found = page.replace("src=x", "").contains(word);
        assert!(!found, "the page has {word}");
    }
    for name in HOSTILE.iter().filter(|name| name.contains('<')) {
        assert!(!page.contains(name), "{name}");
    }
}

#[test]
fn the_page_works_by_keyboard_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_page(folder.path());
    let Some(mut browser) = needs(Browser::start()) else { return };
    browser.look(1280, "light");
    browser.open(&file);
    assert!(browser.evaluate("document.title").as_str().unwrap().starts_with("template/desktop/amd64^ → template"));
    assert_eq!(browser.evaluate("document.querySelectorAll('h1').length"), json!(1));
    assert_eq!(browser.evaluate("document.querySelectorAll('img, iframe, object, script + script').length"), json!(0));

    // Sorting: by growth, then the other way around.
    let growths =
        "[...document.querySelectorAll('#package-table tbody tr')].map(row => Number(row.cells[5].dataset.value))";
    browser.evaluate("[...document.querySelectorAll('th button')].find(b => b.textContent === 'Growth').focus()");
    for (order, sort) in [("ascending", "a - b"), ("descending", "b - a")] {
        browser.press("Enter");
        assert_eq!(browser.evaluate("document.activeElement.parentNode.getAttribute('aria-sort')"), json!(order));
        let sorted = format!("JSON.stringify({growths}) === JSON.stringify({growths}.sort((a, b) => {sort}))");
        assert_eq!(browser.evaluate(&sorted), json!(true), "{order}");
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('[aria-sort]').length"), json!(1));

    // Filtering: the field comes ahead of the table's heads.
    browser.evaluate("document.querySelector('[data-filters=package-table]').focus()");
    browser.write("linux upgraded");
    let shown = "[...document.querySelectorAll('#package-table tbody tr')].filter(row => !row.hidden).map(row => row.cells[0].textContent)";
    assert_eq!(browser.evaluate(shown), json!(["linux-image"]));
    browser.evaluate("document.activeElement.value = ''");
    browser.write("postfix");
    assert_eq!(browser.evaluate(shown), json!(["postfix"]));
    let status = "document.querySelector('[aria-labelledby=packages] [role=status]').textContent";
    assert_eq!(browser.evaluate(status), json!("1 of 11"));
    browser.press("Tab");
    assert_eq!(browser.evaluate("document.activeElement.textContent"), json!("Package"));

    // The tree: closed folders open to the right and close to the left.
    browser.evaluate("document.querySelector('#file-tree summary').focus()");
    let focus = "document.activeElement.querySelector('.path').textContent";
    let open = "document.activeElement.parentNode.open";
    assert_eq!((browser.evaluate(focus), browser.evaluate(open)), (json!("/etc/"), json!(false)));
    browser.press("ArrowRight");
    assert_eq!(browser.evaluate(open), json!(true));
    browser.press("ArrowRight");
    assert_eq!(browser.evaluate(focus), json!("ld.so.cache"));
    browser.press("ArrowDown");
    assert_eq!(browser.evaluate(focus), json!("shadow"));
    browser.press("ArrowLeft");
    assert_eq!(browser.evaluate(focus), json!("/etc/"));
    browser.press("ArrowLeft");
    assert_eq!(browser.evaluate(open), json!(false));
    browser.press("End");
    assert_eq!(browser.evaluate(focus), json!("/var/cache/man/"));
    browser.press("Home");
    assert_eq!(browser.evaluate(focus), json!("/etc/"));

    // What is filtered for is shown with its folders.
    browser.evaluate("document.querySelector('[data-filters=file-tree]').focus()");
    browser.write("card7.ko");
    let leaves = "[...document.querySelectorAll('.leaf')].filter(leaf => leaf.checkVisibility()).map(leaf => leaf.querySelector('.path').textContent)";
    assert_eq!(browser.evaluate(leaves), json!(["card7.ko.xz"]));
    let nothing = Vec::<String>::new();
    assert_eq!(browser.errors, nothing);

    for width in [1280, 400] {
        for scheme in ["light", "dark"] {
            browser.look(width, scheme);
            browser.open(&file);
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground, json!(if scheme == "light" { "rgb(246, 247, 249)" } else { "rgb(18, 22, 28)" }));
            let wide = browser.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= u64::from(width), "the page is {wide} wide at {width}");
            let name = format!("page-{width}-{scheme}.png");
            durable::write(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &browser.picture()).unwrap();
        }
    }
    assert_eq!(browser.errors, nothing);
}

#[test]
fn the_page_can_be_read_without_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_page(folder.path());
    let Some(mut browser) = needs(Browser::start()) else { return };
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.look(1280, "light");
    browser.open(&file);
    assert_eq!(browser.evaluate("document.querySelector('.filter').offsetParent"), Value::Null);
    browser.evaluate("document.querySelector('#file-tree summary').focus()");
    browser.press("Enter");
    assert_eq!(browser.evaluate("document.querySelector('#file-tree details').open"), json!(true));
    let rows = browser.evaluate("document.querySelectorAll('#package-table tbody tr').length");
    assert_eq!(rows, json!(11));
}
