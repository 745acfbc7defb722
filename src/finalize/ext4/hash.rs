//! The hash by which ext4 finds names in directories of several blocks: `half_md4` over signed characters
//! (Documentation/filesystems/ext4/directory.rst, "Hash Tree Directories").

/// The numbers of MD4's second and third round (RFC 1320, A.3).
const ROUND_2: u32 = 0x5a82_7999;
const ROUND_3: u32 = 0x6ed9_eba1;

/// For each step of a round: which word of the message it adds. By how much it turns goes by the round.
const STEPS: [([usize; 8], [u32; 4], u32); 3] = [
    ([0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19], 0),
    ([1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13], ROUND_2),
    ([3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15], ROUND_3),
];

/// How many bytes of a name are taken at once.
const PART: usize = 32;
/// The hash that stands for the end of a directory.
const END: u32 = 0xffff_fffe;

/// The major and minor hash of a name under a file system's seed.
pub(super) fn hash(name: &[u8], seed: [u32; 4]) -> (u32, u32) {
    let mut state = seed;
    let mut rest = name;
    while !rest.is_empty() {
        mix(&mut state, words(rest));
        rest = &rest[rest.len().min(PART)..];
    }
    let major = match state[1] & !1 {
        END => END - 2,
        major => major,
    };
    (major, state[2])
}

/// The message's next words: characters from the left, filled up with the length of all that is left.
fn words(rest: &[u8]) -> [u32; 8] {
    let length = rest.len() as u32;
    let fill = (length | length << 8) | (length | length << 8) << 16;
    std::array::from_fn(|i| {
        let word = rest.iter().take(PART).skip(4 * i).take(4);
        word.fold(fill, |value, byte| i32::from(byte.cast_signed()).cast_unsigned().wrapping_add(value << 8))
    })
}

fn mix(state: &mut [u32; 4], words: [u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for (round, (order, turns, number)) in STEPS.into_iter().enumerate() {
        for (step, word) in order.into_iter().enumerate() {
            let chosen = match round {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c).wrapping_add((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let sum = a.wrapping_add(chosen).wrapping_add(words[word]).wrapping_add(number);
            (a, b, c, d) = (d, sum.rotate_left(turns[step % 4]), b, c);
        }
    }
    for (part, new) in state.iter_mut().zip([a, b, c, d]) {
        *part = part.wrapping_add(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `debugfs -R 'dx_hash -h half_md4 -s 22114433-6655-8877-aa99-ccbbeeddff00 NAME'` of e2fsprogs 1.47.0
    /// prints.
    #[test]
    fn hashes_are_those_of_debugfs() {
        let seed = [0x3344_1122, 0x7788_5566, 0xbbcc_99aa, 0x00ff_ddee];
        for (name, expected) in [
            ("foo".to_owned(), (0x50c5_c348, 0xa67c_16b6)),
            ("lib".to_owned(), (0x7d30_a99c, 0x6ed3_6fb5)),
            ("libfoo.so.1".to_owned(), (0x41b8_083a, 0xe21b_5e0e)),
            ("a".repeat(31), (0xef62_c0f6, 0xec14_8a08)),
            ("b".repeat(32), (0xc95e_a9d8, 0xfae3_7a82)),
            ("c".repeat(33), (0x95a3_6a1e, 0x5a6c_96ad)),
            ("ö-ÿ".to_owned(), (0x5027_68da, 0xd876_2756)),
            ("xyz-".repeat(60), (0x4402_c91e, 0xc5d2_4e9c)),
        ] {
            assert_eq!(hash(name.as_bytes(), seed), expected, "{name}");
        }
    }
}
