//! The comparison of two builds for a terminal: a line for each stage, what differs indented below.

use std::fmt::Write as _;

use super::{Comparison, Output, Path, Paths, Source};
use crate::diff::bytes::{Bytes, Difference};
use crate::diff::report::size;
use crate::diff::tree::{Aspect, Content, Entry};
use crate::package::printable;
use crate::store::Xattrs;

/// How many lines of a file's difference are shown.
const LINES: usize = 20;
/// How many characters of each.
const WIDTH: usize = 160;

/// The comparison as text; `name` is what was built. Every line tells of the first build, then of the second.
pub fn render(name: &str, comparison: &Comparison) -> String {
    let different = comparison.different_stages();
    let mut text = match different.as_slice() {
        [] => format!("{name}: both builds are the same\n"),
        stages => format!("{name}: the builds differ in {}\n", stages.join(", ")),
    };
    if comparison.imports.is_empty() {
        let _ = writeln!(text, "import: {} packages are the same", comparison.packages);
    } else {
        let _ = writeln!(text, "import: {} of {} packages differ", comparison.imports.len(), comparison.packages);
    }
    for import in &comparison.imports {
        let _ = writeln!(text, "  {}", import.package);
        push_paths(&mut text, "    ", "", &import.paths, false);
    }
    push_tree(&mut text, "merge", "the trees are the same".to_owned(), &comparison.merged);
    push_tree(
        &mut text,
        "configure",
        format!("the trees are the same, commit {}", comparison.commit),
        &comparison.configured,
    );
    comparison.outputs.iter().for_each(|output| push_output(&mut text, output));
    text
}

fn push_tree(text: &mut String, stage: &str, same: String, paths: &Paths) {
    let told = match paths.count {
        0 => same,
        1 => "1 path differs".to_owned(),
        count => format!("{count} paths differ"),
    };
    let _ = writeln!(text, "{stage}: {told}");
    push_paths(text, "  ", "/", paths, true);
}

fn push_paths(text: &mut String, indent: &str, root: &str, paths: &Paths, with_origin: bool) {
    for path in &paths.told {
        let _ = writeln!(text, "{indent}{root}{}: {}", printable(&path.difference.path), describe(path));
        if with_origin {
            let _ = writeln!(text, "{indent}  {}", origin(path));
        }
        if let Some(bytes) = &path.bytes {
            push_difference(text, &format!("{indent}  "), bytes);
        }
    }
    if paths.count > paths.told.len() {
        let _ = writeln!(text, "{indent}and {} more", paths.count - paths.told.len());
    }
}

fn describe(path: &Path) -> String {
    let difference = &path.difference;
    match (&difference.first, &difference.second) {
        (Some(first), Some(second)) => {
            let aspects = difference.aspects.iter().map(|aspect| {
                let [first, second] = [first, second].map(|entry| value(*aspect, entry));
                format!("{first}, then {second}")
            });
            aspects.collect::<Vec<_>>().join("; ")
        }
        (Some(only), None) => format!("only in the first build: {}", value(Aspect::Type, only)),
        (None, Some(only)) => format!("only in the second build: {}", value(Aspect::Type, only)),
        (None, None) => String::new(),
    }
}

fn value(aspect: Aspect, entry: &Entry) -> String {
    let attributes = &entry.attributes;
    match (aspect, &entry.content) {
        (Aspect::Mode, _) => format!("mode {:04o}", entry.permissions()),
        (Aspect::Owner, _) => format!("owner {}:{}", attributes.uid, attributes.gid),
        (Aspect::Xattrs, _) => xattrs(&attributes.xattrs),
        (Aspect::Link, _) => match &entry.link {
            Some(path) => format!("another name of /{}", printable(path)),
            None => "a file of its own".to_owned(),
        },
        (Aspect::Device, Content::Device(major, minor)) => format!("device {major}:{minor}"),
        (Aspect::Content, Content::File(_, bytes)) => size::bytes(*bytes),
        (_, Content::Directory) => "directory".to_owned(),
        (_, Content::File(_, bytes)) => format!("file of {}", size::bytes(*bytes)),
        (_, Content::Target(target)) => format!("link to {}", printable(target)),
        (_, Content::Device(..)) => match entry.file_type() {
            0o020_000 => "character device",
            0o060_000 => "block device",
            _ => "pipe",
        }
        .to_owned(),
    }
}

fn xattrs(xattrs: &Xattrs) -> String {
    if xattrs.is_empty() {
        return "no extended attributes".to_owned();
    }
    let pairs = xattrs.iter().map(|(name, value)| format!("{}=0x{}", printable(name), hex(value, "")));
    pairs.collect::<Vec<_>>().join(" ")
}

fn origin(path: &Path) -> String {
    let source = match &path.origin.source {
        Source::Package(package) => format!("of {package}"),
        Source::Changed(package) => format!("of {package}, changed by scripts"),
        Source::Database => "of the package database".to_owned(),
        Source::ChangedDatabase => "of the package database, changed by scripts".to_owned(),
        Source::Scripts => "made by scripts".to_owned(),
        Source::Manifest => "of the manifest's files".to_owned(),
    };
    match path.origin.named_in.as_slice() {
        [] => source,
        scripts => format!("{source}; named in {}", scripts.join(", ")),
    }
}

fn push_difference(text: &mut String, indent: &str, difference: &Difference) {
    match difference {
        Difference::Bytes(bytes) => push_bytes(text, indent, bytes, ""),
        Difference::Text(lines) => {
            for line in lines.iter().take(LINES) {
                let line = printable(line);
                let cut = line.char_indices().nth(WIDTH).map_or(line.len(), |(at, _)| at);
                let more = if cut < line.len() { "…" } else { "" };
                let _ = writeln!(text, "{indent}{}{more}", &line[..cut]);
            }
            if lines.len() > LINES {
                let _ = writeln!(text, "{indent}and {} more lines", lines.len() - LINES);
            }
        }
    }
}

fn push_bytes(text: &mut String, indent: &str, bytes: &Bytes, place: &str) {
    let _ = writeln!(text, "{indent}from byte {} on{place}:", bytes.offset);
    for (sign, bytes) in [('-', &bytes.first), ('+', &bytes.second)] {
        let bytes = if bytes.is_empty() { "(its end)".to_owned() } else { hex(bytes, " ") };
        let _ = writeln!(text, "{indent}{sign}{bytes}");
    }
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}

fn push_output(text: &mut String, output: &Output) {
    let [first, second] = &output.artifacts;
    let Some((bytes, place)) = &output.difference else {
        let _ = writeln!(text, "{}: the same, {}, SHA-256 {}", output.name, size::bytes(first.size), first.sha256);
        return;
    };
    let _ = writeln!(text, "{}: {}, then {}", output.name, size::bytes(first.size), size::bytes(second.size));
    let _ = writeln!(text, "  -SHA-256 {}\n  +SHA-256 {}", first.sha256, second.sha256);
    let place = place.as_ref().map_or_else(String::new, |place| format!(", in {}", printable(place)));
    push_bytes(text, "  ", bytes, &place);
}
