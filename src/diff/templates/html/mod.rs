//! The comparison as one page that needs nothing else: no network, and no scripts but for sorting and filtering tables and
//! for arrow keys in the tree of files. Its own style and script are the only ones that its policy lets a browser use, by their
//! digests, so that nothing of a package can act in it.

mod files;
mod sections;
mod tables;
mod treemap;

use super::Comparison;
use crate::digest::Sha256;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page.
pub fn render(comparison: &Comparison) -> String {
    let title = format!("{} → {}", comparison.old.name, comparison.new.name);
    let values = [
        ("policy", policy()),
        ("title", escape(&title)),
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("head", sections::head(comparison)),
        ("alerts", sections::alerts(comparison)),
        ("packages", tables::packages(comparison)),
        ("treemap", treemap::figure(&comparison.sizes)),
        ("system", sections::system(comparison)),
        ("files", files::section(comparison)),
    ];
    // Filled in from the template's own places alone: what is filled in has no places.
    let mut page = String::with_capacity(PAGE.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        page.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    page + rest
}

/// The page's Content-Security-Policy (CSP level 3): the style and script by their digests, and nothing else.
fn policy() -> String {
    let source = |text: &str| format!("'sha256-{}'", glib::base64_encode(Sha256::of(text.as_bytes()).as_bytes()));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    )
}

/// Text for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }

    #[test]
    fn the_template_has_all_places() {
        for name in ["policy", "title", "style", "script", "head", "alerts", "packages", "treemap", "system", "files"] {
            assert!(PAGE.contains(&format!("{{{{{name}}}}}")), "{name}");
        }
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
    }
}
