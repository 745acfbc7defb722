//! Installing Debian packages together: order, merged /usr, Replaces, conffiles and maintainer scripts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};

use super::control::Stanza;
use super::database;
use super::failure;
use super::foresee::Foresight;
use super::ledger::LEDGER;
use super::plan::{self, Call, Order};
use super::relation::{self, Relation};
use super::residue::RESIDUE;
use super::{rounds, triggers};
use crate::error::Hint;
use crate::package::order::dependencies_first;
use crate::package::{
    DatabaseFile, Diversion, Foreseen, Installation, Ledger, MemberKind, Part, Planned, Planner, ReadControl, ReadFile,
    Residue, Round, Script, Sharing, Told, Unpacked,
};

/// See [`crate::package::Format::control_files`].
pub const CONTROL_FILES: &[&str] = &["control", "conffiles", "preinst", "postinst", "triggers"];

/// The control files that are run when a package is installed.
const SCRIPTS: [&str; 3] = ["config", "preinst", "postinst"];

/// See [`crate::package::Format::all_scripts`]: Debian Policy 6.1, debconf-devel(7), deb-triggers(5).
pub const ALL_SCRIPTS: &[&str] = &["config", "preinst", "postinst", "prerm", "postrm", "triggers"];

/// See [`crate::package::Format::scripts`].
pub(in crate::package) fn scripts(read: ReadControl<'_>) -> Result<Vec<(String, String)>> {
    let script = |name: &str| {
        let text = read(name)?;
        Ok(text.map(|text| (name.to_owned(), String::from_utf8_lossy(&text).into_owned())))
    };
    SCRIPTS.into_iter().filter_map(|name| script(name).transpose()).collect()
}

/// The top-level directories that merged-/usr systems make links (`UsrMerge` in Debian's wiki, and the `merged-usr` hook of
/// mmdebstrap for those beyond bin, sbin and lib).
fn usr_links(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "amd64" => &["bin", "lib", "lib32", "lib64", "libx32", "sbin"],
        "i386" => &["bin", "lib", "lib64", "libx32", "sbin"],
        "mips64el" => &["bin", "lib", "lib32", "lib64", "libo32", "sbin"],
        "ppc64el" => &["bin", "lib", "lib64", "sbin"],
        "s390x" => &["bin", "lib", "lib32", "sbin"],
        _ => &["bin", "lib", "sbin"],
    }
}

/// The program that runs maintainer scripts.
pub(super) const DPKG: &str = "/usr/bin/dpkg";

/// A set of Debian packages to install together.
#[derive(Debug)]
pub struct Deb {
    packages: Vec<Unpacked>,
    order: Vec<usize>,
    conffiles: Vec<BTreeSet<String>>,
}

impl Deb {
    /// Reads what the packages' control files say.
    pub fn new(mut packages: Vec<Unpacked>) -> Result<Self> {
        for package in &mut packages {
            for text in package.control.values_mut().filter(|bytes| std::str::from_utf8(bytes).is_err()) {
                *text = String::from_utf8_lossy(text).into_owned().into_bytes();
            }
            package.control.get("control").with_context(|| format!("{} has no control file", package.name))?;
        }
        let conffiles = packages.iter().map(|p| conffiles(p).map(|c| c.trim_start_matches('/').to_owned()).collect());
        Ok(Self { order: dependency_order(&packages, |_| true), conffiles: conffiles.collect(), packages })
    }

    fn find(&self, name: &str) -> Option<&Unpacked> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The version of the dpkg that runs the scripts.
    fn running(&self) -> Option<&str> {
        Some(control(self.find("dpkg")?).get("Version").unwrap_or_default())
    }

    /// Where nothing tells apt's order: what the essential packages need before the rest, dependencies first.
    fn own_order(&self) -> Order {
        let essential = dependency_order(&self.packages, is_essential);
        let rest = self.order.iter().copied().filter(|i| !essential.contains(i)).collect();
        Order { essential, calls: vec![Call::Unpack(rest), Call::ConfigurePending] }
    }

    /// What apt keeps of an installation: which packages nobody asked for, and its folders.
    fn apt_scripts(&self, order: &Order) -> Vec<Script> {
        if self.find("apt").is_none() {
            return Vec::new();
        }
        let rest = (0..self.packages.len()).filter(|i| !order.essential.contains(i));
        let automatic: Vec<String> =
            rest.map(|i| &self.packages[i]).filter(|package| !package.asked).map(plan::full_name).collect();
        let mut scripts = Vec::new();
        if !automatic.is_empty() {
            let command = ["/usr/bin/apt-mark", "--quiet=2", "auto"].map(str::to_owned).into_iter().chain(automatic);
            scripts.push(script("apt-mark auto", command.collect()));
        }
        let none = ["-oDir::Etc::SourceList=/dev/null", "-oDir::Etc::SourceParts=/dev/null"];
        for arguments in [&["update", "--quiet=2", none[0], none[1]][..], &["clean"]] {
            let command = std::iter::once("/usr/bin/apt-get").chain(arguments.iter().copied()).map(str::to_owned);
            scripts.push(script(&format!("apt-get {}", arguments[0]), command.collect()));
        }
        for script in &mut scripts {
            script.shares.push("apt");
        }
        scripts
    }
}

/// The package's control paragraph.
pub(super) fn control(package: &Unpacked) -> Stanza<'_> {
    Stanza::parse(package.text("control"))
}

/// The name of a package's files in dpkg's database: with the architecture where several of them can be installed.
pub(super) fn database_name(package: &Unpacked) -> String {
    match control(package).get("Multi-Arch") {
        Some("same") => format!("{}:{}", package.name, package.architecture),
        _ => package.name.clone(),
    }
}

/// Absolute paths of a package's conffiles, deb-conffiles(5); those flagged `remove-on-upgrade` are not shipped.
pub(super) fn conffiles(package: &Unpacked) -> impl Iterator<Item = &str> {
    let text = package.text("conffiles");
    text.lines().map(str::trim).filter(|line| line.starts_with('/'))
}

pub(super) fn is_essential(package: &Unpacked) -> bool {
    control(package).get("Essential") == Some("yes")
}

/// Packages with what they need, dependencies before dependents, essential packages first; ties and cycles are broken by
/// name.
fn dependency_order(packages: &[Unpacked], wanted: impl Fn(&Unpacked) -> bool) -> Vec<usize> {
    let mut roots: Vec<usize> = (0..packages.len()).filter(|i| wanted(&packages[*i])).collect();
    roots.sort_by_key(|i| (!is_essential(&packages[*i]), &packages[*i].name, &packages[*i].architecture));
    dependencies_first(packages, roots)
}

/// Whether a relation field of `holder` names this version of `package` itself (Policy 7.6.1 excludes virtual ones).
fn names(holder: &Unpacked, field: &str, package: &Unpacked) -> bool {
    let version = control(package).get("Version").unwrap_or_default();
    relation::members(control(holder).get(field).unwrap_or_default())
        .filter_map(|member| Relation::parse(member).ok())
        .any(|r| r.name == package.name && r.version.is_none_or(|(operator, wanted)| operator.holds(version, wanted)))
}

impl Installation for Deb {
    fn packages(&self) -> &[Unpacked] {
        &self.packages
    }

    fn order(&self) -> &[usize] {
        &self.order
    }

    /// The links that packages ship to `usr/` at the top of the root, which have to be there before anything is put
    /// below them; all of merged /usr where `usr-is-merged` or `usrmerge` says so; and all of it in a set without
    /// `base-files`, which is no system but a set of tools.
    fn aliases(&self, packages: &[usize]) -> Vec<(String, String)> {
        let has = |name: &str| self.packages.iter().any(|p| p.name == name);
        let mut links: BTreeSet<&str> = BTreeSet::new();
        for record in packages.iter().flat_map(|i| self.packages[*i].records()) {
            if let MemberKind::Symlink(target) = &record.member.kind
                && record.member.part == Part::Data
                && target.trim_start_matches('/').strip_prefix("usr/") == Some(&record.member.path)
            {
                links.insert(&record.member.path);
            }
        }
        if !has("base-files") || has("usr-is-merged") || has("usrmerge") {
            // The root's architecture is dpkg's; a set without it has no other than its own and `all`.
            let dpkg = self.packages.iter().find(|p| p.name == "dpkg");
            let own = dpkg.into_iter().chain(&self.packages).map(|p| p.architecture.as_str()).find(|a| *a != "all");
            links.extend(usr_links(own.unwrap_or("all")));
        }
        links.into_iter().map(|name| (name.to_owned(), format!("usr/{name}"))).collect()
    }

    /// dpkg unpacks a conffile under another name, which `dpkg --configure` takes away (conffiles in dpkg's manual).
    fn place(&self, package: usize, path: &str) -> Option<String> {
        self.conffiles[package].contains(path).then(|| format!("{path}.dpkg-new"))
    }

    /// Policy 6.6 and 7.6.1: a link to a directory never takes the place of one, and who lists a directory first decides on it.
    fn sharing(&self) -> Sharing {
        Sharing { named_owners: false, last_directory: false, directory_stays: true, places: &[] }
    }

    fn may_replace(&self, new: usize, old: usize, _: &str) -> bool {
        names(&self.packages[new], "Replaces", &self.packages[old])
    }

    fn may_share(&self, a: usize, b: usize) -> bool {
        let [a, b] = [&self.packages[a], &self.packages[b]];
        let same = |p| control(p).get("Multi-Arch") == Some("same");
        a.name == b.name && same(a) && same(b)
    }

    fn database(&self, register: &[usize], lost: &[BTreeSet<String>], read: ReadFile<'_>) -> Result<Vec<DatabaseFile>> {
        database::write(&self.packages, register, lost, read)
    }

    fn diversions(&self, read: ReadFile<'_>) -> Result<Vec<Diversion>> {
        database::diversions(read)
    }

    fn planner(&self) -> Option<Planner> {
        self.find("apt")?;
        let root = dependency_order(&self.packages, |package| package.name == "apt" || is_essential(package));
        Some(plan::planner(&self.packages, &database::architectures(&self.packages)?, root))
    }

    fn rounds(&self, planned: Option<Planned>) -> Result<Vec<Round>> {
        if self.packages.is_empty() {
            return Ok(Vec::new());
        }
        let running = self
            .running()
            .context("the lock has no dpkg, without which its packages cannot be configured")
            .hint(|| "add dpkg to `packages:`, or take another `base:`, and update the lock")?;
        let order =
            planned.map_or_else(|| Ok(self.own_order()), |planned| plan::read(&self.packages, &planned.printed))?;
        Ok(rounds::rounds(&self.packages, running, &order, self.apt_scripts(&order)))
    }

    /// In dpkg's journal, a numbered file for each package, which the next call of dpkg takes in (`dbmodify` in dpkg's
    /// sources).
    fn tell(&self, new: &[usize], before: &[usize]) -> Told {
        let mut told = Told::default();
        let mut command = ["/bin/mv", "-t", "/var/lib/dpkg/updates"].map(str::to_owned).to_vec();
        for (number, package) in (before.len()..).zip(new) {
            let path = format!("/run/{number:05}");
            told.files.push((path.clone(), database::unpacked(&self.packages[*package]).into_bytes()));
            command.push(path);
        }
        told.scripts.push(script("telling dpkg what is unpacked", command));
        let [new, old] = [new, before].map(|indexes| indexes.iter().map(|i| &self.packages[*i]));
        let activated = triggers::activated(new, old);
        if !activated.is_empty() {
            let path = format!("/run/triggers-{:05}", before.len());
            let command = ["/bin/sh", "-c", "cat $0 >> /var/lib/dpkg/triggers/Unincorp", &path];
            told.scripts.push(script("telling dpkg what is activated", command.map(str::to_owned).to_vec()));
            told.files.push((path, activated.into_bytes()));
        }
        told
    }

    /// debconf-set-selections(1).
    fn answers(&self, lines: &[String], round: &Round) -> Result<Vec<Script>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let Some(debconf) = self.packages.iter().position(|package| package.name == "debconf") else {
            return Err(anyhow!("the lock has no debconf, which would take the answers under `debconf:`"))
                .hint(|| "add debconf to `packages:`, and update the lock");
        };
        if !round.unpack.contains(&debconf) {
            return Ok(Vec::new());
        }
        let text = r#"printf '%s\n' "$@" | /usr/bin/debconf-set-selections"#;
        let command = ["/bin/sh", "-c", text, "sh"].map(str::to_owned);
        Ok(vec![Script {
            label: "debconf-set-selections".to_owned(),
            command: command.into_iter().chain(lines.iter().cloned()).collect(),
            environment: environment().collect(),
            ..Script::default()
        }])
    }

    fn script_runner(&self) -> Option<&'static str> {
        Some(DPKG)
    }

    fn foresee(&self, rounds: &[Round]) -> Vec<Vec<Vec<Foreseen>>> {
        let mut foresight = Foresight::new(&self.packages, &self.conffiles, self.running().unwrap_or_default());
        rounds.iter().map(|round| foresight.of_round(round)).collect()
    }

    fn ledger(&self) -> Option<Ledger> {
        Some(LEDGER)
    }

    fn script_of(&self, environment: &BTreeMap<String, String>) -> Option<String> {
        failure::script_of(&self.packages, environment)
    }

    /// `postinst triggered NAMES` (deb-triggers(5) and Policy 6.5).
    fn is_triggered(&self, arguments: &[String]) -> bool {
        arguments.get(1).is_some_and(|word| word == "triggered")
    }

    fn failed_script(&self, printed: &str) -> Option<(String, Option<String>)> {
        failure::failed_script(&self.packages, printed)
    }

    /// With the first no script starts a service (Policy 9.3.3.2 and invoke-rc.d(8)). With the second dkms(8) does not sign
    /// modules, which it would do with a new key, a secret that no kernel knows.
    fn guards(&self) -> Vec<(&'static str, u32, &'static str)> {
        vec![
            ("/usr/sbin/policy-rc.d", 0o755, "#!/bin/sh\nexit 101\n"),
            ("/etc/dkms/framework.conf.d/compose.conf", 0o644, "sign_file=/nonexistent\n"),
        ]
    }

    fn residue(&self) -> &'static [Residue] {
        RESIDUE
    }
}

/// What keeps debconf(7) from asking.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    let variables = [("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true")];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// A script that calls a program of the root.
pub(super) fn script(label: &str, command: Vec<String>) -> Script {
    Script { label: label.to_owned(), command, environment: environment().collect(), ..Script::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A package with a preinst script, if that is not empty.
    pub(in crate::package::deb) fn package(name: &str, architecture: &str, preinst: &str) -> Unpacked {
        let text = format!("Package: {name}\nVersion: 1\nArchitecture: {architecture}\n");
        let mut control = BTreeMap::from([("control".to_owned(), text.into_bytes())]);
        if !preinst.is_empty() {
            control.insert("preinst".to_owned(), preinst.as_bytes().to_vec());
        }
        let (name, architecture) = (name.to_owned(), architecture.to_owned());
        Unpacked { name, architecture, depends: Vec::new(), members: Vec::new().into(), control, asked: false }
    }
}
