//! The page's head with its sums, what is to be looked at, and what differs in the system beyond packages and files.

use std::fmt::Write as _;

use super::escape;
use crate::diff::report::size::{bytes, growth};
use crate::diff::templates::{AlertKind, Change, Comparison, Named};

/// Title, sides and sums.
pub(super) fn head(comparison: &Comparison) -> String {
    let mut html = format!(
        "<header>\n<h1>{} → {}</h1>\n<dl class=\"sides\">\n{}{}</dl>\n",
        escape(&comparison.old.name),
        escape(&comparison.new.name),
        side("old", &comparison.old),
        side("new", &comparison.new)
    );
    for note in &comparison.notes {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(note));
    }
    html.push_str("<ul class=\"cards\">\n");
    let mut card = |class: &str, number: String, what: &str| {
        let _ = writeln!(html, "<li class=\"{class}\"><b>{}</b><span>{what}</span></li>", escape(&number));
    };
    let unexplained = comparison.alerts.iter().filter(|alert| alert.kind == AlertKind::Unexplained).count();
    if comparison.tree.is_some() {
        card(if unexplained > 0 { "alarm" } else { "" }, unexplained.to_string(), "unexplained paths");
    }
    let others = comparison.alerts.len() - unexplained;
    card("", others.to_string(), "other things to look at");
    if let Some(report) = &comparison.packages {
        let packages = report.changes.iter().map(|change| change.packages.len()).sum::<usize>();
        card("", packages.to_string(), "packages changed");
        let (old, new) = comparison
            .sizes
            .iter()
            .fold((0, 0), |(old, new), size| (old + size.old.unwrap_or_default(), new + size.new.unwrap_or_default()));
        card("", growth(new.cast_signed() - old.cast_signed()), &format!("installed, now {}", escape(&bytes(new))));
    }
    if let Some(tree) = &comparison.tree {
        for (change, what) in
            [(Change::Added, "paths added"), (Change::Removed, "paths removed"), (Change::Changed, "paths changed")]
        {
            card("", tree.paths.iter().filter(|path| path.change == change).count().to_string(), what);
        }
    }
    html.push_str("</ul>\n</header>");
    html
}

fn side(which: &str, named: &Named) -> String {
    let lock = named.lock.as_deref().map(|lock| format!(" <small>lock {}</small>", escape(lock))).unwrap_or_default();
    let commit = named.commit.filter(|commit| commit.to_hex() != named.name);
    let commit = commit.map(|commit| format!(" <small>commit <code>{commit}</code></small>")).unwrap_or_default();
    format!("<dt>{which}</dt><dd>{}{lock}{commit}</dd>\n", escape(&named.name))
}

/// What is to be looked at.
pub(super) fn alerts(comparison: &Comparison) -> String {
    if comparison.alerts.is_empty() {
        return String::new();
    }
    let alarming = comparison.alerts.iter().any(|alert| alert.kind <= AlertKind::Replaced);
    let mut html = format!(
        "<section class=\"alerts{}\" aria-labelledby=\"alerts\">\n<header><h2 id=\"alerts\">To be looked at<span \
         class=\"count\">{}</span></h2></header>\n<table class=\"stack\"><thead><tr><th scope=\"col\">Why</th><th \
         scope=\"col\">What</th><th scope=\"col\">How</th></tr></thead>\n<tbody>\n",
        if alarming { " alarming" } else { "" },
        comparison.alerts.len()
    );
    for alert in &comparison.alerts {
        let class = if alert.kind <= AlertKind::Replaced { "alarm" } else { "changed" };
        let _ = writeln!(
            html,
            "<tr><td><span class=\"tag {class}\">{}</span></td><td class=\"path\">{}</td><td>{}</td></tr>",
            alert.kind.as_str(),
            escape(&alert.what),
            escape(&alert.details)
        );
    }
    html.push_str("</tbody></table>\n</section>");
    html
}

/// Scripts, accounts, units and modules, a folded list each.
pub(super) fn system(comparison: &Comparison) -> String {
    let Some(tree) = &comparison.tree else { return String::new() };
    let item =
        |change: Change, what: &str| format!("<li><span class=\"tag {0}\">{0}</span> {what}</li>\n", change.as_str());
    let code = |text: &str| format!("<code>{}</code>", escape(text));
    let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
    let scripts = tree.scripts.iter().map(|script| {
        let lines = match script.lines.as_slice() {
            [] => String::new(),
            lines => format!("<details><summary>lines</summary><pre>{}</pre></details>", escape(&lines.join("\n"))),
        };
        let (what, whose) = (code(&script.script), code(&script.package));
        item(script.change, &format!("{what} of {whose} <span class=\"soft\">{}</span>{lines}", script.details()))
    });
    lists.push(("Maintainer scripts", scripts.collect()));
    for (title, accounts) in [("Users", &tree.users), ("Groups", &tree.groups)] {
        let account = accounts.iter().map(|account| {
            let lines = [&account.old, &account.new].into_iter().flatten().map(|line| code(line));
            item(account.change, &lines.collect::<Vec<_>>().join(" → "))
        });
        lists.push((title, account.collect()));
    }
    let units = tree.units.iter().map(|unit| {
        let by = unit.wanted_by.as_deref().map_or("masked".to_owned(), |by| format!("started by {}", code(by)));
        item(unit.change, &format!("{} {by}", code(&unit.name())))
    });
    lists.push(("Enabled and masked units", units.collect()));
    let presets = tree
        .presets
        .iter()
        .map(|preset| item(Change::Changed, &format!("{} {}", code(&preset.name()), escape(&preset.details()))));
    lists.push(("Presets of units", presets.collect()));
    let sockets = tree
        .sockets
        .iter()
        .map(|socket| item(socket.change, &format!("{} {}", code(&socket.name()), code(&socket.details()))));
    lists.push(("Units that listen", sockets.collect()));
    let modules = tree.modules.iter().map(|module| {
        let counts = format!("{} added, {} removed, {} changed", module.added, module.removed, module.changed);
        format!("<li>{} {counts}</li>\n", code(&module.kernel))
    });
    lists.push(("Kernel modules", modules.collect()));
    lists.retain(|(_, items)| !items.is_empty());
    if lists.is_empty() {
        return String::new();
    }
    let mut html =
        "<section class=\"lists\" aria-labelledby=\"system\">\n<header><h2 id=\"system\">System</h2></header>\n"
            .to_owned();
    for (title, items) in lists {
        let open = if items.len() <= 8 { " open" } else { "" };
        let _ = write!(
            html,
            "<details{open}><summary>{title} <span class=\"soft\">{}</span></summary>\n<ul>\n{}</ul></details>\n",
            items.len(),
            items.concat()
        );
    }
    html.push_str("</section>");
    html
}
