//! An image to the package that Qubes installs templates from: `qubes-template-NAME-VERSION-RELEASE.noarch.rpm`, in the form of
//! qubes-builder's `template.spec` and within what Qubes' rpmcanon and qvm-template demand.
//!
//! The image goes through one stream: its blocks that are not zeros, as a sparse tar archive, cut into files of 1 GiB, in cpio,
//! in zstd, into the package, ahead of which room is left for the header with the digests of all that.

mod files;
mod header;
mod openpgp;
mod payload;
mod sign;
mod sparse;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Serialize;

use crate::artifact::{Artifact, Place};
use crate::clock::Timestamp;
use crate::digest::{FileDigest, Sha256};
use crate::error::Hint;
use crate::lock::Lock;
use crate::manifest::{Manifest, Template};
use crate::package::rpm::file::Front;
use crate::progress::{Progress, Unit};
use crate::run_folder::RunFolder;
use crate::store::Store;

pub use sign::{Signed, Signer, sign};
use sparse::SparseTar;

/// Part of every key; to be raised when the same inputs give other bytes than before.
const VERSION: u32 = 1;

/// The one architecture that Qubes runs on.
const ARCHITECTURE: &str = "amd64";

/// What a package is made of.
pub struct Request<'a> {
    /// The store.
    pub store: &'a Store,
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its lock.
    pub lock: &'a Lock,
    /// The digest of all that shapes the image.
    pub image: Sha256,
    /// The commit of the image's tree.
    pub commit: Sha256,
    /// Who signs the package, if anyone.
    pub signer: Option<&'a Signer>,
    /// How many threads compress, which shapes nothing.
    pub threads: usize,
    /// Where the package goes; absolute.
    pub folder: &'a Path,
}

/// The package, when it stands as it was made.
pub fn standing(request: &Request<'_>) -> Result<Option<Artifact>> {
    Ok(place(request)?.standing())
}

/// Makes the package of an image.
pub fn run(request: &Request<'_>, image: &Path, progress: &dyn Progress) -> Result<Artifact> {
    let place = place(request)?;
    let template = template(request.manifest, request.lock)?;
    let _task = progress.task("qubes-template", Unit::Items, 0);
    let temporary = RunFolder::new(request.folder, ".compose-")?;
    let file = temporary.path().join("output");
    let image = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    write(template, request.lock.date, &image, request.signer, request.threads, &file)?;
    let (sha256, _) = File::open(&file).and_then(Sha256::of_reader).context("cannot read the package")?;
    place.put(&file, FileDigest::Sha256(sha256))
}

/// Writes a package to a file that must not exist.
pub fn write(
    template: &Template,
    date: Timestamp,
    image: &File,
    signer: Option<&Signer>,
    threads: usize,
    file: &Path,
) -> Result<()> {
    let seconds = u32::try_from(date.seconds()).context("the lock's date is not within what rpm can tell")?;
    let release = release(template, date);
    let tar = SparseTar::scan(image, u64::from(seconds))?;
    let files = files::files(template, tar.size())?;
    let front = |payload: &payload::Payload| -> Result<Front> {
        let header = header::header(template, &release, seconds, &files, payload)?;
        Ok(Front::new(header, payload.compressed.1, payload.archive.1))
    };
    let room = front(&payload::unknown(&files))?.to_bytes().len();
    let mut output = File::create_new(file).with_context(|| format!("cannot create {}", file.display()))?;
    payload::leave_room(&mut output, room as u64)?;
    let prefix = format!(".{}{}", files::FOLDER, template.name);
    let payload = payload::write(&mut output, &prefix, &files, &tar, seconds, threads)?;
    let mut front = front(&payload)?;
    if let Some(signer) = signer {
        front.sign(signer.sign(front.signed_bytes(), date).context("cannot sign the package")?);
    }
    let front = front.to_bytes();
    ensure!(front.len() == room, "the signature is too long: {} bytes more than there is room for", front.len() - room);
    Ok(output.write_all_at(&front, 0)?)
}

/// qubes-builder's release: the time of the build as `%Y%m%d%H%M`, in UTC. A revision stands behind it, which makes it later
/// than the same without one, and earlier than the next minute's. qvm-template takes letters, digits and `._+~` in a release.
fn release(template: &Template, date: Timestamp) -> String {
    let text = date.to_string();
    let time: String = text.chars().filter(char::is_ascii_digit).take(12).collect();
    match template.revision {
        Some(revision) => format!("{time}.{revision}"),
        None => time,
    }
}

fn place(request: &Request<'_>) -> Result<Place> {
    #[derive(Serialize)]
    struct Inputs<'a> {
        version: u32,
        image: Sha256,
        date: Timestamp,
        template: &'a Template,
        signer: Option<String>,
    }
    let Request { store, manifest, lock, image, signer, folder, .. } = request;
    let template = template(manifest, lock)?;
    let inputs =
        Inputs { version: VERSION, image: *image, date: lock.date, template, signer: signer.map(Signer::identity) };
    let identity = Sha256::of(&serde_json::to_vec(&inputs)?);
    Ok(Place::new(store, file_path(folder, template, lock.date), identity).made_of(request.commit))
}

fn file_path(folder: &Path, template: &Template, date: Timestamp) -> PathBuf {
    let Template { name, version, .. } = template;
    folder.join(format!("{}{name}-{version}-{}.noarch.rpm", header::PREFIX, release(template, date)))
}

/// What a package of this lock says of itself. There is none for manifests that do not say, nor for architectures that Qubes
/// does not run on.
pub fn template<'a>(manifest: &'a Manifest, lock: &Lock) -> Result<&'a Template> {
    if lock.architecture.as_str() != ARCHITECTURE {
        return Err(anyhow!("Qubes runs on {ARCHITECTURE}, and there are no templates for {}", lock.architecture))
            .hint(|| "give --arch amd64, or --format for other outputs");
    }
    let template = manifest.template.as_ref();
    template
        .ok_or_else(|| anyhow!("{} does not tell which Qubes release the template is for", manifest.path.display()))
        .hint(|| "add `template: {version: 4.3.0}` to the manifest and update the lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_the_locks_date_and_the_revision() {
        let (mut template, date) = (files::tests::template(), "2026-11-14T09:12:44Z".parse().unwrap());
        assert_eq!(release(&template, date), "202611140912");
        template.revision = Some(2);
        assert_eq!(release(&template, date), "202611140912.2");
    }
}
