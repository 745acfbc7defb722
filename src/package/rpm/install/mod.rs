//! Installing rpm packages together. The root's own rpm is asked for order and database; packages are then merged and scriptlets
//! run as rpm would do it, with what rpm's manual says of triggers.

mod accounts;
mod call;
mod plan;
mod residue;
mod scriptlet;
mod sequence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

use super::archive::CONTROL_FILES;
use super::blob::Blob;
use super::{tag, version};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::package::order::dependencies_first;
use crate::package::{
    Act, DatabaseContent, DatabaseFile, Diversion, Installation, Ledger, MemberKind, Part, Planned, Planner,
    ReadControl, ReadFile, Residue, Round, Script, Sharing, Told, Unpacked,
};
use accounts::Accounts;
use plan::Plan;
use residue::RESIDUE;
use scriptlet::{Facts, Scriptlet};
use sequence::Event;

/// The program that plans, and runs what is in its own Lua.
const RPM: &str = "/usr/bin/rpm";

/// The program that rpm has make users and groups, unless a distribution says otherwise.
const SYSUSERS: &str = "/usr/bin/systemd-sysusers";

/// The folder of the planner's root where it makes the database.
const FOLDER: &str = "compose-rpmdb";

/// The version of rpm from which on triggers of files are told how many packages there are, and users are made members of groups.
const LATER: &str = "4.20";

/// What of the database's folder belongs to programs that run: locks and memory that they share.
const PASSING: [&str; 3] = [".rpm.lock", "rpmdb.sqlite-shm", "rpmdb.sqlite-wal"];

/// A set of rpm packages to install together.
#[derive(Debug)]
pub struct Rpm {
    packages: Vec<Unpacked>,
    order: Vec<usize>,
    headers: Vec<Blob>,
    facts: Vec<Facts>,
    /// The database that the planner made, where it belongs.
    database: OnceLock<Vec<DatabaseFile>>,
}

/// See [`crate::package::Format::scripts`].
pub(in crate::package) fn scripts(read: ReadControl<'_>) -> Result<Vec<(String, String)>> {
    let Some(header) = read(CONTROL_FILES[2])? else { return Ok(Vec::new()) };
    let facts = Facts::read(&Blob::parse(tag::IMMUTABLE, header)?)?;
    let text = |(kind, script): (&str, &Scriptlet)| {
        let text = script.text.as_deref().unwrap_or_default();
        (kind.to_owned(), String::from_utf8_lossy(text).into_owned())
    };
    Ok(facts.scriptlets().map(text).collect())
}

impl Rpm {
    /// Reads what the packages' headers say.
    pub fn new(packages: Vec<Unpacked>) -> Result<Self> {
        let read = |package: &Unpacked| -> Result<(Blob, Facts)> {
            let failed = || format!("cannot read the header of {}", package.name);
            let bytes = package.control.get(CONTROL_FILES[2]).with_context(failed)?;
            let header = Blob::parse(tag::IMMUTABLE, bytes.clone()).with_context(failed)?;
            let facts = Facts::read(&header).with_context(failed)?;
            Ok((header, facts))
        };
        let (headers, facts) = packages.iter().map(read).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let order = dependencies_first(&packages, 0..packages.len());
        Ok(Self { order, packages, headers, facts, database: OnceLock::new() })
    }

    /// The package with rpm itself.
    fn own(&self) -> Option<usize> {
        self.facts.iter().position(|facts| facts.files.iter().any(|path| path == RPM))
    }

    /// A package with the program that makes users and groups, where any has some to make.
    fn maker(&self) -> Option<usize> {
        let is_needed = self.facts.iter().any(|facts| !facts.accounts.is_empty());
        self.facts.iter().position(|facts| is_needed && facts.has_program(SYSUSERS))
    }

    /// How users and groups of a package are made by `program`, which has to be in the planner's root.
    fn make(&self, program: &str, package: usize, accounts: &Accounts, is_later: bool) -> Result<Option<Script>> {
        let facts = &self.facts[package];
        let Some(script) = call::make(program, facts, accounts, is_later) else { return Ok(None) };
        if self.tools().into_iter().any(|tool| self.facts[tool].has_program(program)) {
            return Ok(Some(script));
        }
        Err(anyhow!("{} has users and groups, and no package of the lock has {program}, which makes them", facts.name))
            .hint(|| "add the package that has it, such as systemd, to `packages:`, and update the lock")
    }

    /// The packages of the planner's root.
    fn tools(&self) -> Vec<usize> {
        if self.own().is_none() {
            return Vec::new();
        }
        dependencies_first(&self.packages, self.own().into_iter().chain(self.maker()))
    }

    /// The preference of an ELF file, `RPMTAG_FILECOLORS`: that of 64-bit programs is the greater one (`_prefer_color`).
    fn color(&self, package: usize, path: &str) -> u64 {
        let number = self.facts[package].files.iter().position(|file| file.get(1..) == Some(path));
        let colors = self.headers[package].numbers(tag::FILECOLORS).unwrap_or_default();
        number.and_then(|number| colors.get(number).copied()).unwrap_or_default()
    }

    /// The database's files at their place.
    fn place_database(place: &str, made: BTreeMap<String, Sha256>) -> Vec<DatabaseFile> {
        let kept = made.into_iter().filter(|(name, _)| !PASSING.contains(&name.as_str()) && !name.starts_with("__db."));
        let file =
            |(name, object)| DatabaseFile { path: format!("{place}/{name}"), content: DatabaseContent::Object(object) };
        kept.map(file).collect()
    }
}

impl Installation for Rpm {
    fn packages(&self) -> &[Unpacked] {
        &self.packages
    }

    fn order(&self) -> &[usize] {
        &self.order
    }

    fn planner(&self) -> Option<Planner> {
        let root = self.tools();
        (!root.is_empty()).then(|| plan::planner(&self.packages, root))
    }

    /// A round for each run of packages between scriptlets. The database is there with the last package.
    fn rounds(&self, planned: Option<Planned>) -> Result<Vec<Round>> {
        if self.packages.is_empty() {
            return Ok(Vec::new());
        }
        let (Some(planned), Some(own)) = (planned, self.own()) else {
            return Err(anyhow!("no package of the lock has {RPM}, without which its packages cannot be installed"))
                .hint(|| "add rpm to `packages:`, and update the lock");
        };
        let Plan { order, place, accounts } = plan::read(&self.facts, &planned)?;
        let is_later = version::compare(&self.facts[own].version, LATER).is_ge();
        let _ = self.database.set(Self::place_database(&place, planned.made));
        let (mut rounds, mut at) = (Vec::new(), Round::default());
        for event in sequence::sequence(&self.facts, &order, is_later) {
            match event {
                Event::Unpack(package) => {
                    if !at.acts.is_empty() {
                        rounds.push(std::mem::take(&mut at));
                    }
                    at.unpack.push(package);
                    if Some(&package) == order.last() {
                        at.register.clone_from(&order);
                    }
                }
                Event::Make(package, lines) => {
                    let make = |program| self.make(program, package, lines, is_later);
                    let script = accounts.as_deref().map(make).transpose()?.flatten();
                    at.acts.extend(script.map(Act::Run));
                }
                Event::Run(call) => at.acts.push(Act::Run(call::script(&self.facts, &call))),
            }
        }
        rounds.push(at);
        Ok(rounds)
    }

    /// What owners are called is looked up in the root; each package that lists a directory sets its owner and mode anew; what is
    /// a directory stays none's link (`fsmVerify` in rpm's sources).
    fn sharing(&self) -> Sharing {
        let places = &["dev", "proc", "run", "tmp"];
        Sharing { named_owners: true, last_directory: true, directory_stays: false, places }
    }

    fn tell(&self, _: &[usize], _: &[usize]) -> Told {
        Told::default()
    }

    /// The links to `usr/` that packages have at the top of the root: rpm's order alone need not put them ahead of what is below
    /// them.
    fn aliases(&self, packages: &[usize]) -> Vec<(String, String)> {
        let records = packages.iter().flat_map(|package| self.packages[*package].records());
        let link = |record: &crate::package::Record| match &record.member.kind {
            MemberKind::Symlink(target) if record.member.part == Part::Data => {
                let path = &record.member.path;
                let leads = target.trim_start_matches('/').strip_prefix("usr/") == Some(path.as_str());
                leads.then(|| (path.clone(), format!("usr/{path}")))
            }
            _ => None,
        };
        let links: BTreeSet<(String, String)> = records.filter_map(link).collect();
        links.into_iter().collect()
    }

    fn place(&self, _: usize, _: &str) -> Option<String> {
        None
    }

    /// rpm has compared the two when it planned. Of programs for several architectures those with the preferred one's stay.
    fn may_replace(&self, new: usize, old: usize, path: &str) -> bool {
        self.color(new, path) >= self.color(old, path)
    }

    /// Any two packages may have the same file.
    fn may_share(&self, _: usize, _: usize) -> bool {
        true
    }

    fn database(&self, register: &[usize], _: &[BTreeSet<String>], _: ReadFile<'_>) -> Result<Vec<DatabaseFile>> {
        let is_all = register.len() == self.packages.len();
        Ok(self.database.get().filter(|_| is_all).cloned().unwrap_or_default())
    }

    fn diversions(&self, _: ReadFile<'_>) -> Result<Vec<Diversion>> {
        Ok(Vec::new())
    }

    fn answers(&self, lines: &[String], _: &Round) -> Result<Vec<Script>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        Err(anyhow!("rpm packages ask no questions that `debconf:` could answer")).hint(|| "remove `debconf:`")
    }

    fn script_runner(&self) -> Option<&'static str> {
        None
    }

    fn ledger(&self) -> Option<Ledger> {
        None
    }

    fn script_of(&self, environment: &BTreeMap<String, String>) -> Option<String> {
        call::script_of(&self.facts, environment)
    }

    fn is_triggered(&self, _: &[String]) -> bool {
        false
    }

    /// Each scriptlet is a step of its own, which is called by its name.
    fn failed_script(&self, _: &str) -> Option<(String, Option<String>)> {
        None
    }

    fn guards(&self) -> Vec<(&'static str, u32, &'static str)> {
        Vec::new()
    }

    fn residue(&self) -> &'static [Residue] {
        RESIDUE
    }
}
