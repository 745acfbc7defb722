//! The digest of a manifest: SHA-256 of its values as JSON, with files and keyrings by their contents.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::{
    AddedContent, Archive, Base, Group, ImageOptions, Manifest, OutputFormat, PackageRequest, System, Template, User,
};
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::package::Format;

/// The values that decide a lock and a build, in a fixed order.
#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    format: Format,
    architectures: &'a [Architecture],
    #[serde(skip_serializing_if = "<[Architecture]>::is_empty")]
    foreign_architectures: &'a [Architecture],
    archives: Vec<ArchiveValues<'a>>,
    base: Base,
    recommends: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suggests: bool,
    packages: &'a [PackageRequest],
    exclude: &'a [String],
    groups: &'a [Group],
    users: &'a [User],
    files: Vec<FileValues<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a System>,
    outputs: &'a [OutputFormat],
    image: &'a ImageOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a Template>,
    tools: Vec<ArchiveValues<'a>>,
}

#[derive(Serialize)]
struct ArchiveValues<'a> {
    #[serde(flatten)]
    archive: &'a Archive,
    keyring: Option<Sha256>,
}

#[derive(Serialize)]
struct FileValues<'a> {
    path: &'a str,
    content: ContentValues<'a>,
    mode: u32,
    owner: &'a str,
    group: &'a str,
}

#[derive(Serialize)]
enum ContentValues<'a> {
    Bytes(Sha256),
    Link(&'a str),
    Directory,
}

/// The digest; `keyrings` knows the contents of every archive's keyring.
pub fn digest(manifest: &Manifest, keyrings: &BTreeMap<PathBuf, Sha256>) -> Sha256 {
    let values = Values {
        name: &manifest.name,
        format: manifest.format,
        architectures: &manifest.architectures,
        foreign_architectures: &manifest.foreign_architectures,
        archives: archive_values(&manifest.archives, keyrings),
        base: manifest.base,
        recommends: manifest.recommends,
        suggests: manifest.suggests,
        packages: &manifest.packages,
        exclude: &manifest.exclude,
        groups: &manifest.groups,
        users: &manifest.users,
        files: manifest
            .files
            .iter()
            .map(|f| FileValues {
                path: &f.path,
                content: match &f.content {
                    AddedContent::Bytes(bytes) => ContentValues::Bytes(Sha256::of(bytes)),
                    AddedContent::Link(target) => ContentValues::Link(target),
                    AddedContent::Directory => ContentValues::Directory,
                },
                mode: f.mode,
                owner: &f.owner,
                group: &f.group,
            })
            .collect(),
        system: Some(&manifest.system).filter(|system| **system != System::default()),
        outputs: &manifest.outputs,
        image: &manifest.image,
        template: manifest.template.as_ref(),
        tools: archive_values(&manifest.tools.archives, keyrings),
    };
    let json = serde_json::to_vec(&values).expect("values are strings, numbers and lists");
    Sha256::of(&json)
}

fn archive_values<'a>(archives: &'a [Archive], keyrings: &BTreeMap<PathBuf, Sha256>) -> Vec<ArchiveValues<'a>> {
    let keyring = |archive: &Archive| archive.signed_by.as_ref().and_then(|path| keyrings.get(path)).copied();
    archives.iter().map(|archive| ArchiveValues { archive, keyring: keyring(archive) }).collect()
}
