//! Packages with what they depend on ahead of them.

use std::collections::HashMap;

use super::Unpacked;

/// The wanted packages and all that they need, dependencies before dependents; cycles, and what is free, are ordered as they come.
pub(super) fn dependencies_first(packages: &[Unpacked], wanted: impl IntoIterator<Item = usize>) -> Vec<usize> {
    // As locks name them: `NAME`, or `NAME:ARCH` where the name alone is ambiguous.
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (index, package) in packages.iter().enumerate() {
        by_name.insert(format!("{}:{}", package.name, package.architecture), index);
        by_name.entry(package.name.clone()).or_insert(index);
    }
    let (mut seen, mut order) = (vec![false; packages.len()], Vec::with_capacity(packages.len()));
    for root in wanted {
        // Not by recursion: how deep dependencies go is for archives to say. Packages that wait for their own, and how many of
        // these were looked at.
        let mut waiting = Vec::new();
        if !std::mem::replace(&mut seen[root], true) {
            waiting.push((root, 0));
        }
        while let Some((at, looked_at)) = waiting.pop() {
            let Some(name) = packages[at].depends.get(looked_at) else {
                order.push(at);
                continue;
            };
            waiting.push((at, looked_at + 1));
            if let Some(dependency) = by_name.get(name)
                && !std::mem::replace(&mut seen[*dependency], true)
            {
                waiting.push((*dependency, 0));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;

    use super::*;

    fn package(name: &str, architecture: &str, depends: &[&str]) -> Unpacked {
        Unpacked {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            members: OnceLock::new(),
            control: BTreeMap::new(),
            asked: false,
        }
    }

    #[test]
    fn what_is_needed_comes_first() {
        let packages = [
            package("bass", "i386", &[]),
            package("bass", "amd64", &[]),
            package("carp", "amd64", &["bass:amd64", "dace"]),
            package("dace", "amd64", &["carp"]),
            package("eel", "amd64", &["nothing", "bass"]),
        ];
        assert_eq!(dependencies_first(&packages, [2]), [1, 3, 2]);
        assert_eq!(dependencies_first(&packages, [4, 3]), [0, 4, 1, 2, 3]);
        assert_eq!(dependencies_first(&packages, 0..5), [0, 1, 3, 2, 4]);
    }

    #[test]
    fn dependencies_may_go_deep() {
        const COUNT: usize = 200_000;
        let name = |number: usize| format!("p{number}");
        let packages: Vec<Unpacked> =
            (0..COUNT).map(|number| package(&name(number), "all", &[&name(number + 1)])).collect();
        assert!(dependencies_first(&packages, [0]).into_iter().eq((0..COUNT).rev()));
    }
}
