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

/// The stanza that names it first, and there the field that apt reads first.
fn in_text(text: &[u8], name: &[u8]) -> Option<(usize, usize, usize)> {
    let first = memchr::memmem::find_iter(text, name).find(|at| field_naming(text, name, *at).is_some())?;
    let start = memchr::memmem::rfind(&text[..first], b"\n\n").map_or(0, |blank| blank + 2);
    let end = memchr::memmem::find(&text[first..], b"\n\n").map_or(text.len(), |blank| first + blank);
    let hits = memchr::memmem::find_iter(&text[first..end], name).map(|at| first + at);
    hits.filter_map(|at| Some((start, field_naming(text, name, at)?, at))).min()
}

/// The rank of the field that names a package at this place; `None` when the text there is something else.
fn field_naming(text: &[u8], name: &[u8], at: usize) -> Option<usize> {
    let continues = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b"+-._".contains(b));
    if continues(at.checked_sub(1).and_then(|before| text.get(before))) || continues(text.get(at + name.len())) {
        return None;
    }
    let line = &text[memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1)..at];
    let field = &line[..memchr::memchr(b':', line)?];
    // What follows an opening bracket is a version, not a name.
    let before = line.iter().rfind(|b| matches!(b, b',' | b'(' | b')' | b':'));
    if before == Some(&b'(') {
        return None;
    }
    FIELDS.iter().position(|known| known.as_bytes() == field)
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
