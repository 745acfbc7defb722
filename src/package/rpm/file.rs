//! A package file: lead, signature header, header, payload. All but the payload is its front, which is small.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use sha1::Digest as _;

use super::header::{Header, INTRO_SIZE, Value};
use super::tag;
use crate::digest::Sha256;

/// What each package file begins with.
pub(super) const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
/// Bytes of the lead.
pub(super) const LEAD: usize = 96;
/// Bytes of the name in the lead, the one that ends it included.
const LEAD_NAME: usize = 66;
/// Bytes of a signature header written here, of which signatures take what they need, and zeros the rest. So a package has the
/// same size signed and unsigned. A multiple of 8.
const SIGNATURES: usize = 4608;

/// An `OpenPGP` signature of the main header, as a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Where rpm looks for it: RSA signatures have a tag of their own.
    pub tag: u32,
    /// The packet.
    pub packet: Vec<u8>,
}

/// The front of a package file.
#[derive(Clone, Debug)]
pub struct Front {
    lead: Vec<u8>,
    signatures: Header,
    /// The main header.
    pub header: Header,
    header_bytes: Vec<u8>,
}

impl Front {
    /// The front of a package that is not signed. `payload` and `archive` are the sizes in bytes of the payload as it stands
    /// in the file and without compression.
    pub fn new(header: Header, payload: u64, archive: u64) -> Self {
        let part = |tag| header.text(tag).unwrap_or_default();
        let lead = lead(&[part(tag::NAME), part(tag::VERSION), part(tag::RELEASE)].join("-"));
        let header_bytes = header.to_bytes();
        let mut signatures = Header::new(tag::SIGNATURES);
        let sha1 = sha1::Sha1::digest(&header_bytes);
        signatures.set(tag::SHA1HEADER, Value::Text(format!("{sha1:x}")));
        signatures.set(tag::SHA256HEADER, Value::Text(Sha256::of(&header_bytes).to_hex()));
        // The tags of sizes go by their width.
        let size = header_bytes.len() as u64 + payload;
        if let (Ok(size), Ok(archive)) = (u32::try_from(size), u32::try_from(archive)) {
            signatures.set(tag::SIG_SIZE, Value::Int32(vec![size]));
            signatures.set(tag::SIG_PAYLOADSIZE, Value::Int32(vec![archive]));
        } else {
            signatures.set(tag::SIG_LONGSIZE, Value::Int64(vec![size]));
            signatures.set(tag::SIG_LONGARCHIVESIZE, Value::Int64(vec![archive]));
        }
        let mut new = Self { lead, signatures, header, header_bytes };
        new.fill(SIGNATURES);
        new
    }

    /// Reads the front of a package file; `file` then stands where the payload begins.
    pub fn read(file: &mut impl Read) -> Result<Self> {
        let lead = take(file, LEAD).context("its lead ends early")?;
        ensure!(lead[..4] == LEAD_MAGIC, "it is no package of rpm's: its first bytes are others");
        ensure!(lead[78..80] == [0, 5], "its signatures are not in a header: it is older than rpm 3");
        let signatures = header(file, tag::SIGNATURES).context("its signature header")?.0;
        let length = signatures.to_bytes().len();
        let padding = take(file, length.next_multiple_of(8) - length).context("it ends early")?;
        ensure!(padding.iter().all(|byte| *byte == 0), "there is something behind its signature header");
        let (header, header_bytes) = header(file, tag::IMMUTABLE).context("its header")?;
        let front = Self { lead, signatures, header, header_bytes };
        let told = front.signatures.text(tag::SHA256HEADER);
        let sha256 = Sha256::of(&front.header_bytes).to_hex();
        ensure!(
            told.is_none_or(|told| told == sha256),
            "its header has the SHA-256 {sha256}, expected {}",
            told.unwrap_or_default()
        );
        Ok(front)
    }

    /// What signatures are of.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The SHA-256 of the payload as it stands in the file.
    pub fn payload_digest(&self) -> Result<Sha256> {
        ensure!(
            self.header.number(tag::PAYLOADDIGESTALGO) == Some(u64::from(tag::SHA256)),
            "its header has no SHA-256 of the payload, so that a signature would not be of all of it"
        );
        let digest = self.header.text(tag::PAYLOADDIGEST).context("its header has no digest of the payload")?;
        digest.parse().context("its header's digest of the payload")
    }

    /// Puts a signature in place of all that there are, which may be of other keys. Digests and sizes stay.
    pub fn sign(&mut self, signature: Signature) {
        let room = self.signatures.to_bytes().len();
        self.signatures.retain(&KEPT);
        self.signatures.set(signature.tag, Value::Binary(signature.packet));
        self.fill(room);
    }

    /// Makes the signature header as long as that, where it is shorter.
    fn fill(&mut self, room: usize) {
        self.signatures.remove(tag::SIG_RESERVEDSPACE);
        self.signatures.set(tag::SIG_RESERVEDSPACE, Value::Binary(vec![0]));
        let length = self.signatures.to_bytes().len();
        match room.checked_sub(length) {
            Some(more) => self.signatures.set(tag::SIG_RESERVEDSPACE, Value::Binary(vec![0; more + 1])),
            None => self.signatures.remove(tag::SIG_RESERVEDSPACE),
        }
    }

    /// The bytes ahead of the payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.lead.clone();
        bytes.extend(self.signatures.to_bytes());
        bytes.resize(LEAD + (bytes.len() - LEAD).next_multiple_of(8), 0);
        bytes.extend(&self.header_bytes);
        bytes
    }
}

/// What of a signature header is no signature: digests and sizes. All else may be one, such as `RPMSIGTAG_PGP` (1002) and
/// `RPMSIGTAG_GPG` (1005) of header and payload together, `RPMSIGTAG_FILESIGNATURES` (274) or `RPMSIGTAG_OPENPGP` (278).
const KEPT: [u32; 7] = [
    tag::SHA1HEADER,
    tag::SIG_LONGSIZE,
    tag::SIG_LONGARCHIVESIZE,
    tag::SHA256HEADER,
    tag::SIG_SIZE,
    tag::SIG_MD5,
    tag::SIG_PAYLOADSIZE,
];

/// The lead of a binary package; all that is still read of it is its magic, and that there is a signature header.
fn lead(name: &str) -> Vec<u8> {
    let mut lead = [&LEAD_MAGIC[..], &[3, 0, 0, 0, 0, 0]].concat();
    lead.extend(name.bytes().take(LEAD_NAME - 1));
    lead.resize(10 + LEAD_NAME, 0);
    // The operating system Linux, and signatures in a header.
    lead.extend([0, 1, 0, 5]);
    lead.resize(LEAD, 0);
    lead
}

fn header(file: &mut impl Read, region: u32) -> Result<(Header, Vec<u8>)> {
    let mut bytes = take(file, INTRO_SIZE)?;
    let size = Header::size(&bytes)?;
    bytes.extend(take(file, size - INTRO_SIZE)?);
    Ok((Header::parse(region, &bytes)?.0, bytes))
}

pub(super) fn take(file: &mut impl Read, size: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(size as u64).read_to_end(&mut bytes)?;
    if bytes.len() < size {
        bail!("it ends after {} of {size} bytes", bytes.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(payload: u64) -> Front {
        let mut header = Header::new(tag::IMMUTABLE);
        for (tag, text) in [(tag::NAME, "a"), (tag::VERSION, "1"), (tag::RELEASE, "2")] {
            header.set(tag, Value::Text(text.to_owned()));
        }
        Front::new(header, payload, 10)
    }

    #[test]
    fn the_front_has_one_size_signed_and_unsigned() {
        let mut front = front(1);
        let unsigned = front.to_bytes();
        front.sign(Signature { tag: tag::RSAHEADER, packet: vec![1; 566] });
        let signed = front.to_bytes();
        assert_eq!(unsigned.len(), signed.len());
        let read = Front::read(&mut &signed[..]).unwrap();
        assert_eq!(read.to_bytes(), signed);
        assert!(read.signatures.get(tag::RSAHEADER).is_some());
        front.sign(Signature { tag: tag::DSAHEADER, packet: vec![2; 100] });
        assert!(front.signatures.get(tag::RSAHEADER).is_none() && front.to_bytes().len() == signed.len());
        front.sign(Signature { tag: tag::RSAHEADER, packet: vec![3; 8000] });
        assert!(front.signatures.get(tag::SIG_RESERVEDSPACE).is_none() && front.to_bytes().len() > signed.len());
    }

    #[test]
    fn no_signature_stays_beside_a_new_one() {
        let mut front = front(1);
        let others = [tag::DSAHEADER, 274, 275, 278, 279, 999, 1002, 1005];
        for tag in others.into_iter().chain([tag::SIG_MD5]) {
            front.signatures.set(tag, Value::Binary(vec![1; 16]));
        }
        front.sign(Signature { tag: tag::RSAHEADER, packet: vec![1; 566] });
        assert!(others.iter().all(|tag| front.signatures.get(*tag).is_none()), "{:?}", front.signatures);
        for tag in
            [tag::RSAHEADER, tag::SHA1HEADER, tag::SHA256HEADER, tag::SIG_SIZE, tag::SIG_PAYLOADSIZE, tag::SIG_MD5]
        {
            assert!(front.signatures.get(tag).is_some(), "{tag}");
        }
    }

    #[test]
    fn sizes_beyond_4_gib_have_tags_of_their_own() {
        let front = front(5 << 30);
        assert_eq!(front.signatures.number(tag::SIG_LONGSIZE), Some((5 << 30) + front.header_bytes.len() as u64));
        assert_eq!(front.signatures.number(tag::SIG_SIZE), None);
    }

    #[test]
    fn another_header_than_its_digest_says_is_refused() {
        let mut bytes = front(1).to_bytes();
        let at = bytes.len() - 20;
        bytes[at] = b'3';
        let error = format!("{:#}", Front::read(&mut &bytes[..]).unwrap_err());
        assert!(error.starts_with("its header has the SHA-256 "), "{error}");
        assert!(Front::read(&mut &b"!<arch>\ndebian-binary"[..]).is_err());
    }
}
