//! The paths that differ as a tree of folders that open and close.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escape;
use crate::diff::templates::{Change, Comparison, PathChange, explanation};

/// Folders are open at first when there are no more paths than this.
const OPEN: usize = 40;

#[derive(Default)]
struct Folder<'a> {
    own: Option<&'a PathChange>,
    folders: BTreeMap<&'a str, Folder<'a>>,
    /// The paths in it and below, by what happened to them.
    counts: [usize; 3],
    unexplained: usize,
}

/// All paths that differ.
pub(super) fn section(comparison: &Comparison) -> String {
    let Some(tree) = comparison.tree.as_ref().filter(|tree| !tree.paths.is_empty()) else { return String::new() };
    let mut top = Folder::default();
    for path in &tree.paths {
        let mut at = &mut top;
        at.count(path);
        for name in path.path.split('/').filter(|name| !name.is_empty()) {
            at = at.folders.entry(name).or_default();
            at.count(path);
        }
        at.own = Some(path);
    }
    let mut html = format!(
        "<section aria-labelledby=\"files\">\n<header><h2 id=\"files\">Files<span class=\"count\">{}</span></h2>\n<div \
         class=\"filter\"><label>Filter <input type=\"search\" data-filters=\"file-tree\"></label><span \
         role=\"status\"></span></div></header>\n<div class=\"tree\" id=\"file-tree\">\n",
        tree.paths.len()
    );
    if let Some(root) = top.own {
        push_leaf(&mut html, "/", root);
    }
    for (name, folder) in &top.folders {
        folder.push(&mut html, &format!("/{name}"), tree.paths.len() <= OPEN);
    }
    html.push_str("</div>\n</section>");
    html
}

impl Folder<'_> {
    fn count(&mut self, path: &PathChange) {
        self.counts[path.change as usize] += 1;
        self.unexplained += usize::from(path.is_unexplained());
    }

    fn push(&self, html: &mut String, name: &str, open: bool) {
        // A chain of folders with one folder each is one line.
        if self.own.is_none()
            && let [(only, folder)] = self.folders.iter().collect::<Vec<_>>().as_slice()
            && !folder.folders.is_empty()
        {
            return folder.push(html, &format!("{name}/{only}"), open);
        }
        if self.folders.is_empty() {
            return self.own.map_or((), |own| push_leaf(html, name, own));
        }
        // What nobody explained is not folded away.
        let open = if open || self.unexplained > 0 { " open" } else { "" };
        let _ = write!(
            html,
            "<details{open}><summary><span class=\"path\">{}/</span><span class=\"counts\">",
            escape(name)
        );
        for change in [Change::Added, Change::Removed, Change::Changed] {
            match self.counts[change as usize] {
                0 => {}
                count => drop(write!(html, " <span class=\"{}\">{}{count}</span>", change.as_str(), change.sign())),
            }
        }
        if self.unexplained > 0 {
            let _ = write!(html, " <span class=\"unexplained\">{} unexplained</span>", self.unexplained);
        }
        html.push_str("</span></summary>\n");
        if let Some(own) = self.own {
            push_leaf(html, ".", own);
        }
        for (name, folder) in &self.folders {
            folder.push(html, name, open == " open" && (folder.unexplained > 0 || self.unexplained == 0));
        }
        html.push_str("</details>\n");
    }
}

fn push_leaf(html: &mut String, name: &str, path: &PathChange) {
    let why = if path.is_unexplained() {
        "<span class=\"unexplained\">unexplained</span>".to_owned()
    } else {
        format!("<span class=\"soft\">{}</span>", escape(&explanation(&path.explained_by)))
    };
    let _ = writeln!(
        html,
        "<div class=\"leaf\" data-text=\"{} {} {}\"><span class=\"sign {}\" title=\"{}\">{}</span><span class=\"path\">{}</span><span \
         class=\"how\">{} · {why}</span></div>",
        escape(&path.path),
        path.change.as_str(),
        if path.is_unexplained() { "unexplained".to_owned() } else { escape(&explanation(&path.explained_by)) },
        path.change.as_str(),
        path.change.as_str(),
        path.change.sign(),
        escape(name),
        escape(&path.details())
    );
}
