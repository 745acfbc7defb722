//! dpkg's database as dpkg leaves it after unpacking packages into an empty root (dpkg(1), FILES; `infodb-access` and
//! `trigdeferred` in dpkg's sources).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::Result;

use super::install::{conffiles, control, database_name};
use crate::package::{DatabaseContent, DatabaseFile, Part, Unpacked};

const ADMIN: &str = "var/lib/dpkg";

/// All files of the database.
pub(super) fn write(packages: &[Unpacked], lost: &[BTreeSet<String>]) -> Result<Vec<DatabaseFile>> {
    let mut files = Vec::new();
    let mut add = |path: String, content| files.push(DatabaseFile { path: format!("{ADMIN}/{path}"), content });
    let mut status = String::new();
    for (package, lost) in packages.iter().zip(lost) {
        let name = database_name(package);
        write_status(&mut status, package)?;
        add(format!("info/{name}.list"), DatabaseContent::Bytes(file_list(package, lost).into_bytes()));
        for record in &package.records {
            let path = &record.member.path;
            if record.member.part == Part::Control
                && path != "control"
                && let Some(object) = record.object
            {
                add(format!("info/{name}.{path}"), DatabaseContent::Object(object));
            }
        }
    }
    add("status".to_owned(), DatabaseContent::Bytes(status.into_bytes()));
    if let Some(text) = architectures(packages) {
        add("arch".to_owned(), DatabaseContent::Bytes(text.into_bytes()));
    }
    add("info/format".to_owned(), DatabaseContent::Bytes(b"1\n".to_vec()));
    for (path, text) in trigger_interests(packages) {
        add(format!("triggers/{path}"), DatabaseContent::Bytes(text.into_bytes()));
    }
    for path in ["available", "diversions", "statoverride", "triggers/Unincorp"] {
        add(path.to_owned(), DatabaseContent::Bytes(Vec::new()));
    }
    for path in ["alternatives", "parts", "updates"] {
        add(path.to_owned(), DatabaseContent::Directory);
    }
    Ok(files)
}

/// The list that `dpkg --add-architecture` keeps, dpkg's own architecture first; none where all packages are of that.
fn architectures(packages: &[Unpacked]) -> Option<String> {
    let own = packages.iter().find(|package| package.name == "dpkg")?.architecture.as_str();
    let foreign: BTreeSet<&str> = packages.iter().map(|package| package.architecture.as_str()).collect();
    let foreign: Vec<&str> = foreign.into_iter().filter(|name| ![own, "all"].contains(name)).collect();
    (!foreign.is_empty()).then(|| format!("{own}\n{}\n", foreign.join("\n")))
}

/// A package's paragraph in `status`: the control file's with `Status` and `Conffiles`.
fn write_status(status: &mut String, package: &Unpacked) -> Result<()> {
    writeln!(status, "Package: {}\nStatus: install ok unpacked", package.name)?;
    let conffiles: Vec<&str> = conffiles(package).collect();
    let generated = |field: &str| ["Package", "Status", "Conffiles"].iter().any(|g| g.eq_ignore_ascii_case(field));
    for (field, value) in control(package).fields().filter(|(field, _)| !generated(field)) {
        writeln!(status, "{field}: {value}")?;
    }
    if !conffiles.is_empty() {
        writeln!(status, "Conffiles:")?;
        for path in conffiles {
            writeln!(status, " {path} newconffile")?;
        }
    }
    status.push('\n');
    Ok(())
}

/// `info/NAME.list`: every path of the package that it still has, in its order.
fn file_list(package: &Unpacked, lost: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for record in package.records.iter().filter(|r| r.member.part == Part::Data) {
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

/// `triggers/File` and a file for each named trigger (deb-triggers(5)): who is interested in what.
fn trigger_interests(packages: &[Unpacked]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([("File".to_owned(), String::new())]);
    for package in packages {
        let text = package.control.get("triggers").map_or("", String::as_str);
        for line in text.lines().map(|l| l.split('#').next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            let (Some(directive), Some(trigger)) = (words.next(), words.next()) else { continue };
            let option = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                _ => continue,
            };
            let interested = format!("{}{option}\n", database_name(package));
            if trigger.starts_with('/') {
                let file = files.entry("File".to_owned()).or_default();
                file.extend([trigger, " ", &interested]);
            } else if trigger.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
                && !matches!(trigger, "." | ".." | "File")
            {
                files.entry(trigger.to_owned()).or_default().push_str(&interested);
            }
        }
    }
    files
}
