//! Which scripts calls of `dpkg --configure` run, and how (Policy 6.5, dpkg(1), `deferred_configure` in dpkg's sources).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::install::{DPKG, database_name};
use super::plan;
use crate::package::{Act, Foreseen, Round, Script, Unpacked};

/// The options of dpkg that tell what it forces, and the names of that in `DPKG_FORCE`, in its order.
const FORCED: [(&str, &str); 2] = [("--force-unsafe-io", "unsafe-io"), ("--force-depends", "depends")];

/// What is forced without any option.
pub(super) const FORCED_ALWAYS: &str = "security-mac,downgrade";

/// Packages on their way to be configured.
pub(super) struct Foresight<'a> {
    packages: &'a [Unpacked],
    /// Those of each package, relative to the root.
    conffiles: &'a [BTreeSet<String>],
    /// dpkg's version.
    running: &'a str,
    /// The packages that are unpacked and not configured.
    waiting: Vec<usize>,
}

impl<'a> Foresight<'a> {
    /// Before anything is unpacked.
    pub(super) fn new(packages: &'a [Unpacked], conffiles: &'a [BTreeSet<String>], running: &'a str) -> Self {
        Self { packages, conffiles, running, waiting: Vec::new() }
    }

    /// The scripts that each act of the next round has dpkg run.
    pub(super) fn of_round(&mut self, round: &Round) -> Vec<Vec<Foreseen>> {
        let mut of_acts = Vec::new();
        for act in &round.acts {
            let mut scripts = Vec::new();
            match act {
                Act::Tell(packages) => self.waiting.extend(packages),
                Act::Run(script) => {
                    let mut renames = Vec::new();
                    for package in self.configured_by(script) {
                        let conffiles = self.conffiles[package].iter();
                        renames.extend(conffiles.map(|path| (format!("{path}.dpkg-new"), path.clone())));
                        if self.packages[package].control.contains_key("postinst") {
                            let renames = std::mem::take(&mut renames);
                            scripts.push(Foreseen { renames, ..self.postinst(&self.packages[package], script) });
                        }
                    }
                }
            }
            of_acts.push(scripts);
        }
        of_acts
    }

    /// The packages that a call configures, in order: dpkg puts one off while others of the same call, which it needs, wait.
    fn configured_by(&mut self, script: &Script) -> Vec<usize> {
        let (program, arguments) = script.command.split_first().unzip();
        let at = arguments.into_iter().flatten().position(|argument| argument == "--configure");
        let Some(at) = at.filter(|_| program.is_some_and(|program| program == DPKG)) else { return Vec::new() };
        let names = &script.command[at + 2..];
        let all = names == ["--pending"];
        let places: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let place = |package: usize| {
            let package = &self.packages[package];
            if all { Some(bin(&package.name) as usize) } else { places.get(plan::full_name(package).as_str()).copied() }
        };
        let (mut meant, mut rest) = (Vec::new(), Vec::new());
        for package in std::mem::take(&mut self.waiting) {
            match place(package) {
                Some(place) => meant.push((place, package)),
                None => rest.push(package),
            }
        }
        meant.sort_by_key(|(place, _)| *place);
        let meant: Vec<usize> = meant.into_iter().map(|(_, package)| package).collect();
        self.waiting = rest;
        let mut pending: HashSet<&str> = meant.iter().map(|package| self.packages[*package].name.as_str()).collect();
        let mut queue = VecDeque::from(meant);
        let mut order = Vec::with_capacity(queue.len());
        let mut put_off = 0;
        while let Some(package) = queue.pop_front() {
            let Unpacked { name, depends, .. } = &self.packages[package];
            // In a circle one of them goes first.
            if put_off <= queue.len() && depends.iter().any(|need| need != name && pending.contains(need.as_str())) {
                queue.push_back(package);
                put_off += 1;
            } else {
                pending.remove(name.as_str());
                order.push(package);
                put_off = 0;
            }
        }
        order
    }

    /// How dpkg calls the postinst script of a package.
    fn postinst(&self, package: &Unpacked, runner: &Script) -> Foreseen {
        let program = format!("/var/lib/dpkg/info/{}.postinst", database_name(package));
        let is_given = |option: &str| runner.command.iter().any(|argument| argument == option);
        let forced = FORCED.iter().filter(|(option, _)| is_given(option)).map(|(_, name)| *name);
        let forced = [FORCED_ALWAYS].into_iter().chain(forced).collect::<Vec<_>>().join(",");
        Foreseen {
            command: vec![program, "configure".to_owned(), String::new()],
            environment: variables(package, "postinst", self.running, &forced),
            renames: Vec::new(),
            shares: shares(package.text("postinst")),
        }
    }
}

/// Where dpkg keeps what it knows of a package, and in that order looks for what is to be configured (`pkg_hash_find_set` and
/// `str_fnv_hash` in dpkg's sources).
fn bin(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % 65_521
}

/// What the text of a maintainer script speaks of that changes files which other packages' scripts change, too.
pub(super) fn shares(text: &str) -> Vec<&'static str> {
    const SHARED: [(&str, &[&str]); 2] = [
        ("debconf", &["confmodule", "ConfModule"]),
        ("accounts", &["adduser", "addgroup", "useradd", "groupadd", "usermod", "systemd-sysusers", "update-passwd"]),
    ];
    let shared = SHARED.into_iter().filter(|(_, words)| words.iter().any(|word| text.contains(word)));
    shared.map(|(name, _)| name).collect()
}

/// The variables that dpkg sets for a maintainer script, in its order (dpkg(1), ENVIRONMENT, internal).
pub(super) fn variables(package: &Unpacked, script: &str, running: &str, forced: &str) -> Vec<(String, String)> {
    let variables = [
        ("DPKG_ADMINDIR", "/var/lib/dpkg"),
        ("DPKG_ROOT", ""),
        ("DPKG_FORCE", forced),
        ("DPKG_MAINTSCRIPT_PACKAGE", &package.name),
        ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ("DPKG_MAINTSCRIPT_ARCH", &package.architecture),
        ("DPKG_MAINTSCRIPT_NAME", script),
        ("DPKG_MAINTSCRIPT_DEBUG", "0"),
        ("DPKG_RUNNING_VERSION", running),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::install::tests::package;
    use super::*;

    /// A package that needs others and has a postinst script.
    fn needing(name: &str, depends: &[&str]) -> Unpacked {
        let mut package = package(name, "amd64", "");
        package.depends = depends.iter().map(|name| (*name).to_owned()).collect();
        package.control.insert("postinst".to_owned(), b"#!/bin/sh\n".to_vec());
        package
    }

    fn configure(arguments: &[&str]) -> Act {
        let command = [&[DPKG, "--force-unsafe-io"], arguments].concat().into_iter().map(str::to_owned).collect();
        Act::Run(Script { command, ..Script::default() })
    }

    fn programs(scripts: &[Foreseen]) -> Vec<&str> {
        scripts.iter().map(|script| script.command[0].trim_start_matches("/var/lib/dpkg/info/")).collect()
    }

    #[test]
    fn packages_are_configured_in_the_order_in_which_dpkg_meets_them() {
        // As dpkg 1.21 did for `base: required` of Debian 12.
        let packages = [
            needing("adduser", &["passwd"]),
            needing("e2fsprogs", &["logsave"]),
            needing("debian-archive-keyring", &[]),
            needing("logsave", &[]),
            needing("passwd", &[]),
            needing("tzdata", &[]),
        ];
        let conffiles = vec![BTreeSet::new(); packages.len()];
        let mut foresight = Foresight::new(&packages, &conffiles, "1.21.23");
        let acts = vec![Act::Tell((0..packages.len()).collect()), configure(&["--configure", "--pending"])];
        let foreseen = foresight.of_round(&Round { acts, ..Round::default() });
        assert!(foreseen[0].is_empty());
        let expected = ["debian-archive-keyring", "tzdata", "logsave", "passwd", "adduser", "e2fsprogs"];
        let expected = expected.map(|name| format!("{name}.postinst"));
        assert_eq!(programs(&foreseen[1]), expected);
    }

    #[test]
    fn named_packages_come_as_they_are_named_and_circles_end() {
        let packages = [needing("a", &["b"]), needing("b", &["c"]), needing("c", &["a"]), needing("d", &[])];
        let conffiles = vec![BTreeSet::from(["etc/x".to_owned()]); packages.len()];
        let mut foresight = Foresight::new(&packages, &conffiles, "1");
        let names = ["--force-depends", "--configure", "d:amd64", "b:amd64", "c:amd64", "a:amd64"];
        let acts = vec![Act::Tell(vec![0, 1, 2, 3]), configure(&names), configure(&["--configure", "--pending"])];
        let foreseen = foresight.of_round(&Round { acts, ..Round::default() });
        assert_eq!(programs(&foreseen[1]), ["d.postinst", "b.postinst", "a.postinst", "c.postinst"]);
        assert!(foreseen[2].is_empty(), "nothing waits any more");
        assert_eq!(foreseen[1][0].renames, [("etc/x.dpkg-new".to_owned(), "etc/x".to_owned())]);
        assert_eq!(foreseen[1][0].command[1..], ["configure", ""]);
        let forced = ("DPKG_FORCE".to_owned(), "security-mac,downgrade,unsafe-io,depends".to_owned());
        assert!(foreseen[1][0].environment.contains(&forced));
    }

    #[test]
    fn scripts_share_what_they_speak_of() {
        assert_eq!(shares(". /usr/share/debconf/confmodule\nadduser --system eel\n"), ["debconf", "accounts"]);
        assert!(shares("ldconfig\n").is_empty());
    }
}
