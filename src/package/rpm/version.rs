//! The order of rpm versions (rpm-version(7); `rpmvercmp` of rpm's rpmio/rpmvercmp.c is what the oracle asks).

use std::cmp::Ordering;

/// An `[EPOCH:]VERSION[-RELEASE]`, split as rpm splits it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Evr<'a> {
    /// Digits; empty means 0.
    pub epoch: &'a str,
    /// The version.
    pub version: &'a str,
    /// The release; a relation may have none.
    pub release: Option<&'a str>,
}

impl<'a> Evr<'a> {
    /// Splits a text: digits before a colon are the epoch, what stands after the last hyphen is the release.
    pub fn parse(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
            _ => ("", text),
        };
        match rest.rsplit_once('-') {
            Some((version, release)) => Self { epoch, version, release: Some(release) },
            None => Self { epoch, version: rest, release: None },
        }
    }

    /// The order by epoch and version alone.
    pub fn compare_versions(&self, other: &Self) -> Ordering {
        let digits = |text: &'a str| text.trim_start_matches('0');
        let (own, others) = (digits(self.epoch), other.epoch.trim_start_matches('0'));
        let epochs = own.len().cmp(&others.len()).then_with(|| own.cmp(others));
        epochs.then_with(|| compare_part(self.version, other.version))
    }
}

/// Compares two versions of packages; a missing release sorts before any.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Evr::parse(a), Evr::parse(b));
    a.compare_versions(&b).then_with(|| match (a.release, b.release) {
        (Some(a), Some(b)) => compare_part(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    })
}

/// Compares two versions or two releases: runs of digits as numbers, runs of letters as text, a number after a word; `~`
/// before the end of the text, `^` just after it; everything else only separates.
pub fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (skip_separators(a), skip_separators(b));
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) | (Some(_), None) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None | Some(b'^'), Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) => return Ordering::Greater,
            (Some(first), Some(_)) => {
                let number = first.is_ascii_digit();
                let (own, others) = (run(a, number), run(b, number));
                if others == 0 {
                    return if number { Ordering::Greater } else { Ordering::Less };
                }
                let order = compare_runs(&a[..own], &b[..others], number);
                if order.is_ne() {
                    return order;
                }
                (a, b) = (&a[own..], &b[others..]);
            }
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| b.is_ascii_alphanumeric() || matches!(b, b'~' | b'^'));
    &text[end.unwrap_or(text.len())..]
}

fn run(text: &[u8], number: bool) -> usize {
    text.iter().take_while(|b| if number { b.is_ascii_digit() } else { b.is_ascii_alphabetic() }).count()
}

fn compare_runs(a: &[u8], b: &[u8], number: bool) -> Ordering {
    if !number {
        return a.cmp(b);
    }
    let digits = |text: &'_ [u8]| text.iter().position(|d| *d != b'0').unwrap_or(text.len());
    let (a, b) = (&a[digits(a)..], &b[digits(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_rpm_s_order() {
        for (a, b, order) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "1.0.1", Ordering::Less),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1", "1.0~rc2", Ordering::Less),
            ("1.0^git1", "1.0", Ordering::Greater),
            ("1.0^git1", "1.0.1", Ordering::Less),
            ("1.0^git1~x", "1.0^git1", Ordering::Less),
            ("1.0a", "1.01", Ordering::Less),
            ("2a", "2.0", Ordering::Less),
            ("10", "9", Ordering::Greater),
            ("007", "7", Ordering::Equal),
            ("1_0", "1.0", Ordering::Equal),
            ("1.", "1", Ordering::Equal),
            ("", "0", Ordering::Less),
            ("99999999999999999999999", "99999999999999999999998", Ordering::Greater),
            ("é1", "1", Ordering::Equal),
        ] {
            assert_eq!(compare_part(a, b), order, "{a} {b}");
            assert_eq!(compare_part(b, a), order.reverse(), "{b} {a}");
        }
        for (a, b, order) in [
            ("1:1-1", "2-9", Ordering::Greater),
            ("0:1-1", "1-1", Ordering::Equal),
            ("00:1-1", "1-1", Ordering::Equal),
            ("1-2", "1-10", Ordering::Less),
            ("1-1-2", "1-1-1", Ordering::Greater),
            ("a:1", "1", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
        }
    }
}
