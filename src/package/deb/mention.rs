//! Where an index first mentions a package. apt numbers packages in that order, and its last resort between providers of
//! a virtual package is the number.

/// The fields in which apt meets names, in the order it reads them (apt-pkg/deb/deblistparser.cc).
const FIELDS: &[&str] = &[
    "Package",
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Recommends",
    "Suggests",
    "Replaces",
    "Enhances",
    "Provides",
];

/// A place in the texts; places order as apt meets them: text, stanza, field, offset.
pub type Place = (usize, usize, usize, usize);

/// The first place in `texts` that names `name`.
pub fn first_mention<'a>(texts: impl Iterator<Item = &'a str>, name: &str) -> Option<Place> {
    texts.enumerate().find_map(|(number, text)| {
        let (stanza, field, offset) = in_text(text.as_bytes(), name.as_bytes())?;
        Some((number, stanza, field, offset))
    })
}

fn in_text(text: &[u8], name: &[u8]) -> Option<(usize, usize, usize)> {
    let mut best: Option<(usize, usize, usize)> = None;
    for at in memchr::memmem::find_iter(text, name) {
        if best.is_some_and(|(stanza, ..)| memchr::memmem::find(&text[stanza..at], b"\n\n").is_some()) {
            break;
        }
        let letter = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b"+-._".contains(b));
        if letter(at.checked_sub(1).and_then(|i| text.get(i))) || letter(text.get(at + name.len())) {
            continue;
        }
        let line = memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
        let field = text[line..].split(|b| *b == b':').next().unwrap_or_default();
        let Some(rank) = FIELDS.iter().position(|known| known.as_bytes() == field) else { continue };
        // What follows an opening bracket is a version, not a name.
        let since_comma =
            text[line..at].iter().rposition(|b| matches!(b, b',' | b'(' | b')' | b':')).map(|i| text[line + i]);
        if since_comma == Some(b'(') {
            continue;
        }
        let stanza = memchr::memmem::rfind(&text[..at], b"\n\n").map_or(0, |blank| blank + 2);
        let place = (stanza, rank, at);
        best = Some(best.map_or(place, |known| known.min(place)));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mention_is_a_whole_name_in_a_relation() {
        let text = "Package: a\nProvides: v\nDepends: lib-c, cc | c:any (>= 1)\nDescription: b\n\nPackage: b\nDepends: v (= c)\n";
        let place = |name| first_mention([text].into_iter(), name).map(|(_, stanza, field, _)| (stanza, FIELDS[field]));
        let second = text.find("Package: b").unwrap();
        assert_eq!(place("a"), Some((0, "Package")));
        assert_eq!(place("b"), Some((second, "Package")));
        assert_eq!(place("c"), Some((0, "Depends")));
        assert_eq!(place("v"), Some((0, "Provides")));
        assert_eq!(place("lib"), None);
    }
}
