//! Errors that know a way out: any error can carry hints, which the command line prints as `hint:` lines.

use std::error::Error as StdError;
use std::fmt;

/// An error with a sentence (best: a command) that tells how to go on.
#[derive(Debug)]
pub struct Hinted {
    hint: String,
    error: anyhow::Error,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Hinted {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// Adds hints to results.
pub trait Hint<T> {
    /// Attaches a hint to the error, if there is one; the message stays as it was.
    fn hint<H: Into<String>>(self, hint: impl FnOnce() -> H) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint<H: Into<String>>(self, hint: impl FnOnce() -> H) -> anyhow::Result<T> {
        self.map_err(|e| anyhow::Error::new(Hinted { hint: hint().into(), error: e.into() }))
    }
}

/// The error with several hints, in this order, each once.
pub fn with_hints(error: anyhow::Error, hints: impl IntoIterator<Item = String>) -> anyhow::Error {
    let mut distinct: Vec<String> = Vec::new();
    for hint in hints {
        if !distinct.contains(&hint) {
            distinct.push(hint);
        }
    }
    distinct.into_iter().rev().fold(error, |error, hint| anyhow::Error::new(Hinted { hint, error }))
}

/// All hints of an error, outermost first.
pub fn hints(error: &anyhow::Error) -> Vec<&str> {
    let mut found = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error.as_ref());
    while let Some(e) = next {
        next = match e.downcast_ref::<Hinted>() {
            Some(hinted) => {
                found.push(hinted.hint.as_str());
                Some(hinted.error.as_ref())
            }
            None => e.source(),
        };
    }
    found
}

/// The word among `known` that `word` is most likely a misspelling of.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_words(word, known, 1).pop()
}

/// Up to `limit` words among `known` that `word` may be a misspelling of, the likeliest first.
pub fn nearest_words<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    let longest = (word.chars().count() / 3).clamp(1, 3);
    let mut close: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|k| k.len().abs_diff(word.len()) <= longest)
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, _)| *distance <= longest)
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(limit).map(|(_, k)| k).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn hints_survive_context_and_nest() {
        let inner: anyhow::Result<()> = Err(anyhow!("no lock")).hint(|| "update it");
        let outer = inner.context("cannot build").hint(|| "or read the manual").unwrap_err();
        assert_eq!(hints(&outer), ["or read the manual", "update it"]);
        assert_eq!(format!("{outer:#}"), "cannot build: no lock");
    }

    #[test]
    fn misspellings_find_their_word() {
        let known = ["systemd", "systemd-sysv", "sysvinit"];
        assert_eq!(nearest("sytemd", known), Some("systemd"));
        assert_eq!(nearest("zlib", known), None);
    }
}
