//! Texts of packages so that nothing of them acts in markdown.
//!
//! GitHub and GitLab look for no markup, mentions, references, emoji or commands in code spans and code blocks, nor in HTML's
//! `code` element. One thing they do: GitLab's pattern for issues to close (`Closes: #1`) is searched for in the bare text.

/// How many characters of a name or version are shown.
const LENGTH: usize = 256;

/// A name or version as a code span that may also stand in a table.
pub fn span(text: &str) -> String {
    // No name or version of any package format has these; they would end the span or the table's cell.
    let text = pull_apart(&shorten(text)).replace(['`', '|', '\\'], "\u{fffd}");
    if text.trim().is_empty() { "–".to_owned() } else { format!("`{text}`") }
}

/// A name or version as HTML.
pub fn html(text: &str) -> String {
    let text = pull_apart(&shorten(text));
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    format!("<code>{text}</code>")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Lines that may stand in a code block: none ends it, and none begins as GitLab's commands do (`/close`).
pub fn fenced(text: &str) -> String {
    format!("\n{}", pull_apart(text)).replace("```", "'''").replace("\n/", "\n /").split_off(1)
}

/// The text with a space in every reference to an issue, so that it is none.
fn pull_apart(text: &str) -> String {
    let mut apart = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c.is_ascii_digit() && ["#", "GL-", "/issues/", "/work_items/"].iter().any(|mark| apart.ends_with(mark)) {
            apart.push(' ');
        }
        apart.push(c);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_span_or_block() {
        assert_eq!(span("1.0-1~deb12u1"), "`1.0-1~deb12u1`");
        assert_eq!(span("a`|\\b"), "`a\u{fffd}\u{fffd}\u{fffd}b`");
        assert_eq!(span(""), "–");
        assert_eq!(span(&"ä".repeat(1000)), format!("`{}…`", "ä".repeat(256)));
        assert_eq!(html("<b>&\""), "<code>&lt;b&gt;&amp;&quot;</code>");
        assert_eq!(fenced("a\n````\n/close"), "a\n'''`\n /close");
        assert_eq!(fenced("/close"), " /close");
    }

    #[test]
    fn references_to_issues_are_pulled_apart() {
        assert_eq!(fenced("Closes: #12, x/y#3 # 4 ##5"), "Closes: # 12, x/y# 3 # 4 ## 5");
        assert_eq!(fenced("fixes https://h/g/p/-/issues/7 GL-8"), "fixes https://h/g/p/-/issues/ 7 GL- 8");
    }
}
