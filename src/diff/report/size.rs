//! Numbers of bytes for people.

use indicatif::HumanBytes;

/// A number of bytes.
pub fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// By how many bytes something grows, with its sign.
pub fn growth(number: i64) -> String {
    let sign = match number {
        0 => "±",
        1.. => "+",
        _ => "−",
    };
    format!("{sign}{}", HumanBytes(number.unsigned_abs()))
}

/// Growths that may differ from lock to lock.
pub fn growths(numbers: impl IntoIterator<Item = i64>) -> String {
    let mut numbers: Vec<i64> = numbers.into_iter().collect();
    numbers.sort_unstable();
    match (numbers.first(), numbers.last()) {
        (Some(least), Some(most)) if growth(*least) != growth(*most) => {
            format!("{} to {}", growth(*least), growth(*most))
        }
        (Some(one), _) => growth(*one),
        (None, _) => String::new(),
    }
}
