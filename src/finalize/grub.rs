//! GRUB for a root with a kernel of its own: images that `grub-mkimage` of the lock makes in a sandbox, put where a BIOS and
//! EFI firmware look for them. No device is asked for anything, so it needs neither a loop device nor root.
//!
//! Both images read `/boot/grub/grub.cfg` of the root file system, as GRUB for Xen's PVH guests does that dom0 hands in.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Request, disk, tools};
use crate::assemble;
use crate::sandbox::{self, Input};

/// The one architecture that a boot loader is made for here.
pub const ARCHITECTURE: &str = "amd64";

/// GRUB's prefix: a folder of the third partition of whatever disk GRUB was loaded from.
const PREFIX: &str = "(,gpt3)/boot/grub";

/// What both images can do without loading more: find the root file system, run its configuration, also one that
/// grub-mkconfig(8) wrote, load Linux.
const MODULES: &[&str] = &[
    "all_video",
    "boot",
    "cat",
    "configfile",
    "echo",
    "ext2",
    "gettext",
    "gfxterm",
    "gzio",
    "halt",
    "linux",
    "loadenv",
    "ls",
    "minicmd",
    "normal",
    "part_gpt",
    "reboot",
    "regexp",
    "search",
    "serial",
    "sleep",
    "terminal",
    "test",
    "true",
];

/// What an image for a BIOS needs besides.
const BIOS_MODULES: &[&str] = &["biosdisk"];
/// What an image for EFI firmware needs besides.
const EFI_MODULES: &[&str] = &["efi_gop", "fat"];

/// Where boot.img has the sector that it loads, 8 bytes (`GRUB_BOOT_MACHINE_KERNEL_SECTOR` in GRUB's boot.h).
const KERNEL_SECTOR: u64 = 0x5c;
/// Where core.img has the sector behind its first, 8 bytes: in the block list that ends the first.
const BLOCK_LIST: u64 = disk::SECTOR - 12;
/// What of boot.img goes before the disk's own partition records, in bytes.
const BOOT_CODE: usize = 440;

/// The boot loader's images.
pub(super) struct Loader {
    boot: Vec<u8>,
    core: Vec<u8>,
    /// For EFI firmware.
    pub(super) efi: Vec<u8>,
}

/// Makes the images; `output` is a name beside which files may be written.
pub(super) fn make(request: &Request<'_>, output: &Path) -> Result<Loader> {
    if request.lock.architecture.as_str() != ARCHITECTURE {
        let architecture = &request.lock.architecture;
        bail!("a root with its own kernel can be made for {ARCHITECTURE} alone, and this is {architecture}");
    }
    let core = mkimage("i386-pc", "/run/core", BIOS_MODULES);
    let efi = mkimage("x86_64-efi", "/run/efi", EFI_MODULES);
    let files =
        [("core", "/run/core"), ("efi", "/run/efi")].map(|(name, target)| (output.with_extension(name), target));
    for (file, _) in &files {
        File::create_new(file).with_context(|| format!("cannot create {}", file.display()))?;
    }
    let steps = [core, efi].map(|command| tools::step(command, &[], Input::Null)).to_vec();
    let binds = files.each_ref().map(|(file, target)| (file.as_path(), *target));
    let plan = tools::plan(request, &binds, steps)?;
    sandbox::run(request.program, request.store.work(), &plan, &mut |_| {}).context("cannot make GRUB's images")?;
    let [core, efi] = files.map(|(file, _)| fs::read(&file).with_context(|| format!("cannot read {}", file.display())));
    Ok(Loader { boot: first_sector(request)?, core: core?, efi: efi? })
}

/// GRUB's own first sector, a file of its package as it is.
fn first_sector(request: &Request<'_>) -> Result<Vec<u8>> {
    let tree = assemble::merged(request.store, request.lock.format, &request.lock.tools)?.tree;
    let path = "usr/lib/grub/i386-pc/boot.img";
    let file = tree.root.file(path).with_context(|| format!("the lock's tools have no /{path}"))?;
    request.store.reader().read(file)
}

fn mkimage(platform: &str, output: &str, more: &[&str]) -> Vec<String> {
    let folder = format!("/usr/lib/grub/{platform}");
    let mut command = vec!["/usr/bin/grub-mkimage", "-O", platform, "-d", &folder, "-p", PREFIX, "-o", output];
    command.extend(MODULES.iter().chain(more));
    command.into_iter().map(str::to_owned).collect()
}

impl Loader {
    /// Writes what a BIOS starts to the first sector and to the BIOS boot partition, as grub-bios-setup(8) does.
    pub(super) fn install_for_bios(&self, disk: &File) -> Result<()> {
        let place = disk::BIOS_BOOT;
        if self.boot.len() as u64 != disk::SECTOR || (self.core.len() as u64) < disk::SECTOR {
            bail!("GRUB's images have {} and {} bytes, which is too few", self.boot.len(), self.core.len());
        }
        if self.core.len() as u64 > place.end - place.start {
            bail!("GRUB's core.img has {} bytes and does not fit in the BIOS boot partition", self.core.len());
        }
        let sector = place.start / disk::SECTOR;
        let write = || {
            disk.write_all_at(&self.boot[..BOOT_CODE], 0)?;
            disk.write_all_at(&sector.to_le_bytes(), KERNEL_SECTOR)?;
            disk.write_all_at(&self.core, place.start)?;
            disk.write_all_at(&(sector + 1).to_le_bytes(), place.start + BLOCK_LIST)
        };
        write().context("cannot write GRUB to the image")
    }
}
