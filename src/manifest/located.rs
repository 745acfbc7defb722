//! Values that know where in a YAML file they were typed.
//!
//! `serde_yaml` tells line and column of an error, but not of a value. So each [`Located`] value takes the next number
//! while a file is read; the place of a number is found by reading the text again and failing at that number.
//! Only errors pay for it.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, de};

use crate::error::nearest;

thread_local! {
    /// The number the next value gets, and the number at which reading fails.
    static COUNTER: Cell<(usize, Option<usize>)> = const { Cell::new((0, None)) };
}

/// A scalar with the number of its place in [`Sources`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located<T> {
    /// What was typed.
    pub value: T,
    /// Its number among all values read into one [`Sources`].
    pub number: usize,
}

/// A type that a plain word stands for.
pub trait Word: Sized {
    /// The value, or a sentence that tells what is wrong with the word.
    fn from_word(word: &str) -> Result<Self, String>;
}

impl Word for String {
    fn from_word(word: &str) -> Result<Self, String> {
        Ok(word.to_owned())
    }
}

impl<'de, T: Word> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor<T>(std::marker::PhantomData<T>);
        impl<T: Word> Visitor<'_> for WordVisitor<T> {
            type Value = Located<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a single value")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
                let (number, stop) = COUNTER.get();
                COUNTER.set((number + 1, stop));
                if stop == Some(number) {
                    return Err(E::custom("here"));
                }
                T::from_word(word).map(|value| Located { value, number }).map_err(E::custom)
            }
        }
        // Errors raised inside the visitor carry the place of the scalar; raised later, that of what encloses it.
        deserializer.deserialize_str(WordVisitor(std::marker::PhantomData))
    }
}

/// A mistake in a manifest: `FILE:LINE:COLUMN: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", file.display())]
pub struct Mistake {
    /// The file as it was named.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The right word, when one is near.
    pub hint: Option<String>,
}

/// The texts of a manifest and its includes, as read.
#[derive(Default, Debug)]
pub struct Sources {
    texts: Vec<Text>,
    next: usize,
}

#[derive(Debug)]
struct Text {
    path: PathBuf,
    content: String,
    first: usize,
}

impl Sources {
    /// Reads a YAML document. Numbers go on from the document read before.
    pub fn parse<T: DeserializeOwned>(&mut self, path: &Path, text: &str) -> Result<T, Mistake> {
        let first = self.next;
        COUNTER.set((first, None));
        let result = serde_yaml::from_str(text);
        self.next = COUNTER.get().0;
        self.texts.push(Text { path: path.to_owned(), content: text.to_owned(), first });
        result.map_err(|e| mistake(path, text, &e))
    }

    /// A mistake at the value with this number, which must have been read as part of a `T`.
    pub fn mistake<T: DeserializeOwned>(&self, number: usize, message: impl Into<String>) -> Mistake {
        let at = self.texts.partition_point(|t| t.first <= number).saturating_sub(1);
        let text = &self.texts[at];
        COUNTER.set((text.first, Some(number)));
        let place = serde_yaml::from_str::<T>(&text.content).err().and_then(|e| e.location());
        let (line, column) = place.map_or((1, 1), |place| (place.line(), place.column()));
        Mistake { file: text.path.clone(), line, column, message: message.into(), hint: None }
    }
}

/// Turns an error of the YAML reader into a mistake with a hint.
fn mistake(path: &Path, text: &str, error: &serde_yaml::Error) -> Mistake {
    let (mut line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
    let mut message = error.to_string();
    if let Some(at) = message.rfind(&format!(" at line {line} column {column}")) {
        message.truncate(at);
    }
    // serde lists what it knows in the message: unknown field `x`, expected one of `a`, `b`
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next().unwrap_or_default();
    let hint = message.contains("unknown ").then(|| nearest(word, words)).flatten();
    let hint = hint.map(|right| format!("did you mean `{right}`?"));
    if message.contains("duplicate field") {
        line = second_key(text, word, line, column).unwrap_or(line);
    }
    Mistake { file: path.to_owned(), line, column, message, hint }
}

/// The line of the second `key` of the block mapping that begins at a place: for a key that stands twice, the reader
/// tells where its mapping begins.
fn second_key(text: &str, key: &str, line: usize, column: usize) -> Option<usize> {
    let is_key =
        |text: &str| text.get(column - 1..).and_then(|t| t.strip_prefix(key)).is_some_and(|t| t.starts_with(':'));
    let mut lines = text.lines().enumerate().skip(line - 1).filter(|(_, text)| is_key(text));
    lines.nth(1).map(|(number, _)| number + 1)
}
