//! The commits that commands are about, and what is told of them.

use anyhow::Result;
use clap::{Args, ValueEnum};
use compose::arch::Architecture;
use compose::clock::Timestamp;
use compose::digest::Sha256;
use compose::history::{self, Named, Template};
use compose::store::{Store, StoredCommit};
use serde::Serialize;

/// One commit.
#[derive(Debug, Args)]
pub struct OneCommit {
    /// Commit: a template's NAME, NAME@VERSION, a tag, a ref, or digits of its checksum; each ^ behind it is one commit back
    #[arg(value_name = "COMMIT")]
    word: String,
    /// Of the template for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
}

impl OneCommit {
    /// Finds it.
    pub fn find(&self, store: &Store) -> Result<Named> {
        history::resolve(store, &self.word, self.arch.as_ref())
    }
}

/// A commit for a template: one of its versions or tags, else what the word stands for by itself.
pub fn of_template(store: &Store, template: &Template, word: &str) -> Result<Sha256> {
    let (name, architecture) = (&template.name, Some(&template.architecture));
    let own = history::resolve(store, &format!("{name}@{}", word.trim_start_matches('@')), architecture);
    match own {
        Ok(named) => Ok(named.commit),
        // Of two reasons, that of the word as it was given.
        Err(_) => history::resolve(store, word, architecture).map(|named| named.commit),
    }
}

/// How commits are told of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

/// What a commit says of itself.
#[derive(Debug, Serialize)]
pub struct Facts {
    commit: Sha256,
    parent: Option<Sha256>,
    version: Option<String>,
    build: Option<u64>,
    date: Timestamp,
    tags: Vec<String>,
    lock: Option<String>,
    manifest: Option<String>,
    program: Option<String>,
    restored: Option<String>,
}

impl Facts {
    /// Of a commit, with its tags among all of the store.
    pub fn of(commit: Sha256, stored: &StoredCommit, tags: &[(Template, String, Sha256)]) -> Self {
        let fact = |name: &str| stored.metadata.get(name).cloned();
        Self {
            commit,
            parent: stored.parent,
            version: stored.version.clone(),
            build: fact("build").and_then(|number| number.parse().ok()),
            date: stored.date,
            tags: tags.iter().filter(|(.., tagged)| *tagged == commit).map(|(_, tag, _)| tag.clone()).collect(),
            lock: fact("lock"),
            manifest: fact("manifest"),
            program: fact("program"),
            restored: fact("restored"),
        }
    }

    /// Lines for people: those that tell commits apart, or all.
    pub fn lines(&self, all: bool) -> Vec<String> {
        let mut lines = vec![format!("commit {}", self.commit)];
        let mut add = |name: &str, value: Option<String>| {
            // Commits of other stores may say anything.
            lines.extend(value.map(|value| format!("{name}: {}", value.escape_debug())));
        };
        add("parent", self.parent.filter(|_| all).map(Sha256::to_hex));
        add("version", self.version.clone());
        add("date", Some(self.date.to_string()));
        add("tags", (!self.tags.is_empty()).then(|| self.tags.join(" ")));
        add("restored", self.restored.clone());
        for (name, value) in [("lock", &self.lock), ("manifest", &self.manifest), ("program", &self.program)] {
            add(name, value.clone().filter(|_| all));
        }
        lines
    }
}
