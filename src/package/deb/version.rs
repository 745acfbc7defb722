//! The order of Debian versions (Debian Policy 5.6.12, as `dpkg --compare-versions` does it).
//!
//! It allocates nothing, and takes every version that dpkg takes, with digits beyond 64 bits.

use std::cmp::Ordering;

/// Compares two versions, `[EPOCH:]UPSTREAM[-REVISION]`. Missing parts count as `0` and any text has a place.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::split(a), Parts::split(b));
    compare_digits(a.epoch.as_bytes(), b.epoch.as_bytes())
        .then_with(|| compare_part(a.upstream.as_bytes(), b.upstream.as_bytes()))
        .then_with(|| compare_part(a.revision.as_bytes(), b.revision.as_bytes()))
}

/// Whether a text is a version that dpkg takes (deb-version(7)): an epoch of digits, a upstream part that begins with a
/// digit, and no characters but letters, digits and `.+-~:`.
pub fn is_valid(version: &str) -> bool {
    let parts = Parts::split(version);
    let allowed =
        |more: &'static [u8]| move |b: u8| b.is_ascii_alphanumeric() || b".+~".contains(&b) || more.contains(&b);
    let has_epoch = version.contains(':');
    let has_revision = version.contains('-');
    (!has_epoch || !parts.epoch.is_empty() && parts.epoch.parse::<i32>().is_ok_and(|epoch| epoch >= 0))
        && parts.epoch.bytes().all(|b| b.is_ascii_digit())
        && parts.upstream.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && parts.upstream.bytes().all(allowed(b"-:"))
        && (!has_revision || !parts.revision.is_empty())
        && parts.revision.bytes().all(allowed(b""))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    /// The epoch ends at the first colon, the revision begins after the last hyphen.
    fn split(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Compares runs of non-digits and runs of digits in turn.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit()) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order.is_ne() {
                return order;
            }
            (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
        }
        let (digits_a, digits_b) = (run_of_digits(a), run_of_digits(b));
        let order = compare_digits(&a[..digits_a], &b[..digits_b]);
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[digits_a..], &b[digits_b..]);
    }
    Ordering::Equal
}

/// `~` sorts before the end, the end and digits before letters, letters before all else.
fn weight(c: Option<&u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    }
}

fn run_of_digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// Compares numbers of any length.
fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().take_while(|b| **b == b'0').count();
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row ascends; `=` joins versions that are equal.
    const ASCENDING: &[&str] = &[
        "0 = 0:0 = 0-0 = 00",
        "1.0~~ 1.0~~a 1.0~ 1.0 = 0:1.0 = 1.0-0 = 1.00 1.0-0+b1 1.0-1~bpo12+1 1.0-1 1.0-1+b1 1.0-1.1 1.0-2 1.0-10",
        "1.0 1.0-1 1.0a 1.0ab 1.0b 1.0+ 1.0+a",
        "9999:1 10000:0",
        "1 18446744073709551615 18446744073709551616 99999999999999999999999999999999999999999 = 0099999999999999999999999999999999999999999",
        "1.2.3-4 1.2.3-4a 1.2.3-4.1 1.2.3a-1 1.2.3+dfsg-1 1.2.3.1-1 1.2.10-1",
        "2.0-1-1 2.0-1.1-1 2.0.1-1",
        "1:1~rc1 1:1 1:1:2 2:0",
        "a aa b + .",
    ];

    #[test]
    fn versions_ascend_as_dpkg_says() {
        for row in ASCENDING {
            let mut previous: Option<(&str, bool)> = None;
            for word in row.split(' ') {
                if word == "=" {
                    previous = previous.map(|(p, _)| (p, true));
                    continue;
                }
                if let Some((before, equal)) = previous {
                    let expected = if equal { Ordering::Equal } else { Ordering::Less };
                    assert_eq!(compare(before, word), expected, "{before} {word}");
                    assert_eq!(compare(word, before), expected.reverse(), "{word} {before}");
                }
                previous = Some((word, false));
            }
        }
    }

    #[test]
    fn validity_is_dpkgs() {
        for good in ["1", "0:1", "1.0~", "1.0+b1", "2.0-1-1", "1:1:2", "1a-b"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "1.0-", ":1", "x:1", "1_0", "1 0", "1:", "-1", "99999999999:1", "1-1_"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
