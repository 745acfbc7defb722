//! Merging packages into one tree by dpkg's rules. Needs root, since objects have true owners.

mod support;

use compose::assemble;
use compose::package::Format;
use compose::store::Tree;
use support::deb::Deb;
use support::fixture::Fixture;

/// The merged tree of packages, which come in the order of a lock: by name.
fn merge(fixture: &Fixture, debs: &[Deb]) -> anyhow::Result<Tree> {
    let mut packages: Vec<_> = debs.iter().map(|d| fixture.add(d.get("Package").unwrap(), &d.build())).collect();
    packages.sort();
    fixture.import(&packages.iter().collect::<Vec<_>>()).unwrap();
    assemble::merged(&fixture.store, Format::Deb, &packages).map(|merged| merged.tree)
}

/// A tree's own files, without dpkg's database, a line each: path and content or link.
fn files(fixture: &Fixture, tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    tree.root.for_each_file(&mut |path, leaf| {
        let object = fixture.store.reader().path(leaf);
        if path.starts_with("var/lib/dpkg") || path.starts_with("usr/share/doc") {
            return;
        }
        lines.push(match std::fs::read_link(&object) {
            Ok(target) => format!("{path} -> {}", target.display()),
            Err(_) => format!("{path}: {}", String::from_utf8(std::fs::read(object).unwrap()).unwrap()),
        });
    });
    lines
}

fn text(fixture: &Fixture, tree: &Tree, path: &str) -> String {
    let object = tree.root.file(path).unwrap_or_else(|| panic!("{path} is in the tree"));
    String::from_utf8(fixture.store.reader().read(object).unwrap()).unwrap()
}

/// The links of merged /usr on amd64, and what they look like in [`files`].
const USR: [&str; 6] = [
    "bin -> usr/bin",
    "lib -> usr/lib",
    "lib32 -> usr/lib32",
    "lib64 -> usr/lib64",
    "libx32 -> usr/libx32",
    "sbin -> usr/sbin",
];

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").arch("amd64")
}

#[test]
fn files_below_a_link_land_where_it_leads() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [
        deb("a").file("bin/tool", "a").symlink("usr/share/real", "../lib/data"),
        deb("b").file("usr/share/real/b", "b").file("usr/share/abs/deep/x", "b"),
        deb("aa").symlink("usr/share/abs", "/srv/../srv/../../../target"),
    ];
    let tree = merge(&fixture, &debs).unwrap();
    let expected = [
        &USR[..],
        &["target/deep/x: b", "usr/bin/tool: a", "usr/lib/data/b: b", "usr/share/abs -> /srv/../srv/../../../target"],
        &["usr/share/real -> ../lib/data"],
    ];
    let mut expected: Vec<&str> = expected.concat();
    expected.sort_unstable();
    let mut found = files(&fixture, &tree);
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_first_owner_of_a_directory_keeps_its_mode() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [deb("a").dir("srv/x").mode(0o1777).owner(0, 8), deb("b").dir("srv/x").mode(0o700)];
    let tree = merge(&fixture, &debs).unwrap();
    let attributes = &tree.root.find("srv/x").unwrap().attributes;
    assert_eq!((attributes.mode, attributes.gid), (0o041_777, 8));
}

#[test]
fn replaces_decides_who_keeps_a_file() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [
        deb("a").file("usr/x", "a").file("usr/own", "a"),
        deb("b").file("usr/x", "b").replaces("a (<< 2)"),
        deb("c").file("usr/y", "c").replaces("d"),
        deb("d").file("usr/y", "d"),
    ];
    let tree = merge(&fixture, &debs).unwrap();
    assert_eq!(text(&fixture, &tree, "usr/x"), "b");
    assert_eq!(text(&fixture, &tree, "usr/y"), "c");
    let list = |name: &str| text(&fixture, &tree, &format!("var/lib/dpkg/info/{name}.list"));
    assert!(!list("a").contains("/usr/x\n") && list("a").contains("/usr/own\n"));
    assert!(list("b").contains("/usr/x\n"));
    assert!(!list("d").contains("/usr/y\n"));
}

#[test]
fn a_file_of_two_packages_is_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [deb("a").file("bin/x", "a"), deb("b").file("usr/bin/x", "b").replaces("a (>> 2)")];
    let error = merge(&fixture, &debs).unwrap_err();
    assert_eq!(format!("{error:#}"), "/usr/bin/x is in both a and b, and neither replaces the other");
}

#[test]
fn a_file_where_a_directory_is_is_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let error = merge(&fixture, &[deb("a").file("srv/x/y", ""), deb("b").file("srv/x", "")]).unwrap_err();
    assert_eq!(format!("{error:#}"), "b has the file /srv/x, which is a directory");
}

#[test]
fn links_in_a_circle_are_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [deb("a").symlink("srv/x", "y").symlink("srv/y", "x"), deb("b").file("srv/x/file", "")];
    let error = merge(&fixture, &debs).unwrap_err();
    assert_eq!(format!("{error:#}"), "/srv/x leads through more than 40 links");
}

#[test]
fn the_database_is_as_after_unpacking() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [
        deb("conf").file("etc/conf", "setting\n").conffiles(&["/etc/conf"]).script("postinst", "#!/bin/sh\n"),
        deb("libx").multi_arch("same").file("usr/lib/libx", "x").triggers("activate-noawait ldconfig\n"),
        deb("watch").triggers("interest-noawait /usr/share/watched\ninterest named\n"),
    ];
    let tree = merge(&fixture, &debs).unwrap();
    assert_eq!(text(&fixture, &tree, "etc/conf.dpkg-new"), "setting\n");
    // dpkg is told of each package once its scripts are run.
    assert_eq!(text(&fixture, &tree, "var/lib/dpkg/status"), "");
    let info = tree.root.find("var/lib/dpkg/info").unwrap();
    let names: Vec<&str> = info.files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "conf.conffiles",
            "conf.list",
            "conf.md5sums",
            "conf.postinst",
            "format",
            "libx:amd64.list",
            "libx:amd64.md5sums",
            "libx:amd64.triggers",
            "watch.list",
            "watch.md5sums",
            "watch.triggers",
        ]
    );
    assert_eq!(text(&fixture, &tree, "var/lib/dpkg/info/conf.list"), "/.\n/etc\n/etc/conf\n");
    assert_eq!(text(&fixture, &tree, "var/lib/dpkg/triggers/File"), "/usr/share/watched watch/noawait\n");
    assert_eq!(text(&fixture, &tree, "var/lib/dpkg/triggers/named"), "watch\n");
}

#[test]
fn devices_and_hard_links_go_with_the_tree() {
    let Some(fixture) = Fixture::new() else { return };
    let debs = [
        deb("a").char_device("dev/thing", 4, 64).mode(0o620).owner(0, 5).fifo("var/pipe"),
        deb("b").file("bin/one", "same").hardlink("bin/two", "bin/one").file("usr/bin/three", "same"),
    ];
    let tree = merge(&fixture, &debs).unwrap();
    let device = &tree.extras.nodes["dev/thing"];
    assert_eq!((device.mode, device.gid, device.device), (0o020_620, 5, (4, 64)));
    assert!(tree.extras.nodes.contains_key("var/pipe"));
    // What only looks the same is no hard link.
    assert_eq!(tree.extras.links.iter().collect::<Vec<_>>(), [(&"usr/bin/two".to_owned(), &"usr/bin/one".to_owned())]);
}
