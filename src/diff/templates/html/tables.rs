//! The table of packages.

use std::fmt::Write as _;

use super::escape;
use crate::diff::report::size::{bytes, growth};
use crate::diff::report::{FileState, PackageChange, Section, SourceChange};
use crate::diff::templates::Comparison;

const COLUMNS: &[(&str, &str)] = &[
    ("Package", ""),
    ("Change", ""),
    ("Before", ""),
    ("Now", ""),
    ("Installed", "number"),
    ("Growth", "number"),
    ("Why", ""),
];

/// The packages that changed.
pub(super) fn packages(comparison: &Comparison) -> String {
    let Some(report) = &comparison.packages else { return String::new() };
    let mut changed: Vec<(&SourceChange, &PackageChange)> = Vec::new();
    for change in &report.changes {
        changed.extend(change.packages.iter().map(|package| (change, package)));
    }
    // As in the report, but by the name that is shown.
    changed.sort_by_key(|(change, package)| (!change.security, change.kind, &package.name));
    let rows: Vec<String> = changed.into_iter().map(|(change, package)| row(change, package)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section aria-labelledby=\"packages\">\n<header><h2 id=\"packages\">Packages<span class=\"count\">{}</span></h2>\n\
         <div class=\"filter\"><label>Filter <input type=\"search\" data-filters=\"package-table\"></label><span \
         role=\"status\"></span></div></header>\n<div class=\"scroll\"><table class=\"stack sortable\" id=\"package-table\"><thead><tr>",
        rows.len()
    );
    for (name, class) in COLUMNS {
        let _ = write!(html, "<th scope=\"col\" class=\"{class}\"><button type=\"button\">{name}</button></th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    html.push_str(&rows.concat());
    html.push_str("</tbody></table></div>\n</section>");
    html
}

fn row(change: &SourceChange, package: &PackageChange) -> String {
    let size = |of: &dyn Fn(&crate::diff::report::FileChange) -> Option<&FileState>| {
        package.files.iter().filter_map(of).map(|file| file.installed_size).sum::<u64>()
    };
    let (old, new) = (size(&|file| file.old.as_ref()), size(&|file| file.new.as_ref()));
    let grown = new.cast_signed() - old.cast_signed();
    let version = |version: &Option<String>| version.as_deref().map(escape).unwrap_or_default();
    let why = package.files.iter().find_map(|file| file.why.as_ref()).map(|why| escape(&why.describe(&str::to_owned)));
    let all_in = |section| change.places.iter().all(|place| place.section == section);
    let mut notes = Vec::new();
    notes.extend(change.security.then(|| "from a security suite".to_owned()));
    notes.extend(all_in(Section::Tools).then(|| "among the tools".to_owned()));
    notes.extend(all_in(Section::Interpreters).then(|| "among the interpreters".to_owned()));
    notes.extend(why);
    format!(
        "<tr><td class=\"name\"><b>{}</b></td><td><span class=\"tag {1}\">{1}</span></td><td class=\"version\" data-label=\"before\">{2}</td>\
         <td class=\"version\" data-label=\"now\">{3}</td><td class=\"number\" data-value=\"{new}\" \
         data-label=\"installed\">{4}</td><td class=\"number\" data-value=\"{grown}\" data-label=\"growth\">{5}</td><td \
         class=\"why\">{6}</td></tr>\n",
        escape(&package.name),
        change.kind.as_str(),
        version(&package.from),
        version(&package.to),
        escape(&bytes(new)),
        escape(&growth(grown)),
        notes.join("; ")
    )
}
