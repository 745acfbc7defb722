//! A manifest as it is typed in: one YAML file, keys checked, nothing filled in.

use serde::Deserialize;

use super::located::Located;
use super::words::{Mode, Size};
use super::{Base, OutputFormat};
use crate::arch::Architecture;
use crate::package::Format;

/// One file.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Typed {
    pub name: Option<Located<String>>,
    pub format: Option<Located<Format>>,
    pub include: Vec<Located<String>>,
    pub architectures: Vec<Located<Architecture>>,
    pub archives: Vec<TypedArchive>,
    pub base: Option<Located<Base>>,
    pub recommends: Option<Located<bool>>,
    pub packages: Vec<Located<String>>,
    pub exclude: Vec<Located<String>>,
    pub groups: Vec<TypedGroup>,
    pub users: Vec<TypedUser>,
    pub files: Vec<TypedFile>,
    pub outputs: Vec<Located<OutputFormat>>,
    pub image: TypedImage,
    pub tools: TypedTools,
}

/// An entry of `archives:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedArchive {
    pub id: Located<String>,
    #[serde(default)]
    pub suites: Vec<Located<String>>,
    #[serde(default)]
    pub components: Vec<Located<String>>,
    pub signed_by: Option<Located<String>>,
    #[serde(default)]
    pub uris: Vec<Located<String>>,
    pub priority: Option<Located<i32>>,
    pub check_valid_until: Option<Located<bool>>,
    pub trusted: Option<Located<bool>>,
}

/// An entry of `groups:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedGroup {
    pub name: Located<String>,
    pub gid: Option<Located<u32>>,
    pub system: Option<Located<bool>>,
}

/// An entry of `users:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedUser {
    pub name: Located<String>,
    pub uid: Option<Located<u32>>,
    pub group: Option<Located<String>>,
    #[serde(default)]
    pub groups: Vec<Located<String>>,
    pub gecos: Option<Located<String>>,
    pub home: Option<Located<String>>,
    pub shell: Option<Located<String>>,
    pub password_hash: Option<Located<String>>,
    pub system: Option<Located<bool>>,
}

/// An entry of `files:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedFile {
    pub path: Located<String>,
    pub content: Option<Located<String>>,
    pub source: Option<Located<String>>,
    pub link: Option<Located<String>>,
    pub directory: Option<Located<bool>>,
    pub mode: Option<Located<Mode>>,
    pub owner: Option<Located<String>>,
    pub group: Option<Located<String>>,
}

/// The block `image:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedImage {
    pub size: Option<Located<Size>>,
    pub slack: Option<Located<Size>>,
    pub label: Option<Located<String>>,
}

/// The block `tools:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedTools {
    pub archives: Vec<TypedArchive>,
}
