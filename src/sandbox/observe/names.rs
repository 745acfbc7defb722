//! Which file of the root a process means by a name, `path_resolution(7)`: symbolic links are followed here, and told.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::sandbox::mounts;

/// As many links as Linux follows in one name.
const MOST_LINKS: usize = 40;

/// What a name means.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Meaning {
    /// The path without symbolic links in its folders, relative to the root and without a `/` at its end.
    pub path: String,
    /// Symbolic links that were followed.
    pub links: Vec<String>,
    /// The last folder that is there, when one on the way is not, or is none.
    pub stopped: Option<String>,
}

/// Finds what names mean, of processes that wait meanwhile.
pub(super) struct Names {
    root: OwnedFd,
    /// What names of folders mean.
    folders: HashMap<String, Meaning>,
    /// What that depends on: links and folders.
    involved: HashSet<String>,
}

/// Where files are none of a root's: what the kernel shows there is not kept, and the same in every sandbox.
fn is_outside(path: &str) -> bool {
    let mut names = path.split('/');
    match names.next() {
        Some("proc") => true,
        Some("dev") => names.next().is_some_and(|name| name == "pts" || mounts::is_device(name)),
        _ => false,
    }
}

/// What in /proc leads back to files, of a process.
const LEADING_BACK: &[&str] = &["fd", "cwd", "root", "task", "map_files"];

/// Whether a path that begins outside may end inside all the same.
fn leads_back(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    let through = match names[0] {
        "proc" => names.iter().rev().skip(1).any(|name| LEADING_BACK.contains(name)),
        // /dev/fd/3, but not /dev/fd/3/etc.
        _ => names.len() > if names[1] == "fd" { 3 } else { 2 } && names[1] != "pts",
    };
    through || names.contains(&"..")
}

/// A name that leads to where this process's own names do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Elsewhere;

/// What a process has open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Opened {
    /// A file of the root, by its path.
    File(String),
    /// What the kernel shows, by its path.
    Outside(String),
    /// What no name leads to.
    Nameless,
}

/// An absolute name below /proc or /dev that stands for what a process has open (a descriptor) or is in (none),
/// `proc_pid_fd(5)`, and what follows it. `own` tells whether a number is the process's own.
fn descriptor(name: &str, own: &dyn Fn(&str) -> bool) -> Option<(Option<i32>, String)> {
    let mut parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let descriptor = match (parts.next()?, parts.next()?) {
        ("dev", "fd") => Some(parts.next()?.parse().ok()?),
        ("proc", owner) => match parts.next()? {
            what @ ("fd" | "cwd") if matches!(owner, "self" | "thread-self") || own(owner) => {
                if what == "fd" {
                    Some(parts.next()?.parse().ok()?)
                } else {
                    None
                }
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut rest = parts.collect::<Vec<_>>().join("/");
    if rest.is_empty() && descriptor.is_none() {
        return None;
    }
    if !rest.is_empty() && name.ends_with('/') {
        rest.push('/');
    }
    Some((descriptor, rest))
}

/// Whether a process has this number in its own namespace, `proc_pid_status(5)`.
fn has_number(process: u32, number: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_whitespace().next_back()) == Some(number)
}

/// Where a name begins that a process gives with a descriptor of a folder, and what of it follows.
pub(super) fn begins(process: u32, folder: Option<i32>, name: String) -> (Opened, String) {
    if !name.starts_with('/') {
        return (Names::of_descriptor(process, folder), name);
    }
    match descriptor(&name, &|number| has_number(process, number)) {
        Some((descriptor, rest)) => (Names::of_descriptor(process, descriptor), rest),
        None => (Opened::File(String::new()), name),
    }
}

/// The program that a process runs.
pub(super) fn program(process: u32) -> Opened {
    at(&format!("/proc/{process}/exe"))
}

/// What the kernel says that a link of /proc leads to.
fn at(link: &str) -> Opened {
    let target = fs::read_link(link).unwrap_or_default();
    match target.strip_prefix(mounts::ROOT).ok().and_then(Path::to_str) {
        Some(target) if is_outside(target) => Opened::Outside(target.to_owned()),
        // The kernel says so of what has no name any more.
        Some(target) if !target.ends_with(" (deleted)") => Opened::File(target.to_owned()),
        _ => Opened::Nameless,
    }
}

impl Names {
    pub fn new(root: OwnedFd) -> Self {
        Self { root, folders: HashMap::new(), involved: HashSet::new() }
    }

    /// What a process means by an open file, or by its working directory without one.
    pub fn of_descriptor(process: u32, descriptor: Option<i32>) -> Opened {
        let link = match descriptor {
            Some(descriptor) => format!("/proc/{process}/fd/{descriptor}"),
            None => format!("/proc/{process}/cwd"),
        };
        at(&link)
    }

    /// To be told when anything may have come to mean something else.
    pub fn forget(&mut self) {
        self.folders.clear();
        self.involved.clear();
    }

    /// What `name` means that starts from `folder`, a path in the root; none for what is no file of the root.
    pub fn resolve(&mut self, folder: &str, name: &str, follow: bool) -> Result<Option<Meaning>, Elsewhere> {
        let start = if name.starts_with('/') { "" } else { folder };
        let trimmed = name.trim_end_matches('/');
        // With a `/` at its end, a name means the folder that a link leads to.
        let follow = follow || trimmed.len() < name.len();
        let (parents, last) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        let mut meaning = if parents.is_empty() {
            Meaning { path: start.to_owned(), ..Meaning::default() }
        } else {
            let key = format!("{start}/{parents}");
            if let Some(known) = self.folders.get(&key) {
                known.clone()
            } else {
                let found = self.walk(start, parents, true);
                self.involved.extend(found.links.iter().cloned());
                self.involve(&found.path);
                self.folders.insert(key, found.clone());
                found
            }
        };
        if meaning.stopped.is_some() || is_outside(&meaning.path) {
            meaning.path = join(&meaning.path, last);
        } else {
            let found = self.walk(&meaning.path, last, follow);
            meaning.path = found.path;
            meaning.links.extend(found.links);
            meaning.stopped = found.stopped;
        }
        if !is_outside(&meaning.path) {
            Ok(Some(meaning))
        } else if leads_back(&meaning.path) {
            Err(Elsewhere)
        } else {
            Ok(None)
        }
    }

    /// To be told of each name that may come to mean something else.
    pub fn changed(&mut self, path: &str) {
        if self.involved.contains(path) {
            self.forget();
        }
    }

    /// Notes all folders that lead to a path, and itself.
    fn involve(&mut self, path: &str) {
        let mut end = path.len();
        while self.involved.insert(path[..end].to_owned()) {
            match path[..end].rfind('/') {
                Some(cut) => end = cut,
                None => break,
            }
        }
    }

    fn walk(&self, start: &str, name: &str, follow: bool) -> Meaning {
        let mut meaning = Meaning { path: start.to_owned(), ..Meaning::default() };
        // What is still to be walked, the next component last.
        let mut rest: Vec<String> = components(name);
        while let Some(component) = rest.pop() {
            if component == ".." {
                meaning.path.truncate(meaning.path.rfind('/').unwrap_or(0));
                continue;
            }
            let path = join(&meaning.path, &component);
            if is_outside(&path) {
                rest.reverse();
                let path = rest.iter().fold(path, |path, component| join(&path, component));
                return Meaning { path, ..meaning };
            }
            if !rest.is_empty() || follow {
                match rustix::fs::readlinkat(&self.root, &path, Vec::new()) {
                    Ok(target) if meaning.links.len() < MOST_LINKS => {
                        let target = target.to_string_lossy().into_owned();
                        meaning.links.push(path);
                        if target.starts_with('/') {
                            meaning.path.clear();
                        }
                        rest.extend(components(&target));
                        continue;
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) if !rest.is_empty() => {
                        meaning.stopped = Some(meaning.path.clone());
                        rest.reverse();
                        meaning.path = format!("{path}/{}", rest.join("/"));
                        return meaning;
                    }
                    _ => {}
                }
            }
            meaning.path = path;
        }
        meaning
    }
}

/// The components of a name, the last one first.
fn components(name: &str) -> Vec<String> {
    name.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The program that the kernel runs to run a file: after `#!`, or an ELF file's `PT_INTERP`, elf(5).
pub(super) fn interpreter(root: &OwnedFd, path: &str) -> Option<String> {
    let file = super::open_in(root, Path::new(path)).ok()?;
    let mut head = vec![0; 4096];
    let length = rustix::io::pread(&file, &mut head, 0).ok()?;
    head.truncate(length);
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        return String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned);
    }
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (wide, big) = (head.get(4)? == &2, head.get(5)? == &2);
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = head.get(at..at + size)?;
        let fold = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        Some(if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    };
    let word = if wide { 8 } else { 4 };
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    let row = (0..count).map(|i| table + i * size).find(|row| number(*row, 4) == Some(3))?;
    let (offset, length) = if wide {
        (number(row + 8, word)?, number(row + 32, word)?)
    } else {
        (number(row + 4, word)?, number(row + 16, word)?)
    };
    let name = head.get(offset..offset.checked_add(length)?)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Names {
        Names::new(File::open(folder).unwrap().into())
    }

    #[test]
    fn links_lead_where_they_do_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        File::create(root.join("usr/bin/dash")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        symlink("dash", root.join("usr/bin/sh")).unwrap();
        symlink("/bin/sh", root.join("usr/shell")).unwrap();
        let mut names = names(root);
        let mut path = |folder: &str, name: &str, follow| {
            let meaning = names.resolve(folder, name, follow).unwrap().unwrap();
            (meaning.path, meaning.links.join(" "), meaning.stopped)
        };
        let found = |path: &str, links: &str| (path.to_owned(), links.to_owned(), None);
        assert_eq!(path("", "/bin/sh", false), found("usr/bin/sh", "bin"));
        assert_eq!(path("", "/bin/sh", true), found("usr/bin/dash", "bin usr/bin/sh"));
        assert_eq!(path("usr", "shell", true), found("usr/bin/dash", "usr/shell bin usr/bin/sh"));
        assert_eq!(path("usr/bin", "../.././../bin/", false), found("usr/bin", "bin"));
        assert_eq!(path("etc", "x", true), found("etc/x", ""));
        let (missing, _, stopped) = path("", "/bin/no/such/file", true);
        assert_eq!((missing.as_str(), stopped.as_deref()), ("usr/bin/no/such/file", Some("usr/bin")));
    }

    #[test]
    fn a_changed_folder_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        symlink("a", root.join("x")).unwrap();
        let mut names = names(root);
        assert_eq!(names.resolve("", "/x/file", true).unwrap().unwrap().path, "a/file");
        fs::remove_file(root.join("x")).unwrap();
        symlink("b", root.join("x")).unwrap();
        names.changed("x");
        assert_eq!(names.resolve("", "/x/file", true).unwrap().unwrap().path, "b/file");
    }

    #[test]
    fn what_the_kernel_shows_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/proc/self/root", folder.path().join("back")).unwrap();
        let mut names = names(folder.path());
        let mut resolve = |name: &str| names.resolve("", name, true).map(|found| found.is_some());
        for name in
            ["/proc/self/fd", "/proc/self/exe", "/proc//stat", "/dev/null", "/dev/pts/0", "/dev/fd/1", "/dev/stdout"]
        {
            assert_eq!(resolve(name), Ok(false), "{name}");
        }
        for name in ["/dev/shm/x", "/dev", "/dev/initctl", "/developer", "/sys/fs", "/proceed"] {
            assert_eq!(resolve(name), Ok(true), "{name}");
        }
        for name in
            ["//proc/self/root/etc", "/proc/./1/cwd/x", "/proc/../etc", "/back/etc", "/dev/fd/3/x", "/dev/pts/../x"]
        {
            assert_eq!(resolve(name), Err(Elsewhere), "{name}");
        }
    }

    #[test]
    fn names_of_what_is_open_mean_that() {
        let of = |name: &str| descriptor(name, &|number| number == "7");
        let is = |number: Option<i32>, rest: &str| Some((number, rest.to_owned()));
        assert_eq!(of("/proc/self/fd/3"), is(Some(3), ""));
        assert_eq!(of("//proc/./7/fd/3/etc/"), is(Some(3), "etc/"));
        assert_eq!(of("/dev/fd/0"), is(Some(0), ""));
        assert_eq!(of("/proc/self/cwd/x"), is(None, "x"));
        for other in ["/proc/8/fd/3", "/proc/1/root/etc/passwd", "/proc/self/cwd", "/proc/self/stat", "/etc", "proc"] {
            assert_eq!(of(other), None, "{other}");
        }
        let own = std::process::id();
        assert!(has_number(own, &own.to_string()) && !has_number(own, "1x"));
    }

    #[test]
    fn interpreters_are_found() {
        let root: OwnedFd = File::open("/").unwrap().into();
        let own = fs::read_link("/proc/self/exe").unwrap();
        let found = interpreter(&root, own.to_str().unwrap().trim_start_matches('/')).unwrap();
        assert!(found.contains("/ld-") || found.contains("/ld64."), "{found}");
        let folder = tempfile::tempdir().unwrap();
        crate::durable::write(&folder.path().join("x"), b"#! /bin/sh -e\n").unwrap();
        let root: OwnedFd = File::open(folder.path()).unwrap().into();
        assert_eq!(interpreter(&root, "x").as_deref(), Some("/bin/sh"));
    }
}
