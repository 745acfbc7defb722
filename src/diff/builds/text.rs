//! The comparison of two builds for a terminal: a line for each stage, what differs indented below.

use std::fmt::Write as _;

use super::{Comparison, Output, Path, Paths, Source};
use crate::diff::bytes::{Bytes, Difference};
use crate::diff::report::size;
use crate::diff::tree::{Aspect, Content, Entry};
use crate::digest::FileDigest;
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

fn named(digest: FileDigest) -> String {
    match digest {
        FileDigest::Sha256(digest) => format!("SHA-256 {digest}"),
        FileDigest::Verity(digest) => format!("fs-verity {digest}"),
    }
}

fn push_output(text: &mut String, output: &Output) {
    let [first, second] = &output.artifacts;
    let Some((bytes, place)) = &output.difference else {
        let _ = writeln!(text, "{}: the same, {}, {}", output.name, size::bytes(first.size), named(first.digest));
        return;
    };
    let _ = writeln!(text, "{}: {}, then {}", output.name, size::bytes(first.size), size::bytes(second.size));
    let _ = writeln!(text, "  -{}\n  +{}", named(first.digest), named(second.digest));
    let place = place.as_ref().map_or_else(String::new, |place| format!(", in {}", printable(place)));
    push_bytes(text, "  ", bytes, &place);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::artifact::Artifact;
    use crate::diff::builds::{Import, Origin};
    use crate::diff::tree;
    use crate::digest::Sha256;
    use crate::store::Attributes;

    fn entry(mode: u32, content: Content) -> Entry {
        Entry {
            attributes: Attributes { uid: 0, gid: 0, mode, xattrs: Xattrs::new() },
            content,
            link: None,
            leaf: None,
        }
    }

    fn path(
        path: &str,
        [first, second]: [Option<Entry>; 2],
        aspects: &[Aspect],
        source: Source,
        bytes: Option<Difference>,
    ) -> Path {
        let aspects: BTreeSet<Aspect> = aspects.iter().copied().collect();
        let difference = tree::Difference { path: path.to_owned(), first, second, aspects };
        Path { difference, origin: Origin { source, named_in: Vec::new() }, bytes }
    }

    fn artifact(content: &str) -> Artifact {
        Artifact {
            path: "out/m.tar".into(),
            size: 5,
            digest: FileDigest::Sha256(Sha256::of(content.as_bytes())),
            reused: false,
        }
    }

    #[test]
    fn each_stage_tells_what_differs_and_how() {
        let file =
            |content: &str| Some(entry(0o100_644, Content::File(Sha256::of(content.as_bytes()), content.len() as u64)));
        let lines = (0..25).map(|line| format!("-{line}{}", "x".repeat(200 * (line % 2)))).collect();
        let bytes = Bytes { offset: 3, first: vec![0, 255], second: Vec::new() };
        let mut moved = entry(0o020_666, Content::Device(1, 3));
        moved.attributes.uid = 7;
        moved.attributes.xattrs.insert("user.a".to_owned(), vec![1, 2]);
        let import = path("data/x", [file("a"), file("b")], &[Aspect::Content], Source::Database, None);
        let hello = || "hello 1.0 all".to_owned();
        let told = vec![
            path("a", [file("a"), None], &[], Source::Manifest, None),
            path(
                "b",
                [file("abc"), file("abcd")],
                &[Aspect::Content],
                Source::Changed(hello()),
                Some(Difference::Text(lines)),
            ),
            path(
                "c\u{1b}",
                [file("abc"), Some(entry(0o120_777, Content::Target("d".to_owned())))],
                &[Aspect::Type],
                Source::Scripts,
                Some(Difference::Bytes(bytes.clone())),
            ),
            path(
                "dev/null",
                [Some(entry(0o020_600, Content::Device(1, 5))), Some(moved)],
                &[Aspect::Mode, Aspect::Owner, Aspect::Xattrs, Aspect::Device],
                Source::ChangedDatabase,
                None,
            ),
        ];
        let comparison = Comparison {
            packages: 3,
            imports: vec![Import { package: hello(), paths: Paths { count: 1, told: vec![import] } }],
            merged: Paths { count: 1, told: vec![path("a", [None, file("a")], &[], Source::Package(hello()), None)] },
            configured: Paths { count: 9, told },
            commit: Sha256::of(b""),
            outputs: vec![Output {
                name: "m.tar".to_owned(),
                artifacts: [artifact("a"), artifact("b")],
                difference: Some((bytes, Some("/b".to_owned()))),
            }],
        };
        let mut shown = String::new();
        for line in 0..20 {
            let xs = if line % 2 == 1 { 159 - line.to_string().len() } else { 0 };
            let more = if line % 2 == 1 { "…" } else { "" };
            let _ = writeln!(shown, "    -{line}{}{more}", "x".repeat(xs));
        }
        let expected = format!(
            "\
m amd64: the builds differ in import, merge, configure, m.tar
import: 1 of 3 packages differ
  hello 1.0 all
    data/x: 1 B, then 1 B
merge: 1 path differs
  /a: only in the second build: file of 1 B
    of hello 1.0 all
configure: 9 paths differ
  /a: only in the first build: file of 1 B
    of the manifest's files
  /b: 3 B, then 4 B
    of hello 1.0 all, changed by scripts
{shown}    and 5 more lines
  /c\u{fffd}: file of 3 B, then link to d
    made by scripts
    from byte 3 on:
    -00 ff
    +(its end)
  /dev/null: mode 0600, then mode 0666; owner 0:0, then owner 7:0; no extended attributes, then user.a=0x0102; \
device 1:5, then device 1:3
    of the package database, changed by scripts
  and 5 more
m.tar: 5 B, then 5 B
  -SHA-256 {}
  +SHA-256 {}
  from byte 3 on, in /b:
  -00 ff
  +(its end)
",
            Sha256::of(b"a"),
            Sha256::of(b"b"),
        );
        assert_eq!(render("m amd64", &comparison), expected);
    }
}
