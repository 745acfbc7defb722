//! `compose why`: by which chains a package comes into a lock.

use anyhow::{Error, Result, anyhow};
use clap::Args;
use compose::error;
use compose::lock::graph::{Chain, EdgeKind, Graph, Node};
use compose::lock::{self, Asked, Lock};
use compose::progress::Progress;

use super::manifests::OneManifest;
use super::settings::Settings;
use super::{Answer, terminal};

/// How many chains are shown unless all are asked for.
const SHOWN: usize = 8;

/// Tell why a package is in a lock: what asks for it, and what needs it
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    manifest: OneManifest,
    /// Package, as NAME or NAME:ARCH
    package: String,
    /// Show a chain for each package asked for that needs it
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let lock = load(&arguments.manifest, settings)?;
    let mut explained = false;
    for (packages, place) in [(&lock.packages, Place::Root), (&lock.tools, Place::Tools)] {
        let graph = Graph::new(packages)?;
        for node in graph.find(&arguments.package) {
            for line in explain(&graph, node, place, if arguments.all { usize::MAX } else { SHOWN }) {
                terminal::print(&line)?;
            }
            explained = true;
        }
    }
    Ok(if explained { Answer::Yes } else { Answer::NoBecause(not_in_lock(&arguments.package, &lock)) })
}

/// The lock to tell about. One that is stale is told about too, with a warning: it is what the last build was made from, and
/// often the question is asked to find out how to change the manifest.
pub fn load(manifest: &OneManifest, settings: &Settings) -> Result<Lock> {
    let (manifest, architecture) = manifest.load()?;
    let lock = lock::load_as_it_is(&manifest, &architecture)?;
    if let Some(reason) = lock::staleness(&lock, &manifest) {
        settings.terminal.warn(&format!("{reason}; this is about the lock as it is"));
    }
    Ok(lock)
}

/// That a lock lacks a package, with what may have been meant.
pub fn not_in_lock(name: &str, lock: &Lock) -> Error {
    let error = anyhow!("the lock of {} for {} has no package `{name}`", lock.manifest, lock.architecture);
    let known = lock.packages.iter().chain(&lock.tools).map(|package| package.name.as_str());
    let near: Vec<String> = error::nearest_words(name, known, 3).into_iter().map(|word| format!("`{word}`")).collect();
    error::with_hints(error, (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or "))))
}

/// Which of a lock's lists a package stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Tools,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Root => "in the root",
            Self::Tools => "among the tools",
        }
    }

    /// What its packages are called.
    fn noun(self) -> &'static str {
        match self {
            Self::Root => "packages",
            Self::Tools => "tools",
        }
    }

    /// Who asks for a package of this place.
    fn asker(self, asked: Asked) -> &'static str {
        match (self, asked) {
            (Self::Tools, _) => "compose, to write images",
            (_, Asked::Base) => "the base",
            (_, Asked::Manifest) => "the manifest",
        }
    }
}

/// Why a package is where it is, line by line, with up to so many chains.
fn explain(graph: &Graph<'_>, node: Node, place: Place, limit: usize) -> Vec<String> {
    let package = graph.package(node);
    let mut lines = vec![format!("{}, {}:", package.describe(), place.name())];
    if let Some(asked) = package.asked {
        lines.push(format!("  asked for by {}", place.asker(asked)));
    }
    let roots = graph.roots().filter(|root| *root != node).count();
    let (weak, strong): (Vec<Chain>, Vec<Chain>) = graph.chains_to(node).into_iter().partition(Chain::is_weak);
    if weak.len() + strong.len() > SHOWN {
        lines.extend(neighbours(graph, node));
    }
    let other = if package.asked.is_some() { "other " } else { "" };
    let noun = place.noun();
    for (chains, verb) in [(&strong, "needed"), (&weak, "wanted, through recommendations (⇢) alone,")] {
        if !chains.is_empty() {
            lines.push(format!("  {verb} by {} of the {roots} {other}{noun} asked for", chains.len()));
            lines.extend(chains.iter().take(limit).map(|chain| format!("    {}", draw(graph, chain, place))));
        }
        if chains.len() > limit {
            lines.push(format!("    … and {} more, which --all shows", chains.len() - limit));
        }
    }
    if package.asked.is_none() && strong.is_empty() && weak.is_empty() {
        lines.push("  nothing that was asked for needs it".to_owned());
    }
    lines
}

/// Who needs a package directly, in one line for dependencies and one for recommendations.
fn neighbours<'a>(graph: &'a Graph<'_>, node: Node) -> impl Iterator<Item = String> + 'a {
    let verbs = [(EdgeKind::Depends, "depend on it"), (EdgeKind::Recommends, "recommend it")];
    verbs.into_iter().filter_map(move |(kind, verb)| {
        let edges = graph.needed_by(node).iter().filter(|edge| edge.kind == kind);
        let names: Vec<&str> = edges.map(|edge| graph.label(edge.node)).collect();
        (!names.is_empty()).then(|| format!("  {} {verb} directly: {}", names.len(), names.join(", ")))
    })
}

/// A chain in one line.
fn draw(graph: &Graph<'_>, chain: &Chain, place: Place) -> String {
    let mut line = graph.label(chain.root).to_owned();
    if let (Place::Root, Some(asked)) = (place, graph.package(chain.root).asked) {
        line.push_str(match asked {
            Asked::Base => " (base)",
            Asked::Manifest => " (manifest)",
        });
    }
    for step in &chain.steps {
        line.push_str(match step.kind {
            EdgeKind::Depends => " → ",
            EdgeKind::Recommends => " ⇢ ",
        });
        line.push_str(graph.label(step.node));
    }
    line
}
