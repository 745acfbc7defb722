//! Signatures of archive metadata (apt-secure(8)): who signed a text, and is it a key of the archive's keyring.
//! Everything is bytes in, bytes out; what the signed text says is not looked at here.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::{Cert, CertParser};
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::StandardPolicy;
use openpgp::{KeyHandle, KeyID};

use crate::clock::Timestamp;

/// First line of a text with a signature around it (RFC 9580, section 7).
const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
/// Ends the text and begins the signature.
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
/// Last line of the signature.
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";
/// First line of a key in a keyring that is text.
const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// How far a signature's time may be ahead of this host's clock, in seconds.
const CLOCK_TOLERANCE: u64 = 10;

/// Why a text is not taken for signed by the archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keyring cannot be read.
    #[error("cannot read the keyring {}: {error}", path.display())]
    NoKeyring {
        /// The keyring file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The keyring holds no keys.
    #[error("{} is not a keyring: no OpenPGP key was found in it", path.display())]
    NotAKeyring {
        /// The file.
        path: PathBuf,
    },
    /// There is something before or after the signed text, or a second one.
    #[error("there is text outside the signature{}", place(*line))]
    OutsideSignature {
        /// The first line that is outside, counted from 1.
        line: Option<usize>,
    },
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed, but only by keys that the keyring does not have.
    #[error("it is signed by {}, and the keyring {} has only {}", list(signers), keyring.display(), list(known))]
    UnknownKey {
        /// Who signed.
        signers: Vec<String>,
        /// The keyring file.
        keyring: PathBuf,
        /// The keys it has.
        known: Vec<String>,
    },
    /// There are signatures of known keys, and none is good.
    #[error("it has no good signature: {}", reasons.join("; "))]
    BadSignature {
        /// What is wrong with each.
        reasons: Vec<String>,
    },
    /// The signature's data cannot be read.
    #[error("its signature cannot be read: {0}")]
    Malformed(String),
}

fn place(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

fn list(keys: &[String]) -> String {
    let mut text = String::from(if keys.len() == 1 { "key " } else { "keys " });
    let _ = write!(text, "{}", keys.join(", "));
    text
}

/// The keys of an archive.
#[derive(Debug, Clone)]
pub struct Keyring {
    path: PathBuf,
    keys: Vec<Cert>,
}

impl Keyring {
    /// Reads a keyring file, binary or armored (the forms that `Signed-By` of sources.list(5) takes).
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|error| Error::NoKeyring { path: path.to_owned(), error })?;
        Self::parse(&bytes, path)
    }

    /// Reads several keyring files as one; errors name the first.
    pub fn load_all(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self { path: paths.first().cloned().unwrap_or_default(), keys: Vec::new() };
        for path in paths {
            all.keys.extend(Self::load(path)?.keys);
        }
        Ok(all)
    }

    /// Reads the bytes of a keyring; `path` names it in errors. Keys this library cannot read are left out.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for block in blocks(bytes) {
            if let Ok(parser) = CertParser::from_bytes(block) {
                keys.extend(parser.flatten());
            }
        }
        if keys.is_empty() {
            return Err(Error::NotAKeyring { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The text inside a cleartext-signed message, once a key of this keyring is found to have signed it by `now`.
    pub fn verify_cleartext(&self, message: &[u8], now: Timestamp) -> Result<Vec<u8>, Error> {
        check_frame(message)?;
        let helper = Helper { keyring: Some(self), verdict: None };
        read_cleartext(message, helper, now)
    }

    /// Checks that a key of this keyring made one of the detached signatures of `text` by `now`.
    pub fn verify_detached(&self, text: &[u8], signature: &[u8], now: Timestamp) -> Result<(), Error> {
        let policy = StandardPolicy::at(time(now));
        let helper = Helper { keyring: Some(self), verdict: None };
        let mut verifier = DetachedVerifierBuilder::from_bytes(signature)
            .and_then(|builder| builder.with_policy(&policy, Some(time(now)), helper))
            .map_err(|e| Error::Malformed(e.to_string()))?;
        let outcome = verifier.verify_bytes(text);
        settle(outcome, verifier.into_helper())
    }
}

/// The text inside a cleartext-signed message, whoever signed it: for archives the user trusts without a signature.
pub fn text_unverified(message: &[u8], now: Timestamp) -> Result<Vec<u8>, Error> {
    check_frame(message)?;
    read_cleartext(message, Helper { keyring: None, verdict: None }, now)
}

fn read_cleartext(message: &[u8], helper: Helper<'_>, now: Timestamp) -> Result<Vec<u8>, Error> {
    let policy = StandardPolicy::at(time(now));
    let mut verifier = VerifierBuilder::from_bytes(message)
        .map(|builder| builder.buffer_size(message.len()))
        .and_then(|builder| builder.with_policy(&policy, Some(time(now)), helper))
        .map_err(|e| Error::Malformed(e.to_string()))?;
    let mut text = Vec::with_capacity(message.len());
    let outcome = verifier.read_to_end(&mut text).map(drop).map_err(Into::into);
    settle(outcome, verifier.into_helper())?;
    Ok(text)
}

/// The instant at which signatures have to be good.
fn time(now: Timestamp) -> SystemTime {
    let seconds = u64::try_from(now.seconds()).unwrap_or_default() + CLOCK_TOLERANCE;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The verdict of the helper; without one the library gave up before it came to signatures.
fn settle(outcome: openpgp::Result<()>, helper: Helper<'_>) -> Result<(), Error> {
    match (helper.verdict, outcome) {
        (Some(Err(error)), _) => Err(error),
        (_, Err(error)) => Err(Error::Malformed(error.to_string())),
        (Some(Ok(())), Ok(())) => Ok(()),
        (None, Ok(())) => Err(Error::Unsigned),
    }
}

/// An armored keyring may have several blocks, of which the library would read the first.
fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = bytes
        .windows(BEGIN_KEY.len())
        .enumerate()
        .filter(|(_, w)| *w == BEGIN_KEY.as_bytes())
        .map(|(at, _)| at)
        .collect();
    if starts.is_empty() {
        return vec![bytes];
    }
    starts.push(bytes.len());
    starts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Checks that the message is one signed text and nothing else: a reader that skips what stands around it could be made
/// to see another text than the one that was verified.
fn check_frame(message: &[u8]) -> Result<(), Error> {
    let mut lines = message.split(|b| *b == b'\n').enumerate();
    let is = |line: &[u8], marker: &str| line.trim_ascii_end() == marker.as_bytes();
    let outside = |at: usize| Err(Error::OutsideSignature { line: Some(at + 1) });
    match lines.next() {
        Some((_, line)) if is(line, BEGIN_MESSAGE) => {}
        _ if !message.split(|b| *b == b'\n').any(|line| is(line, BEGIN_MESSAGE)) => return Err(Error::Unsigned),
        _ => return outside(0),
    }
    if !lines.by_ref().any(|(_, line)| is(line, BEGIN_SIGNATURE)) {
        return Err(Error::Unsigned);
    }
    if !lines.by_ref().any(|(_, line)| is(line, END_SIGNATURE)) {
        return Err(Error::Malformed("it does not end".to_owned()));
    }
    match lines.find(|(_, line)| !line.trim_ascii().is_empty()) {
        Some((at, _)) => outside(at),
        None => Ok(()),
    }
}

/// What the library asks while it verifies.
struct Helper<'a> {
    /// The keys that count; without a keyring any text is taken.
    keyring: Option<&'a Keyring>,
    verdict: Option<Result<(), Error>>,
}

impl VerificationHelper for Helper<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(self.keyring.map(|keyring| keyring.keys.clone()).unwrap_or_default())
    }

    /// Never fails: the library would drop the helper and its verdict. [`settle`] sees to it that the verdict counts.
    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        self.verdict = Some(self.keyring.map_or(Ok(()), |keyring| judge(&structure, keyring)));
        Ok(())
    }
}

/// One good signature of a key in the keyring is enough, as for apt.
fn judge(structure: &MessageStructure<'_>, keyring: &Keyring) -> Result<(), Error> {
    let mut signers = Vec::new();
    let mut reasons = Vec::new();
    for layer in structure.iter() {
        let MessageLayer::SignatureGroup { results } = layer else {
            return Err(Error::Malformed("it is not a plain signature".to_owned()));
        };
        for result in results {
            match result {
                Ok(_) => return Ok(()),
                Err(VerificationError::MissingKey { sig }) => {
                    signers.extend(sig.get_issuers().first().map(|issuer| KeyID::from(issuer).to_hex()));
                }
                Err(error) => reasons.push(reason(error)),
            }
        }
    }
    if !reasons.is_empty() {
        return Err(Error::BadSignature { reasons });
    }
    if signers.is_empty() {
        return Err(Error::Unsigned);
    }
    let known = keyring.keys.iter().map(|key| key.keyid().to_hex()).collect();
    Err(Error::UnknownKey { signers, keyring: keyring.path.clone(), known })
}

/// What is wrong with a signature, in a few words.
fn reason(error: &VerificationError<'_>) -> String {
    match error {
        VerificationError::BadSignature { ka, .. } => {
            format!("the signature of key {} does not fit the text", ka.key().keyid().to_hex())
        }
        VerificationError::BadKey { ka, error, .. } => {
            format!("key {} is not valid: {}", ka.key().keyid().to_hex(), error.root_cause())
        }
        VerificationError::UnboundKey { cert, error, .. } => {
            format!("key {} is not valid: {}", cert.keyid().to_hex(), error.root_cause())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_signed_text_and_nothing_else_is_a_frame() {
        let good = format!("{BEGIN_MESSAGE}\nHash: SHA256\n\ntext\n{BEGIN_SIGNATURE}\n\nx\n{END_SIGNATURE}\n");
        assert!(check_frame(good.as_bytes()).is_ok());
        assert!(check_frame(good.replace('\n', "\r\n").as_bytes()).is_ok());
        assert!(check_frame(format!("{good}\n \n").as_bytes()).is_ok());
        let rows = [
            (format!("Origin: x\n{good}"), "there is text outside the signature (line 1)"),
            (format!("\n{good}"), "there is text outside the signature (line 1)"),
            (format!("{good}Origin: x\n"), "there is text outside the signature (line 9)"),
            (format!("{good}{good}"), "there is text outside the signature (line 9)"),
            ("Origin: x\n".to_owned(), "it is not signed"),
            (String::new(), "it is not signed"),
            (format!("{BEGIN_MESSAGE}\n\ntext\n"), "it is not signed"),
            (format!("{BEGIN_MESSAGE}\n\ntext\n{BEGIN_SIGNATURE}\n"), "its signature cannot be read: it does not end"),
        ];
        for (text, error) in rows {
            assert_eq!(check_frame(text.as_bytes()).unwrap_err().to_string(), error, "{text}");
        }
    }

    #[test]
    fn a_file_without_keys_is_no_keyring() {
        let error = Keyring::parse(b"hello", Path::new("k.gpg")).unwrap_err();
        assert_eq!(error.to_string(), "k.gpg is not a keyring: no OpenPGP key was found in it");
        let error = Keyring::load(Path::new("/nonexistent/k.gpg")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the keyring /nonexistent/k.gpg: "), "{error}");
    }
}
