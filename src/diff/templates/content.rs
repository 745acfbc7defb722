//! One file of two trees to what of it differs, for people: lines of a text, what diffoscope tells of binaries where the host
//! has it, else bytes.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::diff::bytes::{self, Bytes};
use crate::diff::tree::{Side, find_leaf};
use crate::digest::Sha256;
use crate::package::printable;
use crate::sandbox::{self, Bind, Input, Limits, Plan, Program, Root, Step};
use crate::store::{ObjectReader, Store};

/// The host's program that knows many kinds of files.
const DIFFOSCOPE: &str = "/usr/bin/diffoscope";
/// What is said where the host does not have it.
const WITHOUT: &str = "diffoscope, where it is installed, tells what is inside: apt install diffoscope-minimal";
/// How long it may take.
const TIME: Duration = Duration::from_secs(120);
/// The most lines that are told of a file.
const LINES: usize = 4000;
/// The largest text that is compared line by line, in bytes.
const TEXT: u64 = 8 << 20;

/// What differs in the file or link at a path of two commits, as text; empty when its content is the same. `program`
/// starts sandboxes. Errors when neither commit has a file there.
pub fn show(store: &Store, commits: [Sha256; 2], path: &str, program: &Program) -> Result<String> {
    let find = |commit| -> Result<Option<Sha256>> {
        let side = Side { reader: store.reader(), tree: store.find_tree(commit)? };
        find_leaf(&side, path.trim_start_matches('/'))
    };
    let leaves = [find(commits[0])?, find(commits[1])?];
    if leaves == [None, None] {
        return Err(anyhow!("neither tree has a file or link at {}", printable(path)));
    }
    compare(store, leaves, path, program)
}

/// What differs in two objects of the store, which are called so; empty when they are the same.
pub(super) fn compare(store: &Store, leaves: [Option<Sha256>; 2], name: &str, program: &Program) -> Result<String> {
    if leaves[0] == leaves[1] {
        return Ok(String::new());
    }
    let reader = store.reader();
    let shown = printable(name);
    let mut text = String::new();
    for (sign, leaf) in ["---", "+++"].into_iter().zip(leaves) {
        let _ =
            writeln!(text, "{sign} {}", leaf.map_or(Ok("nothing".to_owned()), |leaf| describe(&reader, leaf, &shown))?);
    }
    match [content(&reader, leaves[0])?, content(&reader, leaves[1])?] {
        [Some(Shown::Binary), Some(Shown::Binary)] => {
            let paths = [leaves[0].map(|leaf| reader.path(leaf)), leaves[1].map(|leaf| reader.path(leaf))];
            if let [Some(old), Some(new)] = &paths {
                push_binary(&mut text, store, program, [old, new], name)?;
            }
        }
        contents => {
            if matches!(contents, [Some(Shown::Binary), Some(_)] | [Some(_), Some(Shown::Binary)]) {
                let _ = writeln!(text, "one of them is binary");
            }
            let [old, new] = contents.map(|content| match content {
                Some(Shown::Text(text)) => text,
                _ => String::new(),
            });
            let diff = similar::TextDiff::from_lines(old.as_str(), new.as_str());
            let lines = diff.unified_diff().context_radius(3).to_string();
            push_lines(&mut text, lines.lines());
        }
    }
    Ok(text)
}

/// What two binary files differ in, as diffoscope tells it; else the first bytes that do, and what they are.
fn push_binary(text: &mut String, store: &Store, program: &Program, files: [&PathBuf; 2], name: &str) -> Result<()> {
    let Some(first) = bytes::first_difference(files[0], files[1])? else { return Ok(()) };
    if !Path::new(DIFFOSCOPE).exists() {
        push_bytes(text, &first);
        let _ = writeln!(text, "{WITHOUT}");
        return Ok(());
    }
    match look_inside(store, program, files, name) {
        Ok(lines) => push_lines(text, lines.iter().map(String::as_str)),
        Err(error) => {
            let _ = writeln!(text, "diffoscope could not tell: {}", printable(&error.to_string()));
            push_bytes(text, &first);
        }
    }
    Ok(())
}

fn push_lines<'a>(text: &mut String, lines: impl Iterator<Item = &'a str>) {
    let mut lines = lines.map(printable);
    for line in lines.by_ref().take(LINES) {
        let _ = writeln!(text, "{line}");
    }
    let more = lines.count();
    if more > 0 {
        let _ = writeln!(text, "and {more} more lines");
    }
}

fn push_bytes(text: &mut String, bytes: &Bytes) {
    let _ = writeln!(text, "the same up to byte {:#x}, then", bytes.offset);
    for (sign, bytes) in [('-', &bytes.first), ('+', &bytes.second)] {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        let _ = writeln!(text, "{sign}{:47}  {}", hex.join(" "), bytes.iter().map(plain).collect::<String>());
    }
}

fn describe(reader: &ObjectReader, leaf: Sha256, path: &str) -> Result<String> {
    let attributes = reader.attributes(leaf)?;
    let (mode, uid, gid) = (attributes.mode & 0o7777, attributes.uid, attributes.gid);
    let metadata = fs::symlink_metadata(reader.path(leaf)).with_context(|| format!("cannot read {path}"))?;
    let kind = if metadata.is_symlink() { "link".to_owned() } else { format!("{} bytes", metadata.len()) };
    Ok(format!("{path}  {kind}, mode {mode:04o}, owner {uid}:{gid}"))
}

/// What people see of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Shown {
    /// Lines, of which a link has one: its target.
    Text(String),
    /// A file that is no text, or too large for one.
    Binary,
}

fn content(reader: &ObjectReader, leaf: Option<Sha256>) -> Result<Option<Shown>> {
    let Some(leaf) = leaf else { return Ok(None) };
    let path = reader.path(leaf);
    let metadata = fs::symlink_metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_symlink() {
        return Ok(Some(Shown::Text(format!("{}\n", fs::read_link(&path)?.to_string_lossy()))));
    }
    if metadata.len() > TEXT {
        return Ok(Some(Shown::Binary));
    }
    let bytes = reader.read(leaf)?;
    let text = if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() };
    Ok(Some(text.map_or(Shown::Binary, Shown::Text)))
}

/// What tells programs where libraries are (ldconfig(8)).
const LIBRARIES: &str = "/etc/ld.so.cache";

/// A root of the host's /usr and nothing else of the host, by an overlay: its first layer has the folders that a sandbox mounts
/// on, and a link by which /usr is the root itself. What is written to it goes with the folder.
fn host_programs(folder: &Path) -> Result<Root> {
    let failed = || format!("cannot make a root in {}", folder.display());
    let [cover, upper, work] = ["cover", "upper", "work"].map(|name| folder.join(name));
    for path in [&cover, &upper, &work] {
        fs::create_dir(path).with_context(failed)?;
    }
    for name in ["dev", "etc", "proc", "run", "tmp"] {
        fs::create_dir(cover.join(name)).with_context(failed)?;
    }
    symlink(".", cover.join("usr")).with_context(failed)?;
    if Path::new(LIBRARIES).exists() {
        fs::copy(LIBRARIES, cover.join("etc/ld.so.cache")).with_context(failed)?;
    }
    Ok(Root::Overlay { lower: vec![cover, "/usr".into()], upper, work })
}

/// Runs diffoscope over copies of two files in a sandbox of the host's own programs: without network, and with an end to its
/// time.
fn look_inside(store: &Store, program: &Program, files: [&PathBuf; 2], name: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir_in(store.work()).context("cannot make a folder")?;
    // By its ending diffoscope knows some kinds of files.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let base: String = name.rsplit('/').next().unwrap_or_default().chars().filter(|c| is_plain(*c)).collect();
    let mut binds = Vec::new();
    let mut names = Vec::new();
    for (side, file) in ["old", "new"].into_iter().zip(files) {
        let copy = folder.path().join(side);
        fs::copy(file, &copy).context("cannot copy a file")?;
        let target = format!("/tmp/{side}-{base}");
        binds.push(Bind { source: copy, target: target.clone().into() });
        names.push(target);
    }
    // It ends with 1 where the files differ.
    let script =
        r#"/usr/bin/diffoscope --no-progress --exclude-directory-metadata=yes --text - "$1" "$2"; [ $? -le 1 ]"#;
    let command = ["/bin/sh", "-c", script, "sh", &names[0], &names[1]].map(str::to_owned).to_vec();
    let environment = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", "/tmp")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let plan = Plan {
        root: host_programs(folder.path())?,
        binds,
        temporary_files: Vec::new(),
        tools: None,
        steps: vec![Step { label: "diffoscope".to_owned(), command, environment, input: Input::Null, in_tools: false }],
        goes_on: false,
        interactive: false,
        observer: None,
        limits: Limits { script_time: Some(TIME), ..Limits::default() },
    };
    let mut lines = Vec::new();
    sandbox::run(program, store.work(), &plan, &mut |line| lines.push(line.to_owned()))?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_numbers_and_characters() {
        let mut text = String::new();
        push_bytes(&mut text, &Bytes { offset: 18, first: b"\x7fELF".to_vec(), second: b"a".repeat(16) });
        let spaces = " ".repeat(47 - 11);
        let second = ["61"; 16].join(" ");
        let lines = [
            "the same up to byte 0x12, then".to_owned(),
            format!("-7f 45 4c 46{spaces}  .ELF"),
            format!("+{second}  aaaaaaaaaaaaaaaa"),
        ];
        assert_eq!(text, lines.join("\n") + "\n");
    }
}
