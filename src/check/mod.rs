//! A configured tree to what is wrong with it as a guest's root, before an image is written of it.
//!
//! What is looked for stands in a table, a row each: name, severity, why, and the function that finds it. The manifest silences
//! a row with a reason (`checks:`).

mod fstab;
mod rows;
mod secrets;
mod subject;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::arch::Architecture;
use crate::manifest::Manifest;
use crate::store::{ObjectReader, Objects, Tree};

pub use rows::CHECKS;
pub use subject::Subject;

/// How bad it is when a check finds something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// No image is written.
    Error,
    /// It is told.
    Warning,
}

impl Severity {
    /// The word for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What manifests and messages call it.
    pub name: &'static str,
    /// How bad it is when it finds something.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// What is wrong, a line each.
    find: fn(&Subject<'_>) -> Result<Vec<String>>,
}

/// A check that found something.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// The row.
    pub check: &'static Check,
    /// What is wrong, a line each.
    pub what: Vec<String>,
    /// Why the manifest lets it pass.
    pub silenced: Option<&'a str>,
}

impl Finding<'_> {
    /// Whether no image is to be written.
    pub fn forbids(&self) -> bool {
        self.check.severity == Severity::Error && self.silenced.is_none()
    }

    /// The finding as lines for people.
    pub fn told(&self) -> Vec<String> {
        let Check { name, severity, why, .. } = self.check;
        let word = if self.silenced.is_some() { "silenced" } else { severity.as_str() };
        let mut lines: Vec<String> = self.what.iter().map(|what| format!("{word} {name}: {what}")).collect();
        lines.push(match self.silenced {
            Some(reason) => format!("  the manifest's reason: {reason}"),
            None => format!("  {why}"),
        });
        lines
    }
}

/// The paths that a root's packages ship, relative to it.
pub type Shipped<'a> = &'a (dyn Fn() -> Result<BTreeSet<String>> + Sync);

/// Runs all checks on a manifest's configured tree for an architecture; gives those that found something. `shipped` is asked
/// where the root's package database is not read.
pub fn run<'a>(
    reader: &ObjectReader,
    tree: (&Tree, &Objects),
    manifest: &'a Manifest,
    architecture: &Architecture,
    shipped: Shipped<'_>,
) -> Result<Vec<Finding<'a>>> {
    let subject = Subject::new(reader, tree, manifest, architecture, shipped)?;
    let find = |check: &'static Check| {
        let what = (check.find)(&subject).with_context(|| format!("the check {} cannot be made", check.name))?;
        let silenced = manifest.checks.iter().find(|(name, _)| name == check.name).map(|(_, reason)| reason.as_str());
        Ok(Finding { check, what, silenced })
    };
    let mut findings: Vec<Finding<'a>> = CHECKS.par_iter().map(find).collect::<Result<_>>()?;
    findings.retain(|finding| !finding.what.is_empty());
    Ok(findings)
}
