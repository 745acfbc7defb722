//! A tree as a tar stream: paths in order of names, one time for all, straight from the store's objects.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tar::{Builder, EntryType, Header};

use super::labels::Labels;
use crate::clock::Timestamp;
use crate::store::{Attributes, Directory, Extras, Leaf, Node, ObjectReader, Tree, Xattrs};

/// What headers and contents are padded to, in bytes.
const BLOCK: u64 = 512;

/// Writes the tree, with labels if it has any, as a tar archive (GNU format, extended attributes as PAX records); every time in it
/// is `date`.
pub fn write(
    reader: &ObjectReader,
    (tree, labels): (&Tree, Option<&Labels>),
    date: Timestamp,
    output: BufWriter<impl Write>,
) -> Result<()> {
    let mut builder = Builder::new(output);
    builder.sparse(false);
    let mtime = u64::try_from(date.seconds()).unwrap_or(0);
    let (extras, written) = (&tree.extras, BTreeMap::new());
    let mut writer = Writer { reader, builder, mtime, extras, labels, groups: link_groups(extras), written };
    writer.directory(&tree.root, "")?;
    writer.builder.into_inner()?.flush()?;
    Ok(())
}

/// The path whose header or content has the byte at `offset` of an archive; none behind the last.
pub fn path_at(archive: &Path, offset: u64) -> Result<Option<String>> {
    let failed = || format!("cannot read {}", archive.display());
    let file = File::open(archive).with_context(failed)?;
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().with_context(failed)? {
        let entry = entry.with_context(failed)?;
        if offset < entry.raw_file_position() + entry.size() {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Ok(Some(format!("/{}", path.trim_start_matches("./").trim_end_matches('/'))));
        }
    }
    Ok(None)
}

/// For every name of a file with several names, the name that stands for the group.
fn link_groups(extras: &Extras) -> BTreeMap<&str, &str> {
    let mut groups = BTreeMap::new();
    for (link, first) in &extras.links {
        groups.insert(link.as_str(), first.as_str());
        groups.insert(first.as_str(), first.as_str());
    }
    groups
}

struct Writer<'a, W: Write> {
    reader: &'a ObjectReader,
    builder: Builder<BufWriter<W>>,
    mtime: u64,
    extras: &'a Extras,
    labels: Option<&'a Labels>,
    groups: BTreeMap<&'a str, &'a str>,
    /// Where the content of each group of names was written.
    written: BTreeMap<&'a str, String>,
}

/// An entry of a directory.
enum Entry<'a> {
    Leaf(Leaf),
    Node(&'a Node),
    Directory(&'a Directory),
}

impl<W: Write> Writer<'_, W> {
    fn directory(&mut self, dir: &Directory, path: &str) -> Result<()> {
        let Attributes { uid, gid, mode, xattrs } = &dir.attributes;
        self.attributes(xattrs, path, *mode)?;
        let mut header = self.header(EntryType::Directory, (*uid, *gid, *mode));
        self.builder.append_data(&mut header, format!("./{path}"), io::empty())?;
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
        entries.extend(dir.files.iter().map(|(name, leaf)| (name.as_str(), Entry::Leaf(*leaf))));
        entries.extend(dir.directories.iter().map(|(name, child)| (name.as_str(), Entry::Directory(child))));
        for (node_path, node) in self.extras.nodes.range(prefix.clone()..) {
            let Some(name) = node_path.strip_prefix(&prefix) else { break };
            if !name.contains('/') {
                entries.insert(name, Entry::Node(node));
            }
        }
        for (name, entry) in entries {
            let path = format!("{prefix}{name}");
            match entry {
                Entry::Directory(child) => self.directory(child, &path)?,
                Entry::Node(node) => self.node(node, &path)?,
                Entry::Leaf(leaf) => self.leaf(leaf, &path).with_context(|| format!("cannot write /{path}"))?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: Leaf, path: &str) -> Result<()> {
        let name = format!("./{path}");
        let object = self.reader.path(leaf);
        let metadata = fs::symlink_metadata(&object).with_context(|| format!("cannot read {}", object.display()))?;
        let ids = (metadata.uid(), metadata.gid(), metadata.mode());
        if metadata.is_symlink() {
            self.attributes(&Xattrs::new(), path, metadata.mode())?;
            let mut header = self.header(EntryType::Symlink, ids);
            return Ok(self.builder.append_link(&mut header, name, fs::read_link(&object)?)?);
        }
        if let Some(group) = self.groups.get(path).copied() {
            if let Some(first) = self.written.get(group) {
                let mut header = self.header(EntryType::Link, ids);
                return Ok(self.builder.append_link(&mut header, name, first)?);
            }
            self.written.insert(group, name.clone());
        }
        self.attributes(&self.reader.attributes(leaf)?.xattrs, path, metadata.mode())?;
        let mut header = self.header(EntryType::Regular, ids);
        header.set_size(metadata.len());
        self.builder.append_data(&mut header, name, io::empty())?;
        // Not through the builder, which copies 8 KiB at once: into the buffer.
        let copied = io::copy(&mut File::open(&object)?, self.builder.get_mut())?;
        if copied != metadata.len() {
            bail!("{} has {copied} bytes, expected {}", object.display(), metadata.len());
        }
        let padding = copied.next_multiple_of(BLOCK) - copied;
        Ok(self.builder.get_mut().write_all(&[0; BLOCK as usize][..padding as usize])?)
    }

    fn node(&mut self, node: &Node, path: &str) -> Result<()> {
        let kind = match node.mode & 0o170_000 {
            0o020_000 => EntryType::Char,
            0o060_000 => EntryType::Block,
            _ => EntryType::Fifo,
        };
        self.attributes(&Xattrs::new(), path, node.mode)?;
        let mut header = self.header(kind, (node.uid, node.gid, node.mode));
        header.set_device_major(node.device.0)?;
        header.set_device_minor(node.device.1)?;
        Ok(self.builder.append_data(&mut header, format!("./{path}"), io::empty())?)
    }

    /// Extended attributes of the next entry, as GNU tar and libarchive write them, its label among them.
    fn attributes(&mut self, xattrs: &Xattrs, path: &str, mode: u32) -> Result<()> {
        let labelled = self.labels.map(|labels| labels.with(xattrs, self.extras, path, mode)).transpose()?;
        let xattrs = labelled.as_ref().unwrap_or(xattrs);
        if !xattrs.is_empty() {
            let names: Vec<String> = xattrs.keys().map(|name| format!("SCHILY.xattr.{name}")).collect();
            let values = xattrs.values().map(Vec::as_slice);
            self.builder.append_pax_extensions(names.iter().map(String::as_str).zip(values))?;
        }
        Ok(())
    }

    fn header(&self, kind: EntryType, (uid, gid, mode): (u32, u32, u32)) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode & 0o7777);
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        header.set_mtime(self.mtime);
        header.set_size(0);
        header
    }
}
