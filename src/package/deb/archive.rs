//! The `.deb` file, deb(5): an ar archive of `debian-binary`, `control.tar*` and `data.tar*`.
//!
//! It is read as a stream, in all compressions that dpkg ever wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use anyhow::{Context, Result, bail};

use crate::package::member_path::{Seen, safe_path};
use crate::package::{Member, MemberKind, MemberSink, Part};

/// See [`crate::package::Format::unpack`].
pub fn unpack(file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
    unpack_members(file, &["debian-binary", "control.tar", "data.tar"], sink)
}

/// See [`crate::package::Format::unpack_control`].
pub fn unpack_control(file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
    unpack_members(file, &["debian-binary", "control.tar"], sink)
}

/// Reads as far as the last of these members of the archive.
fn unpack_members(file: &mut File, members: &[&str], sink: &mut dyn MemberSink) -> Result<()> {
    file.rewind()?;
    let mut archive = ar::Archive::new(BufReader::with_capacity(1 << 16, file));
    let mut expected = members.iter().copied().peekable();
    while let Some(wanted) = expected.peek()
        && let Some(entry) = archive.next_entry()
    {
        let mut entry = entry.context("not a Debian package: no ar archive, or a truncated one")?;
        let name = String::from_utf8_lossy(entry.header().identifier()).trim_end_matches('/').to_owned();
        match name.strip_prefix(wanted) {
            Some("") if *wanted == "debian-binary" => check_version(&mut entry)?,
            Some(compression) if *wanted != "debian-binary" => {
                let part = if *wanted == "data.tar" { Part::Data } else { Part::Control };
                unpack_part(part, compression, entry, sink).with_context(|| format!("in {name}"))?;
            }
            // deb(5): members whose names begin with `_` may stand anywhere and are to be ignored.
            _ if name.starts_with('_') => continue,
            _ => bail!("the archive has the member `{name}` where `{wanted}` is expected"),
        }
        expected.next();
    }
    match expected.next() {
        None => Ok(()),
        Some(missing) => bail!("the archive has no member `{missing}`: not a Debian package, or a truncated one"),
    }
}

/// The text of the control file and its modification time in seconds since 1970; the data part is not read.
pub fn control(file: &mut File) -> Result<(String, i64)> {
    const LIMIT: u64 = 1 << 20;
    file.rewind()?;
    let mut archive = ar::Archive::new(BufReader::with_capacity(1 << 16, file));
    while let Some(entry) = archive.next_entry() {
        let entry = entry.context("not a Debian package: no ar archive, or a truncated one")?;
        let name = String::from_utf8_lossy(entry.header().identifier()).trim_end_matches('/').to_owned();
        let Some(compression) = name.strip_prefix("control.tar") else { continue };
        let mut archive = tar::Archive::new(decompress(compression, entry)?);
        for member in archive.entries()? {
            let member = member.context("the tar archive is damaged or truncated")?;
            if safe_path(&member.path_bytes())? == "control" {
                let time = member.header().mtime().context("the header of `control` is damaged")?;
                let mut text = String::new();
                member.take(LIMIT).read_to_string(&mut text).context("cannot read `control`")?;
                return Ok((text, i64::try_from(time).unwrap_or(i64::MAX)));
            }
        }
        bail!("{name} has no member `control`");
    }
    bail!("the archive has no member `control.tar`: not a Debian package, or a truncated one")
}

fn check_version(entry: &mut impl Read) -> Result<()> {
    let mut text = String::new();
    entry.take(64).read_to_string(&mut text).context("in debian-binary")?;
    if text.starts_with("2.") {
        return Ok(());
    }
    bail!("the package format is `{}`: expected 2.x", text.trim_end())
}

fn unpack_part<'a>(part: Part, compression: &str, entry: impl Read + 'a, sink: &mut dyn MemberSink) -> Result<()> {
    let mut stream = decompress(compression, entry)?;
    let mut archive = tar::Archive::new(&mut stream);
    let mut seen = Seen::default();
    for entry in archive.entries()? {
        let mut entry = entry.context("the tar archive is damaged or truncated")?;
        let member = read_member(part, &mut entry)?;
        seen.check(&member)?;
        let path = member.path.clone();
        sink.member(member, &mut entry).with_context(|| format!("at the member `{path}`"))?;
    }
    // To the end, so that what the compression checks last is checked.
    io::copy(&mut stream, &mut io::sink()).context("the compressed data is damaged or truncated")?;
    Ok(())
}

/// The reader of a member by the ending of its name; deb(5) lists the compressions.
fn decompress<'a>(compression: &str, entry: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        "" => Box::new(entry),
        ".gz" => Box::new(flate2::read::MultiGzDecoder::new(entry)),
        ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(entry)),
        ".lzma" => {
            let stream =
                liblzma::stream::Stream::new_lzma_decoder(u64::MAX).context("cannot start the lzma decoder")?;
            Box::new(liblzma::read::XzDecoder::new_stream(entry, stream))
        }
        ".zst" => Box::new(zstd::Decoder::new(entry)?),
        ".bz2" => Box::new(bzip2::read::MultiBzDecoder::new(entry)),
        other => bail!("unknown compression `{other}`: expected none, .gz, .xz, .zst, .bz2 or .lzma"),
    })
}

fn read_member(part: Part, entry: &mut tar::Entry<'_, impl Read>) -> Result<Member> {
    let raw = entry.path_bytes().into_owned();
    let path = safe_path(&raw)?;
    let bad = || format!("the header of `{path}` is damaged");
    let xattrs = read_xattrs(entry).with_context(bad)?;
    let header = entry.header();
    let device = || -> Result<(u32, u32)> {
        let number = |n: io::Result<Option<u32>>| n.ok().flatten().with_context(bad);
        Ok((number(header.device_major())?, number(header.device_minor())?))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => MemberKind::Directory,
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            MemberKind::File(entry.size())
        }
        tar::EntryType::Symlink => MemberKind::Symlink(link_target(entry).with_context(bad)?),
        tar::EntryType::Link => MemberKind::Hardlink(safe_path(link_target(entry).with_context(bad)?.as_bytes())?),
        tar::EntryType::Char => device().map(|(major, minor)| MemberKind::CharDevice(major, minor))?,
        tar::EntryType::Block => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
        tar::EntryType::Fifo => MemberKind::Fifo,
        other => bail!("`{path}` is of the unknown type {:?}", other.as_byte() as char),
    };
    let name = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    Ok(Member {
        part,
        kind,
        mode: header.mode().with_context(bad)? & 0o7777,
        uid: u32::try_from(header.uid().with_context(bad)?).with_context(bad)?,
        gid: u32::try_from(header.gid().with_context(bad)?).with_context(bad)?,
        user: name(header.username_bytes()),
        group: name(header.groupname_bytes()),
        mtime: i64::try_from(header.mtime().with_context(bad)?).with_context(bad)?,
        xattrs,
        path,
    })
}

fn link_target(entry: &tar::Entry<'_, impl Read>) -> Result<String> {
    let bytes = entry.link_name_bytes().context("a link without target")?.into_owned();
    String::from_utf8(bytes).context("the link's target is not UTF-8")
}

/// Extended attributes as star(1) and GNU tar write them: PAX records `SCHILY.xattr.NAME`.
fn read_xattrs(entry: &mut tar::Entry<'_, impl Read>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    let Some(records) = entry.pax_extensions()? else { return Ok(xattrs) };
    for record in records {
        let record = record?;
        if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
            let name = std::str::from_utf8(name).context("an extended attribute's name is not UTF-8")?;
            xattrs.insert(name.to_owned(), record.value_bytes().to_vec());
        }
    }
    Ok(xattrs)
}
