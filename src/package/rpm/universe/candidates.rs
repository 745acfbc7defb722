//! Which packages can be chosen at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::repodata::modules::Module;
use super::super::version::compare;
use super::{Entry, Loaded, RpmUniverse};
use crate::arch::Architecture;
use crate::manifest::RequestKind;
use crate::package::universe::{Candidate, Selection};

/// The architectures whose packages a root can have, the best first; `noarch` goes everywhere (rpm's `arch_compat`).
pub(super) fn compatible(architecture: &Architecture) -> &'static [&'static str] {
    match architecture.rpm() {
        "x86_64" => &["x86_64", "i686", "i586", "i486", "i386"],
        "i686" => &["i686", "i586", "i486", "i386"],
        "armv7hl" => &["armv7hl", "armv6hl"],
        "aarch64" => &["aarch64"],
        "armv5tel" => &["armv5tel"],
        "mips64el" => &["mips64el"],
        "ppc64le" => &["ppc64le"],
        "riscv64" => &["riscv64"],
        "s390x" => &["s390x", "s390"],
        _ => &[],
    }
}

/// The packages that modules take and leave.
#[derive(Default)]
struct Modular<'a> {
    /// Those of streams that do not count, `NAME-EPOCH:VERSION-RELEASE.ARCH`.
    hidden: HashSet<&'a str>,
    /// Those of streams that count.
    shown: HashSet<&'a str>,
    /// The names of these.
    names: HashSet<&'a str>,
}

impl<'a> Modular<'a> {
    /// A module's stream counts when a request names it, else when it is the default one.
    fn new(indexes: &[Loaded<'a>], selection: &Selection<'a>) -> Self {
        let modules: Vec<&Module> = indexes.iter().flat_map(|loaded| &loaded.repository.contents.modules).collect();
        let mut active: BTreeMap<&str, &str> = BTreeMap::new();
        for module in modules.iter().filter(|module| module.version == 0) {
            if !module.stream.is_empty() {
                active.insert(&module.name, &module.stream);
            }
        }
        for request in selection.requests.iter().filter(|request| request.kind == RequestKind::Group) {
            if let Some((name, stream)) = request.name.split_once(':') {
                active.insert(name, stream.split('/').next().unwrap_or(stream));
            }
        }
        let mut modular = Self::default();
        for module in modules.iter().filter(|module| module.version > 0) {
            let counts = active.get(module.name.as_str()) == Some(&module.stream.as_str());
            let set = if counts { &mut modular.shown } else { &mut modular.hidden };
            set.extend(module.artifacts.iter().map(String::as_str));
            if counts {
                let name = |nevra: &'a String| nevra.rsplitn(3, '-').nth(2);
                modular.names.extend(module.artifacts.iter().filter_map(name));
            }
        }
        modular
    }

    fn leaves(&self, name: &str, evr: &str, architecture: &str, hotfixes: bool) -> bool {
        if hotfixes || self.hidden.is_empty() && self.shown.is_empty() {
            return true;
        }
        let epoch = if evr.contains(':') { "" } else { "0:" };
        let nevra = format!("{name}-{epoch}{evr}.{architecture}");
        self.shown.contains(nevra.as_str()) || !self.hidden.contains(nevra.as_str()) && !self.names.contains(name)
    }
}

impl<'a> RpmUniverse<'a> {
    /// Takes up the packages that can be chosen. The earlier of equal ones is where it is taken from; where a package that
    /// is to stay is there, no other version of it is.
    pub(super) fn add_candidates(&mut self, selection: &Selection<'a>) {
        let compatible = compatible(self.architecture);
        let modular = Modular::new(&self.indexes, selection);
        let mut seen = HashSet::new();
        for (at, Loaded { repository, rows, .. }) in self.indexes.iter().enumerate() {
            for package in &rows.packages {
                let [name, architecture, evr] =
                    [package.name, package.architecture, package.evr].map(|number| rows.text(number));
                let names = |patterns: &[String]| patterns.iter().any(|pattern| is_named(pattern, name, architecture));
                if (architecture == "noarch" || compatible.contains(&architecture))
                    && !self.excluded.contains(&name)
                    && !names(&repository.excluded)
                    && (repository.included.is_empty() || names(&repository.included))
                    && modular.leaves(name, evr, architecture, repository.module_hotfixes)
                    && seen.insert((name, architecture, evr))
                {
                    let index = at as u32;
                    self.candidates.push(Entry { index, package, name, architecture, evr, install_only: false });
                }
            }
        }
        let mut stays: HashMap<(&str, &str), &str> = HashMap::new();
        for kept in selection.keep {
            stays.insert((&kept.name, &kept.architecture), &kept.version);
        }
        let here: BTreeSet<(&str, &str)> = self
            .candidates
            .iter()
            .filter(|entry| stays.get(&(entry.name, entry.architecture)) == Some(&entry.evr))
            .map(|entry| (entry.name, entry.architecture))
            .collect();
        self.candidates.retain(|entry| {
            let key = (entry.name, entry.architecture);
            !here.contains(&key) || stays.get(&key) == Some(&entry.evr)
        });
        for (at, entry) in self.candidates.iter().enumerate() {
            self.named.entry(entry.name).or_default().push(Candidate(at as u32));
        }
        for candidates in self.named.values_mut() {
            let entries = &self.candidates;
            candidates.sort_by(|a, b| compare(entries[b.index()].evr, entries[a.index()].evr).then(a.cmp(b)));
        }
    }
}

/// Whether a pattern of dnf.conf(5)'s `excludepkgs` means a package: `NAME` or `NAME.ARCH`, where `*` stands for any text
/// and `?` for any character.
fn is_named(pattern: &str, name: &str, architecture: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        let rest = pattern.strip_prefix(name);
        return rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.') == Some(architecture));
    }
    let full = format!("{name}.{architecture}");
    fits(pattern.as_bytes(), name.as_bytes()) || fits(pattern.as_bytes(), full.as_bytes())
}

/// Whether a text is as a pattern has it; in time of the product of their lengths.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(c) if *c == b'?' || *c == text[read] => (at, read) = (at + 1, read + 1),
            _ => match &mut star {
                Some((place, from)) => {
                    *from += 1;
                    (at, read) = (*place + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_names_with_and_without_architecture() {
        for (pattern, expected) in [
            ("foo", true),
            ("foo.i686", true),
            ("foo.noarch", false),
            ("f*", true),
            ("*.i686", true),
            ("f?", false),
            ("fo", false),
        ] {
            assert_eq!(is_named(pattern, "foo", "i686"), expected, "{pattern}");
        }
        assert!(!fits(b"*a*a*a*a*a*b", "a".repeat(200).as_bytes()));
    }
}
