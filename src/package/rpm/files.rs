//! What a header says of each file: all that rpm installs comes from here, and content alone from the payload.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use capctl::caps::{CapState, FileCaps};

use super::blob::Blob;
use super::tag;
use crate::package::MemberKind;
use crate::package::member_path::safe_path;

/// A file of a package, as its header has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Path relative to the root, without `./`; empty for the root itself.
    pub path: String,
    /// What it is; of hard links each is a file.
    pub kind: MemberKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner by name.
    pub user: String,
    /// Group by name.
    pub group: String,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// `RPMFILE_…`: configuration, documentation, ghost and others.
    pub flags: u32,
    /// The digest of a file's content, in hexadecimal digits; empty for what has none.
    pub digest: String,
    /// File capabilities as the header has them, `cap_from_text(3)`; empty without any.
    pub capabilities: String,
    /// What hard links of one file have in common.
    pub inode: (u64, u64),
}

impl Listed {
    /// Whether it is in no payload.
    pub fn is_ghost(&self) -> bool {
        self.flags & tag::GHOST != 0
    }

    /// Its extended attributes: `security.capability` as the kernel keeps it (`struct vfs_cap_data`).
    pub fn xattrs(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        if self.capabilities.is_empty() {
            return Ok(BTreeMap::new());
        }
        let bad = || format!("`{}` has the capabilities `{}`", self.path, self.capabilities);
        let CapState { effective, permitted, inheritable, .. } =
            self.capabilities.parse().map_err(anyhow::Error::new).with_context(bad)?;
        let mut capabilities = FileCaps::empty();
        (capabilities.effective, capabilities.permitted, capabilities.inheritable) =
            (!effective.is_empty(), permitted, inheritable);
        Ok(BTreeMap::from([("security.capability".to_owned(), capabilities.pack_attrs())]))
    }
}

/// The algorithms of the digests of files, as `OpenPGP` numbers them (RFC 9580, section 9.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// MD5, the one before rpm 4.6.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-224.
    Sha224,
}

impl Algorithm {
    fn of(number: Option<u64>) -> Result<Self> {
        Ok(match number {
            None | Some(1) => Self::Md5,
            Some(2) => Self::Sha1,
            Some(8) => Self::Sha256,
            Some(9) => Self::Sha384,
            Some(10) => Self::Sha512,
            Some(11) => Self::Sha224,
            Some(other) => bail!("its files have digests of the unknown algorithm {other}"),
        })
    }
}

/// All files of a header, in its order.
pub fn list(header: &Blob) -> Result<(Vec<Listed>, Algorithm)> {
    let algorithm = Algorithm::of(header.numbers(tag::FILEDIGESTALGO)?.first().copied())?;
    let paths = paths(header)?;
    let count = paths.len();
    let numbers = |tag: u32, what: &str| -> Result<Vec<u64>> {
        let all = header.numbers(tag)?;
        ensure!(all.len() == count, "it has {count} files and {} {what}", all.len());
        Ok(all)
    };
    let texts = |tag: u32, what: &str| -> Result<Vec<String>> {
        let all = header.texts(tag)?;
        if !header.has(tag) {
            return Ok(vec![String::new(); count]);
        }
        ensure!(all.len() == count, "it has {count} files and {} {what}", all.len());
        all.into_iter().map(|text| text_of(text).with_context(|| format!("one of its {what}"))).collect()
    };
    if count == 0 {
        return Ok((Vec::new(), algorithm));
    }
    let sizes = if header.has(tag::LONGFILESIZES) { tag::LONGFILESIZES } else { tag::FILESIZES };
    let (sizes, modes) = (numbers(sizes, "sizes of files")?, numbers(tag::FILEMODES, "modes of files")?);
    let (devices, mtimes) = (numbers(tag::FILERDEVS, "devices")?, numbers(tag::FILEMTIMES, "times of files")?);
    let flags = if header.has(tag::FILEFLAGS) { numbers(tag::FILEFLAGS, "flags of files")? } else { vec![0; count] };
    // Without numbers of inodes there are no hard links.
    let inodes =
        if header.has(tag::FILEINODES) { numbers(tag::FILEINODES, "inodes")? } else { (0..count as u64).collect() };
    let on = if header.has(tag::FILEDEVICES) { numbers(tag::FILEDEVICES, "file systems")? } else { vec![0; count] };
    let (links, digests) = (texts(tag::FILELINKTOS, "targets of links")?, texts(tag::FILEDIGESTS, "digests of files")?);
    let (users, groups) = (texts(tag::FILEUSERNAME, "owners")?, texts(tag::FILEGROUPNAME, "groups")?);
    let capabilities = texts(tag::FILECAPS, "capabilities")?;
    let mut all = Vec::with_capacity(count);
    for (i, path) in paths.into_iter().enumerate() {
        let device = || ((devices[i] >> 8 & 0xff) as u32, (devices[i] & 0xff) as u32);
        let kind = match modes[i] as u32 & libc::S_IFMT {
            libc::S_IFREG => MemberKind::File(sizes[i]),
            libc::S_IFDIR => MemberKind::Directory,
            libc::S_IFLNK => MemberKind::Symlink(links[i].clone()),
            libc::S_IFCHR => MemberKind::CharDevice(device().0, device().1),
            libc::S_IFBLK => MemberKind::BlockDevice(device().0, device().1),
            libc::S_IFIFO => MemberKind::Fifo,
            other => bail!("`{path}` is of the unknown type {other:o}"),
        };
        all.push(Listed {
            path,
            kind,
            mode: modes[i] as u32 & 0o7777,
            user: users[i].clone(),
            group: groups[i].clone(),
            // rpm reads and writes the number without a sign.
            mtime: i64::try_from(mtimes[i]).context("a time of its files")?,
            flags: flags[i] as u32,
            digest: digests[i].clone(),
            capabilities: capabilities[i].clone(),
            inode: (on[i], inodes[i]),
        });
    }
    Ok((all, algorithm))
}

/// The paths of a header's files: whole ones before rpm 4, later names and the numbers of their folders' names.
fn paths(header: &Blob) -> Result<Vec<String>> {
    let relative = |raw: &[u8]| safe_path(raw.strip_prefix(b"/").unwrap_or(raw));
    if !header.has(tag::BASENAMES) {
        return header.texts(tag::OLDFILENAMES)?.into_iter().map(relative).collect();
    }
    let (names, folders) = (header.texts(tag::BASENAMES)?, header.texts(tag::DIRNAMES)?);
    let indexes = header.numbers(tag::DIRINDEXES)?;
    ensure!(names.len() == indexes.len(), "it has {} files and {} folders of files", names.len(), indexes.len());
    let path = |(name, index): (&[u8], u64)| -> Result<String> {
        let folder = usize::try_from(index).ok().and_then(|index| folders.get(index));
        let folder = folder.with_context(|| format!("a file is in its folder {index} of {}", folders.len()))?;
        ensure!(!name.contains(&b'/'), "a file's name has a slash: `{}`", String::from_utf8_lossy(name));
        relative(&[folder, name].concat())
    };
    names.into_iter().zip(indexes).map(path).collect()
}

fn text_of(text: &[u8]) -> Result<String> {
    Ok(std::str::from_utf8(text).context("is not UTF-8")?.to_owned())
}
