//! Reads the part of YAML that this program writes locks in: block style, a scalar in one line, plain where it has only characters
//! that mean nothing to YAML, else in single quotes.
//!
//! `serde_yaml` takes twenty times as long for a lock, most of the time of a comparison of two. What is written in any other way is
//! an error here, without a reason: `serde_yaml` is then asked, whose words the user gets.

use std::fmt;

use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The text is not of this form, or not of the type that is asked for.
#[derive(Debug)]
pub(super) struct Unfamiliar;

impl fmt::Display for Unfamiliar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unfamiliar form of YAML")
    }
}

impl std::error::Error for Unfamiliar {}

impl serde::de::Error for Unfamiliar {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Result<T> = std::result::Result<T, Unfamiliar>;

/// Reads a value whose outermost form is a mapping.
pub(super) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T> {
    let mut reader = Reader { rest: text, started: None };
    let value = T::deserialize(Value { reader: &mut reader, place: Place::Mapping { indent: 0 } })?;
    if reader.rest.is_empty() { Ok(value) } else { Err(Unfamiliar) }
}

/// What is left of the text.
struct Reader<'de> {
    rest: &'de str,
    /// The part of a line after the `- ` that made it an item, when it is the first entry of a mapping.
    started: Option<&'de str>,
}

impl<'de> Reader<'de> {
    /// Takes the next line, without its indentation and `marker`, if it has both.
    fn line(&mut self, indent: usize, marker: &str) -> Result<Option<&'de str>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (line, rest) = self.rest.split_once('\n').ok_or(Unfamiliar)?;
        let content = line.trim_start_matches(' ');
        let found = (line.len() - content.len() == indent).then(|| content.strip_prefix(marker)).flatten();
        if found.is_some() {
            self.rest = rest;
        }
        Ok(found)
    }
}

/// What a scalar says, by how it is written.
fn scalar(text: &str) -> Result<&str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let inner = quoted.strip_suffix('\'').ok_or(Unfamiliar)?;
        let simple = inner.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\'');
        return if simple { Ok(inner) } else { Err(Unfamiliar) };
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-./:=_~^".contains(&byte);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    let means_nothing = text.eq_ignore_ascii_case("null");
    if begins && text.bytes().all(is_plain) && !text.ends_with(':') && !means_nothing {
        Ok(text)
    } else {
        Err(Unfamiliar)
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place<'de> {
    /// Its entries are the next lines.
    Mapping { indent: usize },
    /// Its items are the next lines.
    Sequence { indent: usize },
    /// It is written `[]`.
    Nothing,
    /// It is this text.
    Scalar(&'de str),
}

struct Value<'r, 'de> {
    reader: &'r mut Reader<'de>,
    place: Place<'de>,
}

impl Value<'_, '_> {
    fn number(&self) -> Result<u64> {
        let Place::Scalar(text) = self.place else { return Err(Unfamiliar) };
        let usual = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if usual { text.parse().map_err(|_| Unfamiliar) } else { Err(Unfamiliar) }
    }
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Unfamiliar;

    /// Containers tell by themselves what they are; a scalar is a text unless a number is asked for.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.place {
            Place::Mapping { indent } => visitor.visit_map(Entries { reader: self.reader, indent, value: None }),
            Place::Sequence { indent } => {
                // With no items it would be null.
                let line = self.reader.rest.trim_start_matches(' ');
                if self.reader.rest.len() - line.len() != indent || !line.starts_with("- ") {
                    return Err(Unfamiliar);
                }
                visitor.visit_seq(Items { reader: self.reader, indent: Some(indent) })
            }
            Place::Nothing => visitor.visit_seq(Items { reader: self.reader, indent: None }),
            Place::Scalar(_) => Err(Unfamiliar),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Place::Scalar(text) = self.place else { return Err(Unfamiliar) };
        visitor.visit_borrowed_str(scalar(text)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let Place::Scalar(text) = self.place else { return Err(Unfamiliar) };
        visitor.visit_enum(Variant(scalar(text)?))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        ignored_any
    }
}

/// The entries of a mapping.
struct Entries<'r, 'de> {
    reader: &'r mut Reader<'de>,
    indent: usize,
    value: Option<&'de str>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Unfamiliar;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let line = match self.reader.started.take() {
            Some(line) => Some(line),
            None => self.reader.line(self.indent, "")?,
        };
        // An item of a sequence that the mapping itself is an item of stands further to the left.
        let Some(line) = line else { return Ok(None) };
        let (key, value) = line.split_once(':').ok_or(Unfamiliar)?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || key.starts_with('-') {
            return Err(Unfamiliar);
        }
        self.value = Some(value);
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let place = match self.value.take().ok_or(Unfamiliar)? {
            "" => Place::Sequence { indent: self.indent },
            " []" => Place::Nothing,
            text => Place::Scalar(text.strip_prefix(' ').ok_or(Unfamiliar)?),
        };
        seed.deserialize(Value { reader: self.reader, place })
    }
}

/// The items of a sequence; with no indentation there are none.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    indent: Option<usize>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Unfamiliar;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(indent) = self.indent else { return Ok(None) };
        let Some(item) = self.reader.line(indent, "- ")? else { return Ok(None) };
        let is_entry = !item.starts_with('\'') && (item.contains(": ") || item.ends_with(':'));
        let place = if is_entry {
            self.reader.started = Some(item);
            Place::Mapping { indent: indent + 2 }
        } else {
            Place::Scalar(item)
        };
        seed.deserialize(Value { reader: self.reader, place }).map(Some)
    }
}

/// A variant without content.
struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Unfamiliar;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::<Unfamiliar>::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Unfamiliar;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value> {
        Err(Unfamiliar)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value> {
        Err(Unfamiliar)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value> {
        Err(Unfamiliar)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lock;
    use super::*;

    const SHIPPED: &str = include_str!("../../locks/debian-13-minimal.arm64.lock");

    const SMALL: &str = "\
version: 2
manifest: small
manifest-sha256: 02b7deb2cb4701c227a846180d474cbd381daabb1c077589d2864f4bc0b4f367
format: deb
architecture: amd64
date: 2026-11-20T02:11:10Z
packages:
- name: libc6
  architecture: amd64
  version: 1:2.36-9+deb12u13~x
  source: glibc
  archive: debian/bookworm/main
  path: pool/main/g/glibc/libc6_2.36.deb
  size: 61244
  sha256: a6954f6eaebac71a758b5da0c9aea8e41fe300122c5a19e15d7ccc9f9c04a2f3
  asked: base
  depends:
  - libgcc-s1:amd64
  - 'null'
- name: 'null'
  architecture: all
  version: '3.134'
  archive: debian/bookworm/main
  path: pool/main/n/null/null_3.134_all.deb
  size: 183272
  installed-size: 702464
  sha256: c24fe4eb8e60d8632d72ed104cce7c92cff200847c897dc8ba764b6c47b519e0
tools: []
";

    #[test]
    fn what_this_program_writes_is_read() {
        for text in [SHIPPED, SMALL] {
            let lock: Lock = from_str(text).unwrap();
            assert_eq!(lock, serde_yaml::from_str(text).unwrap());
            assert_eq!(lock.render().unwrap(), text);
        }
    }

    /// Each line of a lock is taken away, doubled, moved, and has each of many texts put before, into, after and in place of
    /// its value; whatever of that is read at all must say to YAML what it says here.
    #[test]
    fn nothing_is_read_as_yaml_would_not() {
        let texts = [
            "",
            " ",
            "\t",
            "'",
            "''",
            "\"",
            "#",
            " # x",
            ":",
            ": ",
            "- ",
            "-",
            "~",
            "null",
            "Null",
            "true",
            "1.0",
            "0x10",
            "010",
            "1_0",
            "1e3",
            "+1",
            ".5",
            ".inf",
            "[]",
            " []",
            "{}",
            "&a ",
            "*a",
            "!x ",
            "|",
            ">",
            "%",
            "@",
            "`",
            "?",
            "? ",
            ",",
            "\\",
            "\r",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "ä",
            "\n",
            "\n\n",
            "\n  ",
            "\n- ",
            "\n---\n",
            "\n...\n",
            "=",
            "<<",
            "2026-11-20",
            "a b",
            "a: b",
            "'a' 'b'",
            "0",
            "18446744073709551616",
        ];
        let lines: Vec<&str> = SMALL.split_inclusive('\n').collect();
        let mut read = 0;
        let mut check = |line: usize, instead: &str| {
            let text: String =
                lines.iter().enumerate().map(|(i, &old)| if i == line { instead } else { old }).collect();
            if let Ok(lock) = from_str::<Lock>(&text) {
                assert_eq!(serde_yaml::from_str::<Lock>(&text).ok(), Some(lock), "{text}");
                read += 1;
            }
        };
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let value = line.find(": ").map_or_else(|| line.find("- ").map_or(indent, |at| at + 2), |at| at + 2);
            check(i, "");
            check(i, &line.repeat(2));
            check(i, &format!(" {line}"));
            check(i, &format!("- {line}"));
            check(i, &line[indent.min(2)..]);
            for text in texts {
                let (key, value) = line.trim_end_matches('\n').split_at(value);
                for changed in [
                    format!("{key}{text}\n"),
                    format!("{key}{text}{value}\n"),
                    format!("{key}{value}{text}\n"),
                    format!("{text}{key}{value}\n"),
                    format!("{key}'{value}{text}'\n"),
                ] {
                    check(i, &changed);
                }
            }
        }
        assert!(read > 500, "{read} texts were read");
    }
}
