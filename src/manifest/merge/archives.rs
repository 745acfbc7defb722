//! Archives, in the words of apt's sources or of dnf's repositories.

use std::path::Path;

use super::{Merge, append};
use crate::digest::Sha256;
use crate::manifest::load::{Failure, read_named};
use crate::manifest::located::Located;
use crate::manifest::repository::{Repository, TypedRepository};
use crate::manifest::typed::TypedArchive;
use crate::manifest::{Archive, Pool};
use crate::package::Format;

impl Merge<'_> {
    /// Adds a file's archives to those of the files before it.
    pub(super) fn add_archives(
        &mut self,
        mut archives: Vec<Archive>,
        typed: Vec<TypedArchive>,
        folder: &Path,
    ) -> Result<Vec<Archive>, Failure> {
        let mut seen: Vec<String> = Vec::new();
        for mut t in typed {
            if seen.contains(&t.id.value) {
                let message = format!("the archive `{}` stands twice in this file", t.id.value);
                return Err(self.mistake(&t.id, message).into());
            }
            let is_path = matches!(t.id.value.as_str(), "" | "." | "..") || t.id.value.contains('/');
            if is_path || t.id.value.contains(char::is_whitespace) {
                let message = format!("`{}` is not an archive id: one word without `/` is expected", t.id.value);
                return Err(self.mistake(&t.id, message).into());
            }
            seen.push(t.id.value.clone());
            let at = archives.iter().position(|a| a.id == t.id.value).unwrap_or_else(|| {
                archives.push(Archive {
                    id: t.id.value.clone(),
                    pool: None,
                    suites: Vec::new(),
                    components: Vec::new(),
                    signed_by: None,
                    uris: Vec::new(),
                    priority: None,
                    check_valid_until: true,
                    trusted: false,
                    repository: None,
                });
                archives.len() - 1
            });
            let archive = &mut archives[at];
            let dnf = t.take_repository();
            if dnf.is_given() || archive.repository.is_some() {
                self.add_repository(archive, &t, dnf, folder)?;
                continue;
            }
            append(&mut archive.suites, t.suites);
            append(&mut archive.components, t.components);
            append(&mut archive.uris, t.uris);
            archive.priority = t.priority.map(|p| p.value).or(archive.priority);
            archive.check_valid_until = t.check_valid_until.map_or(archive.check_valid_until, |v| v.value);
            archive.trusted = t.trusted.map_or(archive.trusted, |v| v.value);
            if let Some(keyring) = t.signed_by {
                let path = std::path::absolute(folder.join(&keyring.value)).map_err(|e| Failure::Other(e.into()))?;
                let bytes = read_named(&path).map_err(|e| self.mistake(&keyring, format!("{e:#}")))?;
                self.keyrings.insert(path.clone(), Sha256::of(&bytes));
                archive.signed_by = Some(path);
            }
            if let Some(pool) = t.pool {
                let pool = self.path_from_root(&pool, folder)?;
                let folder = std::path::absolute(self.root.join(&pool)).map_err(|e| Failure::Other(e.into()))?;
                archive.pool = Some(Pool { pool, folder });
            }
            if archive.pool.is_some() {
                let plain = archive.suites.is_empty() && archive.components.is_empty() && archive.uris.is_empty();
                if !plain || archive.signed_by.is_some() || archive.trusted {
                    let message = format!(
                        "the archive `{}` has a `pool`, a folder of package files: `suites`, `components`, `uris`, \
                         `signed-by` and `trusted` are for archives with an index",
                        archive.id
                    );
                    return Err(self.mistake(&t.id, message).into());
                }
                continue;
            }
            if archive.suites.is_empty() {
                return Err(self.mistake(&t.id, format!("the archive `{}` has no `suites`", archive.id)).into());
            }
            if archive.signed_by.is_none() && !archive.trusted {
                let message = format!(
                    "the archive `{}` has neither `signed-by`, the keyring its metadata is checked against, nor `trusted: true`",
                    archive.id
                );
                return Err(self.mistake(&t.id, message).into());
            }
        }
        Ok(archives)
    }

    /// Adds what a file says of an rpm repository.
    fn add_repository(
        &self,
        archive: &mut Archive,
        typed: &TypedArchive,
        dnf: TypedRepository,
        folder: &Path,
    ) -> Result<(), Failure> {
        if typed.pool.is_some() || !typed.suites.is_empty() || !typed.components.is_empty() || typed.signed_by.is_some()
        {
            let message = format!(
                "the archive `{}` has words of apt's sources and of dnf's repositories: it can be of one kind only",
                archive.id
            );
            return Err(self.mistake(&typed.id, message).into());
        }
        let repository = archive.repository.get_or_insert_with(Repository::new);
        let mistake = |at: &Located<String>, message: String| self.mistake(at, message);
        let (uris, priority) = dnf.apply(&archive.id, repository, folder, &mistake)?;
        for uri in uris.into_iter().chain(typed.uris.iter().map(|uri| uri.value.clone())) {
            if !archive.uris.contains(&uri) {
                archive.uris.push(uri);
            }
        }
        archive.priority = typed.priority.as_ref().map(|p| p.value).or(priority).or(archive.priority);
        archive.trusted = typed.trusted.as_ref().map_or(archive.trusted, |v| v.value);
        if repository.repo_gpgcheck && repository.gpgkey.is_empty() {
            let message = format!(
                "the repository `{}` has neither `gpgkey`, the keys its metadata is checked against, nor `repo_gpgcheck: false`",
                archive.id
            );
            return Err(self.mistake(&typed.id, message).into());
        }
        Ok(())
    }

    /// Archives are of the manifest's format.
    pub(super) fn check_archives(&self, format: &Located<Format>) -> Result<(), Failure> {
        let all = self.archives.iter().chain(&self.tools);
        let other = |archive: &&Archive| match format.value {
            Format::Deb => archive.repository.is_some(),
            Format::Rpm => archive.repository.is_none(),
        };
        match all.filter(other).map(|archive| &archive.id).next() {
            None => Ok(()),
            Some(id) => {
                let wanted = match format.value {
                    Format::Deb => "`suites` and `signed-by`",
                    Format::Rpm => "`baseurl` and `gpgkey`",
                };
                let name = format.value.as_str();
                let message =
                    format!("the format is `{name}`, and the archive `{id}` is of another: it needs {wanted}");
                Err(self.mistake(format, message).into())
            }
        }
    }
}
