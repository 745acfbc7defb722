//! Whose fault it is that an installation failed: what dpkg prints, and what it tells the scripts that it runs.

use std::collections::BTreeMap;

use crate::package::Unpacked;

/// What dpkg calls the maintainer scripts in messages (`maintscript` in its sources), and what packages call them.
const SCRIPTS: &[(&str, &str)] = &[
    ("pre-installation", "preinst"),
    ("post-installation", "postinst"),
    ("pre-removal", "prerm"),
    ("post-removal", "postrm"),
];

/// By the variables that dpkg(1) sets for maintainer scripts.
pub(super) fn script_of(packages: &[Unpacked], environment: &BTreeMap<String, String>) -> Option<String> {
    let name = known(packages, environment.get("DPKG_MAINTSCRIPT_PACKAGE")?)?;
    let script = environment.get("DPKG_MAINTSCRIPT_NAME")?;
    let (_, script) = SCRIPTS.iter().find(|(_, known)| known == script)?;
    Some(format!("the {script} script of {name}"))
}

/// By the last error that dpkg printed: the line that names the package, and the one after it that gives the reason. Without
/// one, by the package that dpkg began to configure last.
pub(super) fn failed_script(packages: &[Unpacked], printed: &str) -> Option<(String, Option<String>)> {
    let lines: Vec<&str> = printed.lines().collect();
    for (number, line) in lines.iter().enumerate().rev() {
        if let Some(rest) = line.strip_prefix("dpkg: error processing package ") {
            let name = known(packages, rest.split_once(" (--")?.0)?;
            let reason = lines.get(number + 1).map_or("", |line| line.trim());
            let script = SCRIPTS.iter().find(|(words, _)| reason.contains(&format!("package {words} script ")));
            return Some(match (script, reason.split_once(" subprocess ")) {
                (Some((_, script)), Some((_, how))) => (format!("the {script} script of {name}"), Some(ending(how))),
                _ => (format!("the package {name}"), Some(format!("could not be configured: {reason}"))),
            });
        }
    }
    let begun = lines.iter().rev().find_map(|line| line.strip_prefix("Setting up ")?.split_once(" ("));
    begun.and_then(|(name, _)| known(packages, name)).map(|name| (format!("the configuration of {name}"), None))
}

/// How a script ended, in the words of other steps: dpkg's differ from version to version.
fn ending(how: &str) -> String {
    match how.split_once("exit status ") {
        Some((_, status)) => format!("ended with exit status {status}"),
        None => how.to_owned(),
    }
}

/// A package of the set by its name, which may have its architecture with it.
fn known<'a>(packages: &'a [Unpacked], name: &str) -> Option<&'a str> {
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    packages.iter().find(|package| package.name == name).map(|package| package.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::install::tests::package;

    fn told(printed: &str) -> Option<String> {
        let packages = [package("eels", "amd64", ""), package("pike", "all", "")];
        failed_script(&packages, printed).map(|(who, how)| format!("{who} | {}", how.unwrap_or_default()))
    }

    #[test]
    fn the_last_error_of_dpkg_names_package_and_script() {
        let begin = "Setting up pike (1) ...\nSetting up eels:amd64 (1.0) ...\n";
        let end = "dpkg: too many errors, stopping\nErrors were encountered while processing:\n eels:amd64\n";
        for (reason, expected) in [
            (
                "installed eels:amd64 package post-installation script subprocess returned error exit status 3",
                "the postinst script of eels | ended with exit status 3",
            ),
            (
                "installed eels:amd64 package post-installation script subprocess failed with exit status 3",
                "the postinst script of eels | ended with exit status 3",
            ),
            (
                "installed eels:amd64 package post-installation script subprocess was killed by signal (Killed)",
                "the postinst script of eels | was killed by signal (Killed)",
            ),
            (
                "dependency problems - leaving unconfigured",
                "the package eels | could not be configured: dependency problems - leaving unconfigured",
            ),
        ] {
            let error = format!("dpkg: error processing package eels:amd64 (--configure):\n {reason}\n");
            assert_eq!(told(&format!("{begin}{error}{end}")).as_deref(), Some(expected));
        }
        assert_eq!(told(begin).as_deref(), Some("the configuration of eels | "));
        assert_eq!(told("Setting up bass (1) ...\n"), None);
        assert_eq!(told(""), None);
    }

    #[test]
    fn a_process_tells_its_script_when_both_are_known() {
        let packages = [package("eels", "amd64", "")];
        let of = |package: &str, script: &str| {
            let variables = [("DPKG_MAINTSCRIPT_PACKAGE", package), ("DPKG_MAINTSCRIPT_NAME", script)];
            script_of(&packages, &variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
        };
        assert_eq!(of("eels", "postinst").as_deref(), Some("the postinst script of eels"));
        assert_eq!((of("bass", "postinst"), of("eels", "prank")), (None, None));
    }
}
