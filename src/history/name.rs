//! What users call commits. From the first of these that there is:
//!
//! | word                       | commit                                                               |
//! |----------------------------|----------------------------------------------------------------------|
//! | 64 hexadecimal digits      | that commit                                                          |
//! | a ref, such as `tag/m/amd64/good` | the one that it points to                                     |
//! | `NAME`, `NAME/ARCH`        | a template's newest                                                  |
//! | `NAME@WORD`                | of its history the newest with this version, or the one tagged so    |
//! | a tag                      | the one tagged so, where templates' tags of that name agree          |
//! | 4 or more hexadecimal digits | the only one whose checksum begins so                              |
//!
//! Each `^` behind it is one commit further back, as in ostree.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};

use super::{TAGS, TEMPLATES, Template, log, tags, templates};
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::error::{Hint, nearest_words};
use crate::store::Store;

/// The fewest digits that can stand for a checksum.
const FEWEST_DIGITS: usize = 4;

/// A commit that was found by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The commit.
    pub commit: Sha256,
    /// The template whose history it was made for; none for commits of packages and stages.
    pub template: Option<Template>,
}

/// Finds the commit that a word stands for. Where templates of several architectures have the name, it is that of
/// `architecture`, else this machine's, else the only one there is.
pub fn resolve(store: &Store, word: &str, architecture: Option<&Architecture>) -> Result<Named> {
    let base = word.trim_end_matches('^');
    let mut named = Search::new(store, architecture)?.find(base)?;
    for _ in 0..word.len() - base.len() {
        let commit = named.commit;
        let parent = store.load_commit(commit)?.parent;
        let parent =
            parent.ok_or_else(|| anyhow!("there is no {word}: {commit} is the first commit of its history"))?;
        if !store.has_commit(parent) {
            bail!("there is no {word}: this store has the history from {commit} on, and not its parent {parent}");
        }
        named.commit = parent;
    }
    Ok(named)
}

/// Finds the template that a name stands for, `NAME` or `NAME/ARCH`: one with a history, or with tags alone.
pub fn find_template(store: &Store, name: &str, architecture: Option<&Architecture>) -> Result<Template> {
    let search = Search::new(store, architecture)?;
    match search.find_template(name)? {
        Some((template, _)) => Ok(template.clone()),
        None => search.not_found(name, name),
    }
}

struct Search<'a> {
    store: &'a Store,
    architecture: Option<&'a Architecture>,
    /// Each with its newest commit; none where only tags are left of it.
    templates: Vec<(Template, Option<Sha256>)>,
}

impl<'a> Search<'a> {
    fn new(store: &'a Store, architecture: Option<&'a Architecture>) -> Result<Self> {
        let tagged = tags(store)?.into_iter().map(|(template, ..)| (template, None));
        let with_history = templates(store)?.into_iter().map(|(template, tip)| (template, Some(tip)));
        let all: BTreeMap<Template, Option<Sha256>> = tagged.chain(with_history).collect();
        Ok(Self { store, architecture, templates: all.into_iter().collect() })
    }

    fn find(&self, word: &str) -> Result<Named> {
        if let Ok(commit) = word.parse::<Sha256>() {
            if !self.store.has_commit(commit) {
                bail!("the store {} has no commit {commit}", self.store.root().display());
            }
            return self.named(commit);
        }
        if let Some(named) = self.find_ref(word)? {
            return Ok(named);
        }
        let (name, version) = word.split_once('@').map_or((word, None), |(name, version)| (name, Some(version)));
        if let Some((template, tip)) = self.find_template(name)? {
            let commit = match (version, tip) {
                (Some(version), _) => self.find_version(template, *tip, version)?,
                (None, Some(tip)) => *tip,
                (None, None) => {
                    return Err(anyhow!("{} has no history any more, only tags", template.ref_name()))
                        .hint(|| format!("compose tag {name} lists them"));
                }
            };
            return Ok(Named { commit, template: Some(template.clone()) });
        }
        if let Some(named) = self.find_tag(word)? {
            return Ok(named);
        }
        if let Some(named) = self.find_digits(word)? {
            return Ok(named);
        }
        self.not_found(word, name)
    }

    /// A commit, and the template whose it says it is.
    fn named(&self, commit: Sha256) -> Result<Named> {
        let refs = self.store.load_commit(commit)?.refs;
        Ok(Named { commit, template: refs.iter().find_map(|name| Template::of_ref(name)) })
    }

    fn find_ref(&self, word: &str) -> Result<Option<Named>> {
        // libostree takes other words for remotes and parts of checksums.
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let kinds = [TEMPLATES, TAGS, "cache", "package"];
        if !word.split_once('/').is_some_and(|(kind, _)| kinds.contains(&kind)) || !word.split('/').all(is_part) {
            return Ok(None);
        }
        let Some(commit) = self.store.resolve(word)? else { return Ok(None) };
        match Template::of_ref(word) {
            Some(template) => Ok(Some(Named { commit, template: Some(template) })),
            None => self.named(commit).map(Some),
        }
    }

    fn find_template(&self, word: &str) -> Result<Option<&(Template, Option<Sha256>)>> {
        let word = word.strip_prefix(TEMPLATES).and_then(|word| word.strip_prefix('/')).unwrap_or(word);
        let (name, wanted) = match word.split_once('/') {
            Some((name, architecture)) => (name, architecture.parse::<Architecture>().ok()),
            None => (word, self.architecture.cloned()),
        };
        if word.contains('/') && wanted.is_none() {
            return Ok(None);
        }
        let own: Vec<_> = self.templates.iter().filter(|(template, _)| template.name == name).collect();
        let of = |architecture: &Architecture| own.iter().find(|(template, _)| template.architecture == *architecture);
        let known = || own.iter().map(|(template, _)| template.architecture.as_str()).collect::<Vec<_>>().join(", ");
        match (own.as_slice(), wanted) {
            ([], _) => Ok(None),
            (_, Some(wanted)) => match of(&wanted) {
                Some(found) => Ok(Some(found)),
                None => bail!("{name} has no history for {wanted}, only for {}", known()),
            },
            ([only], None) => Ok(Some(only)),
            (_, None) => match Architecture::host().as_ref().and_then(of) {
                Some(found) => Ok(Some(found)),
                None => Err(anyhow!("{name} has a history for each of {}", known()))
                    .hint(|| format!("give one of them, as {name}/ARCH or with --arch")),
            },
        }
    }

    fn find_version(&self, template: &Template, tip: Option<Sha256>, word: &str) -> Result<Sha256> {
        let history = tip.map_or_else(|| Ok(Vec::new()), |tip| log(self.store, tip))?;
        let version =
            history.iter().find(|(_, stored)| stored.version.as_deref() == Some(word)).map(|(commit, _)| *commit);
        let tags = tags(self.store)?;
        let own: Vec<_> = tags.iter().filter(|(whose, ..)| whose == template).collect();
        let tag = own.iter().find(|(_, tag, _)| tag == word).map(|(.., commit)| *commit);
        let Template { name, architecture } = template;
        match (version, tag) {
            (Some(version), Some(tag)) if version != tag => {
                Err(anyhow!("{word} is a version of {name} ({version}) and another commit's tag ({tag})"))
                    .hint(|| format!("give the commit, or {} for the tag", template.tag_ref(word)))
            }
            (Some(commit), _) | (None, Some(commit)) => Ok(commit),
            (None, None) => {
                let versions = history.iter().filter_map(|(_, stored)| stored.version.as_deref());
                let known: Vec<&str> = versions.chain(own.iter().map(|(_, tag, _)| tag.as_str())).collect();
                let error = anyhow!("{name} has no version or tag {word} for {architecture}");
                Err(error).hint(|| advise(word, known, |near| format!("{name}@{near}"), &format!("compose log {name}")))
            }
        }
    }

    fn find_tag(&self, word: &str) -> Result<Option<Named>> {
        let mut found: Vec<_> = tags(self.store)?.into_iter().filter(|(_, tag, _)| tag == word).collect();
        let wanted = self.architecture.cloned().or_else(Architecture::host);
        if found.iter().any(|(template, ..)| Some(&template.architecture) == wanted.as_ref()) {
            found.retain(|(template, ..)| Some(&template.architecture) == wanted.as_ref());
        }
        let Some((template, _, commit)) = found.first() else { return Ok(None) };
        if found.iter().any(|(.., other)| other != commit) {
            let whose: Vec<_> = found.iter().map(|(template, ..)| template.name.as_str()).collect();
            return Err(anyhow!("{word} is a tag of each of {}", whose.join(", ")))
                .hint(|| format!("give one of them, such as {}@{word}", template.name));
        }
        Ok(Some(Named { commit: *commit, template: Some(template.clone()) }))
    }

    fn find_digits(&self, word: &str) -> Result<Option<Named>> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if word.len() < FEWEST_DIGITS || word.len() > 64 || !word.bytes().all(is_digit) {
            return Ok(None);
        }
        match self.store.commits_starting_with(word)?.as_slice() {
            [] => Ok(None),
            [only] => self.named(*only).map(Some),
            several => {
                let shown: Vec<_> = several.iter().take(5).map(ToString::to_string).collect();
                Err(anyhow!("{} commits begin with {word}: {}", several.len(), shown.join(", ")))
                    .hint(|| "give more digits")
            }
        }
    }

    fn not_found<T>(&self, word: &str, name: &str) -> Result<T> {
        let tags = tags(self.store)?;
        let names = self.templates.iter().map(|(template, _)| template.name.as_str());
        let known: Vec<&str> = names.chain(tags.iter().map(|(_, tag, _)| tag.as_str())).collect();
        let error = anyhow!(
            "nothing in the store {} is called `{word}`: no ref, template, tag, or commit that begins so",
            self.store.root().display()
        );
        Err(error).hint(|| advise(name, known, str::to_owned, "compose store ls"))
    }
}

/// A hint: names that may have been meant, else how to list all.
fn advise(word: &str, known: Vec<&str>, show: impl Fn(&str) -> String, list: &str) -> String {
    let mut near: Vec<String> = nearest_words(word, known, 3).into_iter().map(show).collect();
    near.dedup();
    match near.as_slice() {
        [] => format!("{list} lists what there is"),
        near => format!("is it {}?", near.join(" or ")),
    }
}
