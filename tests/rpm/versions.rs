//! Our order of rpm versions is that of rpm itself. Skips where there is no rpm.

use std::cmp::Ordering;
use std::process::Command;

use compose::durable;
use compose::package::rpm::version::{compare, compare_part};

use crate::support::needs::{host_program, needs};

/// The versions of all packages of `CentOS` 7.2 and `CentOS` Stream 9 `BaseOS`, one a line.
const REAL: &str = include_str!("versions.txt");

/// What hostile texts are made of.
const PIECES: &[&str] = &[
    "0",
    "1",
    "9",
    "10",
    "00",
    "007",
    "a",
    "b",
    "Z",
    "rc",
    ".",
    "..",
    "_",
    "+",
    "~",
    "~~",
    "^",
    "^^",
    "é",
    "\u{7f}",
    "%",
    "18446744073709551616",
];

/// Has rpm compare every pair of some texts: for each, a line of what it is to those from itself on.
fn order_of_rpm(texts: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (list, answer) = (folder.path().join("list"), folder.path().join("answer"));
    durable::write(&list, format!("{}\n", texts.join("\n")).as_bytes()).unwrap();
    let script = format!(
        "local all = {{}} for line in io.lines('{}') do all[#all + 1] = line end local out = io.open('{}', 'w') \
         local signs = {{[-1] = '<', [0] = '=', [1] = '>'}} for i = 1, #all do local line = {{}} for j = i, #all do \
         line[#line + 1] = signs[rpm.vercmp(all[i], all[j])] end out:write(table.concat(line), '\\n') end out:close()",
        list.display(),
        answer.display()
    );
    let output = Command::new("rpm").args(["--eval", &format!("%{{lua: {script}}}")]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(&answer).unwrap().lines().map(str::to_owned).collect()
}

fn check(texts: &[&str], ours: fn(&str, &str) -> Ordering) {
    let theirs = order_of_rpm(texts);
    assert_eq!(theirs.len(), texts.len());
    for (at, line) in theirs.iter().enumerate() {
        assert_eq!(line.len(), texts.len() - at);
        for (other, sign) in texts[at..].iter().zip(line.chars()) {
            let expected = match sign {
                '<' => Ordering::Less,
                '=' => Ordering::Equal,
                _ => Ordering::Greater,
            };
            assert_eq!(ours(texts[at], other), expected, "{} {other}", texts[at]);
        }
    }
}

#[test]
fn every_pair_of_real_versions_compares_as_in_rpm() {
    if needs(host_program("rpm", "--version")).is_some() {
        check(&REAL.lines().collect::<Vec<_>>(), compare);
    }
}

#[test]
fn every_pair_of_hostile_texts_compares_as_in_rpm() {
    if needs(host_program("rpm", "--version")).is_none() {
        return;
    }
    let mut state = 1_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let texts: Vec<String> = (0..1500)
        .map(|_| {
            let text: String = (0..=below(6)).map(|_| PIECES[below(PIECES.len())]).collect();
            // A version alone: epochs and releases are split off before.
            format!("1.{text}")
        })
        .collect();
    check(&texts.iter().map(String::as_str).collect::<Vec<_>>(), compare_part);
}
