//! The planner: the root's own rpm is given all headers. It checks packages against each other, puts them in order, and makes the
//! database, all without files or scriptlets.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::call::OPTIONS;
use super::scriptlet::Facts;
use super::{FOLDER, RPM};
use crate::package::rpm::archive::CONTROL_FILES;
use crate::package::rpm::file::LEAD;
use crate::package::{Planned, Planner, Script, Unpacked};

/// What begins the line that tells where the root keeps its database.
const PLACE: &str = "the database is in ";

/// What begins the line that tells what makes users and groups; nothing follows where this rpm makes none.
const ACCOUNTS: &str = "users and groups are made by ";

/// What is around the name of a package in the line that rpm prints when it begins to install it (`rpmpsmRun` in rpm's sources).
const INSTALLS: [&str; 2] = ["install: ", " has "];

/// What was planned.
#[derive(Debug)]
pub(super) struct Plan {
    /// The packages in the order of their installation.
    pub order: Vec<usize>,
    /// The folder of the database, relative to the root.
    pub place: String,
    /// The program that makes users and groups, if this rpm has one called.
    pub accounts: Option<String>,
}

/// How to ask rpm, in a root of the packages `root`.
pub(super) fn planner(packages: &[Unpacked], root: Vec<usize>) -> Planner {
    let path = |number: usize| format!("/tmp/{number:06}.rpm");
    let files = packages.iter().enumerate().map(|(number, package)| (path(number), front(package))).collect();
    let script = |label: &str, arguments: Vec<String>| Script {
        label: label.to_owned(),
        command: [RPM.to_owned()].into_iter().chain(arguments).collect(),
        ..Script::default()
    };
    let place = format!("{PLACE}%{{_dbpath}}");
    let accounts = format!("{ACCOUNTS}%{{?__systemd_sysusers}}");
    let ask = ["--eval", &place, "--eval", &accounts].map(str::to_owned).to_vec();
    let options = ["--install", "--justdb", "-vv", "--dbpath"].iter().map(|option| (*option).to_owned());
    let install = options
        .chain([format!("/{FOLDER}")])
        .chain(OPTIONS.iter().map(|option| (*option).to_owned()))
        .chain((0..packages.len()).map(path));
    let scripts = vec![
        script("asking rpm for its settings", ask),
        script("planning the installation with rpm", install.collect()),
    ];
    Planner { packages: root, files, scripts, makes: Some(FOLDER), talk: Some("D: "), stays: true }
}

/// A package's file up to its payload.
fn front(package: &Unpacked) -> Vec<u8> {
    let [lead, signature, header] =
        CONTROL_FILES.map(|part| package.control.get(part).map(Vec::as_slice).unwrap_or_default());
    let mut bytes = [lead, signature].concat();
    bytes.resize(LEAD + signature.len().next_multiple_of(8), 0);
    bytes.extend(header);
    bytes
}

/// Reads what rpm printed.
pub(super) fn read(packages: &[Facts], planned: &Planned) -> Result<Plan> {
    let place = planned.printed.lines().find_map(|line| line.strip_prefix(PLACE));
    let place = place.filter(|place| place.starts_with('/')).context("rpm did not tell where its database is")?;
    let accounts = planned.printed.lines().find_map(|line| line.strip_prefix(ACCOUNTS.trim_end())).map(str::trim);
    let accounts = accounts.filter(|program| !program.is_empty()).map(str::to_owned);
    let numbers: HashMap<&str, usize> =
        packages.iter().enumerate().map(|(number, facts)| (facts.full_name.as_str(), number)).collect();
    let installed = planned.printed.lines().filter_map(|line| {
        let (_, rest) = line.strip_prefix("D:")?.split_once(INSTALLS[0])?;
        Some(rest.split_once(INSTALLS[1])?.0)
    });
    let find = |name: &str| {
        numbers.get(name).copied().with_context(|| format!("rpm would install {name}, an unknown package"))
    };
    let order = installed.map(find).collect::<Result<Vec<_>>>()?;
    let planned: HashSet<usize> = order.iter().copied().collect();
    let missing = packages.iter().enumerate().filter(|(number, _)| !planned.contains(number));
    let missing: Vec<&str> = missing.map(|(_, facts)| facts.full_name.as_str()).collect();
    ensure!(missing.is_empty(), "rpm would not install {}", missing.join(", "));
    ensure!(order.len() == packages.len(), "rpm would install a package twice");
    Ok(Plan { order, place: place.trim_matches('/').to_owned(), accounts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpm_prints_is_read() {
        let facts = |name: &str| Facts { full_name: format!("{name}-1:2-3.noarch"), ..Facts::default() };
        let packages = [facts("eel"), facts("pike")];
        let printed = "the database is in /var/lib/rpm\nusers and groups are made by /bin/make\n\
            D:   install: pike-1:2-3.noarch has 4 files\nD: x\nD:   install: eel-1:2-3.noarch has 0 files\n";
        let planned = Planned { printed: printed.to_owned(), ..Planned::default() };
        let plan = read(&packages, &planned).unwrap();
        assert_eq!((plan.order, plan.place.as_str()), (vec![1, 0], "var/lib/rpm"));
        assert_eq!(plan.accounts.as_deref(), Some("/bin/make"));
        for none in ["", " "] {
            let printed = printed.replace(" /bin/make", none);
            let plan = read(&packages, &Planned { printed, ..Planned::default() }).unwrap();
            assert_eq!(plan.accounts, None);
        }
        let error = |printed: &str| {
            let planned = Planned { printed: printed.to_owned(), ..Planned::default() };
            read(&packages, &planned).unwrap_err().to_string()
        };
        let (first, _) = printed.split_once("D: x").unwrap();
        assert_eq!(error(first), "rpm would not install eel-1:2-3.noarch");
        assert_eq!(error(""), "rpm did not tell where its database is");
        assert_eq!(error(&printed.replace("eel", "bass")), "rpm would install bass-1:2-3.noarch, an unknown package");
    }
}
