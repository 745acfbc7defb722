//! `compose diff`: what changed between two locks or two templates, and why.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use compose::diff::templates::{self, Comparison, Subject, content, html, json, markdown, scripts, text};
use compose::error::Hint;
use compose::lock::{self, Lock};
use compose::sandbox::Program;
use compose::store::Store;
use compose::{artifact, durable, history, process};

use super::settings::{self, Global};
use super::{Answer, terminal};

/// Tell what changed between two locks or templates, and why
///
/// OLD and NEW are each a lock file, a git revision of one (`REVISION:locks/NAME.lock`), what `log` and `show` take for a
/// commit of the store, or an image or template file that was built with the store. Two locks need no store. Exits with 1 when they differ.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What was
    old: String,
    /// What is
    new: String,
    /// Show how the file at this path differs, instead of the report; may be given several times
    #[arg(long, value_name = "PATH")]
    files: Vec<String>,
    /// Show how this package's maintainer scripts differ, instead of the report; may be given several times
    #[arg(long, value_name = "PACKAGE")]
    scripts: Vec<String>,
    /// How to tell what changed
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    report: Form,
    /// Write to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A report's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// For a terminal; nothing when nothing differs
    Text,
    /// For the body of a pull request
    Markdown,
    /// For programs
    Json,
    /// For a browser: a page in one file
    Html,
}

/// Something to compare, by its name.
enum Name<'a> {
    /// A lock file.
    Lock(&'a Path),
    /// A lock in a revision of the git repository around the working directory.
    Revision(&'a str),
    /// Another file.
    File(&'a Path),
    /// Something of the store.
    Store(&'a str),
}

impl<'a> Name<'a> {
    fn new(name: &'a str) -> Self {
        let path = Path::new(name);
        let is_lock = path.extension().is_some_and(|end| end == "lock");
        match (path.is_file(), is_lock) {
            (true, false) => Self::File(path),
            (false, true) if name.contains(':') => Self::Revision(name),
            (_, true) => Self::Lock(path),
            (false, false) => Self::Store(name),
        }
    }

    fn needs_store(&self) -> bool {
        matches!(self, Self::File(_) | Self::Store(_))
    }
}

impl Arguments {
    /// Whether the store is looked at.
    pub fn needs_store(&self) -> bool {
        !self.scripts.is_empty() || [&self.old, &self.new].into_iter().any(|name| Name::new(name).needs_store())
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments, global: &Global) -> Result<Answer> {
    let store = if arguments.needs_store() { Some(Store::open(&global.store()?)?) } else { None };
    let (old, new) = match &store {
        Some(store) => (subject(&arguments.old, Some(store)), subject(&arguments.new, Some(store))),
        // Locks of desktops take a while to read.
        None => rayon::join(|| subject(&arguments.old, None), || subject(&arguments.new, None)),
    };
    let subjects = [old?, new?];
    if !arguments.files.is_empty() || !arguments.scripts.is_empty() {
        return show(arguments, &subjects, store.as_ref());
    }
    let comparison = templates::compare(store.as_ref(), subjects)?;
    write(&render(&comparison, arguments, global)?, arguments)?;
    Ok(if comparison.differs() { Answer::No } else { Answer::Yes })
}

fn render(comparison: &Comparison, arguments: &Arguments, global: &Global) -> Result<String> {
    let plain = arguments.output.is_some();
    Ok(match arguments.report {
        Form::Text => text::render(comparison, text::Paint(!plain && global.color.applies_to_output())),
        Form::Markdown => markdown::render(comparison),
        Form::Json => json::render(comparison)?,
        Form::Html => html::render(comparison),
    })
}

/// Shows files and scripts.
fn show(arguments: &Arguments, [old, new]: &[Subject; 2], store: Option<&Store>) -> Result<Answer> {
    let program = Program { file: settings::program()?, emulations: Vec::new() };
    let mut texts = Vec::new();
    for path in &arguments.files {
        let (Some(store), Some(old), Some(new)) = (store, old.commit, new.commit) else {
            return Err(anyhow!("a lock has no files to show"))
                .hint(|| "give two refs, commits or images that were built from locks");
        };
        texts.push(content::show(store, [old, new], path, &program)?);
    }
    for package in &arguments.scripts {
        let (Some(store), Some(old), Some(new)) = (store, &old.lock, &new.lock) else {
            return Err(anyhow!("the packages of one side are not known")).hint(|| "give it by its lock");
        };
        texts.push(scripts::show(store, [old, new], package, &program)?);
    }
    write(&texts.concat(), arguments)?;
    Ok(if texts.iter().all(String::is_empty) { Answer::Yes } else { Answer::No })
}

/// Puts the report where it was asked for: on a terminal, a text through the user's pager.
fn write(text: &str, arguments: &Arguments) -> Result<()> {
    match &arguments.output {
        Some(path) => durable::write(path, text.as_bytes()),
        None if arguments.report == Form::Text && std::io::stdout().is_terminal() && !text.is_empty() => {
            page(text, &settings::pager())
        }
        None => terminal::print_text(text),
    }
}

/// Shows a text with a pager, or as it is where there is none.
fn page(text: &str, pager: &str) -> Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", pager]).stdin(Stdio::piped());
    if pager == settings::PAGER {
        // Leaves what fits on the screen there, and shows colours.
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return terminal::print_text(text) };
    if let Some(mut input) = child.stdin.take() {
        // Who leaves the pager early has seen enough.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().context("cannot wait for the pager")?;
    Ok(())
}

fn subject(name: &str, store: Option<&Store>) -> Result<Subject> {
    match (Name::new(name), store) {
        (Name::Lock(path), _) => {
            let lock = lock::load_any(path)?.ok_or_else(|| anyhow!("there is no lock {}", path.display()))?;
            Ok(Subject { name: name.to_owned(), lock: Some(lock), commit: None })
        }
        (Name::Revision(revision), _) => {
            Ok(Subject { name: name.to_owned(), lock: Some(of_revision(revision)?), commit: None })
        }
        (Name::File(path), Some(store)) => of_file(name, path, store),
        (Name::Store(word), Some(store)) => of_store(word, store),
        (Name::File(_) | Name::Store(_), None) => bail!("{name} needs a store"),
    }
}

/// A lock as git has it.
fn of_revision(revision: &str) -> Result<Lock> {
    let shown = process::run(Command::new("git").args(["show", "--end-of-options", revision]))
        .with_context(|| format!("cannot read {revision}"))?;
    let text = String::from_utf8(shown.stdout).with_context(|| format!("{revision} is no text"))?;
    Lock::parse(&text, Path::new(revision))
}

/// The template that a file was written of.
fn of_file(name: &str, path: &Path, store: &Store) -> Result<Subject> {
    if let Some(commit) = artifact::commit_of(store, path)? {
        return templates::subject_of(store, name.to_owned(), commit);
    }
    Err(anyhow!("the store {} does not know of which tree {name} was made", store.root().display()))
        .hint(|| "give a file as `compose build` wrote it, with the store that built it; or a lock, a ref or a commit")
}

fn of_store(word: &str, store: &Store) -> Result<Subject> {
    let named = history::resolve(store, word, None).with_context(|| format!("there is no file {word}"))?;
    templates::subject_of(store, word.to_owned(), named.commit)
}
