//! A manifest as it is typed in: one YAML file, keys checked, nothing filled in.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::located::Located;
use super::repository::TypedRepository;
use super::template::TypedTemplate;
use super::words::{CheckName, ImageSize, Mode, Size};
use super::{Base, HookPoint, Kernel, OutputFormat};
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
    pub foreign_architectures: Vec<Located<Architecture>>,
    pub archives: Vec<TypedArchive>,
    pub base: Option<Located<Base>>,
    pub recommends: Option<Located<bool>>,
    pub suggests: Option<Located<bool>>,
    pub packages: Vec<TypedPackage>,
    pub exclude: Vec<Located<String>>,
    pub groups: Vec<TypedGroup>,
    pub users: Vec<TypedUser>,
    pub files: Vec<TypedFile>,
    pub hostname: Option<Located<String>>,
    pub locale: Option<Located<String>>,
    pub timezone: Option<Located<String>>,
    pub units: TypedUnits,
    pub debconf: Vec<Located<String>>,
    pub hooks: Vec<TypedHook>,
    pub outputs: Vec<Located<OutputFormat>>,
    pub image: TypedImage,
    pub template: TypedTemplate,
    pub checks: TypedChecks,
    pub tools: TypedTools,
}

/// An entry of `archives:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedArchive {
    pub id: Located<String>,
    pub pool: Option<Located<String>>,
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
    pub repo: Option<Located<String>>,
    #[serde(default)]
    pub baseurl: Vec<Located<String>>,
    pub metalink: Option<Located<String>>,
    pub mirrorlist: Option<Located<String>>,
    #[serde(default)]
    pub gpgkey: Vec<Located<String>>,
    #[serde(rename = "repo_gpgcheck")]
    pub repo_gpgcheck: Option<Located<bool>>,
    pub gpgcheck: Option<Located<bool>>,
    #[serde(default, alias = "exclude")]
    pub excludepkgs: Vec<Located<String>>,
    #[serde(default)]
    pub includepkgs: Vec<Located<String>>,
    #[serde(rename = "module_hotfixes")]
    pub module_hotfixes: Option<Located<bool>>,
    #[serde(default)]
    pub vars: BTreeMap<String, Located<String>>,
}

impl TypedArchive {
    /// What dnf's words say; they are taken out.
    pub fn take_repository(&mut self) -> TypedRepository {
        TypedRepository {
            repo: self.repo.take(),
            baseurl: std::mem::take(&mut self.baseurl),
            metalink: self.metalink.take(),
            mirrorlist: self.mirrorlist.take(),
            gpgkey: std::mem::take(&mut self.gpgkey),
            repo_gpgcheck: self.repo_gpgcheck.take(),
            gpgcheck: self.gpgcheck.take(),
            excludepkgs: std::mem::take(&mut self.excludepkgs),
            includepkgs: std::mem::take(&mut self.includepkgs),
            module_hotfixes: self.module_hotfixes.take(),
            vars: std::mem::take(&mut self.vars),
        }
    }
}

/// An entry of `packages:`, a word alone or a mapping.
#[derive(Debug)]
pub struct TypedPackage {
    pub name: Located<String>,
    pub recommends: Option<Located<bool>>,
    pub suggests: Option<Located<bool>>,
}

impl<'de> Deserialize<'de> for TypedPackage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct Mapping {
            name: Located<String>,
            recommends: Option<Located<bool>>,
            suggests: Option<Located<bool>>,
        }
        struct PackageVisitor;
        impl<'de> Visitor<'de> for PackageVisitor {
            type Value = TypedPackage;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a package's name, or a mapping with `name`")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
                let name = Located::deserialize(word.into_deserializer())?;
                Ok(TypedPackage { name, recommends: None, suggests: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Mapping { name, recommends, suggests } = Mapping::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TypedPackage { name, recommends, suggests })
            }
        }
        deserializer.deserialize_any(PackageVisitor)
    }
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

/// The block `units:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedUnits {
    pub enable: Vec<Located<String>>,
    pub disable: Vec<Located<String>>,
    pub mask: Vec<Located<String>>,
}

/// An entry of `hooks:`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TypedHook {
    pub name: Located<String>,
    pub at: Option<Located<HookPoint>>,
    pub script: Option<Located<String>>,
    pub source: Option<Located<String>>,
}

/// The block `checks:`, a reason for each name.
#[derive(Debug, Default)]
pub struct TypedChecks(pub Vec<(Located<CheckName>, Located<String>)>);

impl<'de> Deserialize<'de> for TypedChecks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChecksVisitor;
        impl<'de> Visitor<'de> for ChecksVisitor {
            type Value = TypedChecks;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of checks to reasons")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut checks = Vec::new();
                while let Some(check) = map.next_entry()? {
                    checks.push(check);
                }
                Ok(TypedChecks(checks))
            }
        }
        deserializer.deserialize_map(ChecksVisitor)
    }
}

/// The block `image:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedImage {
    pub size: Option<Located<ImageSize>>,
    pub slack: Option<Located<Size>>,
    pub label: Option<Located<String>>,
    pub partitions: Option<Located<bool>>,
    pub kernel: Option<Located<Kernel>>,
    pub private: Option<Located<Size>>,
    pub swap: Option<Located<Size>>,
}

/// The block `tools:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedTools {
    pub archives: Vec<TypedArchive>,
}
