//! Scriptlets and triggers as a header has them (rpm-scriptlets(7); "Triggers" and "File Triggers" in rpm's manual).

use anyhow::{Context, Result, ensure};

use super::accounts::{self, Accounts};
use crate::package::rpm::blob::Blob;
use crate::package::rpm::relation::Range;
use crate::package::rpm::{files, tag};

/// The interpreter that is part of rpm.
pub const LUA: &str = "<lua>";

/// What rpm takes for the interpreter where a header names none.
const SHELL: &str = "/bin/sh";

/// A program that is run at some point of an installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scriptlet {
    /// The interpreter with its arguments, or what runs by itself where there is no text.
    pub program: Vec<String>,
    /// The text.
    pub text: Option<Vec<u8>>,
    /// `RPMSCRIPT_FLAG_…`.
    pub flags: u32,
}

impl Scriptlet {
    /// Whether only rpm can run it.
    pub fn is_for_rpm(&self) -> bool {
        self.program[0] == LUA || self.flags & (tag::EXPAND | tag::QFORMAT) != 0
    }
}

/// What fires a trigger: the installation of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The package's name.
    pub name: String,
    /// Which of its versions.
    pub range: Range,
    /// The version that the range goes by.
    pub version: String,
    /// `RPMSENSE_…`: when.
    pub sense: u32,
    /// The number of the script.
    pub script: usize,
}

/// A trigger of files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileTrigger {
    /// Those of greater priority run earlier.
    pub priority: u64,
    /// What the paths begin with that fire it.
    pub prefixes: Vec<String>,
    /// What runs.
    pub script: Scriptlet,
}

/// What a package brings to an installation beside its files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Name, version and so on, as rpm prints them: `NAME-[EPOCH:]VERSION-RELEASE.ARCHITECTURE`.
    pub full_name: String,
    /// `VERSION`.
    pub version: String,
    /// What it provides: name, range, version.
    pub provides: Vec<(String, Range, String)>,
    /// Its files' absolute paths, in the header's order, ghosts included.
    pub files: Vec<String>,
    /// The folders that its files would move with, if it were installed elsewhere.
    pub prefixes: Vec<String>,
    /// Its users and groups.
    pub accounts: Vec<Accounts>,
    /// `%pretrans`.
    pub pretrans: Option<Scriptlet>,
    /// `%pre`.
    pub pre: Option<Scriptlet>,
    /// `%post`.
    pub post: Option<Scriptlet>,
    /// `%posttrans`.
    pub posttrans: Option<Scriptlet>,
    /// What fires its triggers, in the header's order.
    pub conditions: Vec<Condition>,
    /// The scripts of its triggers.
    pub triggers: Vec<Scriptlet>,
    /// `%filetriggerin`, those of greater priority first.
    pub file_triggers: Vec<FileTrigger>,
    /// `%transfiletriggerin`, likewise.
    pub transaction_triggers: Vec<FileTrigger>,
}

impl Facts {
    /// Reads a header.
    pub fn read(header: &Blob) -> Result<Self> {
        let text = |tag| -> Result<String> { Ok(lossy(header.text(tag)?.unwrap_or_default())) };
        let (name, version, release) = (text(tag::NAME)?, text(tag::VERSION)?, text(tag::RELEASE)?);
        let epoch = header.numbers(tag::EPOCH)?.first().map_or_else(String::new, |epoch| format!("{epoch}:"));
        let provides = relations(header, [tag::PROVIDENAME, tag::PROVIDEFLAGS, tag::PROVIDEVERSION])?;
        let files: Vec<String> = files::list(header)?.0.into_iter().map(|file| format!("/{}", file.path)).collect();
        let facts = Self {
            full_name: format!("{name}-{epoch}{version}-{release}.{}", text(tag::ARCH)?),
            accounts: accounts::read(header, &provides, &files)?,
            provides: provides.into_iter().map(|(name, flags, version)| (name, range(flags), version)).collect(),
            files,
            prefixes: header.texts(tag::PREFIXES)?.into_iter().map(lossy).collect(),
            pretrans: scriptlet(header, [tag::PRETRANS, tag::PRETRANSPROG, tag::PRETRANSFLAGS])?,
            pre: scriptlet(header, [tag::PREIN, tag::PREINPROG, tag::PREINFLAGS])?,
            post: scriptlet(header, [tag::POSTIN, tag::POSTINPROG, tag::POSTINFLAGS])?,
            posttrans: scriptlet(header, [tag::POSTTRANS, tag::POSTTRANSPROG, tag::POSTTRANSFLAGS])?,
            conditions: conditions(header)?,
            triggers: scripts(header, [tag::TRIGGERSCRIPTS, tag::TRIGGERSCRIPTPROG, tag::TRIGGERSCRIPTFLAGS])?,
            file_triggers: file_triggers(
                header,
                [tag::FILETRIGGERSCRIPTS, tag::FILETRIGGERSCRIPTPROG, tag::FILETRIGGERSCRIPTFLAGS],
                [tag::FILETRIGGERNAME, tag::FILETRIGGERINDEX, tag::FILETRIGGERFLAGS, tag::FILETRIGGERPRIORITIES],
            )?,
            transaction_triggers: file_triggers(
                header,
                [tag::TRANSFILETRIGGERSCRIPTS, tag::TRANSFILETRIGGERSCRIPTPROG, tag::TRANSFILETRIGGERSCRIPTFLAGS],
                [
                    tag::TRANSFILETRIGGERNAME,
                    tag::TRANSFILETRIGGERINDEX,
                    tag::TRANSFILETRIGGERFLAGS,
                    tag::TRANSFILETRIGGERPRIORITIES,
                ],
            )?,
            name,
            version,
        };
        let known = facts.conditions.iter().all(|condition| condition.script < facts.triggers.len());
        ensure!(known, "it has a trigger without a script");
        Ok(facts)
    }

    /// All that may run when it or another package is installed, with what spec files call it.
    pub fn scriptlets(&self) -> impl Iterator<Item = (&'static str, &Scriptlet)> {
        let own = [
            ("%pretrans", &self.pretrans),
            ("%pre", &self.pre),
            ("%post", &self.post),
            ("%posttrans", &self.posttrans),
        ];
        let own = own.into_iter().filter_map(|(kind, script)| Some((kind, script.as_ref()?)));
        let files = self.file_triggers.iter().map(|trigger| ("%filetriggerin", &trigger.script));
        let transaction = self.transaction_triggers.iter().map(|trigger| ("%transfiletriggerin", &trigger.script));
        own.chain(self.triggers.iter().map(|script| ("%trigger", script))).chain(files).chain(transaction)
    }

    /// Whether it has a program, in a root whose folders at the top lead to those in `usr/`.
    pub fn has_program(&self, path: &str) -> bool {
        let plain = |path: &str| path.strip_prefix("/usr").unwrap_or(path).to_owned();
        self.files.iter().any(|file| plain(file) == plain(path))
    }

    /// The paths that begin with a prefix.
    pub fn files_below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(String::as_str).filter(move |path| path.starts_with(prefix))
    }

    /// Whether the folder of any of its files begins with a prefix, by which rpm's database finds the package.
    pub fn has_folder_below(&self, prefix: &str) -> bool {
        self.files.iter().any(|path| path.rfind('/').is_some_and(|end| path[..=end].starts_with(prefix)))
    }

    /// Whether it provides its own name so that a condition holds.
    pub fn meets(&self, condition: &Condition) -> bool {
        condition.name == self.name
            && self.provides.iter().any(|(name, range, version)| {
                *name == condition.name && range.meets(version, condition.range, &condition.version)
            })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Which versions the flags of a relation name (`RPMSENSE_LESS`, `GREATER`, `EQUAL`).
fn range(flags: u64) -> Range {
    let parts = [(1 << 1, Range::LESS), (1 << 2, Range::GREATER), (1 << 3, Range::EQUAL)];
    parts.into_iter().filter(|(bit, _)| flags & bit != 0).fold(Range::ANY, |all, (_, range)| all.or(range))
}

/// Relations by the tags of their names, flags and versions.
fn relations(header: &Blob, [names, flags, versions]: [u32; 3]) -> Result<Vec<(String, u64, String)>> {
    let (names, flags, versions) = (header.texts(names)?, header.numbers(flags)?, header.texts(versions)?);
    // Before rpm 3 what is provided had no versions.
    let at = |all: &[u64], i: usize| all.get(i).copied().unwrap_or_default();
    let row = |(i, name): (usize, &&[u8])| {
        (lossy(name), at(&flags, i), versions.get(i).map_or_else(String::new, |v| lossy(v)))
    };
    Ok(names.iter().enumerate().map(row).collect())
}

/// The one scriptlet of a kind, by the tags of its text, program and flags.
fn scriptlet(header: &Blob, [text, program, flags]: [u32; 3]) -> Result<Option<Scriptlet>> {
    if !header.has(text) && !header.has(program) {
        return Ok(None);
    }
    let mut program: Vec<String> = header.texts(program)?.into_iter().map(lossy).collect();
    if program.is_empty() {
        program.push(SHELL.to_owned());
    }
    let flags = header.numbers(flags)?.first().copied().unwrap_or_default() as u32;
    Ok(Some(Scriptlet { program, text: header.text(text)?.map(<[u8]>::to_vec), flags }))
}

/// The scripts of triggers, each with one word for its program.
fn scripts(header: &Blob, [texts, programs, flags]: [u32; 3]) -> Result<Vec<Scriptlet>> {
    let (texts, programs, flags) = (header.texts(texts)?, header.texts(programs)?, header.numbers(flags)?);
    let script = |(i, text): (usize, &[u8])| Scriptlet {
        program: vec![programs.get(i).map_or_else(|| SHELL.to_owned(), |program| lossy(program))],
        text: Some(text.to_vec()),
        flags: flags.get(i).copied().unwrap_or_default() as u32,
    };
    Ok(texts.into_iter().enumerate().map(script).collect())
}

fn conditions(header: &Blob) -> Result<Vec<Condition>> {
    let relations = relations(header, [tag::TRIGGERNAME, tag::TRIGGERFLAGS, tag::TRIGGERVERSION])?;
    let indexes = header.numbers(tag::TRIGGERINDEX)?;
    ensure!(indexes.len() == relations.len(), "it has {} triggers and {} scripts", relations.len(), indexes.len());
    let condition = |((name, flags, version), script): ((String, u64, String), u64)| {
        let (range, sense) = (range(flags), flags as u32);
        Condition { name, range, version, sense, script: script as usize }
    };
    Ok(relations.into_iter().zip(indexes).map(condition).collect())
}

/// The triggers of files that fire when packages are installed.
fn file_triggers(header: &Blob, script_tags: [u32; 3], tags: [u32; 4]) -> Result<Vec<FileTrigger>> {
    let [names, indexes, flags, priorities] = tags;
    let (names, indexes, flags) = (header.texts(names)?, header.numbers(indexes)?, header.numbers(flags)?);
    let priorities = header.numbers(priorities)?;
    ensure!(
        names.len() == indexes.len() && names.len() == flags.len(),
        "its triggers of files have {} prefixes, {} scripts and {} flags",
        names.len(),
        indexes.len(),
        flags.len()
    );
    let mut triggers = Vec::new();
    for (number, script) in scripts(header, script_tags)?.into_iter().enumerate() {
        let own = || indexes.iter().zip(&names).zip(&flags).filter(|((index, _), _)| **index == number as u64);
        if own().next().is_none_or(|(_, flags)| flags & u64::from(tag::TRIGGERIN) == 0) {
            continue;
        }
        let priority = *priorities.get(number).context("a trigger of files has no priority")?;
        let prefixes = own().map(|((_, name), _)| lossy(name)).collect();
        triggers.push(FileTrigger { priority, prefixes, script });
    }
    triggers.sort_by_key(|trigger| std::cmp::Reverse(trigger.priority));
    Ok(triggers)
}
