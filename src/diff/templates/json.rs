//! The comparison for programs. Its shape is `src/diff/diff.schema.json`; a change of it raises [`VERSION`].

use anyhow::{Context, Result};
use serde::Serialize;

use super::Comparison;

/// The version of the shape.
pub const VERSION: u32 = 2;

#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// The comparison as JSON, with a line break at its end.
pub fn render(comparison: &Comparison) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&Versioned { version: VERSION, comparison })
        .context("cannot write the comparison as JSON")?;
    text.push('\n');
    Ok(text)
}
