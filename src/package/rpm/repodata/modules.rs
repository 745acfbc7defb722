//! Modules: streams of packages of which at most one counts (modulemd version 2, modulemd-defaults version 1).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A version of a stream, or for `version` 0 what names a module's default stream.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The stream; empty for a module without a default one.
    pub stream: String,
    /// The version of the stream; 0 for a default.
    pub version: u64,
    /// Its packages, `NAME-EPOCH:VERSION-RELEASE.ARCH`.
    pub artifacts: Vec<String>,
    /// The packages of its profiles.
    pub profiles: BTreeMap<String, Vec<String>>,
    /// By stream, the profiles to install when none is named; for a default.
    pub default_profiles: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Document {
    document: String,
    data: serde_yaml::Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[allow(clippy::struct_field_names, reason = "the format's own names")]
struct Stream {
    name: String,
    stream: serde_yaml::Value,
    version: u64,
    artifacts: Artifacts,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Artifacts {
    rpms: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Profile {
    rpms: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Defaults {
    module: String,
    stream: serde_yaml::Value,
    profiles: serde_yaml::Mapping,
}

/// A stream's name, which YAML may take for a number.
fn word(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads the documents.
pub fn parse(text: &str) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let document = Document::deserialize(document).context("a document of the modules cannot be read")?;
        match document.document.as_str() {
            "modulemd" => {
                let Stream { name, stream, version, artifacts, profiles } =
                    serde_yaml::from_value(document.data).context("a module cannot be read")?;
                let stream = word(&stream).with_context(|| format!("the module `{name}` has no stream"))?;
                let profiles = profiles.into_iter().map(|(name, profile)| (name, profile.rpms)).collect();
                let version = version.max(1);
                let artifacts = artifacts.rpms;
                modules.push(Module { name, stream, version, artifacts, profiles, ..Module::default() });
            }
            "modulemd-defaults" => {
                let Defaults { module: name, stream, profiles } =
                    serde_yaml::from_value(document.data).context("a module's default cannot be read")?;
                let of = profiles.iter().filter_map(|(stream, profiles)| {
                    Some((word(stream)?, profiles.as_sequence()?.iter().filter_map(word).collect()))
                });
                let (default_profiles, stream) = (of.collect(), word(&stream).unwrap_or_default());
                modules.push(Module { name, stream, default_profiles, ..Module::default() });
            }
            _ => {}
        }
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_defaults_are_read() {
        let text = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: nodejs\n  stream: 18\n  version: 820\n  profiles:\n    \
                    common: {rpms: [nodejs, npm]}\n  artifacts:\n    rpms: ['nodejs-1:18.1-1.x86_64']\n...\n---\n\
                    document: modulemd-defaults\nversion: 1\ndata:\n  module: nodejs\n  stream: '18'\n  profiles:\n    \
                    '18': [common]\n...\n";
        let modules = parse(text).unwrap();
        assert_eq!((modules[0].stream.as_str(), modules[0].version), ("18", 820));
        assert_eq!(modules[0].profiles["common"], ["nodejs", "npm"]);
        assert_eq!((modules[1].version, modules[1].default_profiles["18"].as_slice()), (0, &["common".to_owned()][..]));
        assert!(parse("document: modulemd\ndata: 3").is_err());
    }
}
