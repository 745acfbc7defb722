//! dpkg's status file, and what its programs take of it (dpkg(1), FILES; dpkg-query(1); dpkg-divert(1)).

use super::control::Stanza;
use crate::package::{Asked, Ledger, Said};

/// dpkg notes in files of the folder what became of a package, until it writes the status file anew (`modstatdb_note` in
/// dpkg's sources).
pub(super) const LEDGER: Ledger =
    Ledger { file: "var/lib/dpkg/status", corrections: "var/lib/dpkg/updates", asked, read, mentions };

/// The state of a package of which dpkg has no list of files, dpkg(1).
const WITHOUT_FILES: &str = "not-installed";

fn read(text: &[u8]) -> Option<Vec<Said>> {
    let said = |stanza: Stanza<'_>| {
        let (mut name, mut architecture, mut status) = (None, "", "");
        for (field, value) in stanza.fields() {
            match field {
                "Package" => name = Some(value),
                "Architecture" => architecture = value,
                "Status" => status = value,
                _ => {}
            }
        }
        let state = status.split_whitespace().next_back()?;
        Some(Said {
            name: name?.to_owned(),
            architecture: architecture.to_owned(),
            installed: state != WITHOUT_FILES,
            text: stanza.as_str().trim_end().to_owned(),
        })
    };
    Stanza::all(std::str::from_utf8(text).ok()?).map(said).collect()
}

/// dpkg knows of packages that relations of others name (`pkg_hash_find_set` in dpkg's sources), and tells that it does.
fn mentions(text: &str, name: &str) -> bool {
    let part_of_name = |byte: Option<&u8>| byte.is_some_and(|byte| is_of_name(*byte));
    let bytes = text.as_bytes();
    memchr::memmem::find_iter(bytes, name).any(|at| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !part_of_name(before) && !part_of_name(bytes.get(at + name.len()))
    })
}

fn asked(program: &str, arguments: &[String]) -> Option<Vec<Asked>> {
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match program {
        "usr/bin/dpkg-query" => asked_by_query(&arguments),
        "usr/bin/dpkg-divert" => asked_by_divert(&arguments),
        _ => None,
    }
}

/// dpkg-query(1): actions that tell of the packages named, and the one that looks through the lists of all. None with a
/// pattern, or an option that is not known here.
fn asked_by_query(arguments: &[&str]) -> Option<Vec<Asked>> {
    let mut action = None;
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-f" | "--showformat" => drop(rest.next()?),
            "--no-pager" => {}
            "-l" | "--list" | "-W" | "--show" | "-s" | "--status" | "-L" | "--listfiles" | "--control-list"
            | "--control-show" | "-c" | "--control-path" | "-S" | "--search" => {
                if action.replace(*argument).is_some() {
                    return None;
                }
            }
            "--" => {
                names.extend(rest.by_ref());
            }
            option if option.starts_with("-f") || option.starts_with("--showformat=") => {}
            option if option.starts_with('-') => return None,
            name => names.push(name),
        }
    }
    let action = action?;
    if matches!(action, "-S" | "--search") {
        return Some(vec![Asked::Installed]);
    }
    if matches!(action, "--control-show" | "-c" | "--control-path") {
        // What follows the package is the name of a file.
        names.truncate(1);
    }
    if names.is_empty() {
        return None;
    }
    names.into_iter().map(package).collect()
}

/// dpkg-divert(1): of a package it looks at those files that it would not move for it; none of them has a part in questions.
fn asked_by_divert(arguments: &[&str]) -> Option<Vec<Asked>> {
    let mut asked = Vec::new();
    let mut told = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--package" => {
                asked.push(package(rest.next()?)?);
                told = true;
            }
            "--divert" => drop(rest.next()?),
            "--local" | "--list" | "--listpackage" | "--truename" => told = true,
            "--add" | "--remove" | "--rename" | "--no-rename" | "--quiet" => {}
            option if option.starts_with("--package=") => {
                asked.push(package(&option["--package=".len()..])?);
                told = true;
            }
            option if option.starts_with("--divert=") => {}
            option if option.starts_with('-') => return None,
            _ => {}
        }
    }
    // Without any of these it is the package that a variable of the environment names.
    told.then_some(asked)
}

/// The package of a name that may have an architecture, where it is no pattern.
fn package(name: &str) -> Option<Asked> {
    let name = name.split(':').next()?;
    (!name.is_empty() && name.bytes().all(is_of_name)).then(|| Asked::Package(name.to_owned()))
}

/// Whether names of packages have this character (Debian Policy 5.6.1).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Option<Vec<Asked>> {
        let arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
        asked(&format!("usr/bin/{}", arguments[0]), &arguments)
    }

    #[test]
    fn programs_take_what_they_are_asked_for() {
        let packages = |names: &[&str]| Some(names.iter().map(|name| Asked::Package((*name).to_owned())).collect());
        assert_eq!(of("dpkg-query --listfiles libc6:amd64"), packages(&["libc6"]));
        assert_eq!(of("dpkg-query -W -f ${Version} python3-minimal g++"), packages(&["python3-minimal", "g++"]));
        assert_eq!(of("dpkg-query --showformat=${Status} --show dpkg"), packages(&["dpkg"]));
        assert_eq!(of("dpkg-query --control-path ucf templates"), packages(&["ucf"]));
        assert_eq!(of("dpkg-query -S /lib64 *.conf"), Some(vec![Asked::Installed]));
        assert_eq!(of("dpkg-divert --listpackage /bin/sh"), packages(&[]));
        assert_eq!(of("dpkg-divert --package dash --add --rename --divert /bin/x /bin/sh"), packages(&["dash"]));
        for whole in [
            "dpkg-query -W",
            "dpkg-query -l lib*",
            "dpkg-query -W linux-image-[0-9]",
            "dpkg-query --admindir=/x -s dpkg",
            "dpkg-query --print-avail dpkg",
            "dpkg-query -s dpkg -L dpkg",
            "dpkg-divert --add /bin/sh",
            "dpkg-divert --admindir /x --truename /bin/sh",
            "dpkg --configure --pending",
            "cat status",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
    }

    #[test]
    fn the_status_file_is_read_by_package() {
        let text = b"Package: a\nStatus: install ok installed\nArchitecture: amd64\n\n\
            Package: b\nStatus: unknown ok not-installed\nArchitecture: all\nVersion: 1\n";
        let said = read(text).unwrap();
        let short: Vec<_> = said.iter().map(|s| (s.name.as_str(), s.architecture.as_str(), s.installed)).collect();
        assert_eq!(short, [("a", "amd64", true), ("b", "all", false)]);
        assert!(said[1].text.ends_with("Version: 1"));
        assert_eq!(read(b"Package: a\n\n"), None, "no state");
        assert_eq!(read(b""), Some(Vec::new()));
        let said = "Package: c\nDepends: a (>= 1), xb|b-c, d";
        assert!(["a", "b-c", "d"].iter().all(|name| mentions(said, name)));
        assert!(!["b", "xb-", "e"].iter().any(|name| mentions(said, name)));
    }
}
