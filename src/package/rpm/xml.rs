//! XML as repositories have it, element by element. Documents that declare types or entities of their own are refused, as are those
//! that end within an element. `rpmrepo_metadata` is not used: its readers wait for ever on a document that ends within an
//! element, and panic where a list has no count.

use std::borrow::Cow;
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// How deep elements may stand in each other.
const DEPTH: usize = 32;

/// A part of a document. Names have no prefix.
#[derive(Debug)]
pub enum Part<'a> {
    /// An element begins.
    Open(Element<'a>),
    /// An element ends; the text that stood in it after its last child.
    Close(&'a str, &'a str),
}

/// The beginning of an element.
#[derive(Debug)]
pub struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Its name without prefix.
    pub fn name(&self) -> &str {
        self.0.local_name().into_inner()
    }

    /// The value of an attribute, by its name with prefix.
    pub fn attribute(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        self.attributes()
            .find_map(|found| found.map(|(key, value)| (key == name).then_some(value)).transpose())
            .transpose()
    }

    /// All attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Result<(&str, Cow<'_, str>)>> {
        let mut attributes = self.0.attributes();
        attributes.with_checks(false);
        attributes.map(|attribute| {
            let attribute = attribute.context("an attribute cannot be read")?;
            Ok((
                attribute.key.0,
                attribute.normalized_value(XmlVersion::Implicit1_0).context("an attribute's value cannot be read")?,
            ))
        })
    }
}

/// Reads a document and hands out its parts.
pub fn read(document: impl BufRead, each: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_reader(document);
    let (mut buffer, mut text, mut depth) = (Vec::new(), String::new(), 0_usize);
    reader.config_mut().expand_empty_elements = true;
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).context("it is not well-formed XML")? {
            Event::Start(start) => {
                depth += 1;
                if depth > DEPTH {
                    bail!("more than {DEPTH} elements stand in each other");
                }
                text.clear();
                each(Part::Open(Element(start)))?;
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                each(Part::Close(end.local_name().into_inner(), text.trim()))?;
                text.clear();
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(reference) => {
                if let Some(character) = reference.resolve_char_ref().context("a character cannot be read")? {
                    text.push(character);
                } else {
                    let entity = quick_xml::escape::resolve_predefined_entity(&reference);
                    text.push_str(entity.with_context(|| format!("the entity `{}` is not XML's own", &*reference))?);
                }
            }
            Event::DocType(declared) if declared.contains('[') => {
                bail!("it declares types or entities of its own, which no repository needs")
            }
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => bail!("it ends within an element"),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::DocType(_) | Event::PI(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn told(document: &str) -> String {
        let mut told = String::new();
        let outcome = read(document.as_bytes(), &mut |part| {
            match part {
                Part::Open(element) => write!(told, "<{} {:?}>", element.name(), element.attribute("a")?)?,
                Part::Close(name, text) => write!(told, "{text}</{name}>")?,
            }
            Ok(())
        });
        outcome.map_or_else(|error| format!("{error:#}"), |()| told)
    }

    #[test]
    fn parts_are_handed_out() {
        assert_eq!(
            told("<?xml version='1.0'?><r:x a='1&lt;'> t&amp;&#65; <y/></r:x>"),
            "<x Some(\"1<\")><y None></y></x>"
        );
        assert_eq!(told("<x>t&amp;&#65;<!-- no --> u</x>"), "<x None>t&A u</x>");
    }

    #[test]
    fn bombs_and_stumps_are_refused() {
        assert_eq!(
            told("<!DOCTYPE x [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><x>&b;</x>"),
            "it declares types or entities of its own, which no repository needs"
        );
        assert_eq!(told("<!DOCTYPE x PUBLIC 'a' 'b.dtd'><x>&b;</x>"), "the entity `b` is not XML's own");
        assert_eq!(told("<x>&b;</x>"), "the entity `b` is not XML's own");
        assert_eq!(told("<x><y></y>"), "it ends within an element");
        assert!(told("<x></y>").starts_with("it is not well-formed XML"));
        assert_eq!(told(&"<x>".repeat(1000)), "more than 32 elements stand in each other");
    }
}
