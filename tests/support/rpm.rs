//! What Qubes' rpmcanon demands of a package before it lets rpm see it, as a strict reader of its own: nothing is shared with
//! the code that writes packages.

use std::collections::BTreeMap;

/// Types of data by number: size of an element, for texts 0.
const SIZES: [(u32, usize); 7] = [(3, 2), (4, 4), (5, 8), (6, 0), (7, 1), (8, 0), (9, 0)];

/// Types of the tags that are known, as in librpm's table.
const MAIN: &[(u32, &[u32])] = &[
    (3, &[1030, 1033]),
    (4, &[1006, 1009, 1028, 1034, 1037, 1045, 1048, 1095, 1096, 1112, 1114, 1116, 5011, 5093]),
    (5, &[5009]),
    (6, &[1000, 1001, 1002, 1007, 1014, 1020, 1021, 1022, 1023, 1044, 1064, 1085, 1124, 1125, 1126, 5062]),
    (8, &[100, 1035, 1036, 1039, 1040, 1047, 1049, 1050, 1090, 1097, 1113, 1115, 1117, 1118, 5092, 5097]),
    (9, &[1004, 1005, 1016]),
];
const SIGNATURES: &[(u32, &[u32])] = &[(4, &[1000, 1007]), (5, &[270, 271]), (6, &[269, 273]), (7, &[267, 268, 1008])];

/// The data of tags: type, and the bytes of each element.
pub type Tags = BTreeMap<u32, (u32, Vec<Vec<u8>>)>;

/// A package that fulfils all demands.
#[derive(Debug)]
pub struct Checked {
    pub signatures: Tags,
    pub header: Tags,
    /// What the signature is of.
    pub header_bytes: Vec<u8>,
    /// Where the payload begins.
    pub payload: usize,
}

impl Checked {
    /// The text of a tag, the first of several.
    pub fn text(&self, tag: u32) -> String {
        String::from_utf8(self.header[&tag].1[0].clone()).unwrap()
    }
}

fn demand(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Checks a package, which must be signed.
pub fn check(package: &[u8]) -> Result<Checked, String> {
    check_lead(package.get(..96).ok_or("the lead ends early")?)?;
    let (signatures, length) = header(&package[96..], 62, SIGNATURES)?;
    let end = (96 + length).next_multiple_of(8);
    demand(package[96 + length..end].iter().all(|byte| *byte == 0), "the signature header's padding is not zero")?;
    let (header, length) = header(&package[end..], 63, MAIN)?;
    for (_, elements) in signatures.values().filter(|(kind, _)| *kind == 6) {
        demand(elements[0].iter().all(|b| (b' '..=b'~').contains(b)), "a text of the signature header is not ASCII")?;
    }
    if let Some((_, zeros)) = signatures.get(&1008) {
        demand(zeros.iter().flatten().all(|byte| *byte == 0), "reserved space is not zero")?;
    }
    let found: Vec<&Vec<u8>> =
        [267, 268].iter().filter_map(|tag| signatures.get(tag)).map(|(_, all)| &all[0]).collect();
    let [signature] = found.as_slice() else { return Err("the header is not signed once".to_owned()) };
    check_signature(signature, signatures.contains_key(&268))?;
    for tag in [1000, 1001, 1002, 1021, 1022, 1044, 5092, 5093] {
        demand(header.contains_key(&tag), &format!("the tag {tag} is missing"))?;
    }
    demand(matches!(number(&header[&5093].1[0]), 8..=10), "the payload's digest is by another algorithm")?;
    demand(header[&5092].1.len() == 1, "there is more than one digest of the payload")?;
    for (tag, (kind, elements)) in &header {
        let ascii = elements.iter().flatten().all(|b| matches!(b, b'\n' | b' '..=b'~'));
        demand(!matches!(kind, 6 | 8 | 9) || ascii, &format!("the tag {tag} is not ASCII"))?;
    }
    let header_bytes = package[end..end + length].to_vec();
    Ok(Checked { signatures, header, header_bytes, payload: end + length })
}

fn check_lead(lead: &[u8]) -> Result<(), String> {
    demand(lead[..4] == [0xed, 0xab, 0xee, 0xdb], "the lead has another magic")?;
    demand(lead[4..8] == [3, 0, 0, 0], "the lead is of another version or type")?;
    let name = &lead[10..76];
    let end = name.iter().position(|byte| *byte == 0).ok_or("the lead's name does not end")?;
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+~^:-".contains(byte);
    demand(end > 0 && name[..end].iter().all(good), "the lead's name has other characters")?;
    demand(name[end..].iter().all(|byte| *byte == 0), "there is something behind the lead's name")?;
    demand(lead[78..80] == [0, 5], "the lead tells of other signatures")?;
    demand(lead[80..].iter().all(|byte| *byte == 0), "the lead's reserved bytes are not zero")
}

/// A header: its region first, tags ascending, their data in that order with no gaps but for alignment.
fn header(bytes: &[u8], region: u32, types: &[(u32, &[u32])]) -> Result<(Tags, usize), String> {
    demand(bytes[..8] == [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0], "a header has another magic")?;
    let [count, size] = [8, 12].map(|at| number(&bytes[at..at + 4]) as usize);
    demand(count <= 65535 && size < 256 << 20, "a header is too large")?;
    let (index, data) = bytes[16..16 + count * 16 + size].split_at(count * 16);
    let fields = |at: usize| [0, 4, 8, 12].map(|field| number(&index[at * 16 + field..at * 16 + field + 4]) as u32);
    let trailer = size.checked_sub(16).ok_or("a header has no region")?;
    demand(fields(0) == [region, 7, trailer as u32, 16], "the region's entry is another")?;
    let back = (count as u32 * 16).wrapping_neg();
    let expected: Vec<u8> = [region, 7, back, 16].iter().flat_map(|n| n.to_be_bytes()).collect();
    demand(data[trailer..] == expected, "the region's trailer is another")?;
    let (mut tags, mut at, mut last) = (Tags::new(), 0_usize, 0);
    for [tag, kind, offset, count] in (1..count).map(fields) {
        demand(tag > last, &format!("the tag {tag} stands behind {last}"))?;
        last = tag;
        let known = types.iter().any(|(k, tags)| *k == kind && tags.contains(&tag));
        demand(known, &format!("the tag {tag} has type {kind}, or is none that is known"))?;
        let (_, element) = SIZES.iter().find(|(k, _)| *k == kind).ok_or("an unknown type")?;
        let aligned = if matches!(kind, 3..=5) { at.next_multiple_of(*element) } else { at };
        demand(data[at..aligned].iter().all(|byte| *byte == 0), "padding is not zero")?;
        demand(offset as usize == aligned, &format!("there is a gap ahead of the tag {tag}"))?;
        demand(count > 0, &format!("the tag {tag} is empty"))?;
        at = aligned;
        let mut elements = Vec::new();
        if kind == 7 {
            elements.push(data[at..at + count as usize].to_vec());
            at += count as usize;
        } else {
            for _ in 0..count {
                let zero = || data[at..].iter().position(|byte| *byte == 0).ok_or("a text does not end");
                let length = if *element == 0 { zero()? } else { *element };
                elements.push(data[at..at + length].to_vec());
                at += length + usize::from(*element == 0);
            }
        }
        let text = elements.iter().all(|text| std::str::from_utf8(text).is_ok());
        demand(*element != 0 || text, &format!("the tag {tag} is not UTF-8"))?;
        tags.insert(tag, (kind, elements));
    }
    demand(at == trailer, "there is something ahead of the region's trailer")?;
    Ok((tags, 16 + count * 16 + size))
}

/// One signature packet of version 4 in either form of length, and in it only what is allowed.
fn check_signature(packet: &[u8], is_rsa: bool) -> Result<(), String> {
    let body = match packet {
        [0x88, length, body @ ..] if body.len() == usize::from(*length) => body,
        [0x89, high, low, body @ ..] if body.len() == usize::from(*high) << 8 | usize::from(*low) => body,
        _ => return Err("it is not one signature packet".to_owned()),
    };
    demand(body[..2] == [4, 0], "the signature is not of version 4 and of binary data")?;
    demand(if is_rsa { matches!(body[2], 1 | 3) } else { matches!(body[2], 17 | 22) }, "the algorithm is another")?;
    demand(matches!(body[3], 8..=10), "the signature is over another digest")?;
    let area = |at: usize| {
        let length = number(&body[at..at + 2]) as usize;
        (&body[at + 2..at + 2 + length], at + 2 + length)
    };
    let (hashed, at) = area(4);
    let (unhashed, end) = area(at);
    let types = |mut area: &[u8]| {
        let mut types = Vec::new();
        while let [length, kind, ..] = area {
            types.push(*kind & 0x7f);
            area = &area[1 + usize::from(*length)..];
        }
        types
    };
    let hashed = types(hashed);
    demand(hashed.contains(&2), "the signature does not tell when it was made")?;
    demand(hashed.iter().all(|kind| matches!(kind, 2 | 16 | 28 | 33)), "a hashed subpacket is not allowed")?;
    let once = (0..hashed.len()).all(|at| !hashed[..at].contains(&hashed[at]));
    demand(once, "a hashed subpacket is there twice")?;
    let unhashed = types(unhashed);
    demand(unhashed.iter().all(|kind| *kind == 16 && !hashed.contains(&16)), "an unhashed subpacket is not allowed")?;
    let issuers = hashed.iter().chain(&unhashed).filter(|kind| **kind == 16).count();
    demand(issuers == 1, "there is not one issuer's key id")?;
    // After the numbers' first two bytes of the digest: one number for RSA, two else, without zeros ahead, and nothing behind.
    let mut numbers = &body[end + 2..];
    let mut count = 0;
    while let [high, low, rest @ ..] = numbers {
        let bits = usize::from(*high) << 8 | usize::from(*low);
        let (number, behind) = rest.split_at_checked(bits.div_ceil(8)).ok_or("a number is cut short")?;
        let first = number.first().ok_or("a number is empty")?;
        demand((bits - 1) % 8 == 7 - first.leading_zeros() as usize, "a number has zeros ahead")?;
        (numbers, count) = (behind, count + 1);
    }
    demand(numbers.is_empty() && count == if is_rsa { 1 } else { 2 }, "there are more numbers, or fewer")
}
