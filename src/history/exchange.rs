//! Commits of templates that come from other stores.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{LOCK_TEXT, Template, log, unpack_lock};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::lock::Lock;
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
    let template = template.with_context(|| format!("{} has no commit of a template", file.display()))?;
    check_lock(&delta, &template).with_context(|| format!("{} lacks the lock of its commit", file.display()))?;
    if let Some(from) = from.filter(|from| !store.has_commit(*from)) {
        return Err(anyhow!("{} needs the commit {from}, which this store does not have", file.display()))
            .hint(|| "import that one first, or export without --from");
    }
    let _held = store.hold_histories()?;
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

/// That the lock which comes with a commit is the one that it names, and one of the template.
fn check_lock(delta: &Delta, template: &Template) -> Result<()> {
    let packed = delta.attached(LOCK_TEXT).context("there is none")?;
    let text = unpack_lock(&delta.commit, &packed)?.context("the commit names none")?;
    let lock = Lock::parse(&text, Path::new("its lock"))?;
    let found = Template { name: lock.manifest, architecture: lock.architecture };
    ensure!(found == *template, "it is that of {}, expected {}", found.ref_name(), template.ref_name());
    Ok(())
}
