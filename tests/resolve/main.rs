//! Resolving small archives written out as stanzas: what is chosen, what is locked, and what is said when nothing can be.

mod chosen;
mod locks;
mod moves;
#[path = "../support/mod.rs"]
mod support;
mod unsatisfiable;
mod verdict;

use std::sync::Arc;

use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::error::hints;
use compose::lock::Lock;
use compose::manifest::{Base, Manifest};
use compose::package::deb::table::Table;
use compose::package::{self, Format};
use compose::resolve::{self, Previous};
use compose::source::{Index, Indexes};

fn amd64() -> Architecture {
    "amd64".parse().unwrap()
}

/// An index of packages, each `NAME VERSION` and fields, separated by `;`.
fn index(suite: &str, packages: &[&str]) -> Index {
    let mut stanzas = Vec::new();
    for package in packages {
        let mut parts = package.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let mut fields: Vec<String> = parts.map(str::to_owned).collect();
        if !fields.iter().any(|f| f.starts_with("Architecture")) {
            fields.push("Architecture: amd64".to_owned());
        }
        let sha256 = Sha256::of(format!("{name} {version} {fields:?}").as_bytes());
        stanzas.push(format!(
            "Package: {name}\nVersion: {version}\n{}\nFilename: pool/{name}_{version}.deb\nSize: 7\nSHA256: {sha256}\n\n",
            fields.join("\n")
        ));
    }
    let text = stanzas.concat();
    Index {
        archive: format!("debian/{suite}/main"),
        suite: suite.to_owned(),
        codename: suite.to_owned(),
        priority: None,
        not_automatic: false,
        but_automatic_upgrades: false,
        architecture: amd64(),
        date: Timestamp::from_seconds(1000).unwrap(),
        sha256: Sha256::of(text.as_bytes()),
        table: Arc::new(package::Table::Deb(Table::of(&text).unwrap())),
    }
}

fn manifest(base: Base, packages: &[&str]) -> Manifest {
    support::manifest::manifest(base, packages.iter().map(|text| Format::Deb.parse_request(text).unwrap()).collect())
}

fn all_of(indexes: &[Index]) -> Indexes {
    Indexes { packages: indexes.to_vec(), tools: Vec::new(), machines: Vec::new() }
}

fn lock(manifest: &Manifest, indexes: &[Index]) -> anyhow::Result<Lock> {
    resolve::run(manifest, &amd64(), &all_of(indexes), &Previous::default())
}

/// What is chosen, as `NAME VERSION` joined by commas; or the error with its hints.
fn chosen(manifest: &Manifest, indexes: &[Index]) -> String {
    match lock(manifest, indexes) {
        Ok(lock) => lock.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect::<Vec<_>>().join(", "),
        Err(error) => {
            let mut lines = vec![format!("{error:#}")];
            lines.extend(hints(&error).into_iter().map(|hint| format!("hint: {hint}")));
            lines.join("\n")
        }
    }
}
