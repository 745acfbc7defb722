//! The calls of dpkg that install packages, and the scripts between them, round by round.

use super::install::{DPKG, script};
use super::plan::{self, Call, Order};
use super::preinst::preinst;
use crate::package::{Act, Round, Script, Unpacked};

/// The essential packages as debootstrap and mmdebstrap install them, all unpacked ahead of their scripts and then
/// configured in one go; then the rest by dpkg's calls, and the last scripts. Where a script of a package decides what becomes
/// of files, the packages from there on are merged after it. `running` is dpkg's version.
pub(super) fn rounds(packages: &[Unpacked], running: &str, order: &Order, last: Vec<Script>) -> Vec<Round> {
    let mut rounds = Rounds { packages, running, ..Rounds::default() };
    if !order.essential.is_empty() {
        rounds.at.register.clone_from(&order.essential);
        rounds.at.unpack.clone_from(&order.essential);
        rounds.at.in_place = true;
        for package in &order.essential {
            rounds.unpack(*package);
        }
        let names = order.essential.iter().map(|i| plan::full_name(&packages[*i]));
        rounds.run(configure(&["--force-depends"], names));
        rounds.end();
    }
    rounds.at.register = order.calls.iter().flat_map(Call::unpacked).copied().collect();
    for call in &order.calls {
        match call {
            Call::Unpack(unpacked) => {
                for package in unpacked {
                    rounds.unpack(*package);
                    if moves_files(&packages[*package]) {
                        rounds.end();
                    }
                    rounds.at.unpack.push(*package);
                }
            }
            Call::Configure(names) => rounds.run(configure(&["--no-triggers"], names.iter().cloned())),
            Call::ConfigurePending => rounds.run(configure(&[], ["--pending".to_owned()])),
        }
    }
    rounds.at.acts.extend(last.into_iter().map(Act::Run));
    rounds.end();
    rounds.done
}

/// Whether the preinst script of a package has a say in where files are put or whose they are.
fn moves_files(package: &Unpacked) -> bool {
    let script = package.text("preinst");
    ["dpkg-divert", "dpkg-statoverride"].iter().any(|program| script.contains(program))
}

/// A call of `dpkg --configure`. After the first failure nothing more is wanted: its output is the last, and a shell finds
/// the root as it was.
fn configure(options: &[&str], names: impl IntoIterator<Item = String>) -> Script {
    let mut command = [DPKG, "--force-unsafe-io", "--abort-after=1"].map(str::to_owned).to_vec();
    command.extend(options.iter().map(|option| (*option).to_owned()));
    command.push("--configure".to_owned());
    command.extend(names);
    let pending = command.ends_with(&["--pending".to_owned()]);
    script(if pending { "dpkg --configure --pending" } else { "dpkg --configure" }, command)
}

/// Rounds in the making.
#[derive(Default)]
struct Rounds<'a> {
    packages: &'a [Unpacked],
    /// dpkg's version.
    running: &'a str,
    done: Vec<Round>,
    at: Round,
    /// Packages that were unpacked since the last script ran.
    new: Vec<usize>,
}

impl Rounds<'_> {
    /// A package is unpacked: its preinst script runs, where it has one, then dpkg knows it as unpacked.
    fn unpack(&mut self, package: usize) {
        if let Some(preinst) = preinst(&self.packages[package], self.running) {
            self.run(preinst);
        }
        self.new.push(package);
    }

    /// A script runs, and dpkg's database tells it what was unpacked before.
    fn run(&mut self, script: Script) {
        if !self.new.is_empty() {
            self.at.acts.push(Act::Tell(std::mem::take(&mut self.new)));
        }
        self.at.acts.push(Act::Run(script));
    }

    fn end(&mut self) {
        self.done.push(std::mem::take(&mut self.at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::install::Deb;
    use crate::package::deb::install::tests::package;
    use crate::package::{Installation, Planned};

    /// What a round does, a word or two for each step.
    fn describe(round: &Round) -> (Vec<usize>, Vec<String>) {
        let word = |act: &Act| match act {
            Act::Tell(packages) => format!("tell {packages:?}"),
            Act::Run(script) if script.command[0] == "/usr/bin/dpkg" => script.command[3..].join(" "),
            Act::Run(script) => script.label.clone(),
        };
        (round.unpack.clone(), round.acts.iter().map(word).collect())
    }

    #[test]
    fn a_package_that_diverts_is_merged_after_its_script() {
        let packages = vec![
            package("a", "all", "#!/bin/sh\n"),
            package("b", "all", "#!/bin/sh\ndpkg-divert --add /x\n"),
            package("c", "all", ""),
            package("dpkg", "amd64", ""),
        ];
        let printed = "\
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/dpkg_1_amd64.deb
/usr/bin/dpkg --status-fd 7 --configure --pending
then
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/a_1_all.deb /tmp/b_1_all.deb
/usr/bin/dpkg --status-fd 7 --no-triggers --configure b:all
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/c_1_all.deb
/usr/bin/dpkg --status-fd 7 --configure --pending
"
        .replace('\n', "\n\n");
        let rounds = Deb::new(packages).unwrap().rounds(Some(Planned { printed, ..Planned::default() })).unwrap();
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let expected = [
            (vec![3], text(&["tell [3]", "--force-depends --configure dpkg:amd64"])),
            (vec![0], text(&["the preinst script of a", "tell [0]", "the preinst script of b"])),
            (vec![1, 2], text(&["tell [1]", "--no-triggers --configure b:all", "tell [2]", "--configure --pending"])),
        ];
        assert_eq!(rounds.iter().map(describe).collect::<Vec<_>>(), expected);
        assert_eq!(
            rounds.iter().map(|r| (r.register.clone(), r.in_place)).collect::<Vec<_>>(),
            [(vec![3], true), (vec![0, 1, 2], false), (vec![], false)]
        );
    }
}
