//! Signatures in the one form that Qubes takes (rpmcanon's `openpgp-parser`): version 4, of binary data, RSA or `EdDSA`, over
//! SHA-2, with the time and the issuer's fingerprint in the hashed area, the issuer's key id in the other, and nothing else.
//!
//! Such a signature of the same bytes at the same time has the same bytes each time, for both algorithms.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use sequoia_openpgp as openpgp;

use openpgp::KeyID;
use openpgp::cert::Cert;
use openpgp::crypto::Signer as _;
use openpgp::crypto::hash::Hash as _;
use openpgp::packet::signature::Signature4;
use openpgp::packet::signature::subpacket::{Subpacket, SubpacketArea, SubpacketTag, SubpacketValue};
use openpgp::packet::{Packet, Signature};
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, PublicKeyAlgorithm, SignatureType, Timestamp as KeyTime};

use crate::clock::Timestamp;
use crate::error::Hint;
use crate::package::rpm::file;
use crate::package::rpm::tag;

/// What to do with a key that is younger than the package.
pub const LATER_KEY: &str = "for a key made later than the lock's date: build without a signature, then compose sign --date \
                             gives it another time";

/// Signs bytes with the signing key of a certificate, as of `date`.
pub fn sign(cert: &Cert, bytes: &[u8], date: Timestamp) -> Result<file::Signature> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(date.seconds())?);
    let policy = StandardPolicy::new();
    let keys = cert.keys().with_policy(&policy, time).alive().revoked(false).for_signing().secret();
    let keys: Vec<_> = keys.collect();
    let Some(key) = keys.iter().find(|key| is_taken(key.key().pk_algo())) else {
        if let Some(key) = keys.first() {
            bail!("the key is of the algorithm {}: Qubes takes RSA and EdDSA", key.key().pk_algo());
        }
        let none = anyhow!("the certificate {} has no secret key that signs on {date}", cert.fingerprint());
        return Err(none).hint(|| LATER_KEY);
    };
    if key.key().secret().is_encrypted() {
        return Err(anyhow!("the key {} is protected by a password", key.key().fingerprint())).hint(
            || "import it into gpg, whose agent asks for passwords: build --sign-gpg-key, or sign --gpg-key, names it",
        );
    }
    let mut pair = key.key().clone().into_keypair().context("the secret key")?;
    let (fingerprint, id) = (pair.public().fingerprint(), pair.public().keyid());

    let (mut hashed, mut unhashed) = (SubpacketArea::default(), SubpacketArea::default());
    hashed.add(Subpacket::new(SubpacketValue::IssuerFingerprint(fingerprint), false)?)?;
    let created = KeyTime::try_from(time)?;
    hashed.add(Subpacket::new(SubpacketValue::SignatureCreationTime(created), true)?)?;
    unhashed.add(Subpacket::new(SubpacketValue::Issuer(id), false)?)?;
    let (hash, algorithm) = (HashAlgorithm::SHA256, pair.public().pk_algo());
    let fields = |prefix, mpis| {
        let (hashed, unhashed) = (hashed.clone(), unhashed.clone());
        Signature4::new(SignatureType::Binary, algorithm, hash, hashed, unhashed, prefix, mpis)
    };
    // What is hashed of a signature is all ahead of the numbers that are not known yet.
    let unknown = openpgp::crypto::mpi::Signature::Unknown { mpis: Box::default(), rest: Box::default() };
    let mut context = hash.context()?.for_signature(4);
    context.update(bytes);
    fields([0, 0], unknown).hash(&mut context)?;
    let digest = context.into_digest()?;
    let mpis = pair.sign(hash, &digest).context("cannot sign")?;
    packet(&fields([digest[0], digest[1]], mpis))
}

/// Reads a detached signature that another program made, binary or armored, and tells when Qubes would refuse it.
pub fn read(signature: &[u8]) -> Result<(file::Signature, String)> {
    let mut packets = Vec::new();
    let mut parser = PacketParser::from_bytes(signature).context("it is no OpenPGP data")?;
    while let PacketParserResult::Some(packet) = parser {
        let (packet, rest) = packet.next()?;
        packets.push(packet);
        parser = rest;
    }
    let [Packet::Signature(Signature::V4(signature))] = packets.as_slice() else {
        bail!("it is not one detached OpenPGP signature of version 4, but {} packets", packets.len());
    };
    check(signature)?;
    let issuer = signature.issuer_fingerprints().next().map(ToString::to_string);
    let issuer = issuer.or_else(|| signature.issuers().next().map(ToString::to_string)).unwrap_or_default();
    Ok((packet(signature)?, issuer))
}

/// What rpmcanon demands.
fn check(signature: &Signature4) -> Result<()> {
    if signature.typ() != SignatureType::Binary {
        bail!("it is a {:?} signature, expected one of binary data", signature.typ());
    }
    if !is_taken(signature.pk_algo()) {
        bail!("it is by {}: Qubes takes RSA and EdDSA", signature.pk_algo());
    }
    let hash = signature.hash_algo();
    if !matches!(hash, HashAlgorithm::SHA256 | HashAlgorithm::SHA384 | HashAlgorithm::SHA512) {
        bail!("it is over a digest by {hash}: Qubes takes SHA-256, SHA-384 and SHA-512");
    }
    let hashed = |tag| signature.hashed_area().subpackets(tag).count();
    if hashed(SubpacketTag::SignatureExpirationTime) > 0 {
        return Err(anyhow!("it expires: Qubes refuses every signature that does"))
            .hint(|| "sign without a time of expiry: of gpg, with --no-options and no --default-sig-expire");
    }
    let taken = |subpacket: &&Subpacket| {
        matches!(
            subpacket.tag(),
            SubpacketTag::SignatureCreationTime
                | SubpacketTag::Issuer
                | SubpacketTag::IssuerFingerprint
                | SubpacketTag::SignersUserID
        )
    };
    let issuers = hashed(SubpacketTag::Issuer);
    let outside = |subpacket: &&Subpacket| subpacket.tag() == SubpacketTag::Issuer && issuers == 0;
    let other = signature.hashed_area().iter().find(|subpacket| !taken(subpacket));
    if let Some(other) = other.or_else(|| signature.unhashed_area().iter().find(|subpacket| !outside(subpacket))) {
        return Err(anyhow!("it says more than who signed when: {:?}, which Qubes refuses", other.tag()))
            .hint(|| "leave notations, policies and preferences to other signatures: of gpg, with --no-options");
    }
    let once = [SubpacketTag::IssuerFingerprint, SubpacketTag::SignersUserID].iter().all(|tag| hashed(*tag) <= 1);
    if !once || hashed(SubpacketTag::SignatureCreationTime) != 1 {
        bail!("it says twice what Qubes takes once, or not when it was made");
    }
    let named: Vec<KeyID> = signature.issuers().cloned().collect();
    let [issuer] = named.as_slice() else {
        bail!("it has {} issuers' key ids, expected one", named.len());
    };
    match signature.issuer_fingerprints().find(|fingerprint| KeyID::from(*fingerprint) != *issuer) {
        Some(other) => bail!("it is by the key {issuer} and by another, {other}"),
        None => Ok(()),
    }
}

fn is_taken(algorithm: PublicKeyAlgorithm) -> bool {
    matches!(algorithm, PublicKeyAlgorithm::RSAEncryptSign | PublicKeyAlgorithm::EdDSA)
}

/// The packet with a header as gpg writes it, whose form is the older of two and the one that all of rpm's parsers read.
fn packet(signature: &Signature4) -> Result<file::Signature> {
    let body = MarshalInto::to_vec(signature)?;
    let length = u16::try_from(body.len()).context("the signature is longer than 64 KiB")?;
    let packet = [&[0x89], &length.to_be_bytes()[..], &body].concat();
    let is_rsa = signature.pk_algo() == PublicKeyAlgorithm::RSAEncryptSign;
    Ok(file::Signature { tag: if is_rsa { tag::RSAHEADER } else { tag::DSAHEADER }, packet })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::hints;
    use openpgp::cert::{CertBuilder, CipherSuite};
    use openpgp::packet::signature::SignatureBuilder;
    use openpgp::types::KeyFlags;

    fn date() -> Timestamp {
        "2026-11-14T09:12:44Z".parse().unwrap()
    }

    fn cert(suite: CipherSuite) -> Cert {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let flags = KeyFlags::empty().set_certification().set_signing();
        let builder = CertBuilder::new().add_userid("a").set_primary_key_flags(flags);
        builder.set_cipher_suite(suite).set_creation_time(created).generate().unwrap().0
    }

    #[test]
    fn a_signature_has_the_same_bytes_each_time_and_the_form_that_qubes_takes() {
        for (suite, tag) in [(CipherSuite::RSA2k, tag::RSAHEADER), (CipherSuite::Cv25519, tag::DSAHEADER)] {
            let cert = cert(suite);
            let first = sign(&cert, b"header", date()).unwrap();
            assert_eq!(first, sign(&cert, b"header", date()).unwrap());
            assert_ne!(first, sign(&cert, b"other", date()).unwrap());
            assert_eq!(first.tag, tag);
            let (read, issuer) = read(&first.packet).unwrap();
            assert_eq!((read, issuer), (first.clone(), cert.fingerprint().to_string()));
            let Packet::Signature(signature) = Packet::from_bytes(&first.packet).unwrap() else { panic!() };
            signature.verify_message(cert.primary_key().key(), b"header").unwrap();
            assert!(signature.verify_message(cert.primary_key().key(), b"other").is_err());
        }
    }

    #[test]
    fn a_key_made_later_does_not_sign_earlier() {
        let early = "2020-01-01T00:00:00Z".parse().unwrap();
        let refused = sign(&cert(CipherSuite::Cv25519), b"header", early).unwrap_err();
        assert!(refused.to_string().ends_with("has no secret key that signs on 2020-01-01T00:00:00Z"), "{refused}");
        assert_eq!(hints(&refused), [LATER_KEY]);
    }

    #[test]
    fn a_key_with_a_password_is_for_gpg() {
        let builder = CertBuilder::new().set_primary_key_flags(KeyFlags::empty().set_certification().set_signing());
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let cert = builder.set_creation_time(created).set_password(Some("secret".into())).generate().unwrap().0;
        let refused = sign(&cert, b"header", date()).unwrap_err();
        assert!(refused.to_string().ends_with(" is protected by a password"), "{refused}");
        let told = hints(&refused).concat();
        assert!(told.ends_with("build --sign-gpg-key, or sign --gpg-key, names it"), "{told}");
    }

    #[test]
    fn signatures_in_other_forms_are_refused() {
        let cert = cert(CipherSuite::Cv25519);
        let mut pair = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
        let refused = |signature: Signature| read(&Packet::from(signature).to_vec().unwrap()).unwrap_err().to_string();
        let mut refusal = |kind, hash| {
            let builder = SignatureBuilder::new(kind).set_hash_algo(hash);
            let signature = builder.sign_message(&mut pair, b"header").unwrap();
            refused(signature)
        };
        let salted = refusal(SignatureType::Binary, HashAlgorithm::SHA256);
        assert_eq!(salted, "it says more than who signed when: NotationData, which Qubes refuses");
        let text = refusal(SignatureType::Text, HashAlgorithm::SHA256);
        assert_eq!(text, "it is a Text signature, expected one of binary data");
        let short = refusal(SignatureType::Binary, HashAlgorithm::SHA224);
        assert!(short.starts_with("it is over a digest by "), "{short}");
        assert!(read(b"").is_err() && read(b"signed, me").is_err());

        let own = sign(&cert, b"header", date()).unwrap().packet;
        let Packet::Signature(Signature::V4(own)) = Packet::from_bytes(&own).unwrap() else { panic!() };
        let with = |change: &dyn Fn(&mut Signature4)| {
            let mut changed = own.clone();
            change(&mut changed);
            refused(changed.into())
        };
        let add = |area: &mut SubpacketArea, value| area.add(Subpacket::new(value, false).unwrap()).unwrap();
        let year = Duration::from_secs(31_536_000).try_into().unwrap();
        let expires = with(&|s| add(s.hashed_area_mut(), SubpacketValue::SignatureExpirationTime(year)));
        assert_eq!(expires, "it expires: Qubes refuses every signature that does");
        assert_eq!(with(&|s| s.unhashed_area_mut().clear()), "it has 0 issuers' key ids, expected one");
        let other = with(&|s| {
            s.unhashed_area_mut().clear();
            add(s.unhashed_area_mut(), SubpacketValue::Issuer(KeyID::wildcard()));
        });
        assert!(other.starts_with("it is by the key 0000000000000000 and by another, "), "{other}");
        let dated = with(&|s| s.hashed_area_mut().remove_all(SubpacketTag::SignatureCreationTime));
        assert_eq!(dated, "it says twice what Qubes takes once, or not when it was made");
    }
}
