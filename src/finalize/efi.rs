//! The EFI system partition: a FAT file system whose volume id and times are fixed.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;

use anyhow::{Context, Result};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::StreamSlice;

use crate::digest::Sha256;

/// Its sectors, in bytes: as Qubes' own builder makes it (`mkfs.vfat -S 4096`), for disks of either sector size.
const SECTOR: u16 = 4096;
/// Its label, filled up.
const LABEL: [u8; 11] = *b"EFI        ";

/// A file in it.
pub(super) struct EfiFile<'a> {
    /// Its folders.
    pub(super) folders: &'a [&'a str],
    /// Its name.
    pub(super) name: &'a str,
    /// Its content.
    pub(super) content: &'a [u8],
}

/// Makes the file system in a part of a disk that is all zeros.
pub(super) fn write(disk: &File, place: Range<u64>, identity: Sha256, files: &[EfiFile<'_>]) -> Result<()> {
    let fill = || -> io::Result<()> {
        let mut part = StreamSlice::new(disk.try_clone()?, place.start, place.end)?;
        let bytes = identity.as_bytes();
        let volume_id = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let sectors = (place.end - place.start) / u64::from(SECTOR);
        let options = FormatVolumeOptions::new()
            .bytes_per_sector(SECTOR)
            .total_sectors(sectors as u32)
            .volume_id(volume_id)
            .volume_label(LABEL);
        fatfs::format_volume(&mut part, options)?;
        // Without the crate's clock every time is that of FAT's first day.
        let file_system = FileSystem::new(&mut part, FsOptions::new())?;
        for file in files {
            let mut folder = file_system.root_dir();
            for name in file.folders {
                folder = folder.create_dir(name)?;
            }
            folder.create_file(file.name)?.write_all(file.content)?;
        }
        file_system.unmount()
    };
    fill().context("cannot make the EFI system partition")
}
