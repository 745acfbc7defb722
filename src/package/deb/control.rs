//! Stanzas of control data: `Field: value` lines and their continuations (deb-control(5), Debian Policy 5.1).

/// One paragraph of fields, borrowed from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stanza<'a>(&'a str);

impl<'a> Stanza<'a> {
    /// The first stanza of a text, and what follows it. Blank lines before it are skipped.
    pub fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let start = text.find(|c: char| c != '\n' && c != '\r')?;
        let text = &text[start..];
        match text.find("\n\n") {
            Some(end) => Some((Self(&text[..=end]), &text[end + 2..])),
            None => Some((Self(text), "")),
        }
    }

    /// The stanza that is the whole text, such as a package's `control` file.
    pub fn parse(text: &'a str) -> Self {
        Self(Self::split(text).map_or("", |(stanza, _)| stanza.0))
    }

    /// All stanzas of a text, in order.
    pub fn all(mut text: &'a str) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (stanza, rest) = Self::split(text)?;
            text = rest;
            Some(stanza)
        })
    }

    /// The stanza's text, as it stands.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Fields with their values, in order. A value keeps its inner line breaks and the space before continuation lines;
    /// white space at its ends is dropped. Lines that begin with `#` are comments.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let end = field_end(rest);
                let field = &rest[..end];
                rest = &rest[end..];
                if let Some((name, value)) = field.split_once(':')
                    && !field.starts_with(['#', ' ', '\t'])
                {
                    return Some((name, value.trim()));
                }
            }
        })
    }

    /// The value of a field; names are compared without case (Debian Policy 5.1).
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.fields().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Where the field at the beginning of `text` ends: after the last of its continuation lines.
fn field_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match memchr::memchr(b'\n', &bytes[at..]) {
            None => return bytes.len(),
            Some(line) => at += line + 1,
        }
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "\nPackage: a\nDepends: b,\n c (>= 1)\n# not a field: x\nDescription: short\n long\n .\n end\n\n\nPackage: d\n";

    #[test]
    fn fields_keep_order_and_continuations() {
        let stanzas: Vec<_> = Stanza::all(TEXT).collect();
        assert_eq!(stanzas.len(), 2);
        let fields: Vec<_> = stanzas[0].fields().collect();
        assert_eq!(fields, [("Package", "a"), ("Depends", "b,\n c (>= 1)"), ("Description", "short\n long\n .\n end")]);
        assert_eq!(stanzas[1].get("package"), Some("d"));
        assert_eq!(stanzas[1].get("Depends"), None);
        assert_eq!(Stanza::parse(TEXT), stanzas[0]);
        assert_eq!(Stanza::parse("").fields().count(), 0);
    }
}
