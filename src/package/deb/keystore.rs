//! Java's keystores of certificates, the form `JKS` (`JavaKeyStore` in the sources of `OpenJDK`), and the times in them.

use glib::{Checksum, ChecksumType};

use crate::clock::Timestamp;

/// Magic number and version.
const HEAD: [u8; 8] = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];

/// The tag of an entry that is a certificate.
const CERTIFICATE: u32 = 2;

/// The bytes of a SHA-1.
const DIGEST: usize = 20;

/// The password that everyone knows, and what is hashed after it.
const SALT: (&str, &[u8]) = ("changeit", b"Mighty Aphrodite");

/// The same keystore with every certificate added at `date`; none for what is not a keystore of certificates alone under
/// the usual password.
pub(super) fn set_times(keystore: &[u8], date: Timestamp) -> Option<Vec<u8>> {
    let (content, digest) = keystore.split_last_chunk::<DIGEST>()?;
    if !content.starts_with(&HEAD) || sha1(content)? != digest {
        return None;
    }
    let mut set = content.to_vec();
    let milliseconds = (date.seconds() * 1000).to_be_bytes();
    let mut rest = Reader { bytes: content, at: HEAD.len() };
    for _ in 0..rest.number(4)? {
        if u32::try_from(rest.number(4)?).ok()? != CERTIFICATE {
            return None;
        }
        rest.skip_sized(2)?;
        set.get_mut(rest.at..rest.at + milliseconds.len())?.copy_from_slice(&milliseconds);
        rest.at += milliseconds.len();
        rest.skip_sized(2)?;
        rest.skip_sized(4)?;
    }
    let digest = sha1(&set)?;
    set.extend(digest);
    Some(set)
}

/// Reads what lies one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A number of so many bytes.
    fn number(&mut self, size: usize) -> Option<usize> {
        let bytes = self.bytes.get(self.at..self.at + size)?;
        self.at += size;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Passes over bytes after the number of them, which itself has `size` bytes.
    fn skip_sized(&mut self, size: usize) -> Option<()> {
        self.at = self.number(size)?.checked_add(self.at).filter(|end| *end <= self.bytes.len())?;
        Some(())
    }
}

/// The digest at a keystore's end.
fn sha1(content: &[u8]) -> Option<Vec<u8>> {
    let mut checksum = Checksum::new(ChecksumType::Sha1)?;
    let (password, word) = SALT;
    checksum.update(&password.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
    checksum.update(word);
    checksum.update(content);
    Some(checksum.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keystore of one entry.
    fn keystore(tag: u8, seconds: i64) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        bytes.extend([0, 0, 0, 1, 0, 0, 0, tag, 0, 2]);
        bytes.extend(b"ca");
        bytes.extend((seconds * 1000).to_be_bytes());
        bytes.extend([0, 5]);
        bytes.extend(b"X.509");
        bytes.extend([0, 0, 0, 3, 1, 2, 3]);
        let digest = sha1(&bytes).unwrap();
        bytes.extend(digest);
        bytes
    }

    #[test]
    fn certificates_are_dated_anew() {
        let date = Timestamp::from_seconds(1_700_000_000).unwrap();
        assert_eq!(set_times(&keystore(2, 1), date).unwrap(), keystore(2, 1_700_000_000));
    }

    #[test]
    fn other_files_are_left_alone() {
        let date = Timestamp::from_seconds(1_700_000_000).unwrap();
        assert_eq!(set_times(&keystore(1, 1), date), None, "a key");
        let mut other_password = keystore(2, 1);
        *other_password.last_mut().unwrap() ^= 1;
        assert_eq!(set_times(&other_password, date), None, "another password");
        assert_eq!(set_times(b"text", date), None);
        let mut short = HEAD.to_vec();
        short.extend([0xff; 4]);
        let digest = sha1(&short).unwrap();
        short.extend(digest);
        assert_eq!(set_times(&short, date), None, "cut short");
    }
}
