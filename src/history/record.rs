//! New commits of a template: of a build, and of an older tree.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

use super::{BUILD, LOCK, MANIFEST, PROGRAM, RESTORED, Template, keep_lock, lock_text, log, tags};
use crate::digest::Sha256;
use crate::error::{Hint, nearest};
use crate::lock::Lock;
use crate::store::{NewCommit, Store, StoredCommit};

/// A version that a user gives a template, or the name of a tag: letters, digits, and `._+~-` further back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version(String);

impl Version {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let good = |(at, b): (usize, u8)| b.is_ascii_alphanumeric() || at > 0 && b"._+~-".contains(&b);
        match text.len() {
            1..=100 if text.bytes().enumerate().all(good) => Ok(Self(text.to_owned())),
            _ => bail!("expected up to 100 letters, digits and `._+~-`, beginning with a letter or digit"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a template is after [`record`] or [`roll_back`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Its newest commit.
    pub commit: Sha256,
    /// That commit's version; none for one that is older than history.
    pub version: Option<String>,
    /// Whether the commit was made now.
    pub new: bool,
}

/// Points a template to the tree of `commit`, by a commit that follows its newest one, unless that has the tree already.
pub fn record(
    store: &Store,
    template: &Template,
    lock: &Lock,
    commit: Sha256,
    version: Option<&Version>,
) -> Result<Recorded> {
    let tree = store.load_commit(commit)?;
    let text = lock.render()?;
    let mut metadata = tree.metadata;
    metadata.insert(LOCK.to_owned(), Sha256::of(text.as_bytes()).to_hex());
    metadata.insert(MANIFEST.to_owned(), lock.manifest_sha256.to_hex());
    metadata.insert(PROGRAM.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let new = New { metadata, root: tree.root, date: lock.date, lock: Some(text) };
    new.follow(store, template, version)
}

/// Gives a template the tree of one of its commits again, by a commit that follows its newest one.
pub fn roll_back(store: &Store, template: &Template, to: Sha256, version: Option<&Version>) -> Result<Recorded> {
    let stored = store.load_commit(to)?;
    check_belongs(template, to, &stored)?;
    let StoredCommit { mut metadata, root, date, .. } = stored;
    // Of a rollback's commit, the one whose tree it took.
    metadata.entry(RESTORED.to_owned()).or_insert_with(|| to.to_hex());
    New { metadata, root, date, lock: lock_text(store, to)? }.follow(store, template, version)
}

/// Gives a commit of a template a tag, which another commit may have already only with `force`.
pub fn set_tag(store: &Store, template: &Template, tag: &Version, commit: Sha256, force: bool) -> Result<()> {
    check_belongs(template, commit, &store.load_commit(commit)?)?;
    let name = template.tag_ref(tag.as_str());
    let _held = store.hold_histories()?;
    match store.resolve(&name)? {
        Some(other) if other != commit && !force => {
            Err(anyhow!("{name} is {other} already")).hint(|| "--force moves it")
        }
        _ => store.change_refs(&[(name, Some(commit))]),
    }
}

/// Removes a tag; gives the commit that had it.
pub fn delete_tag(store: &Store, template: &Template, tag: &Version) -> Result<Sha256> {
    let name = template.tag_ref(tag.as_str());
    let Some(commit) = store.resolve(&name)? else {
        let all = tags(store)?;
        let own = all.iter().filter(|(whose, ..)| whose == template).map(|(_, tag, _)| tag.as_str());
        let near = nearest(tag.as_str(), own).map(|near| format!("is it {near}?"));
        let error = anyhow!("{} has no tag {tag} for {}", template.name, template.architecture);
        return Err(error).hint(|| near.unwrap_or_else(|| format!("compose tag {} lists them", template.name)));
    };
    store.change_refs(&[(name, None)])?;
    Ok(commit)
}

/// What [`forget`] took away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forgotten {
    /// How many commits the history had.
    pub commits: usize,
    /// The tags that were deleted.
    pub deleted: Vec<String>,
    /// The tags that stay, with all that they name.
    pub kept: Vec<String>,
}

/// Takes a template's history away, and its tags where that is asked for. What nothing else needs of it is garbage then.
pub fn forget(store: &Store, template: &Template, with_tags: bool) -> Result<Forgotten> {
    let _held = store.hold_histories()?;
    let tip = template.tip(store)?;
    let own = tags(store)?.into_iter().filter(|(whose, ..)| whose == template).map(|(_, tag, _)| tag);
    let (deleted, kept) = own.partition(|_| with_tags);
    let forgotten =
        Forgotten { commits: tip.map_or(Ok(0), |tip| log(store, tip).map(|log| log.len()))?, deleted, kept };
    let tags = forgotten.deleted.iter().map(|tag| template.tag_ref(tag));
    let refs: Vec<_> = tip.map(|_| template.ref_name()).into_iter().chain(tags).map(|name| (name, None)).collect();
    store.change_refs(&refs)?;
    Ok(forgotten)
}

/// That a commit was made for a template.
fn check_belongs(template: &Template, commit: Sha256, stored: &StoredCommit) -> Result<()> {
    if !stored.metadata.contains_key(LOCK) {
        bail!("{commit} is no commit of a template");
    }
    // Commits older than history do not say whose they are.
    if !stored.refs.is_empty() && !stored.refs.contains(&template.ref_name()) {
        bail!("{commit} is a commit of {}, expected one of {}", stored.refs.join(", "), template.ref_name());
    }
    Ok(())
}

/// A commit that is to follow.
struct New {
    metadata: BTreeMap<String, String>,
    root: (Sha256, Sha256),
    date: crate::clock::Timestamp,
    lock: Option<String>,
}

impl New {
    fn follow(mut self, store: &Store, template: &Template, version: Option<&Version>) -> Result<Recorded> {
        let _held = store.hold_histories()?;
        let tip = template.tip(store)?;
        let history = tip.map_or_else(|| Ok(Vec::new()), |tip| log(store, tip))?;
        if let Some((tip, stored)) = history.first()
            && self.is_tree_of(stored)
        {
            if let Some(text) = self.lock.filter(|_| stored.metadata.get(LOCK) == self.metadata.get(LOCK))
                && lock_text(store, *tip).ok().flatten().is_none()
            {
                keep_lock(store, *tip, &text)?;
            }
            return Ok(Recorded { commit: *tip, version: stored.version.clone(), new: false });
        }
        let number = |stored: &StoredCommit| stored.metadata.get(BUILD)?.parse::<u64>().ok();
        let number = history.first().map_or(0, |(_, stored)| number(stored).unwrap_or(history.len() as u64)) + 1;
        let version = version_of(template, number, version, &history)?;
        self.metadata.insert(BUILD.to_owned(), number.to_string());
        let pending = store.write_commits(&[NewCommit {
            name: template.ref_name(),
            parent: tip,
            subject: format!("{} {}", template.name, template.architecture),
            metadata: self.metadata,
            version: Some(version.clone()),
            root: self.root,
            date: self.date,
        }])?;
        let commit = pending.refs()[0].1;
        if let Some(text) = &self.lock {
            keep_lock(store, commit, text)?;
        }
        store.set_refs(pending)?;
        Ok(Recorded { commit, version: Some(version), new: true })
    }

    /// Whether a commit has this tree, with its devices and hard links.
    fn is_tree_of(&self, stored: &StoredCommit) -> bool {
        let facts = |metadata: &BTreeMap<String, String>| metadata.get("extras").cloned();
        stored.root == self.root && facts(&stored.metadata) == facts(&self.metadata)
    }
}

/// The user's version, which no other commit of the history may have, else the build's number, or the next one that none has.
fn version_of(
    template: &Template,
    number: u64,
    wanted: Option<&Version>,
    history: &[(Sha256, StoredCommit)],
) -> Result<String> {
    let taken = |version: &str| history.iter().find(|(_, stored)| stored.version.as_deref() == Some(version));
    let Some(wanted) = wanted else {
        let mut numbers = (number..).map(|number| number.to_string());
        return numbers.find(|version| taken(version).is_none()).ok_or_else(|| anyhow!("there is no number left"));
    };
    match taken(wanted.as_str()) {
        None => Ok(wanted.to_string()),
        Some((commit, _)) => {
            Err(anyhow!("{} has the version {wanted} already, of another tree: {commit}", template.ref_name()))
                .hint(|| "give another --template-version, or none for a number")
        }
    }
}
