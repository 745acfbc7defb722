//! `compose graph`: draws which package of a lock needs which.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Error, Result, anyhow};
use clap::{Args, ValueEnum};
use compose::error::{self, Hint};
use compose::lock::dot::{self, Part};
use compose::lock::graph::Graph;
use compose::{durable, process};

use super::manifests::OneManifest;
use super::settings::Settings;
use super::{Answer, terminal, why};

/// Draw which package of a lock needs which
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    manifest: OneManifest,
    /// Only what leads to this package, given as NAME or NAME:ARCH
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    /// Draw the tools too, in a frame of their own
    #[arg(long)]
    tools: bool,
    /// What to write: graphviz's language, or what its program `dot` makes of it
    #[arg(long, value_name = "F", value_enum, default_value_t = Format::Dot)]
    format: Format,
    /// Write to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A drawing's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Dot,
    Svg,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let lock = why::load(&arguments.manifest, settings)?;
    let root = Graph::new(&lock.packages)?;
    let tools = Graph::new(if arguments.tools { &lock.tools } else { &[] })?;
    let [root, tools] = [&root, &tools].map(|graph| part(graph, arguments.package.as_deref()));
    if let Some(name) = &arguments.package
        && root.nodes.is_empty()
        && tools.nodes.is_empty()
    {
        let is_tool = !Graph::new(&lock.tools)?.find(name).is_empty();
        return Ok(Answer::NoBecause(if is_tool { only_a_tool(name) } else { why::not_in_lock(name, &lock) }));
    }
    let text = dot::render(&lock, &root, (!tools.nodes.is_empty()).then_some(&tools));
    let text = match arguments.format {
        Format::Dot => text,
        Format::Svg => to_svg(&text)?,
    };
    match &arguments.output {
        Some(path) => durable::write(path, text.as_bytes())?,
        None => terminal::print(text.trim_end())?,
    }
    Ok(Answer::Yes)
}

fn only_a_tool(name: &str) -> Error {
    let error = anyhow!("`{name}` is among the tools alone, which are not drawn");
    error::with_hints(error, ["add --tools".to_owned()])
}

/// All packages of a graph, or those that lead to one.
fn part<'a>(graph: &'a Graph<'a>, package: Option<&str>) -> Part<'a> {
    let nodes = match package {
        Some(name) => graph.find(name).into_iter().flat_map(|node| graph.leading_to(node)).collect(),
        None => graph.nodes().collect(),
    };
    Part { graph, nodes }
}

/// The drawing, by graphviz.
fn to_svg(text: &str) -> Result<String> {
    let failed = "cannot write a temporary file";
    let mut file = tempfile::NamedTempFile::new().context(failed)?;
    file.write_all(text.as_bytes()).context(failed)?;
    let drawn = process::run(Command::new("dot").arg("-Tsvg").arg(file.path())).or_else(|e| {
        let missing = e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound);
        if missing { Err(e).hint(|| "install graphviz, whose program it is, or write --format dot") } else { Err(e) }
    })?;
    String::from_utf8(drawn.stdout).context("the program dot wrote no text")
}
