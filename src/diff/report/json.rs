//! The report for programs. Its shape is `src/diff/report.schema.json`; a change of it raises [`VERSION`].

use anyhow::{Context, Result};
use serde::Serialize;

use super::Report;

/// The version of the shape.
pub const VERSION: u32 = 2;

#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    report: &'a Report,
}

/// The report as JSON, with a line break at its end.
pub fn render(report: &Report) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&Versioned { version: VERSION, report })
        .context("cannot write the report as JSON")?;
    text.push('\n');
    Ok(text)
}
