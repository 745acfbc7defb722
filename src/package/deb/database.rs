//! dpkg's database as dpkg leaves it after unpacking packages (dpkg(1), FILES; `infodb-access` in dpkg's sources).

use std::collections::BTreeSet;

use anyhow::Result;

use super::install::{control, database_name};
use super::triggers;
use crate::package::{DatabaseContent, DatabaseFile, Diversion, Part, ReadFile, Unpacked};

const ADMIN: &str = "var/lib/dpkg";

/// The files that change when the packages `register` become known, after those that the root's database has.
pub(super) fn write(
    packages: &[Unpacked],
    register: &[usize],
    lost: &[BTreeSet<String>],
    read: ReadFile<'_>,
) -> Result<Vec<DatabaseFile>> {
    let read = |path: &str| read(&format!("{ADMIN}/{path}"));
    let mut files = Vec::new();
    let mut add = |path: String, content| files.push(DatabaseFile { path: format!("{ADMIN}/{path}"), content });
    let list_of = |i: usize| {
        let path = format!("info/{}.list", database_name(&packages[i]));
        (path, DatabaseContent::Bytes(file_list(&packages[i], &lost[i]).into_bytes()))
    };
    for i in (0..packages.len()).filter(|i| !lost[*i].is_empty() && !register.contains(i)) {
        let (path, content) = list_of(i);
        if read(&path)?.is_some() {
            add(path, content);
        }
    }
    if register.is_empty() {
        return Ok(files);
    }
    for i in register {
        let package = &packages[*i];
        let name = database_name(package);
        let (path, content) = list_of(*i);
        add(path, content);
        for record in package.records() {
            let path = &record.member.path;
            if record.member.part == Part::Control
                && path != "control"
                && let Some(object) = record.object
            {
                add(format!("info/{name}.{path}"), DatabaseContent::Object(object));
            }
        }
    }
    let architectures = architectures(packages).filter(|names| names.len() > 1);
    if let Some(names) = architectures {
        add("arch".to_owned(), DatabaseContent::Bytes(format!("{}\n", names.join("\n")).into_bytes()));
    }
    add("info/format".to_owned(), DatabaseContent::Bytes(b"1\n".to_vec()));
    let known = triggers::Interests::read(&read)?;
    for (path, text) in known.with(register.iter().map(|i| &packages[*i]), &read)? {
        add(format!("triggers/{path}"), DatabaseContent::Bytes(text.into_bytes()));
    }
    for path in ["diversions", "status", "triggers/Unincorp"] {
        if read(path)?.is_none() {
            add(path.to_owned(), DatabaseContent::Bytes(Vec::new()));
        }
    }
    for path in ["alternatives", "parts", "updates"] {
        add(path.to_owned(), DatabaseContent::Directory);
    }
    Ok(files)
}

/// The paths in all packages' lists, those that are diverted at both places.
pub fn owned_paths(list: &dyn Fn(&str) -> Vec<String>, read: ReadFile<'_>) -> Result<BTreeSet<String>> {
    let folder = format!("{ADMIN}/info");
    let mut paths = BTreeSet::new();
    for name in list(&folder).iter().filter_map(|name| name.strip_suffix(".list")) {
        let lines = read(&format!("{folder}/{name}.list"))?.unwrap_or_default();
        paths.extend(lines.lines().map(|path| path.trim_start_matches('/').to_owned()));
    }
    let diverted = diversions(read)?;
    paths.extend(diverted.into_iter().map(|diversion| diversion.to.trim_start_matches('/').to_owned()));
    Ok(paths)
}

/// dpkg's diversions, three lines for each: from, to, and by which package.
pub(super) fn diversions(read: ReadFile<'_>) -> Result<Vec<Diversion>> {
    let text = read(&format!("{ADMIN}/diversions"))?.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let diversion = |three: &[&str]| Diversion { from: three[0].into(), to: three[1].into(), by: three[2].into() };
    Ok(lines.chunks_exact(3).map(diversion).collect())
}

/// The architectures of a root: dpkg's own, then the others by name.
pub(super) fn architectures(packages: &[Unpacked]) -> Option<Vec<String>> {
    let own = packages.iter().find(|package| package.name == "dpkg")?.architecture.clone();
    let foreign: BTreeSet<&String> = packages.iter().map(|package| &package.architecture).collect();
    let foreign = foreign.into_iter().filter(|name| **name != own && *name != "all").cloned();
    Some(std::iter::once(own.clone()).chain(foreign).collect())
}

/// The paragraph in `status` of an unpacked package: the control file's fields with `Status` and `Conffiles`.
pub(super) fn unpacked(package: &Unpacked) -> String {
    let mut text = format!("Package: {}\nStatus: install ok unpacked\n", package.name);
    let generated = |field: &str| ["Package", "Status", "Conffiles"].iter().any(|g| g.eq_ignore_ascii_case(field));
    for (field, value) in control(package).fields().filter(|(field, _)| !generated(field)) {
        text.extend([field, ": ", value, "\n"]);
    }
    let conffiles = package.text("conffiles");
    let mut conffiles = conffiles.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    if conffiles.peek().is_some() {
        text.push_str("Conffiles:\n");
    }
    for line in conffiles {
        match line.strip_prefix(REMOVE) {
            Some(path) => text.extend([" ", path.trim_start(), " newconffile ", REMOVE, "\n"]),
            None => text.extend([" ", line, " newconffile\n"]),
        }
    }
    text
}

/// The flag of a conffile that a newer version takes away, deb-conffiles(5).
const REMOVE: &str = "remove-on-upgrade";

/// `info/NAME.list`: every path of the package that it still has, in its order.
fn file_list(package: &Unpacked, lost: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for record in package.records().iter().filter(|r| r.member.part == Part::Data) {
        let path = &record.member.path;
        if path.is_empty() {
            text.push_str("/.\n");
        } else if !lost.contains(path) {
            text.push('/');
            text.push_str(path);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::install::tests::package;

    #[test]
    fn a_paragraph_lists_conffiles_with_their_flags() {
        let mut conf = package("conf", "all", "");
        let conffiles = "/etc/conf\nremove-on-upgrade /etc/old\n";
        conf.control.insert("conffiles".to_owned(), conffiles.as_bytes().to_vec());
        let expected = "\
Package: conf
Status: install ok unpacked
Version: 1
Architecture: all
Conffiles:
 /etc/conf newconffile
 /etc/old newconffile remove-on-upgrade
";
        assert_eq!(unpacked(&conf), expected);
    }

    #[test]
    fn diversions_are_read_in_threes() {
        let read = |_: &str| Ok(Some("/bin/a\n/bin/a.real\nb\n/bin/c\n/bin/d\n:\n".to_owned()));
        let diversion = |from: &str, to: &str, by: &str| Diversion { from: from.into(), to: to.into(), by: by.into() };
        let expected = [diversion("/bin/a", "/bin/a.real", "b"), diversion("/bin/c", "/bin/d", ":")];
        assert_eq!(diversions(&read).unwrap(), expected);
    }
}
