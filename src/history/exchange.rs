//! Commits of templates that come from other stores.

use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::{LOCK, Template, log};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::store::{Delta, Store};

/// Writes a commit of a template to a file, as what makes it of the commit `from`, or of nothing.
pub fn export(store: &Store, from: Option<Sha256>, to: Sha256, file: &Path) -> Result<()> {
    let stored = store.load_commit(to)?;
    if stored.refs.iter().all(|name| Template::of_ref(name).is_none()) {
        bail!("{to} does not say which template it is of, and cannot be exported: build the template again");
    }
    if from == Some(to) {
        bail!("both are the commit {to}: there is nothing to export");
    }
    store.write_delta(from, to, file)
}

/// Adds the commit in a file to the store, and points its template to it where it follows that one's newest commit: is
/// one of those behind it, or what the file was made against. With `replace` it does so in any case. Gives the template
/// and the commit, and whether the template points to it now and did not before.
pub fn import(store: &Store, file: &Path, replace: bool) -> Result<(Template, Sha256, bool)> {
    let delta = Delta::open(file)?;
    let Delta { from, to, commit, .. } = &delta;
    let template = match commit.refs.as_slice() {
        [name] => Template::of_ref(name).filter(|template| template.ref_name() == *name),
        _ => None,
    };
    let Some(template) = template.filter(|_| commit.metadata.contains_key(LOCK)) else {
        bail!("{} has no commit of a template", file.display());
    };
    if let Some(from) = from.filter(|from| !store.has_commit(*from)) {
        return Err(anyhow!("{} needs the commit {from}, which this store does not have", file.display()))
            .hint(|| "import that one first, or export without --from");
    }
    let tip = template.tip(store)?;
    if let Some(tip) = tip {
        if log(store, tip)?.iter().any(|(commit, _)| commit == to) {
            return Ok((template, *to, false));
        }
        let mut before = commit.parent.filter(|parent| store.has_commit(*parent)).map(|parent| log(store, parent));
        let follows = *from == Some(tip)
            || before.take().transpose()?.is_some_and(|log| log.iter().any(|(commit, _)| *commit == tip));
        if !follows && !replace {
            return Err(anyhow!("{to} is not known to follow {tip}, which {} is now", template.ref_name()))
                .hint(|| "--replace sets it all the same; give the present one a tag to keep it");
        }
    }
    store.apply_delta(&delta)?;
    store.change_refs(&[(template.ref_name(), Some(*to))])?;
    Ok((template, *to, true))
}
