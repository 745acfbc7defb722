//! `erofs` and `squashfs`: compressed file systems that are only read, made by programs that the lock pins, in a sandbox, from a
//! tar stream. Both have a thread for each processor, and give the same bytes with any number of them.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

use super::{KnownTree, Request, ext4, labels, read_tree, tar, tools, volumes};
use crate::digest::Sha256;
use crate::sandbox::{self, Input};

/// The file in the sandbox.
const IMAGE: &str = "/run/image";

/// Writes an EROFS file system to `output`, which must not exist.
pub(super) fn write_erofs(request: &Request<'_>, tree: &KnownTree, identity: Sha256, output: &Path) -> Result<()> {
    tools::require(request, "erofs-utils", "erofs")?;
    let (uuid, date) = (ext4::uuid(identity).to_string(), format!("-T{}", request.lock.date.seconds()));
    make(request, tree, output, &["/usr/bin/mkfs.erofs", "--quiet", "-zlz4hc", &date, "-U", &uuid, "--tar=f", IMAGE])
}

/// Writes a squashfs file system to `output`, which must not exist.
pub(super) fn write_squashfs(request: &Request<'_>, tree: &KnownTree, output: &Path) -> Result<()> {
    tools::require(request, "squashfs-tools-ng", "squashfs")?;
    let date = format!("mtime={}", request.lock.date.seconds());
    make(
        request,
        tree,
        output,
        &["/usr/bin/tar2sqfs", "--quiet", "--force", "--compressor", "zstd", "--defaults", &date, IMAGE],
    )
}

fn make(request: &Request<'_>, tree: &KnownTree, output: &Path, command: &[&str]) -> Result<()> {
    let date = request.lock.date;
    let _: File = volumes::create(output, 0)?;
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let step = tools::step(command, &[("SOURCE_DATE_EPOCH", date.seconds().to_string())], Input::Inherit);
    let plan = tools::plan(request, &[(output, IMAGE)], vec![step])?;
    let (reader, labelled) = (request.store.reader(), (read_tree(request, tree)?, labels(request, tree)?));
    sandbox::run_fed(request.program, request.store.work(), &plan, |pipe| {
        tar::write(&reader, labelled, date, std::io::BufWriter::with_capacity(1 << 18, pipe))
    })
    .context("cannot make a file system to be read")
}
