//! rpm's format: repositories, from their metadata to a lock, and packages.

mod builder;
mod changelogs;
mod fedora;
mod keys;
mod machines;
mod oracle;
mod packages;
mod places;
mod refuses;
mod resolves;
mod signed;
#[path = "../support/mod.rs"]
mod support;
mod versions;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::durable;
use compose::manifest::{Archive, Repository};
use compose::progress::Silent;
use compose::source::http::{Client, Options};
use compose::source::mirrors::Mirrors;
use compose::source::{self, Asked, Context, Index};

use support::archive::{NOW, SigningKey, at};
use support::told;

/// A repository `base` in a folder, signed with a key of its own, and a cache.
struct Scene {
    folder: tempfile::TempDir,
    key: SigningKey,
    archive: Archive,
    now: Timestamp,
}

/// Metadata files of a repository by kind, unpacked.
type Files<'a> = [(&'a str, String)];

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("repository");
        assert!(key.is_sound());
        let keyring = folder.path().join("keyring.asc");
        key.write_keyring(&keyring);
        let repository = Repository { gpgkey: vec![keyring], ..Repository::new() };
        let archive = Archive {
            id: "base".to_owned(),
            uris: vec![format!("file://{}/base", folder.path().display())],
            repository: Some(repository),
            ..Archive::default()
        };
        Self { folder, key, archive, now: at(NOW) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("base/repodata").join(name)
    }

    /// Writes a repository with these files, signed.
    fn publish(&self, files: &Files<'_>) {
        self.publish_as(files, 7, |repomd| repomd);
    }

    /// As [`Self::publish`], of some time and with another `repomd.xml`.
    fn publish_as(&self, files: &Files<'_>, time: i64, change: impl FnOnce(String) -> String) {
        let repomd = change(write_files(&self.folder.path().join("base"), files, time));
        durable::write(&self.path("repomd.xml"), repomd.as_bytes()).unwrap();
        durable::write(&self.path("repomd.xml.asc"), &self.key.sign_detached(&repomd)).unwrap();
    }

    fn load(&self) -> anyhow::Result<Index> {
        let options =
            Options { attempts: 1, first_pause: Duration::from_millis(1), proxy: false, ..Options::default() };
        let context = Context {
            client: &Client::new(options),
            mirrors: &Mirrors::default(),
            cache: &self.folder.path().join("cache"),
            offline: false,
            now: self.now,
            progress: &Silent,
        };
        let asked = Asked { archive: &self.archive, architecture: &"amd64".parse().unwrap(), optional: false };
        Ok(source::load_archives(&[asked], &BTreeSet::new(), &context)?.remove(0).remove(0))
    }

    /// The error of loading, with what differs from run to run replaced by words.
    fn refusal(&self) -> String {
        told(&self.load().map(|_| "no error").unwrap_err())
            .replace(&self.folder.path().display().to_string(), "DIR")
            .replace(&self.key.id(), "ITS-KEY")
    }
}

/// Writes a repository's metadata files; gives the list of them, `repomd.xml`.
fn write_files(folder: &Path, files: &Files<'_>, time: i64) -> String {
    let mut list = String::new();
    for (kind, text) in files {
        let packed = gzip(text.as_bytes());
        durable::write(&folder.join(format!("repodata/{kind}.xml.gz")), &packed).unwrap();
        let _ = write!(
            list,
            "<data type='{kind}'><checksum type='sha256'>{}</checksum><open-checksum type='sha256'>{}</open-checksum>\
             <location href='repodata/{kind}.xml.gz'/><timestamp>{time}</timestamp><size>{}</size><open-size>{}</open-size>\
             </data>",
            Sha256::of(&packed),
            Sha256::of(text.as_bytes()),
            packed.len(),
            text.len()
        );
    }
    format!("<?xml version='1.0'?>\n<repomd><revision>1</revision>{list}</repomd>\n")
}

/// Writes a repository whose metadata nobody signs.
fn publish_unsigned(folder: &Path, files: &Files<'_>) {
    let repomd = write_files(folder, files, 7);
    durable::write(&folder.join("repodata/repomd.xml"), repomd.as_bytes()).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Primary metadata of packages, each a line `NAME VERSION-RELEASE [ARCH][; FIELD: RELATION, …]…`. A field `file` has paths.
fn primary(packages: &[&str]) -> String {
    let mut body = String::new();
    for package in packages {
        let mut fields = package.split("; ");
        let head: Vec<&str> = fields.next().unwrap_or_default().split_whitespace().collect();
        let (name, evr, arch) = (head[0], head[1], head.get(2).copied().unwrap_or("noarch"));
        let (version, release) = evr.rsplit_once('-').unwrap();
        let mut format = format!("<rpm:provides>{}</rpm:provides>", entry(&format!("{name} = {evr}")));
        for field in fields {
            let (kind, relations) = field.split_once(": ").unwrap();
            let relations = relations.split(", ");
            if kind == "file" {
                for path in relations {
                    let _ = write!(format, "<file>{path}</file>");
                }
                continue;
            }
            let _ = write!(format, "<rpm:{kind}>{}</rpm:{kind}>", relations.map(entry).collect::<String>());
        }
        let digest = Sha256::of(package.as_bytes());
        let _ = write!(
            body,
            "<package type='rpm'><name>{name}</name><arch>{arch}</arch><version epoch='0' ver='{version}' rel='{release}'/>\
             <checksum type='sha256' pkgid='YES'>{digest}</checksum><size package='1' installed='2' archive='3'/>\
             <location href='Packages/{name}-{evr}.{arch}.rpm'/><format>{format}</format></package>"
        );
    }
    format!("<metadata packages='{}'>{body}</metadata>", packages.len())
}

/// Primary metadata of [`primary`], in which a package has this file.
fn with_file(primary: &str, package: &str, bytes: &[u8]) -> String {
    let field = |digest: Sha256, size: usize| format!("{digest}</checksum><size package='{size}'");
    primary.replace(&field(Sha256::of(package.as_bytes()), 1), &field(Sha256::of(bytes), bytes.len()))
}

fn entry(relation: &str) -> String {
    let escaped = relation.replace('<', "&lt;");
    let words: Vec<&str> = relation.split_whitespace().collect();
    match words.as_slice() {
        [name, operator, evr] if !relation.starts_with('(') => {
            let flags = match *operator {
                "=" => "EQ",
                "<" => "LT",
                ">" => "GT",
                "<=" => "LE",
                _ => "GE",
            };
            let (version, release) =
                evr.split_once('-').map_or((*evr, String::new()), |(v, r)| (v, format!(" rel='{r}'")));
            format!("<rpm:entry name='{name}' flags='{flags}' epoch='0' ver='{version}'{release}/>")
        }
        _ => format!("<rpm:entry name='{escaped}'/>"),
    }
}
