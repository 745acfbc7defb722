//! In which order apt would unpack and configure a set of packages: the root's own apt is asked, without doing anything.
//!
//! With `Debug::pkgDPkgPM` apt prints the calls of dpkg that it would make. It is asked as mmdebstrap(1) asks it: what the
//! essential packages need comes first and is installed at once, then all the rest.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};

use super::install::{control, is_essential};
use crate::package::{Planner, Script, Unpacked};

/// Where apt looks for packages' files, in the sandbox's empty /tmp.
const ARCHIVES: &str = "/tmp";

/// apt's index of the one archive that there is, by the name that apt gives it (`URItoFileName` in apt's sources).
const INDEX: &str = "/run/_x_._Packages";

/// What begins a line that tells a call of dpkg, and what else it has.
const CALL: [&str; 2] = ["/usr/bin/dpkg ", " --status-fd "];

/// Comes between the two answers.
const THEN: &str = "then";

/// `$1` is how many of the names that follow are essential, `$0` the architectures. A package's file holds its paragraph of
/// dpkg's status. Each word of apt's lines is printed on a line of its own, since a line that names a thousand packages is
/// longer than lines are passed on whole; an empty one ends apt's line.
const SCRIPT: &str = r#"
set -e
cd /tmp
mkdir partial /run/partial
echo 'deb [trusted=yes] file:/x ./' > sources.list
: > status
plan() {
    apt-get --yes --no-download $architectures -oAPT::Install-Recommends=false -oAPT::Sandbox::User=root \
        -oDebug::NoLocking=1 -oDebug::pkgDPkgPM=1 -oDir::Cache::archives=/tmp/ -oDir::Cache::pkgcache= \
        -oDir::Cache::srcpkgcache= -oDir::Etc::main=/dev/null -oDir::Etc::parts=/dev/null \
        -oDir::Etc::preferences=/dev/null -oDir::Etc::preferencesparts=/dev/null \
        -oDir::Etc::sourcelist=/tmp/sources.list -oDir::Etc::sourceparts=/dev/null -oDir::Log=/dev/null \
        -oDir::State=/run/ -oDir::State::lists=/run/ -oDir::State::status=/tmp/status \
        -oDPkg::Install::Recursive::Minimum=1000000 -oDPkg::MaxArgBytes=100000000 -oDPkg::Use-Pty=0 \
        -opkgCacheGen::ForceEssential=, install "$@" > told 2>&1 || { cat told; exit 1; }
}
for architecture in $0; do architectures="$architectures -oAPT::Architectures::=$architecture"; done
architectures="-oAPT::Architecture=${0%% *} $architectures"
count=$1
shift
essential=
for name; do
    [ "$count" = 0 ] && break
    essential="$essential $name"
    count=$((count - 1))
done
say() { sed 's/ /\n/g; s/$/\n/' told; }
plan $essential
say
files=
while read -r line; do
    case $line in *' --unpack --auto-deconfigure '*) files="$files ${line##* --auto-deconfigure }" ;; esac
done < told
cat /dev/null $files > status
printf 'then\n\n'
plan "$@"
say
"#;

/// A call of dpkg.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// Unpacks packages, in this order.
    Unpack(Vec<usize>),
    /// Configures packages, under the names that dpkg knows them by.
    Configure(Vec<String>),
    /// Configures all that are unpacked, then runs triggers.
    ConfigurePending,
}

impl Call {
    /// The packages that it unpacks.
    pub(super) fn unpacked(&self) -> &[usize] {
        match self {
            Self::Unpack(packages) => packages,
            Self::Configure(_) | Self::ConfigurePending => &[],
        }
    }
}

/// In which order to install.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Order {
    /// What the essential packages need, and they.
    pub(super) essential: Vec<usize>,
    /// How the rest is installed.
    pub(super) calls: Vec<Call>,
}

/// How to ask apt, in a root of the packages `root`. `architectures` begins with dpkg's own.
pub(super) fn planner(packages: &[Unpacked], architectures: &[String], root: Vec<usize>) -> Planner {
    let mut files = Vec::new();
    let mut index = String::new();
    for package in packages {
        let text = control(package).as_str().trim_end();
        let installed = format!("{text}\nStatus: install ok installed\n\n");
        let name = file_name(package);
        let digest = "0".repeat(64);
        let size = installed.len().to_string();
        index.extend([text, "\nFilename: ", &name, "\nSize: ", &size, "\nSHA256: ", &digest, "\n\n"]);
        files.push((format!("{ARCHIVES}/{name}"), installed.into_bytes()));
    }
    files.push((INDEX.to_owned(), index.into_bytes()));
    let mut names: Vec<String> = packages.iter().filter(|p| is_essential(p)).map(full_name).collect();
    let count = names.len();
    names.extend(packages.iter().filter(|p| !is_essential(p)).map(full_name));
    let mut command =
        vec!["/bin/sh".to_owned(), "-c".to_owned(), SCRIPT.to_owned(), architectures.join(" "), count.to_string()];
    command.append(&mut names);
    let script = Script { label: "planning the installation with apt".to_owned(), command, ..Script::default() };
    Planner { packages: root, files, scripts: vec![script], makes: None, talk: None, stays: false }
}

/// The name by which apt knows one package and no other.
pub(super) fn full_name(package: &Unpacked) -> String {
    match package.architecture.as_str() {
        "all" => package.name.clone(),
        architecture => format!("{}:{architecture}", package.name),
    }
}

/// The name of a downloaded package's file (`pkgAcqArchive` in apt's sources).
fn file_name(package: &Unpacked) -> String {
    let version = control(package).get("Version").unwrap_or_default().replace(':', "%3a");
    format!("{}_{version}_{}.deb", package.name, package.architecture)
}

/// Reads apt's answers.
pub(super) fn read(packages: &[Unpacked], told: &str) -> Result<Order> {
    let files: HashMap<String, usize> =
        packages.iter().enumerate().map(|(i, package)| (file_name(package), i)).collect();
    let mut order = Order::default();
    let mut essential = true;
    for words in told.split("\n\n") {
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if line == THEN {
            essential = false;
        }
        if !(line.starts_with(CALL[0]) && line.contains(CALL[1])) {
            continue;
        }
        let after = |option: &str| {
            let words = line.split_once(option).map(|(_, words)| words.split_ascii_whitespace());
            words.into_iter().flatten().filter(|word| !word.starts_with("--"))
        };
        if line.contains(" --unpack ") {
            let find = |word: &str| {
                let name = word.rsplit('/').next().unwrap_or_default();
                files.get(name).copied().with_context(|| format!("apt would unpack {word}, which is in no package"))
            };
            let mut unpacked = after(" --unpack ").map(find).collect::<Result<Vec<_>>>()?;
            if essential {
                order.essential.append(&mut unpacked);
            } else {
                order.calls.push(Call::Unpack(unpacked));
            }
        } else if !essential {
            let pending = line.contains(" --pending");
            let names = after(" --configure ").map(str::to_owned).collect();
            order.calls.push(if pending { Call::ConfigurePending } else { Call::Configure(names) });
        }
    }
    let planned: HashSet<usize> =
        order.essential.iter().chain(order.calls.iter().flat_map(Call::unpacked)).copied().collect();
    let missing: Vec<String> = packages
        .iter()
        .enumerate()
        .filter(|(i, _)| !planned.contains(i))
        .map(|(_, package)| full_name(package))
        .collect();
    if !missing.is_empty() {
        bail!("apt would not install {}", missing.join(", "));
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::install::tests::package;

    #[test]
    fn calls_are_read() {
        let mut packages = [package("a", "amd64", ""), package("b", "all", ""), package("c", "amd64", "")];
        packages[0].control.insert("control".to_owned(), b"Package: a\nVersion: 1:2+b1\n".to_vec());
        let told = &"\
Reading package lists...
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/c_1_amd64.deb 
/usr/bin/dpkg --status-fd 7 --configure --pending 
then
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/b_1_all.deb 
/usr/bin/dpkg --admindir /tmp/ --status-fd 7 --no-triggers --configure b:all 
/usr/bin/dpkg --status-fd 7 --no-triggers --unpack --auto-deconfigure /tmp/a_1%3a2+b1_amd64.deb 
/usr/bin/dpkg --status-fd 7 --configure --pending 
"
        .replace('\n', "\n\n");
        let calls = vec![
            Call::Unpack(vec![1]),
            Call::Configure(vec!["b:all".to_owned()]),
            Call::Unpack(vec![0]),
            Call::ConfigurePending,
        ];
        assert_eq!(read(&packages, told).unwrap(), Order { essential: vec![2], calls });
        let few = read(&packages, "then\n\n/usr/bin/dpkg --status-fd 7 --configure --pending\n").unwrap_err();
        assert_eq!(few.to_string(), "apt would not install a:amd64, b, c:amd64");
    }
}
