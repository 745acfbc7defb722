//! `root.img`: a disk with the partitions that Qubes templates have, or a root file system alone.
//!
//! Every part is written in place, into a file that is otherwise a hole.

use std::path::Path;

use anyhow::{Context, Result};

use super::efi::EfiFile;
use super::ext4::{self, FileSystem, Space};
use super::{Request, disk, efi, grub, tar, tools, volumes};
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::Kernel;
use crate::store::Tree;

/// Writes the image to `output`, which must not exist.
pub(super) fn write(request: &Request<'_>, tree: &Tree, identity: Sha256, output: &Path) -> Result<()> {
    let Request { store, lock, manifest, .. } = request;
    tools::require(request, "e2fsprogs", "root.img")?;
    let options = &manifest.image;
    let reader = store.reader();
    let space = Space::of(&reader, tree)?;
    let size = options.size.unwrap_or_else(|| {
        let beside = if options.partitions { disk::BESIDE_ROOT } else { 0 };
        space.size_to_fit(options.slack) + beside
    });
    let mut file = volumes::create(output, size)?;
    let mut place = 0..size;
    if options.partitions {
        place = disk::root(size);
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
    let length = place.end - place.start;
    let file_system = FileSystem { label: &options.label, identity, place, inodes: space.inodes, date: lock.date };
    ext4::make(request, output, &file_system, |pipe| {
        tar::write(&reader, tree, lock.date, std::io::BufWriter::with_capacity(1 << 18, pipe))
    })
    .with_context(|| format!("cannot make an ext4 file system of {length} bytes for files that need {}", space.bytes))
    .hint(|| "if the files do not fit, raise `image: size:` in the manifest, or write `size: fit`")
}

/// What lies at a byte of an image, as far as it tells itself.
pub(super) fn path_at(request: &Request<'_>, image: &Path, offset: u64) -> Result<Option<String>> {
    if !request.manifest.image.partitions {
        return ext4::path_at(request, image, 0, offset);
    }
    let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
    let root = disk::root(size);
    let part = match offset {
        _ if root.contains(&offset) => return ext4::path_at(request, image, root.start, offset - root.start),
        _ if disk::EFI_SYSTEM.contains(&offset) => "the EFI system partition",
        _ if disk::BIOS_BOOT.contains(&offset) => "the BIOS boot partition",
        _ => "the partition table",
    };
    Ok(Some(part.to_owned()))
}
