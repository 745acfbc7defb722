//! Signatures of archive metadata (apt-secure(8)) and of packages: who signed it, and is it a key of the archive's keyring.
//! Everything is bytes in, bytes out; what was signed is not looked at here.

mod error;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::{Cert, CertParser};
use openpgp::packet::Tag;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::{HashAlgoSecurity, StandardPolicy};
use openpgp::types::HashAlgorithm;
use openpgp::{KeyHandle, KeyID};

pub use error::Error;

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

/// As of when algorithms are too weak for signatures of packages, in seconds since 1970 (2026-01-01): a build next year takes what
/// one takes today.
const WEAKNESSES_KNOWN: u64 = 1_767_225_600;

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

    /// Checks that a key of this keyring made the signature of a package, or of a part of it, at a time when the key was good. No
    /// clock counts: what was good once stays so, unless the key is revoked in the keyring for having been stolen.
    pub fn verify_packet(&self, signed: impl Read + Send + Sync, signature: &[u8]) -> Result<(), Error> {
        let policy = policy_for_packages();
        let helper = Helper { keyring: Some(self), verdict: None };
        // With the last instant that OpenPGP knows, a signature that ends at some time is never good.
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX));
        let mut verifier = DetachedVerifierBuilder::from_bytes(signature)
            .and_then(|builder| builder.with_policy(&policy, Some(end), helper))
            .map_err(|e| Error::Malformed(e.to_string()))?;
        let outcome = verifier.verify_reader(signed);
        settle(outcome, verifier.into_helper())
    }
}

/// What counts for signatures of packages: no key or signature that is weak. Keys' signatures of themselves may be by SHA-1, as
/// those of many distributions are: whoever would forge one needs another text for the same digest, and the manifest pins the
/// file of keys. Signatures may have the form of version 3, as rpm made them for many years.
fn policy_for_packages() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(SystemTime::UNIX_EPOCH + Duration::from_secs(WEAKNESSES_KNOWN));
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    policy.accept_packet_tag_version(Tag::Signature, 3);
    policy
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
        VerificationError::BadSignature { ka, error, .. } => {
            let key = ka.key().keyid().to_hex();
            match error.downcast_ref() {
                Some(openpgp::Error::PolicyViolation(..)) => {
                    format!("the signature of key {key} is too weak: {}", error.root_cause())
                }
                _ => format!("the signature of key {key} does not fit what is signed"),
            }
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
