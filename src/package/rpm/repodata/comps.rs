//! Groups of packages (comps), as `@core` asks for them.

use std::io::BufRead;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::super::xml::{self, Part};

/// A group, or an environment of groups.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// Its id, such as `core`.
    pub id: String,
    /// Its packages.
    pub packages: Vec<Member>,
    /// An environment's groups; empty for a group.
    pub groups: Vec<String>,
}

/// A package of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// When it comes along.
    pub kind: Kind,
    /// With which other package, where it is conditional.
    pub with: String,
}

/// When a package of a group comes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Kind {
    /// Always.
    #[default]
    Mandatory,
    /// Unless it is unwanted: dnf's default takes it.
    Default,
    /// When asked for.
    Optional,
    /// With another package.
    Conditional,
}

/// Reads groups and environments.
pub fn parse(document: impl BufRead) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let (mut group, mut member, mut within) = (Group::default(), Member::default(), "");
    xml::read(document, &mut |part| {
        match part {
            Part::Open(element) => match element.name() {
                "group" => (group, within) = (Group::default(), "group"),
                "environment" => (group, within) = (Group::default(), "environment"),
                "category" => within = "",
                "optionlist" => within = "options",
                "packagereq" => {
                    let kind = match element.attribute("type")?.as_deref() {
                        Some("default") => Kind::Default,
                        Some("optional") => Kind::Optional,
                        Some("conditional") => Kind::Conditional,
                        _ => Kind::Mandatory,
                    };
                    let with = element.attribute("requires")?.unwrap_or_default().into_owned();
                    member = Member { name: String::new(), kind, with };
                }
                _ => {}
            },
            Part::Close(name, text) => match name {
                "id" if group.id.is_empty() => text.clone_into(&mut group.id),
                "packagereq" => group.packages.push(Member { name: text.to_owned(), ..std::mem::take(&mut member) }),
                "groupid" if within == "environment" => group.groups.push(text.to_owned()),
                "group" | "environment" => groups.push(std::mem::take(&mut group)),
                _ => {}
            },
        }
        Ok(())
    })?;
    Ok(groups)
}
