//! Archives in Debian's repository format, written into a folder and signed by keys made on the spot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use sequoia_openpgp as openpgp;

use openpgp::cert::{Cert, CertBuilder, CertRevocationBuilder};
use openpgp::crypto::KeyPair;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto;
use openpgp::serialize::stream::{Armorer, Message, Signer};
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};

/// When test archives are made, unless a test says otherwise.
pub const DATE: &str = "2026-11-14T09:00:00Z";

/// The clock of tests that use such archives.
pub const NOW: &str = "2026-11-14T12:00:00Z";

/// When keys sign.
const SIGNED: &str = "2026-11-01T00:00:00Z";

/// An instant written as RFC 3339.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a date in a test")
}

fn system_time(instant: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(instant.seconds().unsigned_abs())
}

/// A key that can sign archives.
pub struct SigningKey {
    cert: Cert,
}

impl SigningKey {
    /// A new key.
    pub fn generate(name: &str) -> Self {
        Self::generate_at(name, "2026-01-01T00:00:00Z")
    }

    /// A new key that was made at that time.
    pub fn generate_at(name: &str, time: &str) -> Self {
        let (cert, _) = CertBuilder::new()
            .add_userid(name)
            .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
            .set_creation_time(system_time(at(time)))
            .set_validity_period(Duration::from_secs(10 * 365 * 24 * 3600))
            .generate()
            .expect("a new key");
        Self { cert }
    }

    /// Its key id, as messages show it.
    pub fn id(&self) -> String {
        self.cert.keyid().to_hex()
    }

    /// The secret key, as text.
    pub fn secret(&self) -> String {
        String::from_utf8(self.cert.as_tsk().armored().to_vec().expect("a key as bytes")).expect("armor is ASCII")
    }

    /// Writes the public key, as binary data, or as text for a name that ends in `.asc`.
    pub fn write_keyring(&self, path: &Path) {
        let public = self.cert.clone().strip_secret_key_material();
        let bytes =
            if path.extension().is_some_and(|e| e == "asc") { public.armored().to_vec() } else { public.to_vec() };
        durable::write(path, &bytes.expect("a key as bytes")).expect("a writable folder");
    }

    /// Writes the public key with a signature by itself that revokes it, as stolen.
    pub fn write_revoked(&self, path: &Path) {
        let mut signer = self.keypair();
        let revocation = CertRevocationBuilder::new()
            .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"stolen")
            .and_then(|builder| builder.build(&mut signer, &self.cert, None))
            .expect("a revocation");
        let public = self.cert.clone().strip_secret_key_material();
        let (revoked, _) = public.insert_packets(revocation).expect("a revoked key");
        durable::write(path, &revoked.armored().to_vec().expect("a key as bytes")).expect("a writable folder");
    }

    /// A signature of bytes, as a packet.
    pub fn sign_packet(&self, bytes: &[u8]) -> Vec<u8> {
        self.sign_packet_by(bytes, HashAlgorithm::SHA256)
    }

    /// A signature of bytes by this digest, as a packet.
    pub fn sign_packet_by(&self, bytes: &[u8], digest: HashAlgorithm) -> Vec<u8> {
        let template = SignatureBuilder::new(SignatureType::Binary);
        let mut out = Vec::new();
        let signer = Signer::with_template(Message::new(&mut out), self.keypair(), template).expect("a signer");
        let signer = signer.hash_algo(digest).expect("a digest").creation_time(system_time(at(SIGNED)));
        let mut message = signer.detached().build().expect("a signed message");
        message.write_all(bytes).expect("memory");
        message.finalize().expect("a whole message");
        out
    }

    fn keypair(&self) -> KeyPair {
        let key = self.cert.primary_key().key().clone().parts_into_secret();
        key.and_then(openpgp::packet::Key::into_keypair).expect("a key with its secret")
    }

    /// The text with a signature around it.
    pub fn sign_inline(&self, text: &str) -> Vec<u8> {
        self.sign(text, Form::Inline)
    }

    /// A signature alone.
    pub fn sign_detached(&self, text: &str) -> Vec<u8> {
        self.sign(text, Form::Detached)
    }

    fn sign(&self, text: &str, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        let message = Message::new(&mut out);
        let kind = if form == Form::Inline { SignatureType::Text } else { SignatureType::Binary };
        let template = SignatureBuilder::new(kind);
        let message = match form {
            Form::Inline => message,
            Form::Detached => {
                Armorer::new(message).kind(openpgp::armor::Kind::Signature).build().expect("an armored message")
            }
        };
        let signer = Signer::with_template(message, self.keypair(), template).expect("a signer");
        let signer = signer.creation_time(system_time(at(SIGNED)));
        let signer = if form == Form::Inline { signer.cleartext() } else { signer.detached() };
        let mut message = signer.build().expect("a signed message");
        message.write_all(text.as_bytes()).expect("memory");
        message.finalize().expect("a whole message");
        out
    }

    /// Whether the key is one that today's policy takes; a test key that is not would make every test pass for a wrong
    /// reason.
    pub fn is_sound(&self) -> bool {
        self.cert.with_policy(&StandardPolicy::new(), system_time(at(NOW))).is_ok()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Inline,
    Detached,
}

/// How the Release file is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignedAs {
    /// `InRelease`.
    Inline,
    /// `Release` and `Release.gpg`.
    Detached,
    /// `Release` alone.
    Unsigned,
}

/// One suite of an archive, to be written below the archive's root.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Its name in `dists`, or a path that ends with `/` for a flat repository.
    pub name: String,
    /// `Date`.
    pub date: Timestamp,
    /// `Valid-Until`.
    pub valid_until: Option<Timestamp>,
    /// `Acquire-By-Hash`.
    pub by_hash: bool,
    /// Suffixes of the index files to write.
    pub suffixes: Vec<&'static str>,
    /// Further lines of the Release file.
    pub fields: String,
    /// Stanzas of the package indexes by `COMPONENT/binary-ARCH`; for a flat repository by the empty text.
    pub indexes: BTreeMap<String, Vec<String>>,
}

impl Suite {
    /// An empty suite of [`DATE`] with xz-compressed indexes.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            date: at(DATE),
            valid_until: None,
            by_hash: false,
            suffixes: vec![".xz"],
            fields: String::new(),
            indexes: BTreeMap::new(),
        }
    }

    /// Adds a package: the file goes into the pool below `root`, its stanza into the index. Gives the pool path.
    pub fn add_package(&mut self, root: &Path, index: &str, control: &str, file: &[u8]) -> String {
        let field = |name: &str| {
            control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
        };
        let (name, version, architecture) = (field("Package"), field("Version"), field("Architecture"));
        let path = format!("pool/{name}_{version}_{architecture}.deb");
        durable::write(&root.join(&path), file).expect("a writable folder");
        let stanza =
            format!("{}\nFilename: {path}\nSize: {}\nSHA256: {}\n", control.trim_end(), file.len(), Sha256::of(file));
        self.indexes.entry(index.to_owned()).or_default().push(stanza);
        path
    }

    /// The text of an index.
    pub fn index_text(&self, index: &str) -> String {
        self.indexes.get(index).map(|stanzas| stanzas.join("\n")).unwrap_or_default()
    }

    /// Writes indexes and Release file.
    pub fn write(&self, root: &Path, key: &SigningKey, signed_as: SignedAs) {
        let release = self.write_indexes(root);
        self.write_release(root, &release, key, signed_as);
    }

    /// The folder of the Release file.
    fn folder(&self, root: &Path) -> std::path::PathBuf {
        if self.name.ends_with('/') { root.join(&self.name) } else { root.join("dists").join(&self.name) }
    }

    /// Writes the index files; gives the text of the Release file that lists them.
    pub fn write_indexes(&self, root: &Path) -> String {
        let folder = self.folder(root);
        let mut list = String::new();
        for index in self.indexes.keys() {
            for suffix in &self.suffixes {
                let bytes = compress(suffix, self.index_text(index).as_bytes());
                let sha256 = Sha256::of(&bytes);
                let directory = if index.is_empty() { String::new() } else { format!("{index}/") };
                let _ = writeln!(list, " {sha256} {:>8} {directory}Packages{suffix}", bytes.len());
                durable::write(&folder.join(format!("{directory}Packages{suffix}")), &bytes)
                    .expect("a writable folder");
                if self.by_hash {
                    let path = folder.join(format!("{directory}by-hash/SHA256/{sha256}"));
                    durable::write(&path, &bytes).expect("a writable folder");
                }
            }
        }
        format!("{}SHA256:\n{list}", self.head())
    }

    /// The Release file's fields before the list of indexes.
    fn head(&self) -> String {
        let mut text = String::from("Origin: Test\n");
        if !self.name.ends_with('/') {
            let _ = writeln!(text, "Suite: {0}\nCodename: {0}", self.name);
        }
        let _ = writeln!(text, "Date: {}", rfc2822(self.date));
        if let Some(until) = self.valid_until {
            let _ = writeln!(text, "Valid-Until: {}", rfc2822(until));
        }
        if self.by_hash {
            text.push_str("Acquire-By-Hash: yes\n");
        }
        let pairs = self.indexes.keys().filter_map(|index| index.split_once("/binary-"));
        let (components, architectures): (BTreeSet<_>, BTreeSet<_>) = pairs.unzip();
        let line = |words: BTreeSet<&str>| words.into_iter().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "Architectures: {}\nComponents: {}", line(architectures), line(components));
        text + &self.fields
    }

    /// Writes a Release file with this text, in place of whatever form of it there is.
    pub fn write_release(&self, root: &Path, text: &str, key: &SigningKey, signed_as: SignedAs) {
        let folder = self.folder(root);
        for name in ["InRelease", "Release", "Release.gpg"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
        let write = |name: &str, bytes: &[u8]| durable::write(&folder.join(name), bytes).expect("a writable folder");
        match signed_as {
            SignedAs::Inline => write("InRelease", &key.sign_inline(text)),
            SignedAs::Unsigned => write("Release", text.as_bytes()),
            SignedAs::Detached => {
                write("Release", text.as_bytes());
                write("Release.gpg", &key.sign_detached(text));
            }
        }
    }
}

fn rfc2822(instant: Timestamp) -> String {
    let zoned: jiff::Timestamp = instant.to_string().parse().expect("a timestamp's own text");
    zoned.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

fn compress(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    match suffix {
        ".xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory")
        }
        ".gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory")
        }
        ".zst" => zstd::encode_all(bytes, 1).expect("memory"),
        _ => bytes.to_vec(),
    }
}
