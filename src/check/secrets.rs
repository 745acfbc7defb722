//! Private keys, and what identifies a machine.

use std::io::{self, Read};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::Subject;
use super::subject::RegularFile;

/// Where secrets are looked for; what packages bring as examples lies elsewhere. With `.orig` folders end that Qubes templates
/// have set aside.
const PRIVATE: [&str; 9] =
    ["etc/", "home/", "home.orig/", "opt/", "root/", "srv/", "usr/local/", "usr/local.orig/", "var/"];

/// What the first line of a private key ends with, in the forms of PEM, `OpenSSH` and `OpenPGP`.
const KEY_MARKS: [&[u8]; 2] = [b" PRIVATE KEY-----", b"PGP PRIVATE KEY BLOCK-----"];
/// The bytes of the longest mark with the line's end and what follows it.
const LONGEST_MARK: usize = 29;
/// How much of a file is looked at at once, in bytes.
const CHUNK: usize = 1 << 18;

pub(super) fn check_secrets(subject: &Subject<'_>) -> Result<Vec<String>> {
    let look = |RegularFile { path, leaf, object }: &RegularFile<'_>| -> Result<Option<String>> {
        if path == "etc/machine-id" && object.size > 0 {
            return Ok(Some("/etc/machine-id identifies a machine".to_owned()));
        }
        if !PRIVATE.iter().any(|folder| path.starts_with(folder)) {
            return Ok(None);
        }
        let has_key = subject.reader.open(*leaf).and_then(has_key).with_context(|| format!("cannot read /{path}"))?;
        Ok(has_key.then(|| format!("/{path} has a private key")))
    };
    subject.files().par_iter().filter_map(|file| look(file).transpose()).collect()
}

/// Whether there is a key's first line, and behind it something that is text: programs that read keys have the line, too.
fn has_key(mut file: impl Read) -> io::Result<bool> {
    let mut chunk = Vec::with_capacity(CHUNK + LONGEST_MARK);
    loop {
        // What may be the beginning of a mark is looked at again.
        chunk.drain(..chunk.len().saturating_sub(LONGEST_MARK));
        if file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(false);
        }
        for mark in KEY_MARKS {
            let mut ends = memchr::memmem::find_iter(&chunk, mark).map(|at| &chunk[at + mark.len()..]);
            if ends.any(|end| matches!(end, [b'\n', next, ..] | [b'\r', b'\n', next, ..] if *next != 0)) {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8]) -> bool {
        has_key(text).unwrap()
    }

    #[test]
    fn keys_are_found_in_each_form_and_place() {
        for first in ["BEGIN PRIVATE KEY", "BEGIN OPENSSH PRIVATE KEY", "BEGIN PGP PRIVATE KEY BLOCK"] {
            for end in ["\n", "\r\n"] {
                let key = format!("-----{first}-----{end}x");
                assert!(found(key.as_bytes()), "{key:?}");
                for before in CHUNK - key.len() - 2..CHUNK + 2 {
                    let text = [&vec![b'\n'; before], key.as_bytes(), &[b'\n'; 100]].concat();
                    assert!(found(&text), "{key:?} behind {before} bytes");
                }
            }
        }
    }

    #[test]
    fn the_line_alone_is_none() {
        for text in ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n\0x", "a PRIVATE KEY-----x\n"] {
            assert!(!found(text.as_bytes()), "{text:?}");
        }
    }
}
