//! SELinux labels in outputs are those that libselinux, in the root itself, gives by the policy that is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::fixture::{self, REQUIRED};
use crate::support::needs::needs;
use crate::support::program::{run, sbin};

/// A policy that is enforced, and what libselinux says of every path.
const POLICY: &str = "\
base: required
packages: [selinux-policy-default]
files:
  - path: /etc/selinux/config
    content: |
      SELINUX=enforcing
      SELINUXTYPE=default
hooks:
  - name: labels
    script: find / -xdev -print0 | xargs --null matchpathcon >/var/lib/labels
";

/// The label of every path of an archive, as text; of hard links that of what they lead to.
fn labels(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let (mut labels, mut links) = (BTreeMap::new(), Vec::new());
    let absolute = |path: &Path| format!("/{}", path.to_str().unwrap().trim_start_matches("./").trim_matches('/'));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = absolute(&entry.path().unwrap());
        if entry.header().entry_type() == tar::EntryType::Link {
            links.push((path, absolute(&entry.link_name().unwrap().unwrap())));
            continue;
        }
        let records = entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap);
        let label = records.filter(|record| record.key() == Ok("SCHILY.xattr.security.selinux"));
        let label = label.map(|record| record.value().unwrap().strip_suffix('\0').unwrap().to_owned()).next();
        labels.insert(path, label.unwrap_or_else(|| "<<none>>".to_owned()));
    }
    for (link, path) in links {
        labels.insert(link, labels[&path].clone());
    }
    labels
}

#[test]
fn they_are_those_of_the_policy_in_the_tree() {
    let Some(scene) = needs(fixture::cold()) else { return };
    scene.edit("manifests/required.yaml", "base: required\n", POLICY);
    scene.update_lock(REQUIRED);
    scene.build(REQUIRED, &["--format", "tar", "--format", "root.img"]).result();
    let archive = scene.output(REQUIRED, "tar");
    let mut found = labels(&archive);
    let said = Command::new("tar").args(["-xOf"]).arg(&archive).arg("var/lib/labels").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let expected: BTreeMap<String, String> = said
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(path, label)| (path.into(), label.into()))
        .collect();
    // What a build leaves in a tree is settled after the hooks.
    found.retain(|path, _| expected.contains_key(path));
    assert!(found.len() > 6000 && expected.len() - found.len() < 50, "{} of {}", found.len(), expected.len());
    let different: Vec<_> = found.iter().filter(|(path, label)| expected[*path] != **label).collect();
    assert_eq!(different, []);

    let image = scene.output(REQUIRED, "root.img");
    for path in ["/", "/bin", "/usr/bin/bash", "/etc/selinux/default/contexts/files/file_contexts"] {
        let request = format!("ea_get -V {path} security.selinux");
        let value = run(sbin("debugfs").args(["-R", &request]).arg(&image)).result();
        assert_eq!(value.trim_matches(['\0', '\n']), found[path], "{path}");
    }
    let value = run(sbin("debugfs").args(["-R", "ea_get -V /lost+found security.selinux"]).arg(&image)).result();
    assert_eq!(value.trim_matches(['\0', '\n']), "system_u:object_r:lost_found_t:s0");
}
