//! `root.img`: an ext4 file system made by the `mke2fs` that the lock pins, in a sandbox, from a tar stream.
//!
//! No checkout, no loop device and no rights are needed: devices, owners and attributes travel in the stream.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::tar;
use crate::assemble;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::lock::Lock;
use crate::manifest::ImageOptions;
use crate::sandbox::{self, Bind, Input, Limits, Plan, Root, Step};
use crate::store::{self, Directory, ObjectReader, Store, Tree};

/// The image in the sandbox.
const IMAGE: &str = "/run/image";
/// ext4's block size here, in bytes.
const BLOCK: u64 = 4096;
/// Where its superblock is.
const SUPERBLOCK: std::ops::Range<u64> = 1024..2048;
const MIB: u64 = 1 << 20;
/// mke2fs's own size of an inode, in bytes.
const INODE: u64 = 256;
/// mke2fs's own ratio: one inode for so many bytes.
const BYTES_PER_INODE: u64 = 16384;

/// Writes the image to `output`, which must not exist.
pub(super) fn write(
    store: &Store,
    program: &Path,
    lock: &Lock,
    options: &ImageOptions,
    tree: &Tree,
    identity: Sha256,
    output: &Path,
) -> Result<()> {
    if lock.tools.is_empty() {
        return Err(anyhow!("the lock pins no program that writes images: it was made for other outputs"))
            .hint(|| "add root.img to `outputs:` in the manifest and update the lock");
    }
    let reader = store.reader();
    let (needed, inodes) = space_needed(&reader, tree)?;
    let size = options.size.unwrap_or_else(|| size_to_fit(needed, inodes, options.slack));
    File::create_new(output)
        .and_then(|file| file.set_len(size))
        .with_context(|| format!("cannot create {}", output.display()))?;
    let plan = plan(store, lock, output, mke2fs(options, identity, IMAGE, size, inodes, lock.date))?;
    sandbox::run_fed(program, store.work(), &plan, |pipe| {
        tar::write(&reader, tree, lock.date, std::io::BufWriter::with_capacity(1 << 18, pipe))
    })
    .with_context(|| format!("cannot make an ext4 file system of {size} bytes for files that need {needed}"))
    .hint(|| "if the files do not fit, raise `image: size:` in the manifest, or leave it out to have it sized to fit")
}

/// What lies at a byte of an image, as far as its own file system tells.
pub(super) fn path_at(store: &Store, program: &Path, lock: &Lock, image: &Path, offset: u64) -> Result<Option<String>> {
    if SUPERBLOCK.contains(&offset) {
        return Ok(Some("the superblock".to_owned()));
    }
    // debugfs(8) answers with a line of headings and one of tabbed values.
    let ask = |request: String| -> Result<Option<String>> {
        let command = ["/usr/sbin/debugfs", "-R", &request, IMAGE].map(str::to_owned).to_vec();
        let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned())];
        let step = Step { label: "debugfs".to_owned(), command, environment, input: Input::Null };
        let mut answer = None;
        sandbox::run(program, store.work(), &plan(store, lock, image, step)?, &mut |line| {
            answer = line.split_once('\t').map(|(_, value)| value.trim().to_owned());
        })?;
        Ok(answer)
    };
    match ask(format!("icheck {}", offset / BLOCK))?.filter(|inode| inode.parse::<u32>().is_ok()) {
        Some(inode) => ask(format!("ncheck {inode}")),
        None => Ok(None),
    }
}

/// A sandbox of the lock's tools with the image in it.
fn plan(store: &Store, lock: &Lock, image: &Path, step: Step) -> Result<Plan> {
    let tools = store.work().join("tools");
    if !tools.exists() {
        let mut tree = assemble::merged(store, lock.format, &lock.tools)?.tree;
        for name in ["dev", "proc", "run", "tmp"] {
            tree.root.directories.entry(name.to_owned()).or_insert_with(|| Directory::new(0o755));
        }
        store::check_out(store, &tree.root, &tools)?;
    }
    Ok(Plan {
        root: Root::ReadOnly(tools),
        binds: vec![Bind { source: image.to_owned(), target: IMAGE.into() }],
        temporary_files: Vec::new(),
        steps: vec![step],
        interactive: false,
        observer: None,
        limits: Limits::default(),
    })
}

fn mke2fs(options: &ImageOptions, identity: Sha256, image: &str, size: u64, inodes: u64, date: Timestamp) -> Step {
    let hash_seed = uuid(Sha256::of(format!("hash-seed {identity}").as_bytes()));
    let mut command: Vec<String> =
        ["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"].map(str::to_owned).to_vec();
    command.extend(["-U".to_owned(), uuid(identity), "-L".to_owned(), options.label.clone()]);
    command
        .extend(["-E".to_owned(), format!("hash_seed={hash_seed},lazy_itable_init=0,lazy_journal_init=0,nodiscard")]);
    // Room for the files, and for half as many again.
    let wanted = inodes + inodes / 2;
    if wanted > size / BYTES_PER_INODE {
        command.extend(["-N".to_owned(), wanted.to_string()]);
    }
    command.extend(["-d".to_owned(), "-".to_owned(), image.to_owned(), (size / BLOCK).to_string()]);
    let environment = [("SOURCE_DATE_EPOCH", date.seconds().to_string()), ("PATH", "/usr/sbin:/usr/bin".to_owned())];
    Step {
        label: "mke2fs".to_owned(),
        command,
        environment: environment.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        input: Input::Inherit,
    }
}

/// A UUID of version 8 (RFC 9562, 5.8) made of a digest.
fn uuid(digest: Sha256) -> String {
    let mut bytes: [u8; 16] = std::array::from_fn(|i| digest.as_bytes()[i]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Bytes of blocks that the tree's contents take, and the number of its inodes.
fn space_needed(reader: &ObjectReader, tree: &Tree) -> Result<(u64, u64)> {
    let (mut bytes, mut inodes, mut failure) = (0, tree.extras.nodes.len() as u64, None);
    tree.root.for_each_file(&mut |path, leaf| {
        if !tree.extras.links.contains_key(path) {
            inodes += 1;
            match fs::symlink_metadata(reader.path(leaf)) {
                // A link's target of up to 59 bytes stands in its inode.
                Ok(m) if m.is_symlink() && m.len() < 60 => {}
                Ok(m) => bytes += m.len().div_ceil(BLOCK) * BLOCK,
                Err(e) => failure = Some(e),
            }
        }
    });
    count_directories(&tree.root, &mut bytes, &mut inodes);
    match failure {
        Some(e) => Err(e).context("cannot read the objects of the tree"),
        None => Ok((bytes, inodes)),
    }
}

fn count_directories(dir: &Directory, bytes: &mut u64, inodes: &mut u64) {
    let names = dir.files.keys().chain(dir.directories.keys());
    // ext4's directory entries: 8 bytes and the name, on 4-byte borders; half-full blocks at worst.
    let entries: u64 = names.map(|name| (8 + name.len() as u64).div_ceil(4) * 4).sum();
    *bytes += (2 * entries).div_ceil(BLOCK).max(1) * BLOCK;
    *inodes += 1;
    dir.directories.values().for_each(|child| count_directories(child, bytes, inodes));
}

/// The file system's size in bytes: contents, slack, inode tables, journal, group descriptors; whole MiB.
fn size_to_fit(needed: u64, inodes: u64, slack: u64) -> u64 {
    let payload = needed + slack;
    let tables = (payload / BYTES_PER_INODE).max(inodes + inodes / 2) * INODE;
    // mke2fs's journal for sizes up to 1 GiB, 2 GiB and beyond; ext2fs_default_journal_size in mkjournal.c.
    let journal = match payload >> 30 {
        0 => 16 * MIB,
        1 => 32 * MIB,
        2..16 => 64 * MIB,
        16..32 => 128 * MIB,
        _ => 256 * MIB,
    };
    // Bitmaps, descriptors and the reserve for growth.
    let total = payload + tables + journal + payload / 100 + 8 * MIB;
    total.div_ceil(MIB) * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_uuids() {
        assert_eq!(uuid(Sha256::of(b"")), "e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    }

    #[test]
    fn sizes_are_whole_and_leave_the_slack() {
        let size = size_to_fit(180 * MIB, 9000, 64 * MIB);
        assert_eq!(size % MIB, 0);
        assert!(size > (180 + 64 + 16) * MIB && size < 300 * MIB);
    }
}
