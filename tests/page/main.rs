//! What `compose diff` writes of two templates: each level in every form, the schema of JSON, and the page in a real browser:
//! sorting, filtering and the tree by keyboard, both colour schemes, wide and narrow, and that nothing of a package or tree
//! acts in it. Pictures of the page are left in the build folder.

mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use compose::diff::templates::{html, json, markdown, text};
use compose::durable;
use serde_json::{Value, json};

use scene::{HOSTILE, comparison};
use support::browser::Browser;
use support::needs::needs;

fn write_page(folder: &Path) -> PathBuf {
    let file = folder.join("page.html");
    durable::write(&file, html::render(&comparison()).as_bytes()).unwrap();
    file
}

/// Something of every level that the comparison has, as all forms tell it.
const LEVELS: [&str; 16] = [
    "postfix",
    "exim4",
    "perl-base",
    "postinst",
    "+1 −1 lines",
    "/etc/shadow",
    "/usr/bin/env",
    "mode 0755 → 4755, set-id",
    "anna:1000:1000::/home/anna:/bin/bash",
    "group",
    "postfix.service",
    "avahi-daemon.socket (user)",
    "disable → enable, by 10-",
    "ssh.socket",
    "ListenStream=22",
    "16 added, 0 removed, 32 changed",
];

#[test]
fn every_form_tells_of_every_level() {
    let comparison = comparison();
    // The page has folders of paths, and names above them.
    let page = html::render(&comparison).replace("</span><span class=\"path\">", "/").replace("&gt;", ">");
    let forms = [
        ("text", text::render(&comparison, text::Paint(false))),
        ("markdown", markdown::render(&comparison).replace("modules added", "added")),
        ("html", page),
    ];
    for (form, told) in &forms {
        for words in LEVELS {
            assert!(told.to_lowercase().contains(&words.to_lowercase()), "{words} is not in the {form}:\n{told}");
        }
    }
    let value: Value = serde_json::from_str(&json::render(&comparison).unwrap()).unwrap();
    for level in ["scripts", "paths", "users", "groups", "units", "presets", "sockets", "modules"] {
        assert!(value["tree"][level].as_array().is_some_and(|list| !list.is_empty()), "{level}");
    }
    assert!(!value["packages"]["changes"].as_array().unwrap().is_empty());
    assert!(value["tree"]["paths"].as_array().unwrap().iter().any(|path| path["configuration"] == true));
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
