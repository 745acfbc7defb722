//! `compose tag`: names for commits of a template.

use anyhow::Result;
use clap::Args;
use compose::arch::Architecture;
use compose::history::{self, Version};
use compose::progress::Progress;
use compose::store::Store;

use super::commit::of_template;
use super::settings::Settings;
use super::{Answer, terminal};

/// Give a commit of a template a tag, list a template's tags, or delete one
#[derive(Debug, Args)]
pub struct Arguments {
    /// Template
    #[arg(value_name = "NAME")]
    name: String,
    /// Commit: a version of the template, or what `compose show` takes
    #[arg(value_name = "COMMIT", requires = "tag")]
    commit: Option<String>,
    /// Tag: letters, digits and ._+~-
    #[arg(value_name = "TAG")]
    tag: Option<Version>,
    /// Delete this tag
    #[arg(long, value_name = "TAG", conflicts_with = "commit")]
    delete: Option<Version>,
    /// Move a tag that another commit has
    #[arg(long, requires = "tag")]
    force: bool,
    /// The template for this architecture [default: the machine's]
    #[arg(long, value_name = "A")]
    arch: Option<Architecture>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<Answer> {
    let store = Store::open(&settings.store)?;
    let template = history::find_template(&store, &arguments.name, arguments.arch.as_ref())?;
    if let Some(tag) = &arguments.delete {
        let commit = history::delete_tag(&store, &template, tag)?;
        settings.terminal.note(&format!("{} was {commit}", template.tag_ref(tag.as_str())));
    } else if let (Some(word), Some(tag)) = (&arguments.commit, &arguments.tag) {
        let commit = of_template(&store, &template, word)?;
        history::set_tag(&store, &template, tag, commit, arguments.force)?;
        terminal::print(&format!("{commit}  {}", template.tag_ref(tag.as_str())))?;
    } else {
        for (_, tag, commit) in history::tags(&store)?.iter().filter(|(whose, ..)| *whose == template) {
            terminal::print(&format!("{commit}  {}", template.tag_ref(tag)))?;
        }
    }
    Ok(Answer::Yes)
}
