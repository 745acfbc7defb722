//! The rules of an SELinux policy by which files get their labels: what `selabel_file(5)` documents of `file_contexts` and the
//! files beside it. Of all rules that fit, one of a single path gives the label, else the last one. Versions of libselinux differ
//! among themselves where a policy has two rules for one path, or a later rule for what an earlier one gives no label.
//!
//! The rules come out of the tree. They are read here, and not by libselinux, because its regular expressions can take any
//! amount of time and stack: those of the crate `regex` match in time that is linear in a path's length. What has another meaning
//! in them than for PCRE is refused.

use std::collections::HashMap;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use regex::bytes::Regex;

/// The context that stands for no label.
const NONE: &str = "<<none>>";

/// Characters of regular expressions that stand for something else than themselves.
const META: &str = ".^$?*+|[({])}";
/// Those that a rule can mean literally, behind a backslash.
const ESCAPED: &str = ".^$?*+|[({])}-_,";

/// All rules of a policy.
#[derive(Debug, Default)]
pub(super) struct FileContexts {
    /// Rules of one path each, by it, in the order of the files.
    literals: HashMap<String, Vec<Label>>,
    /// Rules with regular expressions, in the order of the files.
    rules: Vec<Rule>,
    /// Which of them a path can fit that begins so.
    by_beginning: HashMap<String, Vec<usize>>,
    /// Paths that stand for others, and these: an administrator's, and the distribution's.
    aliases: [Vec<(String, String)>; 2],
}

/// What a rule gives.
#[derive(Debug)]
struct Label {
    /// The one type of file that it is for, as the bits of `st_mode`.
    kind: Option<u32>,
    context: String,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    label: Label,
    compiled: OnceLock<Regex>,
}

/// Which aliases a file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aliases {
    /// `file_contexts.subs`
    Local,
    /// `file_contexts.subs_dist`
    Distribution,
}

impl FileContexts {
    /// Adds the rules of a file, which go before those of the files added so far.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        for (number, line) in text.lines().enumerate() {
            self.add_line(line).with_context(|| format!("line {}: `{line}`", number + 1))?;
        }
        Ok(())
    }

    fn add_line(&mut self, line: &str) -> Result<()> {
        let mut words = line.split_ascii_whitespace();
        let Some(pattern) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(()) };
        if !line.is_ascii() {
            bail!("expected ASCII");
        }
        let (kind, context) = match (words.next(), words.next()) {
            (Some(kind), Some(context)) => (Some(file_type(kind)?), context),
            (Some(context), None) => (None, context),
            (None, _) => bail!("expected a pattern, a file type or none, and a context"),
        };
        let label = Label { kind, context: context.to_owned() };
        let (beginning, whole) = beginning(pattern);
        if whole {
            self.literals.entry(beginning).or_default().push(label);
        } else {
            self.by_beginning.entry(beginning).or_default().push(self.rules.len());
            self.rules.push(Rule { pattern: pattern.to_owned(), label, compiled: OnceLock::new() });
        }
        Ok(())
    }

    /// Sets the aliases that a file has: in each line a path, and what stands for it in rules.
    pub(super) fn set_aliases(&mut self, which: Aliases, text: &str) {
        let pair = |line: &str| {
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            Some((words.next().filter(|word| !word.starts_with('#'))?, words.next()?))
        };
        self.aliases[which as usize] = text.lines().filter_map(pair).collect();
    }

    /// The label of a file, by its absolute path and the type that its mode tells; none when it is to have none.
    pub(super) fn label(&self, path: &str, mode: u32) -> Result<Option<&str>> {
        let path = self.aliases.iter().fold(path.to_owned(), |path, aliases| meant(aliases, path));
        let kind = mode & 0o170_000;
        let label = match self.literal(&path, kind) {
            Some(label) => Some(label),
            None => self.last_that_fits(&path, kind)?,
        };
        Ok(label.map(|label| label.context.as_str()).filter(|context| *context != NONE))
    }

    /// Rules of one path go before all others, and those of one type of file before those of any.
    fn literal(&self, path: &str, kind: u32) -> Option<&Label> {
        let labels = self.literals.get(path)?;
        [Some(kind), None].into_iter().find_map(|kind| labels.iter().rev().find(|label| label.kind == kind))
    }

    fn last_that_fits(&self, path: &str, kind: u32) -> Result<Option<&Label>> {
        let ends = path.char_indices().map(|(at, _)| at).chain([path.len()]);
        let mut possible: Vec<usize> =
            ends.filter_map(|end| self.by_beginning.get(&path[..end])).flatten().copied().collect();
        possible.sort_unstable();
        for index in possible.into_iter().rev() {
            let rule = &self.rules[index];
            if rule.label.kind.is_none_or(|of| of == kind) && rule.fits(path)? {
                return Ok(Some(&rule.label));
            }
        }
        Ok(None)
    }
}

impl Rule {
    fn unknown(&self) -> String {
        format!("`{}` is no regular expression that labels can be made by", self.pattern)
    }

    fn fits(&self, path: &str) -> Result<bool> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled.is_match(path.as_bytes()));
        }
        if OTHERWISE.iter().any(|text| self.pattern.contains(text)) {
            bail!(self.unknown());
        }
        // As libselinux anchors it: not every branch, where there are several. PCRE's `$` stands ahead of a last newline, too.
        let whole = format!("(?s-u)^{}\n?$", self.pattern);
        let compiled = Regex::new(&whole).with_context(|| self.unknown())?;
        Ok(self.compiled.get_or_init(|| compiled).is_match(path.as_bytes()))
    }
}

/// What the crate `regex` takes for limits of words and operators in brackets, and PCRE for the characters themselves.
const OTHERWISE: [&str; 4] = ["\\<", "\\>", "&&", "~~"];

/// The path that the first fitting alias makes of one.
fn meant(aliases: &[(String, String)], path: String) -> String {
    let fits = |(alias, meant): &(String, String)| {
        let rest = path.strip_prefix(alias.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| match meant.as_str() {
            "/" if !rest.is_empty() => rest.to_owned(),
            meant => format!("{meant}{rest}"),
        })
    };
    aliases.iter().find_map(fits).unwrap_or(path)
}

/// The bits of `st_mode` that a file type stands for, as find(1) and ls(1) abbreviate it.
fn file_type(name: &str) -> Result<u32> {
    Ok(match name {
        "--" => 0o100_000,
        "-d" => 0o040_000,
        "-l" => 0o120_000,
        "-c" => 0o020_000,
        "-b" => 0o060_000,
        "-p" => 0o010_000,
        "-s" => 0o140_000,
        _ => bail!("`{name}` is no file type, expected one of --, -d, -l, -c, -b, -p and -s"),
    })
}

/// What all paths begin with that fit a pattern, and whether that is the only one.
fn beginning(pattern: &str) -> (String, bool) {
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) if ESCAPED.contains(escaped) => text.push(escaped),
                _ => return (begun(pattern, text), false),
            },
            _ if META.contains(character) => {
                if matches!(character, '?' | '*' | '{') {
                    text.pop();
                }
                return (begun(pattern, text), false);
            }
            _ => text.push(character),
        }
    }
    (text, true)
}

/// The beginning that a pattern seems to have; nothing where another branch may begin with anything, as one may whose `|` stands in
/// no parentheses.
fn begun(pattern: &str, text: String) -> String {
    let (mut depth, mut characters) = (0_usize, pattern.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return String::new(),
            // What parentheses mean in brackets is nothing.
            '[' if pattern.contains('|') => return String::new(),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGULAR: u32 = 0o100_644;
    const FOLDER: u32 = 0o040_755;
    const LINK: u32 = 0o120_777;

    fn contexts(text: &str) -> FileContexts {
        let mut contexts = FileContexts::default();
        contexts.add(text).unwrap();
        contexts
    }

    #[test]
    fn the_last_rule_that_fits_gives_the_label() {
        let rules = "\
# a comment
/.*                    default
/usr/.*                usr
/usr/(.*/)?bin(/.*)?   bin
/usr/bin/bash  --      shell

/usr/bin/bash.* -l     link
/a|/b                  branch
/c\\d|/e                escaped
/f[(]|/g               bracket
/usr/lib6?4            lib
/proc          -d      <<none>>
/proc/.*               <<none>>
/x\\.y\\+z             literal
/x.y.*         -d      other
";
        let mut contexts = contexts(rules);
        contexts.add("/usr/bin/z.* home\n/usr/bin/bash -d late\n").unwrap();
        let label = |path: &str, mode| contexts.label(path, mode).unwrap();
        let rows = [
            ("/", REGULAR, Some("default")),
            ("/etc", FOLDER, Some("default")),
            ("/usr/bin", FOLDER, Some("bin")),
            ("/usr/local/bin/x", REGULAR, Some("bin")),
            ("/usr/bing", FOLDER, Some("usr")),
            ("/usr/bin/bash", REGULAR, Some("shell")),
            ("/usr/bin/bash", FOLDER, Some("late")),
            ("/usr/bin/bash", LINK, Some("link")),
            ("/usr/bin/zsh", REGULAR, Some("home")),
            ("/a/and/more", REGULAR, Some("branch")),
            ("/ends/with/b", REGULAR, Some("branch")),
            ("/more/e", REGULAR, Some("escaped")),
            ("/g", REGULAR, Some("bracket")),
            ("/usr/lib4", FOLDER, Some("lib")),
            ("/usr/lib64\n", FOLDER, Some("lib")),
            ("/proc", FOLDER, None),
            ("/proc", LINK, Some("default")),
            ("/proc/1", FOLDER, None),
            ("/x.y+z", FOLDER, Some("literal")),
            ("/x.y+zz", FOLDER, Some("other")),
            ("/x-y", REGULAR, Some("default")),
            ("/ä/ö", REGULAR, Some("default")),
        ];
        for (path, mode, expected) in rows {
            assert_eq!(label(path, mode), expected, "{path} {mode:o}");
        }
    }

    #[test]
    fn aliases_stand_for_what_rules_name() {
        let mut contexts = contexts("/usr/lib/x one\n/home/[^/]+ two\n/[a-z]* three\n");
        contexts.set_aliases(Aliases::Distribution, "# none\n/lib /usr/lib\n\n/lib64 /usr/lib\n/alone\n/sysroot /\n");
        contexts.set_aliases(Aliases::Local, "/private /lib64\n/var/home /home\n");
        let label = |path: &str| contexts.label(path, REGULAR).unwrap();
        assert_eq!(label("/lib/x"), Some("one"));
        assert_eq!(label("/lib64/x"), Some("one"));
        assert_eq!(label("/private/x"), Some("one"));
        assert_eq!(label("/library"), Some("three"));
        assert_eq!(label("/var/home/me"), Some("two"));
        assert_eq!(label("/sysroot/home/me"), Some("two"));
        assert_eq!(label("/sysroot"), Some("three"));
        assert_eq!(label("/lib32/x"), None);
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_line() {
        let failure = |text: &str| format!("{:#}", FileContexts::default().add(text).unwrap_err());
        assert_eq!(
            failure("/a b\n/alone\n"),
            "line 2: `/alone`: expected a pattern, a file type or none, and a context"
        );
        assert_eq!(
            failure("/a -x b\n"),
            "line 1: `/a -x b`: `-x` is no file type, expected one of --, -d, -l, -c, -b, -p and -s"
        );
        assert_eq!(failure("/ä b\n"), "line 1: `/ä b`: expected ASCII");
        let wrong = contexts("/usr/(?!bin) b\n").label("/usr/x", REGULAR).unwrap_err();
        assert_eq!(wrong.to_string(), "`/usr/(?!bin)` is no regular expression that labels can be made by");
        assert!(contexts("/usr/[a&&b] b\n").label("/usr/a", REGULAR).is_err());
    }
}
