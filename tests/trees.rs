//! Comparing trees that stand in stores. Needs root, since objects have true owners.

mod support;

use compose::diff::bytes;
use compose::diff::tree::{self, Aspect, Difference, Side};
use compose::digest::Sha256;
use compose::durable;
use compose::store::{self, Attributes, Content, Directory, Extras, Layers, Node, StoredTree, Tree, Xattrs};
use support::fixture::Fixture;

/// A tree of a store under construction.
struct Planting<'a> {
    fixture: &'a Fixture,
    tree: Tree,
}

impl<'a> Planting<'a> {
    fn new(fixture: &'a Fixture) -> Self {
        Self { fixture, tree: Tree { root: Directory::new(0o755), extras: Extras::default() } }
    }

    fn folder(&mut self, path: &str) -> &mut Directory {
        path.split('/').filter(|part| !part.is_empty()).fold(&mut self.tree.root, |dir, name| {
            dir.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755))
        })
    }

    fn put(mut self, path: &str, (uid, mode): (u32, u32), xattrs: Xattrs, content: Content<'_>) -> Self {
        let attributes = Attributes { uid, gid: 0, mode, xattrs };
        let object = self.fixture.store.writer().write(&attributes, content).unwrap();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.folder(folder).files.insert(name.to_owned(), object);
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.owned_file(path, text, (0, 0o100_644), Xattrs::new())
    }

    fn owned_file(self, path: &str, text: &str, owner_and_mode: (u32, u32), xattrs: Xattrs) -> Self {
        self.put(path, owner_and_mode, xattrs, Content::File(&mut text.as_bytes(), text.len() as u64))
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.put(path, (0, 0o120_777), Xattrs::new(), Content::Symlink(target))
    }

    fn dir(mut self, path: &str, permissions: u32) -> Self {
        self.folder(path).attributes.mode = 0o040_000 | permissions;
        self
    }

    fn node(mut self, path: &str, mode: u32, device: (u32, u32)) -> Self {
        self.tree.extras.nodes.insert(path.to_owned(), Node { mode, uid: 0, gid: 0, device });
        self
    }

    fn link(mut self, path: &str, first: &str) -> Self {
        self.tree.extras.links.insert(path.to_owned(), first.to_owned());
        self
    }

    fn side(self) -> Side {
        let root = self.fixture.store.writer().write_tree(&self.tree).unwrap();
        Side { reader: self.fixture.store.reader(), tree: StoredTree { root, extras: self.tree.extras } }
    }
}

/// Differences as lines: which trees have the path, and in what it differs.
fn lines(different: &[Difference]) -> Vec<String> {
    let line = |difference: &Difference| {
        let has = match (&difference.first, &difference.second) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "first",
            (None, _) => "second",
        };
        let aspects: Vec<_> = difference.aspects.iter().map(|aspect: &Aspect| format!("{aspect:?}")).collect();
        format!("/{} {has} {}", difference.path, aspects.join(",")).trim_end().to_owned()
    };
    different.iter().map(line).collect()
}

#[test]
fn every_aspect_is_found() {
    let (Some(one), Some(other)) = (Fixture::new(), Fixture::new()) else { return };
    let xattr = |value: &str| Xattrs::from([("user.eel".to_owned(), value.as_bytes().to_vec())]);
    let none = Xattrs::new;
    let both = |fixture| {
        Planting::new(fixture)
            .file("same/deep/file", "same")
            .symlink("same/link", "deep")
            .node("dev/null", 0o020_666, (1, 3))
            .file("linked/a", "twice")
            .file("linked/b", "twice")
    };
    let first = both(&one)
        .file("content", "one")
        .owned_file("owner", "text", (0, 0o100_644), none())
        .owned_file("mode", "text", (0, 0o104_755), none())
        .owned_file("xattrs", "text", (0, 0o100_644), xattr("1"))
        .owned_file("several", "text", (0, 0o100_644), none())
        .symlink("target", "here")
        .symlink("type", "content")
        .dir("folder", 0o755)
        .node("dev/full", 0o020_666, (1, 7))
        .node("dev/gone", 0o010_644, (0, 0))
        .file("gone/below/file", "gone")
        .link("linked/b", "linked/a");
    let second = both(&other)
        .file("content", "two")
        .owned_file("owner", "text", (7, 0o100_644), none())
        .owned_file("mode", "text", (0, 0o100_755), none())
        .owned_file("xattrs", "text", (0, 0o100_644), xattr("2"))
        .owned_file("several", "other text", (7, 0o100_600), none())
        .symlink("target", "there")
        .file("type", "content")
        .dir("folder", 0o2755)
        .node("dev/full", 0o020_666, (1, 5))
        .file("new/file", "new");
    let different = tree::compare(&first.side(), &second.side()).unwrap();
    assert_eq!(
        lines(&different),
        [
            "/content both Content",
            "/dev/full both Device",
            "/dev/gone first",
            "/folder both Mode",
            "/gone first",
            "/gone/below first",
            "/gone/below/file first",
            "/linked/b both Link",
            "/mode both Mode",
            "/new second",
            "/new/file second",
            "/owner both Owner",
            "/several both Mode,Owner,Content",
            "/target both Target",
            "/type both Type,Mode",
            "/xattrs both Xattrs",
        ]
    );
}

#[test]
fn what_is_equal_is_not_read() {
    let Some(fixture) = Fixture::new() else { return };
    let first = Planting::new(&fixture).file("same/deep/file", "same").file("a", "one").side();
    let second = Planting::new(&fixture).file("same/deep/file", "same").file("a", "two").side();
    assert_eq!(tree::compare(&first, &first).unwrap(), []);
    let (same, _) = first.reader.entries(first.tree.root.0).unwrap().directories["same"];
    let same = same.to_hex();
    let (folder, name) = same.split_at(2);
    std::fs::remove_file(fixture.store.root().join(format!("repo/objects/{folder}/{name}.dirtree"))).unwrap();
    assert_eq!(lines(&tree::compare(&first, &second).unwrap()), ["/a both Content"]);
}

#[test]
fn what_changes_on_a_checkout_is_a_layer_that_makes_the_new_tree_of_the_old() {
    let Some(fixture) = Fixture::new() else { return };
    let old = Planting::new(&fixture)
        .file("etc/same", "1")
        .file("etc/changed", "1")
        .file("etc/gone", "1")
        .file("usr/a/file", "1")
        .file("becomes-folder", "1")
        .file("becomes-file/x", "1")
        .file("gone/deep/x", "1");
    let mut new = Planting::new(&fixture)
        .file("etc/same", "1")
        .file("etc/changed", "2")
        .file("etc/new", "3")
        .file("usr/a/file", "1")
        .file("becomes-folder/x", "4")
        .file("becomes-file", "5");
    new.folder("etc").attributes.mode = 0o040_750;
    let mut layers = Layers::new(&fixture.store);
    layers.show(&old.tree.root).unwrap();
    layers.show(&new.tree.root).unwrap();
    let [top, _] = layers.folders() else { panic!("{layers:?}") };
    assert!(!top.join("usr").exists(), "what is as before is not in the layer");
    let mut tree = old.tree;
    store::apply_upper(&fixture.store.writer(), &mut tree, top).unwrap();
    assert_eq!(tree, new.tree);

    layers.show(&new.tree.root).unwrap();
    assert_eq!(layers.folders().len(), 2, "no change is no layer");
    for number in 0..30 {
        let text = number.to_string();
        layers.show(&Planting::new(&fixture).file("etc/changed", &text).tree.root).unwrap();
        assert!(layers.folders().len() <= 12);
    }
}

#[test]
fn a_link_of_a_tree_leads_to_nothing_of_the_host() {
    let Some(fixture) = Fixture::new() else { return };
    let host = fixture.file(Sha256::of(b"of the host"));
    durable::write(&host, b"of the host").unwrap();
    let side = Planting::new(&fixture).symlink("etc/passwd", host.to_str().unwrap()).file("etc/group", "").side();
    let leaf = |path| tree::find_leaf(&side, path).unwrap().unwrap();
    assert_eq!(tree::read_file(&side, "etc/passwd").unwrap(), None);
    assert_eq!(tree::read_file(&side, "etc/group").unwrap(), Some(Vec::new()));
    assert!(side.reader.read(leaf("etc/passwd")).is_err());
    let [link, file] = ["etc/passwd", "etc/group"].map(|path| side.reader.path(leaf(path)));
    assert!(bytes::first_difference(&link, &file).is_err() && bytes::compare(&file, &link).is_err());
}
