//! Repositories whose mirrors a metalink or a mirrorlist names.

use std::fmt::Write as _;
use std::time::Duration;

use compose::digest::Sha256;
use compose::durable;
use compose::fetch;
use compose::lock::Package;
use compose::manifest::Repository;
use compose::package::Format;
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::{MirrorMap, Mirrors};

use crate::support::http_server::HttpServer;
use crate::support::lock::locked_file;
use crate::support::told;
use crate::{Scene, primary};

/// A repository that the manifest gives no URI, and a server that has it in the folder `base`.
struct Listed {
    scene: Scene,
    server: HttpServer,
}

impl Listed {
    fn new() -> Self {
        let mut scene = Scene::new();
        let server = HttpServer::serve(scene.folder.path());
        scene.archive.uris.clear();
        scene.publish(&[("primary", primary(&["a 1-1"]))]);
        Self { scene, server }
    }

    fn repository(&mut self) -> &mut Repository {
        self.scene.archive.repository.as_mut().unwrap()
    }

    /// The digest of the list of files that the server has.
    fn repomd(&self) -> Sha256 {
        Sha256::of(&std::fs::read(self.scene.path("repomd.xml")).unwrap())
    }

    /// Writes a list of mirrors and has the manifest name it.
    fn write(&mut self, name: &str, text: &str) {
        durable::write(&self.scene.folder.path().join(name), text.as_bytes()).unwrap();
        let uri = Some(format!("{}/{name}", self.server.uri()));
        match name {
            "metalink" => self.repository().metalink = uri,
            _ => self.repository().mirrorlist = uri,
        }
    }

    /// Writes a metalink of mirrors in these folders, the first to be preferred, that vouches for these digests.
    fn metalink(&mut self, present: Sha256, older: &[Sha256], folders: &[&str]) {
        let hash = |digest: &Sha256| format!("<verification><hash type='sha256'>{digest}</hash></verification>");
        let mut urls = String::new();
        for (at, folder) in folders.iter().enumerate() {
            let uri = format!("{}/{folder}/repodata/repomd.xml", self.server.uri());
            let _ = write!(urls, "<url protocol='http' preference='{}'>{uri}</url>", 100 - at);
        }
        let older =
            older.iter().map(|old| format!("<alternate>{}</alternate>", hash(old))).collect::<Vec<_>>().concat();
        let text = format!(
            "<metalink><files><file name='repomd.xml'>{}<alternates>{older}</alternates><resources>{urls}</resources>\
             </file></files></metalink>",
            hash(&present)
        );
        self.write("metalink", &text);
    }

    /// The paths that the server was asked for.
    fn asked(&self) -> Vec<String> {
        self.server.take_requests().into_iter().map(|request| request.path).collect()
    }

    /// The error of loading, with what differs from run to run replaced by words.
    fn refusal(&self) -> String {
        self.scene.refusal().replace(&self.server.uri(), "SERVER")
    }

    /// Fetches a package of these bytes that is locked.
    fn fetch(&self, bytes: &[u8], mirrors: &Mirrors) -> anyhow::Result<()> {
        let options =
            Options { attempts: 1, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
        let package =
            Package { archive: "base".to_owned(), path: "a.rpm".to_owned(), ..locked_file("a", "1-1", bytes) };
        let context = fetch::Context {
            client: &Client::new(options),
            mirrors,
            format: Format::Rpm,
            archives: std::slice::from_ref(&self.scene.archive),
            architectures: &["amd64".parse().unwrap()],
            store: &self.scene.folder.path().join("store"),
            manifest: "m.yaml".as_ref(),
            offline: false,
            connections: 1,
            already_have: &|_| false,
            progress: &Silent,
        };
        fetch::run(&[&package], &context).map(drop)
    }
}

#[test]
fn the_mirrors_of_a_metalink_are_tried_in_turn() {
    let mut listed = Listed::new();
    listed.metalink(listed.repomd(), &[], &["gone", "base"]);
    listed.scene.load().unwrap();
    assert_eq!(
        listed.asked(),
        [
            "/metalink",
            "/gone/repodata/repomd.xml",
            "/base/repodata/repomd.xml",
            "/base/repodata/repomd.xml.asc",
            "/gone/repodata/primary.xml.gz",
            "/base/repodata/primary.xml.gz"
        ]
    );
    // What is kept is what the metalink names: no mirror is asked.
    listed.scene.load().unwrap();
    assert_eq!(listed.asked(), ["/metalink"]);
}

#[test]
fn a_mirror_may_have_what_the_metalink_names_and_nothing_else() {
    let mut listed = Listed::new();
    let (old, new) = (listed.repomd(), Sha256::of(b"another state"));
    listed.metalink(new, &[old], &["base"]);
    listed.scene.load().unwrap();

    let mut listed = Listed::new();
    listed.metalink(new, &[], &["base"]);
    let told = listed.refusal().replace(&listed.repomd().to_hex(), "FOUND");
    assert_eq!(
        told.replace(&new.to_hex(), "NEW"),
        "cannot use the repository `base` for amd64: SERVER/base/repodata/repomd.xml is not what the metalink names: expected \
         SHA-256 NEW, found FOUND\n\
         hint: give another mirror with --mirror base=URI, the folder that has repodata/"
    );
    assert!(!listed.scene.folder.path().join("cache").exists());
}

#[test]
fn mirrorlists_are_read_with_the_variables_of_the_manifest() {
    let mut listed = Listed::new();
    let text = format!("# mirrors\n{0}/gone/\n{0}/$place/\n", listed.server.uri());
    listed.write("mirrorlist-x86_64", &text);
    let uri = format!("{}/mirrorlist-$basearch", listed.server.uri());
    listed.repository().mirrorlist = Some(uri);
    listed.repository().vars.insert("place".to_owned(), "base".to_owned());
    listed.scene.load().unwrap();
    assert_eq!(listed.asked()[..3], ["/mirrorlist-x86_64", "/gone/repodata/repomd.xml", "/base/repodata/repomd.xml"]);
}

#[test]
fn lists_that_are_of_no_use_are_told_of() {
    let mut listed = Listed::new();
    let hint = "hint: --mirror base=URI, the folder that has repodata/, does without it";
    listed.write("mirrorlist", "rsync://a.invalid/\n");
    assert_eq!(
        listed.refusal(),
        format!(
            "cannot use the mirrorlist of the repository `base`: SERVER/mirrorlist: it names no mirror with an http:, https: or \
             file: URI\n{hint}"
        )
    );
    listed.write("metalink", "<html></html>");
    assert_eq!(
        listed.refusal(),
        format!(
            "cannot use the metalink of the repository `base`: SERVER/metalink: it has no SHA-256 of repomd.xml\n{hint}"
        )
    );
}

#[test]
fn what_nobody_vouches_for_does_not_come_over_http() {
    let refusal = |place: &str| {
        format!(
            "cannot use the repository `base` for amd64: {place} comes over http:, and neither a signature nor a metalink vouches \
             for it\nhint: `repo_gpgcheck: true` for the archive `base` of the manifest asks for a signature; https: would do, and \
             so would a `metalink` from there; `trusted: true` takes what comes"
        )
    };
    let unsigned = || {
        let mut listed = Listed::new();
        listed.repository().repo_gpgcheck = false;
        listed
    };
    let mut by_metalink = unsigned();
    by_metalink.metalink(by_metalink.repomd(), &[], &["base"]);
    assert_eq!(by_metalink.refusal(), refusal("SERVER/metalink"));
    let mut by_mirrorlist = unsigned();
    by_mirrorlist.write("mirrorlist", &format!("{}/base\n", by_mirrorlist.server.uri()));
    assert_eq!(by_mirrorlist.refusal(), refusal("SERVER/mirrorlist"));
    let mut by_baseurl = unsigned();
    by_baseurl.scene.archive.uris = vec![format!("{}/base", by_baseurl.server.uri())];
    assert_eq!(by_baseurl.refusal(), refusal("SERVER/base/repodata/repomd.xml"));
    assert_eq!(by_baseurl.asked(), [""; 0]);
    for listed in [&by_metalink, &by_mirrorlist, &by_baseurl] {
        assert!(!listed.scene.folder.path().join("cache").exists());
    }

    // A metalink from a safe place vouches for what any mirror gives, and the user may know better.
    let path = by_metalink.scene.folder.path().join("metalink");
    by_metalink.repository().metalink = Some(format!("file://{}", path.display()));
    by_metalink.scene.load().unwrap();
    for mut listed in [by_mirrorlist, by_baseurl] {
        listed.scene.archive.trusted = true;
        listed.scene.load().unwrap();
    }
}

#[test]
fn packages_come_from_the_same_mirrors() {
    let mut listed = Listed::new();
    listed.repository().gpgcheck = false;
    listed.metalink(listed.repomd(), &[], &["gone", "base"]);
    durable::write(&listed.scene.folder.path().join("base/a.rpm"), b"a package").unwrap();
    listed.fetch(b"a package", &Mirrors::default()).unwrap();
    assert_eq!(listed.asked(), ["/metalink", "/gone/a.rpm", "/base/a.rpm"]);

    // What the user says comes first, and then nobody asks for the list.
    let mut listed = Listed::new();
    listed.repository().gpgcheck = false;
    listed.metalink(listed.repomd(), &[], &["gone"]);
    durable::write(&listed.scene.folder.path().join("own/a.rpm"), b"a package").unwrap();
    let own = MirrorMap::from([("base".to_owned(), vec![format!("{}/own", listed.server.uri())])]);
    listed.fetch(b"a package", &Mirrors { configuration: own, ..Mirrors::default() }).unwrap();
    assert_eq!(listed.asked(), ["/own/a.rpm"]);

    let error = listed.fetch(b"another", &Mirrors::default()).unwrap_err();
    assert!(told(&error).contains("the archive `base` has dropped this version"), "{}", told(&error));
}
