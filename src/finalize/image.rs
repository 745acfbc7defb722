//! `root.img`: a disk with the partitions that Qubes templates have, or a root file system alone.
//!
//! Every part is written in place, into a file that is otherwise a hole.

use std::path::Path;

use anyhow::{Context, Result};

use super::efi::EfiFile;
use super::ext4::{Contents, FileSystem};
use super::sparse::{Hashes, SparseFile};
use super::{KnownTree, Request, disk, efi, grub, labels, look, read_tree, volumes};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::Kernel;

/// Writes the image to `output`, which must not exist; gives the hashes of what it knows of it.
pub(super) fn write(request: &Request<'_>, tree: &KnownTree, identity: Sha256, output: &Path) -> Result<Hashes> {
    let Request { store, manifest, .. } = request;
    let options = &manifest.image;
    let reader = store.reader();
    let contents = contents(request, tree, identity)?;
    let size = match options.size {
        Some(size) => size,
        None => contents.size_to_fit(options.slack)? + if options.partitions { disk::BESIDE_ROOT } else { 0 },
    };
    let place = if options.partitions { disk::root(size) } else { 0..size };
    // Before anything is written.
    let volume = contents
        .lay_out(place.end - place.start)
        .hint(|| "if the files do not fit, raise `image: size:` in the manifest, or write `size: fit`")?;
    let mut file = volumes::create(output, size)?;
    if options.partitions {
        disk::write_table(&mut file, size)?;
        let loader = match options.kernel {
            Kernel::Dom0 => None,
            Kernel::Own => Some(grub::make(request, output)?),
        };
        if let Some(loader) = &loader {
            loader.install_for_bios(&file)?;
        }
        let files = loader.as_ref().map(|loader| EfiFile {
            folders: &["EFI", "BOOT"],
            name: "BOOTX64.EFI",
            content: &loader.efi,
        });
        efi::write(&file, disk::EFI_SYSTEM, identity, files.as_slice())?;
    }
    let file = SparseFile::new(&file);
    volume.write(&reader, &file, place.start).context("cannot write the root file system")?;
    Ok(file.finish())
}

fn contents<'a>(request: &'a Request<'_>, tree: &'a KnownTree, identity: Sha256) -> Result<Contents<'a>> {
    let Request { store, lock, manifest, .. } = request;
    let file_system = FileSystem { label: &manifest.image.label, identity, date: lock.date };
    let labels = labels(request, tree)?;
    Contents::of(&store.reader(), (read_tree(request, tree)?, look(request, tree)?), labels, file_system)
}

/// What lies at a byte of an image of a tree.
pub(super) fn path_at(request: &Request<'_>, identity: Sha256, image: &Path, offset: u64) -> Result<Option<String>> {
    let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
    let root = if request.manifest.image.partitions { disk::root(size) } else { 0..size };
    let part = match offset {
        _ if root.contains(&offset) => {
            let tree = KnownTree::default();
            let contents = contents(request, &tree, identity)?;
            return Ok(contents.lay_out(root.end - root.start)?.path_at(offset - root.start));
        }
        _ if disk::EFI_SYSTEM.contains(&offset) => "the EFI system partition",
        _ if disk::BIOS_BOOT.contains(&offset) => "the BIOS boot partition",
        _ => "the partition table",
    };
    Ok(Some(part.to_owned()))
}
