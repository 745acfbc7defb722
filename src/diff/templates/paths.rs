//! Paths that differ, as reports tell them.

use serde::Serialize;

use crate::assemble::origins::Cause;
use crate::diff::tree::{Aspect, Content, Difference, Entry};
use crate::digest::Sha256;
use crate::package::printable;

/// Set-id bits of a mode, inode(7).
const SET_ID: u32 = 0o6000;
/// The extended attribute of capabilities(7).
pub(super) const CAPABILITY: &str = "security.capability";

/// A path that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PathChange {
    /// The path, with a slash ahead.
    pub path: String,
    /// What happened to it.
    pub change: Change,
    /// In what it differs: `type`, `content`, `mode`, `set-id`, `owner`, `capabilities`, `attributes`, `target`, `device`,
    /// `link`; empty when only one side has it.
    pub aspects: Vec<&'static str>,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<State>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<State>,
    /// Whether it is configuration: below /etc.
    pub configuration: bool,
    /// What explains it; empty when it is unexplained.
    pub explained_by: Vec<Cause>,
}

/// What happened to a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl Change {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }

    /// The sign for it, as diffs have them.
    pub fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }
}

/// What stands at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// `directory`, `file`, `link`, `character-device`, `block-device` or `pipe`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Permission bits, in octal.
    pub mode: String,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The store's object of a file or link: it covers content, owner, mode and attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Sha256>,
    /// A link's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The value of `security.capability`, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
    /// The path that this is a further name of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Permission bits.
    #[serde(skip)]
    pub permissions: u32,
}

impl State {
    /// Whether it is a regular file.
    pub(super) fn is_file(&self) -> bool {
        self.kind == "file"
    }

    fn of(entry: &Entry) -> Self {
        let attributes = &entry.attributes;
        let (size, target) = match &entry.content {
            Content::File(_, size) => (Some(*size), None),
            Content::Target(target) => (None, Some(printable(target))),
            _ => (None, None),
        };
        Self {
            kind: match (&entry.content, entry.file_type()) {
                (Content::Directory, _) => "directory",
                (Content::File(..), _) => "file",
                (Content::Target(_), _) => "link",
                (_, 0o020_000) => "character-device",
                (_, 0o060_000) => "block-device",
                _ => "pipe",
            },
            mode: format!("{:04o}", entry.permissions()),
            uid: attributes.uid,
            gid: attributes.gid,
            size,
            object: entry.leaf,
            target,
            capabilities: attributes.xattrs.get(CAPABILITY).map(|value| hex(value)),
            link: entry.link.as_deref().map(|path| printable(&format!("/{path}"))),
            permissions: entry.permissions(),
        }
    }
}

impl PathChange {
    /// Whether nothing explains it.
    pub fn is_unexplained(&self) -> bool {
        self.explained_by.is_empty()
    }

    /// How it differs, in a few words.
    pub fn details(&self) -> String {
        let (Some(old), Some(new)) = (&self.old, &self.new) else {
            return self.old.as_ref().or(self.new.as_ref()).map(sort).unwrap_or_default();
        };
        let pair = |of: &dyn Fn(&State) -> String| format!("{} → {}", of(old), of(new));
        let words = self.aspects.iter().map(|aspect| match *aspect {
            "type" => pair(&|state| state.kind.to_owned()),
            "mode" => format!("mode {}", pair(&|state| state.mode.clone())),
            "set-id" => "set-id".to_owned(),
            "owner" => format!("owner {}", pair(&|state| format!("{}:{}", state.uid, state.gid))),
            "capabilities" => {
                format!(
                    "capabilities {}",
                    pair(&|state| state.capabilities.clone().unwrap_or_else(|| "none".to_owned()))
                )
            }
            "target" => format!("target {}", pair(&|state| state.target.clone().unwrap_or_default())),
            "link" => format!("name of {}", pair(&|state| state.link.clone().unwrap_or_else(|| "its own".to_owned()))),
            "content" => {
                let size = |state: &State| state.size.unwrap_or_default();
                match (size(old), size(new)) {
                    (one, other) if one == other => format!("content ({one} bytes)"),
                    (one, other) => format!("content ({one} → {other} bytes)"),
                }
            }
            other => other.to_owned(),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// What something is, in a few words.
fn sort(state: &State) -> String {
    let what = match (state.size, &state.target) {
        (Some(size), _) => format!("file of {size} bytes"),
        (_, Some(target)) => return format!("link to {target}"),
        _ => state.kind.to_owned(),
    };
    let ordinary = if state.kind == "directory" { "0755" } else { "0644" };
    let mode = if state.mode == ordinary { String::new() } else { format!(", mode {}", state.mode) };
    let owner =
        if (state.uid, state.gid) == (0, 0) { String::new() } else { format!(", owner {}:{}", state.uid, state.gid) };
    format!("{what}{mode}{owner}")
}

/// The paths with what explains them, which stands in the same order.
pub(super) fn describe(differences: &[Difference], explanations: Vec<Option<Vec<Cause>>>) -> Vec<PathChange> {
    let described = differences.iter().zip(explanations).map(|(difference, explained)| PathChange {
        path: printable(&format!("/{}", difference.path)),
        change: match (&difference.first, &difference.second) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        },
        aspects: aspects(difference),
        old: difference.first.as_ref().map(State::of),
        new: difference.second.as_ref().map(State::of),
        configuration: difference.path == "etc" || difference.path.starts_with("etc/"),
        explained_by: explained.unwrap_or_default(),
    });
    described.collect()
}

fn aspects(difference: &Difference) -> Vec<&'static str> {
    let (Some(old), Some(new)) = (&difference.first, &difference.second) else { return Vec::new() };
    let mut words = Vec::new();
    for aspect in &difference.aspects {
        match aspect {
            Aspect::Type => words.push("type"),
            Aspect::Mode => {
                words.push("mode");
                if (old.permissions() ^ new.permissions()) & SET_ID != 0 {
                    words.push("set-id");
                }
            }
            Aspect::Owner => words.push("owner"),
            Aspect::Xattrs => {
                let apart = |entry: &Entry| {
                    let mut others = entry.attributes.xattrs.clone();
                    (others.remove(CAPABILITY), others)
                };
                let (one, other) = (apart(old), apart(new));
                words.extend((one.0 != other.0).then_some("capabilities"));
                words.extend((one.1 != other.1).then_some("attributes"));
            }
            Aspect::Target => words.push("target"),
            Aspect::Device => words.push("device"),
            Aspect::Link => words.push("link"),
            Aspect::Content => words.push("content"),
        }
    }
    words
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
