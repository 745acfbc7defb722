//! Signatures of a package (RPM V4 and V6 package formats, "Signature"): in tags of the signature header, of the main header
//! alone or of main header and payload.
//!
//! A signature of the main header vouches for the payload by the SHA-256 in it. One good signature that reaches all of the
//! package is enough; nothing behind the signature header is parsed before there is one.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::archive::{self, Ahead};
use super::blob::Blob;
use super::tag;
use crate::digest::Sha256;
use crate::package::SignatureError;
use crate::source::openpgp::{self, Keyring};

/// Checks that a key of the keyring signed all of a package.
pub fn check(file: &mut File, keyring: &Keyring) -> Result<(), SignatureError> {
    let (signatures, header, start) = read(file).map_err(SignatureError::Unreadable)?;
    let mut refusals = Vec::new();
    for signature in &signatures.of_header {
        match keyring.verify_packet(&header[..], signature) {
            Ok(()) => match check_payload(file, &header, start).map_err(SignatureError::Unreadable)? {
                Payload::Good => return Ok(()),
                Payload::Other { found, expected } => {
                    return Err(SignatureError::Part(format!(
                        "its payload has the SHA-256 {found}, its signed header expects {expected}"
                    )));
                }
                Payload::Unsaid => break,
            },
            Err(error) => refusals.push(error),
        }
    }
    let is_header_good = refusals.len() < signatures.of_header.len();
    for signature in &signatures.of_all {
        let seek = file.seek(SeekFrom::Start(start));
        seek.context("its header").map_err(SignatureError::Unreadable)?;
        match keyring.verify_packet(&mut *file, signature) {
            Ok(()) => return Ok(()),
            Err(error) => refusals.push(error),
        }
    }
    if is_header_good && signatures.of_all.is_empty() {
        let told = "its header is signed, but has no SHA-256 of the payload, which nothing else vouches for";
        return Err(SignatureError::Part(told.to_owned()));
    }
    Err(openpgp::Error::summed_up(refusals).into())
}

/// The signatures of a package, as `OpenPGP` packets.
struct Signatures {
    of_header: Vec<Vec<u8>>,
    of_all: Vec<Vec<u8>>,
}

/// The signatures, and the bytes of the main header with the place in the file where they begin. Only the signature header is
/// parsed.
fn read(file: &mut File) -> Result<(Signatures, Vec<u8>, u64)> {
    file.rewind()?;
    let Ahead { lead, signature, header } = archive::read_ahead(&mut BufReader::new(&mut *file))?;
    let length = signature.len();
    let start = (lead.len() + length.next_multiple_of(8)) as u64;
    let tags = Blob::parse(tag::SIGNATURES, signature).context("its signature header")?;
    let binary = |tag: &u32| tags.binary(*tag).map(<[u8]>::to_vec);
    let mut found = Signatures {
        of_header: [tag::RSAHEADER, tag::DSAHEADER].iter().filter_map(binary).collect(),
        of_all: [tag::SIG_PGP, tag::SIG_GPG].iter().filter_map(binary).collect(),
    };
    for text in tags.texts(tag::OPENPGP)? {
        let packet = BASE64_STANDARD.decode(text.trim_ascii()).context("its signature is no base64")?;
        found.of_header.push(packet);
    }
    Ok((found, header, start))
}

/// What a header says of the payload behind it.
enum Payload {
    /// This is the one.
    Good,
    /// It means another.
    Other { found: Sha256, expected: String },
    /// Nothing by SHA-256.
    Unsaid,
}

/// Compares the payload with the digest in its header, which is signed and begins at `start`.
fn check_payload(file: &mut File, header: &[u8], start: u64) -> Result<Payload> {
    let tags = Blob::parse(tag::IMMUTABLE, header.to_vec()).context("its header")?;
    let is_sha256 = tags.numbers(tag::PAYLOADDIGESTALGO)?.first().is_none_or(|kind| *kind == u64::from(tag::SHA256));
    let Some(expected) = tags.text(tag::PAYLOADDIGEST)?.filter(|_| is_sha256) else { return Ok(Payload::Unsaid) };
    file.seek(SeekFrom::Start(start + header.len() as u64))?;
    let (found, _) = Sha256::of_reader(file)?;
    if found.to_hex().as_bytes() == expected {
        return Ok(Payload::Good);
    }
    Ok(Payload::Other { found, expected: String::from_utf8_lossy(expected).into_owned() })
}
