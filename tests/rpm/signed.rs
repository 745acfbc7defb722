//! Packages that have to be signed: who is taken for their signer, what the signature reaches, and what is told else.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use compose::fetch::{self, signed};
use compose::lock::Package;
use compose::manifest::{Archive, Repository};
use compose::package::Format;
use compose::package::rpm::header::{Header, Value};
use compose::package::rpm::tag;
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::Mirrors;
use compose::{digest::Sha256, durable};
use sequoia_openpgp::types::HashAlgorithm;

use crate::builder;
use crate::support::archive::SigningKey;
use crate::support::fixture::Fixture;
use crate::support::lock::locked_file;
use crate::support::program::{Outcome, compose, run};
use crate::support::told;

/// An archive `base` whose packages have to be signed by one key, its mirror, and a store.
struct Scene {
    folder: tempfile::TempDir,
    key: SigningKey,
    archive: Archive,
}

/// A package in its parts.
struct Parts {
    lead: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl Parts {
    /// Those of an unsigned package.
    fn new() -> Self {
        let listed = vec![builder::file("/etc/", "a", b"text")];
        let bytes = builder::Package::new(listed, &[("./etc/a", b"text")]).to_bytes();
        let (lead, rest) = bytes.split_at(96);
        let header = &rest[Header::size(rest).unwrap().next_multiple_of(8)..];
        let (header, payload) = header.split_at(Header::size(header).unwrap());
        Self { lead: lead.to_vec(), header: header.to_vec(), payload: payload.to_vec() }
    }

    /// Those of one whose header says nothing of the payload.
    fn without_digest() -> Self {
        let parts = Self::new();
        let (mut header, _) = Header::parse(tag::IMMUTABLE, &parts.header).unwrap();
        header.remove(tag::PAYLOADDIGEST);
        Self { header: header.to_bytes(), ..parts }
    }

    fn all(&self) -> Vec<u8> {
        [&self.header[..], &self.payload].concat()
    }

    /// The package file, with one tag in its signature header.
    fn with(&self, tag: u32, value: Value) -> Vec<u8> {
        let mut signatures = Header::new(tag::SIGNATURES);
        signatures.set(tag, value);
        let mut bytes = [&self.lead[..], &signatures.to_bytes()].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        [&bytes[..], &self.header, &self.payload].concat()
    }

    /// The package file with its header signed.
    fn signed(&self, key: &SigningKey) -> Vec<u8> {
        self.with(tag::RSAHEADER, Value::Binary(key.sign_packet(&self.header)))
    }
}

impl Scene {
    fn new() -> Self {
        Self::with_key(SigningKey::generate("packager"))
    }

    fn with_key(key: SigningKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keyring = folder.path().join("keyring.asc");
        key.write_keyring(&keyring);
        let keys = vec![Sha256::of(&std::fs::read(&keyring).unwrap())];
        let archive = Archive {
            id: "base".to_owned(),
            uris: vec![format!("file://{}/mirror", folder.path().display())],
            repository: Some(Repository { gpgkey: vec![keyring], keys, ..Repository::new() }),
            ..Archive::default()
        };
        Self { folder, key, archive }
    }

    /// A locked package of these bytes, which the mirror has.
    fn package(&self, bytes: &[u8]) -> Package {
        let package = Package {
            archive: "base".to_owned(),
            architecture: "noarch".to_owned(),
            path: "a.rpm".to_owned(),
            ..locked_file("a", "1-1", bytes)
        };
        durable::write(&self.folder.path().join("mirror/a.rpm"), bytes).unwrap();
        package
    }

    fn fetch(&self, package: &Package) -> anyhow::Result<PathBuf> {
        let store = self.folder.path().join("store");
        let options =
            Options { attempts: 1, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
        let context = fetch::Context {
            client: &Client::new(options),
            mirrors: &Mirrors::default(),
            format: Format::Rpm,
            archives: std::slice::from_ref(&self.archive),
            architectures: &["amd64".parse().unwrap()],
            store: &store,
            manifest: "m.yaml".as_ref(),
            offline: false,
            connections: 1,
            already_have: &|_| false,
            progress: &Silent,
        };
        fetch::run(&[package], &context)?;
        Ok(fetch::file_path(&store, &package.sha256))
    }

    /// What is told of a package of these bytes, of which nothing stays.
    fn refusal(&self, bytes: &[u8]) -> String {
        let error = self.fetch(&self.package(bytes)).unwrap_err();
        let folders = std::fs::read_dir(self.folder.path().join("store/files")).unwrap();
        assert_eq!(folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).count(), 0);
        told(&error).replace(&self.folder.path().display().to_string(), "DIR").replace(&self.key.id(), "ITS-KEY")
    }

    /// The reason in the refusal of a package.
    fn reason(&self, bytes: &[u8]) -> String {
        let told = self.refusal(bytes);
        let start =
            "1 of 1 package files cannot be used:\n  a 1-1 noarch: the archive `base` has it signed by its keys, but ";
        let reason = told.strip_prefix(start).unwrap_or(&told);
        reason.split("\nhint: ").next().unwrap_or_default().to_owned()
    }
}

#[test]
fn every_form_of_signature_is_taken() {
    let scene = Scene::new();
    let parts = Parts::new();
    let of_header = scene.key.sign_packet(&parts.header);
    let of_all = scene.key.sign_packet(&parts.all());
    let stranger = SigningKey::generate("stranger").sign_packet(&parts.header);
    let texts = [stranger, of_header.clone()].map(|packet| BASE64_STANDARD.encode(packet));
    let bare = Parts::without_digest();
    let of_bare = scene.key.sign_packet(&bare.all());
    for bytes in [
        parts.with(tag::RSAHEADER, Value::Binary(of_header.clone())),
        parts.with(tag::DSAHEADER, Value::Binary(of_header)),
        parts.with(tag::SIG_PGP, Value::Binary(of_all.clone())),
        parts.with(tag::SIG_GPG, Value::Binary(of_all)),
        parts.with(tag::OPENPGP, Value::Texts(texts.to_vec())),
        bare.with(tag::SIG_PGP, Value::Binary(of_bare)),
    ] {
        let package = scene.package(&bytes);
        assert_eq!(std::fs::read(scene.fetch(&package).unwrap()).unwrap(), bytes);
        // And when it is there already.
        scene.fetch(&package).unwrap();
    }
}

#[test]
fn a_package_that_nobody_signed_is_refused() {
    let scene = Scene::new();
    let unsigned = Parts::new().with(tag::SIG_SIZE, Value::Int32(vec![1]));
    assert_eq!(
        scene.refusal(&unsigned),
        "1 of 1 package files cannot be used:\n  a 1-1 noarch: the archive `base` has it signed by its keys, but it is not signed\n\
         hint: `gpgkey:` of the archive `base` in the manifest names files with the keys of its packages\n\
         hint: `gpgcheck: false` there takes what the archive's metadata names, whoever signed it"
    );
}

#[test]
fn another_key_does_not_count() {
    let scene = Scene::new();
    let stranger = SigningKey::generate("stranger");
    let told = scene.refusal(&Parts::new().signed(&stranger)).replace(&stranger.id(), "OTHER-KEY");
    assert_eq!(
        told,
        "1 of 1 package files cannot be used:\n  a 1-1 noarch: the archive `base` has it signed by its keys, but it is signed by \
         key OTHER-KEY, and the keyring DIR/keyring.asc has only key ITS-KEY\n\
         hint: `gpgkey:` of the archive `base` in the manifest names files with the keys of its packages"
    );
}

#[test]
fn a_key_counts_while_it_is_good() {
    // It ends before it signs.
    let scene = Scene::with_key(SigningKey::generate_at("packager", "2010-01-01T00:00:00Z"));
    let reason = scene.reason(&Parts::new().signed(&scene.key));
    assert!(reason.starts_with("it has no good signature: key ITS-KEY is not valid: "), "{reason}");

    let scene = Scene::new();
    let good = Parts::new().signed(&scene.key);
    scene.key.write_revoked(&scene.folder.path().join("keyring.asc"));
    let reason = scene.reason(&good);
    assert!(reason.starts_with("it has no good signature: key ITS-KEY is not valid: "), "{reason}");
}

#[test]
fn no_changed_byte_goes_unseen() {
    let scene = Scene::new();
    let whole = Parts::new().signed(&scene.key);
    let parts = Parts::new();
    let header = whole.len() - parts.all().len();
    let unfit = "it has no good signature: the signature of key ITS-KEY does not fit what is signed";
    for at in [20, 200, parts.header.len() - 20] {
        let mut changed = whole.clone();
        changed[header + at] ^= 1;
        assert_eq!(scene.reason(&changed), unfit, "byte {at} of the header");
    }
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    let reason = scene.reason(&changed);
    let expected = format!("its signed header expects {}", Sha256::of(&parts.payload));
    assert!(reason.starts_with("its payload has the SHA-256 ") && reason.ends_with(&expected), "{reason}");
    let all = parts.with(tag::SIG_PGP, Value::Binary(scene.key.sign_packet(&parts.all())));
    for back in [1, parts.payload.len() + 20] {
        let mut changed = all.clone();
        let at = changed.len() - back;
        changed[at] ^= 1;
        assert_eq!(scene.reason(&changed), unfit, "byte {back} from the end");
    }
}

#[test]
fn a_signature_of_something_else_is_refused() {
    let scene = Scene::new();
    let parts = Parts::new();
    let unfit = "it has no good signature: the signature of key ITS-KEY does not fit what is signed";
    let other = Value::Binary(scene.key.sign_packet(b"another header"));
    assert_eq!(scene.reason(&parts.with(tag::RSAHEADER, other)), unfit);
    // A signature of both where one of the header is looked for.
    let both = Value::Binary(scene.key.sign_packet(&parts.all()));
    assert_eq!(scene.reason(&parts.with(tag::RSAHEADER, both)), unfit);
    assert_eq!(
        scene.reason(&Parts::without_digest().signed(&scene.key)),
        "its header is signed, but has no SHA-256 of the payload, which nothing else vouches for"
    );
}

#[test]
fn a_weak_signature_is_refused() {
    let scene = Scene::new();
    let parts = Parts::new();
    let weak = scene.key.sign_packet_by(&parts.header, HashAlgorithm::SHA1);
    let reason = scene.reason(&parts.with(tag::RSAHEADER, Value::Binary(weak)));
    assert!(reason.starts_with("it has no good signature: the signature of key ITS-KEY is too weak: "), "{reason}");
}

#[test]
fn hostile_signature_headers_are_refused() {
    let scene = Scene::new();
    let parts = Parts::new();
    let good = parts.signed(&scene.key);
    let reason = scene.reason(&parts.with(tag::OPENPGP, Value::Texts(vec!["!".to_owned()])));
    assert!(reason.starts_with("it cannot be read: its signature is no base64"), "{reason}");
    for end in [0, 50, 96, 110, 300, good.len() - parts.all().len() + 8] {
        let reason = scene.reason(&good[..end]);
        assert!(reason.starts_with("it cannot be read: "), "{end} bytes: {reason}");
    }
    for at in 96..good.len() - parts.all().len() {
        let mut changed = good.clone();
        changed[at] ^= 0x80;
        // Some bytes are of nothing: no signature covers the signature header itself.
        let _ = scene.fetch(&scene.package(&changed));
    }
}

#[test]
fn the_manifest_says_who_has_to_sign() {
    let mut scene = Scene::new();
    let unsigned = scene.package(&Parts::new().with(tag::SIG_SIZE, Value::Int32(vec![1])));
    let repository =
        |scene: &mut Scene, change: fn(&mut Repository)| change(scene.archive.repository.as_mut().unwrap());
    repository(&mut scene, |repository| repository.gpgcheck = false);
    scene.fetch(&unsigned).unwrap();
    // What was fetched for others is looked at, too.
    repository(&mut scene, |repository| repository.gpgcheck = true);
    assert!(told(&scene.fetch(&unsigned).unwrap_err()).contains("but it is not signed"));
    repository(&mut scene, |repository| repository.gpgkey.clear());
    assert_eq!(
        told(&scene.fetch(&unsigned).unwrap_err()),
        "the packages of the archive `base` have to be signed, and no keys are known\n\
         hint: in the archive `base` of the manifest, `gpgkey:` names files with the keys of its packages; `gpgcheck: false` takes \
         them unsigned"
    );
}

#[test]
fn the_program_takes_what_the_manifests_keys_signed_and_nothing_else() {
    if Fixture::new().is_none() {
        return;
    }
    let (scene, stranger, parts) = (crate::Scene::new(), SigningKey::generate("stranger"), Parts::new());
    let folder = scene.folder.path();
    let packages = [
        ("good", parts.signed(&scene.key)),
        ("other", parts.signed(&stranger)),
        ("unsigned", parts.with(tag::SIG_SIZE, Value::Int32(vec![1]))),
    ];
    let mut listed =
        crate::primary(&packages.each_ref().map(|(name, _)| format!("{name} 1-1")).each_ref().map(String::as_str));
    for (name, bytes) in &packages {
        durable::write(&folder.join(format!("base/Packages/{name}-1-1.noarch.rpm")), bytes).unwrap();
        listed = crate::with_file(&listed, &format!("{name} 1-1"), bytes);
        let manifest = format!(
            "name: {name}\nformat: rpm\narchitectures: [amd64]\nbase: none\npackages: [{name}]\noutputs: [ostree]\narchives:\n  \
             - {{id: base, baseurl: ['file://{}/base'], gpgkey: [keyring.asc], repo_gpgcheck: false}}\n",
            folder.display()
        );
        durable::write(&folder.join(format!("{name}.yaml")), manifest.as_bytes()).unwrap();
    }
    scene.publish(&[("primary", listed)]);
    let program = |words: &[&str]| run(&mut compose(folder, ["--store", "store", "--quiet"].iter().chain(words)));
    let is_here = |bytes: &[u8]| fetch::file_path(&folder.join("store"), &Sha256::of(bytes)).exists();
    for (name, _) in &packages {
        program(&["update-lock", &format!("{name}.yaml")]).result();
    }
    program(&["fetch", "good.yaml"]).result();
    assert!(is_here(&packages[0].1));
    let by_other = format!("it is signed by key {}, and the keyring ", stranger.id());
    for ((name, bytes), reason) in packages[1..].iter().zip([by_other.as_str(), "it is not signed\n"]) {
        for verb in ["fetch", "build"] {
            let Outcome { code, stdout, stderr } = program(&[verb, &format!("{name}.yaml")]);
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
            let refusal = format!("  {name} 1-1 noarch: the archive `base` has it signed by its keys, but {reason}");
            assert!(stderr.contains(&refusal), "{stderr}");
            assert!(
                stderr.contains("hint: `gpgkey:` of the archive `base` in the manifest names files with the keys"),
                "{stderr}"
            );
        }
        assert!(!is_here(bytes));
    }
    assert_eq!(program(&["store", "ls"]).result(), "");
}

#[test]
fn what_was_found_good_is_known_for_these_packages_and_keys_alone() {
    let Some(fixture) = Fixture::new() else { return };
    let mut scene = Scene::new();
    let (one, other) = (scene.package(b"one"), scene.package(b"other"));
    let key = |scene: &Scene, packages: &[&Package]| {
        signed::key(Format::Rpm, packages, std::slice::from_ref(&scene.archive)).unwrap()
    };
    let first = key(&scene, &[&one]);
    assert!(!signed::is_known(&fixture.store, first).unwrap());
    signed::remember(&fixture.store, first).unwrap();
    assert!(signed::is_known(&fixture.store, first).unwrap());
    assert_ne!(key(&scene, &[&other]), first);
    assert_ne!(key(&scene, &[&one, &other]), first);
    scene.archive.repository.as_mut().unwrap().keys = vec![Sha256::of(b"another key")];
    assert_ne!(key(&scene, &[&one]), first);
    scene.archive.repository.as_mut().unwrap().gpgcheck = false;
    assert!(signed::have_to_be(&[&one], std::slice::from_ref(&scene.archive)).is_empty());
}
