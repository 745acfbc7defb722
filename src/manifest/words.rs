//! The single values of a manifest: how each is spelled.

use std::str::FromStr;

use super::located::Word;
use super::{Base, HookPoint, Kernel, OutputFormat};
use crate::arch::{Architecture, UnknownArchitecture};
use crate::check::CHECKS;
use crate::package::Format;

/// Finds `word` in a table of words, or tells which there are.
fn pick<T: Copy>(what: &str, word: &str, table: &[(&str, T)]) -> Result<T, String> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = table.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("unknown {what} `{word}`, expected one of {}", known.join(", "))
    })
}

impl Word for Base {
    fn from_word(word: &str) -> Result<Self, String> {
        let table = [
            ("essential", Self::Essential),
            ("required", Self::Required),
            ("standard", Self::Standard),
            ("none", Self::None),
        ];
        pick("base", word, &table)
    }
}

impl Word for Format {
    fn from_word(word: &str) -> Result<Self, String> {
        pick("format", word, &[("deb", Self::Deb), ("rpm", Self::Rpm)])
    }
}

impl Word for OutputFormat {
    fn from_word(word: &str) -> Result<Self, String> {
        let table: Vec<_> = Self::ALL.iter().map(|format| (format.as_str(), *format)).collect();
        pick("output", word, &table)
    }
}

impl Word for Architecture {
    fn from_word(word: &str) -> Result<Self, String> {
        Self::from_str(word).map_err(|error| match error {
            UnknownArchitecture::Unknown(name) => {
                let known: Vec<String> = Self::known().map(|name| format!("`{name}`")).collect();
                format!("unknown architecture `{name}`, expected one of {}", known.join(", "))
            }
            UnknownArchitecture::Foreign(..) => error.to_string(),
        })
    }
}

impl Word for HookPoint {
    fn from_word(word: &str) -> Result<Self, String> {
        pick("point", word, &[("unpacked", Self::Unpacked), ("configured", Self::Configured)])
    }
}

impl Word for Kernel {
    fn from_word(word: &str) -> Result<Self, String> {
        pick("kernel", word, &[("dom0", Self::Dom0), ("own", Self::Own)])
    }
}

impl Word for bool {
    fn from_word(word: &str) -> Result<Self, String> {
        pick("truth value", word, &[("true", true), ("false", false)])
    }
}

impl Word for u32 {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse().map_err(|_| format!("`{word}` is not a number from 0 to {}", Self::MAX))
    }
}

impl Word for i32 {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse().map_err(|_| format!("`{word}` is not a whole number"))
    }
}

/// Permission bits, in octal: `0644`, `644` or `0o644`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(pub u32);

impl Word for Mode {
    fn from_word(word: &str) -> Result<Self, String> {
        let digits = word.strip_prefix("0o").unwrap_or(word);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(format!("`{word}` is not a file mode: octal digits up to 7777 are expected")),
        }
    }
}

/// The name of a check that is made of trees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckName(pub &'static str);

impl Word for CheckName {
    fn from_word(word: &str) -> Result<Self, String> {
        let names: Vec<(&str, &'static str)> = CHECKS.iter().map(|check| (check.name, check.name)).collect();
        pick("check", word, &names).map(Self)
    }
}

/// The largest size, in bytes: ext4 with blocks of 4 KiB that 32 bits can number has no more (ext4(5)).
const LARGEST_SIZE: u64 = 16 << 40;

/// A number of bytes, of files and file systems: `512M`, `1G`, `65536`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub u64);

impl Word for Size {
    fn from_word(word: &str) -> Result<Self, String> {
        let (digits, shift) = match word.as_bytes().last() {
            Some(b'K') => (&word[..word.len() - 1], 10),
            Some(b'M') => (&word[..word.len() - 1], 20),
            Some(b'G') => (&word[..word.len() - 1], 30),
            Some(b'T') => (&word[..word.len() - 1], 40),
            _ => (word, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("`{word}` is not a size: a number of bytes, or one with K, M, G or T, is expected"));
        }
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes
            .filter(|bytes| *bytes <= LARGEST_SIZE)
            .map(Self)
            .ok_or_else(|| format!("`{word}` is too large: file systems have at most 16T"))
    }
}

/// A [`Size`], or `fit`, which is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageSize(pub Option<u64>);

impl Word for ImageSize {
    fn from_word(word: &str) -> Result<Self, String> {
        if word == "fit" {
            return Ok(Self(None));
        }
        Size::from_word(word)
            .map(|size| Self(Some(size.0)))
            .map_err(|message| if message.ends_with("is expected") { format!("{message}; or `fit`") } else { message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_modes() {
        for (word, bytes) in [("0", 0), ("512M", 512 << 20), ("1G", 1 << 30), ("3K", 3072), ("65536", 65536)] {
            assert_eq!(Size::from_word(word), Ok(Size(bytes)), "{word}");
        }
        assert_eq!(Size::from_word("16T"), Ok(Size(1 << 44)));
        for bad in ["", "M", "1.5G", "-1", "+1", "17T", "17592186044417", "16777215T", "20000000T", "1GB"] {
            assert!(Size::from_word(bad).is_err(), "{bad}");
        }
        for (word, mode) in [("0644", 0o644), ("644", 0o644), ("0o4755", 0o4755), ("0", 0)] {
            assert_eq!(Mode::from_word(word), Ok(Mode(mode)), "{word}");
        }
        for bad in ["", "rw-r--r--", "10000", "0x1ff", "648"] {
            assert!(Mode::from_word(bad).is_err(), "{bad}");
        }
    }
}
