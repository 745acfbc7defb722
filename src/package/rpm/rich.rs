//! Rich dependencies (rpm manual, "Boolean Dependencies"): relations joined by words, in parentheses.

use super::relation::{Range, Relation};

/// How deep parentheses may stand in each other.
const DEPTH: usize = 32;

/// A relation, or some joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rich<'a> {
    /// One relation.
    Plain(Relation<'a>),
    /// All of them.
    And(Vec<Rich<'a>>),
    /// At least one.
    Or(Vec<Rich<'a>>),
    /// The first if the second; else the third, if there is one.
    If(Box<[Rich<'a>; 2]>, Option<Box<Rich<'a>>>),
    /// The first unless the second; else the third, if there is one.
    Unless(Box<[Rich<'a>; 2]>, Option<Box<Rich<'a>>>),
    /// Both by one package.
    With(Vec<Rich<'a>>),
    /// The first by a package that is not the second.
    Without(Box<[Rich<'a>; 2]>),
}

impl<'a> Rich<'a> {
    /// Whether a relation's name is one of these.
    pub fn is_rich(name: &str) -> bool {
        name.starts_with('(')
    }

    /// Reads one; what is wrong with it otherwise.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let rich = reader.group(0)?;
        match reader.rest.trim_start() {
            "" => Ok(rich),
            rest => Err(format!("`{rest}` stands after the end of `{text}`")),
        }
    }

    /// Every relation in it.
    pub fn relations(&self) -> Vec<Relation<'a>> {
        match self {
            Self::Plain(relation) => vec![*relation],
            Self::And(parts) | Self::Or(parts) | Self::With(parts) => parts.iter().flat_map(Self::relations).collect(),
            Self::Without(parts) => parts.iter().flat_map(Self::relations).collect(),
            Self::If(parts, other) | Self::Unless(parts, other) => {
                parts.iter().chain(other.as_deref()).flat_map(Self::relations).collect()
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// `(`, terms joined by one word, `)`.
    fn group(&mut self, depth: usize) -> Result<Rich<'a>, String> {
        if depth == DEPTH {
            return Err(format!("more than {DEPTH} parentheses stand in each other"));
        }
        self.rest = self.rest.trim_start();
        self.rest = self.rest.strip_prefix('(').ok_or_else(|| format!("expected `(` at `{}`", self.rest))?;
        let first = self.term(depth)?;
        let Some(word) = self.word_or_end()? else { return Ok(first) };
        let second = self.term(depth)?;
        match word {
            "and" | "or" | "with" => {
                let mut parts = vec![first, second];
                while let Some(next) = self.word_or_end()? {
                    if next != word {
                        return Err(format!("`{word}` and `{next}` are joined without parentheses"));
                    }
                    parts.push(self.term(depth)?);
                }
                Ok(match word {
                    "and" => Rich::And(parts),
                    "or" => Rich::Or(parts),
                    _ => Rich::With(parts),
                })
            }
            "if" | "unless" => {
                let other = match self.word_or_end()? {
                    None => None,
                    Some("else") => {
                        let other = Box::new(self.term(depth)?);
                        if let Some(next) = self.word_or_end()? {
                            return Err(format!("`{next}` stands after `else` without parentheses"));
                        }
                        Some(other)
                    }
                    Some(next) => return Err(format!("`{word}` and `{next}` are joined without parentheses")),
                };
                let parts = Box::new([first, second]);
                Ok(if word == "if" { Rich::If(parts, other) } else { Rich::Unless(parts, other) })
            }
            "without" => match self.word_or_end()? {
                None => Ok(Rich::Without(Box::new([first, second]))),
                Some(next) => Err(format!("`{word}` and `{next}` are joined without parentheses")),
            },
            other => Err(format!("`{other}` joins nothing: expected one of and, or, if, unless, with, without")),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Rich<'a>, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('(') {
            return self.group(depth + 1);
        }
        let name = self.token();
        if name.is_empty() {
            return Err(format!("expected a relation at `{}`", self.rest));
        }
        let after = self.rest.trim_start();
        let end = after.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(after.len());
        if end == 0 {
            return Ok(Rich::Plain(Relation { name, range: Range::ANY, evr: "" }));
        }
        let range = Range::parse(&after[..end]).ok_or_else(|| format!("`{}` is no operator", &after[..end]))?;
        self.rest = after[end..].trim_start();
        let evr = self.token();
        if evr.is_empty() {
            return Err(format!("no version stands after `{name} {}`", range.as_str()));
        }
        Ok(Rich::Plain(Relation { name, range, evr }))
    }

    /// The word that joins, or nothing at the group's end.
    fn word_or_end(&mut self) -> Result<Option<&'a str>, String> {
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix(')') {
            self.rest = rest;
            return Ok(None);
        }
        match self.token() {
            "" => Err("a parenthesis is not closed".to_owned()),
            word => Ok(Some(word)),
        }
    }

    /// Text up to a space or to a `)` that it does not open itself.
    fn token(&mut self) -> &'a str {
        let mut open = 0;
        let end = self.rest.find(|c: char| {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            c.is_whitespace() || open < 0
        });
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Rich<'_> {
        Rich::Plain(Relation { name, range: Range::ANY, evr: "" })
    }

    #[test]
    fn rich_dependencies_are_read() {
        assert_eq!(Rich::parse("(a)"), Ok(plain("a")));
        assert_eq!(Rich::parse("(a and b and c)"), Ok(Rich::And(vec![plain("a"), plain("b"), plain("c")])));
        let versioned = Rich::Plain(Relation { name: "perl(X::Y)", range: Range::parse(">=").unwrap(), evr: "1:2-3" });
        assert_eq!(
            Rich::parse("( perl(X::Y) >= 1:2-3 or lib.so()(64bit))"),
            Ok(Rich::Or(vec![versioned, plain("lib.so()(64bit)")]))
        );
        let nested =
            Rich::If(Box::new([plain("a"), Rich::Or(vec![plain("b"), plain("c")])]), Some(Box::new(plain("d"))));
        assert_eq!(Rich::parse("(a if (b or c) else d)"), Ok(nested.clone()));
        assert_eq!(nested.relations().len(), 4);
        for (text, message) in [
            ("(a and b or c)", "`and` and `or` are joined without parentheses"),
            ("(a", "a parenthesis is not closed"),
            ("(a nor b)", "`nor` joins nothing: expected one of and, or, if, unless, with, without"),
            ("(a) b", "`b` stands after the end of `(a) b`"),
            ("()", "expected a relation at `)`"),
            ("(a >= )", "no version stands after `a >=`"),
        ] {
            assert_eq!(Rich::parse(text), Err(message.to_owned()), "{text}");
        }
        let deep = "(".repeat(100_000);
        assert_eq!(Rich::parse(&deep), Err("more than 32 parentheses stand in each other".to_owned()));
    }
}
