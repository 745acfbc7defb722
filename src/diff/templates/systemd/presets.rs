//! What presets say of units, systemd.preset(5): by them systemd enables and disables units when it boots for the first time.

use anyhow::Result;
use glob::Pattern;
use serde::Serialize;

use super::{MANAGERS, Manager, first_of, name_of, names_in};
use crate::diff::tree::{Difference, Side};
use crate::package::printable;

/// The ends of names of units that can have an `[Install]` section, systemd.unit(5).
const KINDS: [&str; 8] = ["service", "socket", "target", "timer", "path", "mount", "automount", "slice"];

/// A unit of which the presets say something else than before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PresetChange {
    /// The unit.
    pub unit: String,
    /// Whose it is: the `system`'s, or each `user`'s.
    pub manager: &'static str,
    /// What presets said of it: `enable`, `disable` or `ignore`.
    pub old: &'static str,
    /// What they say.
    pub new: &'static str,
    /// The preset file that says so; none where no rule fits, which is as good as `enable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl PresetChange {
    /// The unit's name for people.
    pub fn name(&self) -> String {
        name_of(&self.unit, self.manager)
    }

    /// What the presets say, in a few words.
    pub fn details(&self) -> String {
        let by = self.file.as_ref().map_or("no rule".to_owned(), |file| format!("by {file}"));
        format!("{} → {}, {by}", self.old, self.new)
    }
}

/// A line of a preset file.
struct Rule {
    says: &'static str,
    of: Pattern,
    file: String,
}

/// Units of either tree that can be enabled and of which the presets of both say different things.
pub(in crate::diff::templates) fn changed(sides: &[Side; 2], differences: &[Difference]) -> Result<Vec<PresetChange>> {
    let mut found = Vec::new();
    for manager in &MANAGERS {
        let is_preset = |path: &str| manager.presets.iter().any(|folder| path.starts_with(folder));
        if !differences.iter().any(|difference| is_preset(&difference.path)) {
            continue;
        }
        let rules = [rules(&sides[0], manager)?, rules(&sides[1], manager)?];
        let is_unit = |name: &str| name.rsplit_once('.').is_some_and(|(_, end)| KINDS.contains(&end));
        let mut units = names_in(&sides[0], &manager.units, is_unit)?;
        units.extend(names_in(&sides[1], &manager.units, is_unit)?);
        for unit in units {
            let [(old, _), (new, file)] = rules.each_ref().map(|rules| said_of(&unit, rules));
            if old != new && (can_be_enabled(&sides[1], manager, &unit)? || can_be_enabled(&sides[0], manager, &unit)?)
            {
                let unit = printable(&unit);
                found.push(PresetChange { unit, manager: manager.name, old, new, file: file.map(printable) });
            }
        }
    }
    Ok(found)
}

/// The rules of a tree in order: of files by name, of those of one name the first folder's.
fn rules(side: &Side, manager: &Manager) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for name in names_in(side, &manager.presets, |name| name.ends_with(".preset"))? {
        let text = first_of(side, &manager.presets, &name)?.unwrap_or_default();
        rules.extend(String::from_utf8_lossy(&text).lines().filter_map(|line| rule(line, &name)));
    }
    Ok(rules)
}

fn rule(line: &str, file: &str) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let says = match words.next()? {
        "enable" => "enable",
        "disable" => "disable",
        "ignore" => "ignore",
        _ => return None,
    };
    Some(Rule { says, of: Pattern::new(words.next()?).ok()?, file: file.to_owned() })
}

/// What the first rule that fits says, and its file; without one units are enabled.
fn said_of<'a>(unit: &str, rules: &'a [Rule]) -> (&'static str, Option<&'a str>) {
    let rule = rules.iter().find(|rule| rule.of.matches(unit));
    rule.map_or(("enable", None), |rule| (rule.says, Some(&rule.file)))
}

fn can_be_enabled(side: &Side, manager: &Manager, unit: &str) -> Result<bool> {
    let text = first_of(side, &manager.units, unit)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).lines().any(|line| line.trim() == "[Install]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let text =
            "# a comment\n\nenable ssh.*\ndisable getty@.service tty1\n ignore x?.timer\ndisable s*\nenable\nbad x";
        let rules: Vec<Rule> = text.lines().filter_map(|line| rule(line, "90-x.preset")).collect();
        let said = |unit| said_of(unit, &rules).0;
        assert_eq!(said("ssh.socket"), "enable");
        assert_eq!(said("sshd.socket"), "disable");
        assert_eq!(said("getty@.service"), "disable");
        assert_eq!(said("xy.timer"), "ignore");
        assert_eq!(said_of("bad", &rules), ("enable", None));
        assert_eq!(said_of("s", &rules), ("disable", Some("90-x.preset")));
    }
}
