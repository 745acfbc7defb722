//! A lock's graph in the DOT language of graphviz.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::graph::{EdgeKind, Graph, Node};
use super::{Asked, Lock};

/// Packages to draw.
#[derive(Debug)]
pub struct Part<'a> {
    /// The packages of the root, or the tools.
    pub graph: &'a Graph<'a>,
    /// Those of them to draw.
    pub nodes: BTreeSet<Node>,
}

/// The text of a drawing of a root's packages and, in a frame of their own, of the tools.
///
/// What was asked for is filled, recommendations are dashed. Equal locks give equal texts.
pub fn render(lock: &Lock, root: &Part<'_>, tools: Option<&Part<'_>>) -> String {
    let title = quote(&format!("{} {}", lock.manifest, lock.architecture));
    let mut text = format!(
        "digraph {title} {{\n  graph [rankdir=LR, label={title}];\n  node [shape=box, style=rounded, fontname=sans];\n"
    );
    write_part(&mut text, root, "", "asked for by the manifest");
    if let Some(tools) = tools {
        text.push_str("  subgraph cluster_tools {\n  graph [label=tools];\n");
        write_part(&mut text, tools, "tools/", "writes images");
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// Nodes, then edges. A package may be both in the root and among the tools, so the names of nodes begin with `prefix`.
/// `asked` tells what stands out in this part besides the base.
fn write_part(text: &mut String, part: &Part<'_>, prefix: &str, asked: &str) {
    let graph = part.graph;
    let name = |node: Node| quote(&format!("{prefix}{}", graph.label(node)));
    for &node in &part.nodes {
        let package = graph.package(node);
        let (fill, asked) = match package.asked {
            None => (None, None),
            Some(Asked::Base) => (Some("#dce8f5"), Some("asked for by the base")),
            Some(Asked::Manifest) => (Some("#ffe0a3"), Some(asked)),
        };
        let fill = fill.map(|color| format!(", style=\"rounded,filled\", fillcolor=\"{color}\"")).unwrap_or_default();
        let asked = asked.map(|asked| format!(", {asked}")).unwrap_or_default();
        let sizes = format!("{} bytes, installed {} bytes", package.size, package.installed_size);
        let tooltip = quote(&format!("{}: {sizes}{asked}", package.describe()));
        let label = quote(&format!("{}\n{}", graph.label(node), package.version));
        let _ = writeln!(text, "  {} [label={label}, tooltip={tooltip}{fill}];", name(node));
    }
    for &node in &part.nodes {
        for edge in graph.needs(node).iter().filter(|edge| part.nodes.contains(&edge.node)) {
            let style = if edge.kind == EdgeKind::Recommends { " [style=dashed]" } else { "" };
            let _ = writeln!(text, "  {} -> {}{style};", name(node), name(edge.node));
        }
    }
}

/// A quoted string that graphviz shows as it stands: it knows escapes of its own, and entities of HTML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '&' => quoted.push_str("&amp;"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(quote("libstdc++6"), r#""libstdc++6""#);
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert_eq!(quote(r#"a" -> "b\"#), r#""a\" -> \"b\\""#);
        assert_eq!(quote("&lt;"), r#""&amp;lt;""#);
    }
}
