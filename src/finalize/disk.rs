//! The disk that Qubes' own builder makes for a template: a GUID partition table whose every GUID, name and size is fixed.
//!
//! ```text
//! 0        protective MBR, table       1 MiB
//! 1 MiB    EFI system partition      200 MiB   FAT, empty unless the root has its own kernel
//! 201 MiB  BIOS boot partition         2 MiB   empty unless the root has its own kernel
//! 203 MiB  root file system         the rest   ext4
//! end      the table again             1 MiB
//! ```
//!
//! The numbers are those of `prepare-image` in qubes-builderv2, as sfdisk(8) places them. A guest of Qubes finds its root by
//! the name of the third partition.

use std::fs::File;
use std::ops::Range;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::header::HeaderBuilder;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{BIOS, EFI, LINUX_FS, Type};
use uuid::{Uuid, uuid};

/// A sector of the disk, in bytes.
pub(super) const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;

/// Where the EFI system partition is, in bytes.
pub(super) const EFI_SYSTEM: Range<u64> = MIB..201 * MIB;
/// Where the BIOS boot partition is, in bytes.
pub(super) const BIOS_BOOT: Range<u64> = 201 * MIB..203 * MIB;
/// What the disk has beside the root file system, in bytes.
pub const BESIDE_ROOT: u64 = 204 * MIB;

/// The GUID of the root partition.
pub const ROOT_PARTITION: Uuid = uuid!("693244e6-3e07-47bf-ad79-acade4293fe7");
/// Its name.
pub const ROOT_NAME: &str = "Root filesystem";
const DISK: Uuid = uuid!("f4796a2a-e377-45bd-b539-d6d49e569055");

/// Where the root file system of a disk of so many bytes is.
pub(super) fn root(size: u64) -> Range<u64> {
    BIOS_BOOT.end..size - MIB
}

/// Writes the partition table to a disk of so many bytes, a whole number of MiB, that is all zeros.
pub(super) fn write_table(file: &mut File, size: u64) -> Result<()> {
    let partition = |part_type_guid: Type, part_guid: Uuid, name: &str, place: Range<u64>| Partition {
        part_type_guid,
        part_guid,
        first_lba: place.start / SECTOR,
        last_lba: place.end / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let partitions = [
        partition(EFI, uuid!("fa4d6529-56da-47c7-ae88-e2dfecb72621"), "EFI System", EFI_SYSTEM),
        partition(BIOS, uuid!("1e6c9db4-1e91-46c4-846a-2030dcb13b8c"), "BIOS boot partition", BIOS_BOOT),
        partition(LINUX_FS, ROOT_PARTITION, ROOT_NAME, root(size)),
    ];
    let in_blocks = LogicalBlockSize::Lb512;
    let write = |file: &mut File| -> Result<()> {
        // As the UEFI specification has it (5.2.3): all of the disk behind the MBR, as far as 32 bits can tell.
        let protected = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
        ProtectiveMBR::with_lb_size(protected).overwrite_lba0(file)?;
        let mut builder = HeaderBuilder::new();
        builder.disk_guid(DISK).backup_lba(size / SECTOR - 1).first_usable(MIB / SECTOR);
        let (mut primary, mut backup) = (builder.build(in_blocks)?, builder.primary(false).build(in_blocks)?);
        for header in [&primary, &backup] {
            for (number, partition) in (0..).zip(&partitions) {
                partition.write_to_device(file, number, header.part_start, in_blocks, header.part_size)?;
            }
        }
        primary.write_primary(file, in_blocks)?;
        backup.write_backup(file, in_blocks)?;
        Ok(())
    };
    write(file).context("cannot write the partition table")
}
