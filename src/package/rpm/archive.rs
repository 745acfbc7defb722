//! The `.rpm` file: lead, signature header, header, payload (RPM V4 and V6 package formats).
//!
//! Control members are the three parts ahead of the payload, byte for byte. Data members are the payload's entries, with
//! everything but their content from the header, as rpm installs them; ghosts are in the header alone. The `rpm` crate's
//! reader fails on some payloads and has no lzma; what it would save here is reading cpio.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::Digest;

use super::blob::Blob;
use super::files::{self, Algorithm, Listed};
use super::header::{Header, INTRO_SIZE};
use super::payload::{self, Archive, Which};
use super::{file, tag};
use crate::package::member_path::{Seen, safe_path};
use crate::package::{Member, MemberKind, MemberSink, Part};

/// The control members, in the file's order.
pub const CONTROL_FILES: [&str; 3] = ["lead", "signature", "header"];

/// What stands ahead of a payload.
pub struct Front {
    /// The lead.
    pub lead: Vec<u8>,
    /// The signature header.
    pub signature: Blob,
    /// The main header.
    pub header: Blob,
}

/// See [`crate::package::Format::unpack`].
pub fn unpack(file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
    file.rewind()?;
    let mut input = BufReader::with_capacity(1 << 16, file);
    let front = read_front(&mut input)?;
    give_control(&front, sink)?;
    let (listed, algorithm) = files::list(&front.header)?;
    let mut payload = Digesting { input, digest: sha2::Sha256::new() };
    let stream = payload::decompress(&front.header, &mut payload)?;
    Unpacking::new(&listed, algorithm).run(stream, sink).context("in the payload")?;
    io::copy(&mut payload, &mut io::sink())?;
    check_payload(&front.header, &payload.digest.finalize())
}

/// See [`crate::package::Format::unpack_control`].
pub fn unpack_control(file: &mut File, sink: &mut dyn MemberSink) -> Result<()> {
    file.rewind()?;
    give_control(&read_front(&mut BufReader::with_capacity(1 << 16, file))?, sink)
}

fn give_control(front: &Front, sink: &mut dyn MemberSink) -> Result<()> {
    let parts = [&front.lead[..], front.signature.bytes(), front.header.bytes()];
    for (name, mut bytes) in CONTROL_FILES.into_iter().zip(parts) {
        let member = Member {
            part: Part::Control,
            path: name.to_owned(),
            kind: MemberKind::File(bytes.len() as u64),
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            mtime: 0,
            xattrs: BTreeMap::new(),
        };
        sink.member(member, &mut bytes)?;
    }
    Ok(())
}

/// The bytes of what stands ahead of a payload, of which nothing is parsed but lengths.
pub struct Ahead {
    /// The lead.
    pub lead: Vec<u8>,
    /// The signature header.
    pub signature: Vec<u8>,
    /// The main header.
    pub header: Vec<u8>,
}

/// Reads what stands ahead of the payload, whose digests are as it says; `input` then stands at the payload.
pub fn read_front(input: &mut impl Read) -> Result<Front> {
    let Ahead { lead, signature, header } = read_ahead(input)?;
    let signature = Blob::parse(tag::SIGNATURES, signature).context("its signature header")?;
    let header = Blob::parse(tag::IMMUTABLE, header).context("its header")?;
    let front = Front { lead, signature, header };
    check_header(&front)?;
    Ok(front)
}

/// Reads the bytes ahead of the payload; `input` then stands there.
pub fn read_ahead(input: &mut impl Read) -> Result<Ahead> {
    let lead = file::take(input, file::LEAD).context("its lead ends early")?;
    ensure!(lead.starts_with(&file::LEAD_MAGIC), "it is no package of rpm's: its first bytes are others");
    ensure!(lead[78..80] == [0, 5], "its signatures are not in a header: it is older than rpm 3");
    let signature = header_bytes(input).context("its signature header")?;
    let length = signature.len();
    file::take(input, length.next_multiple_of(8) - length).context("it ends early")?;
    let header = header_bytes(input).context("its header")?;
    Ok(Ahead { lead, signature, header })
}

fn header_bytes(input: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = file::take(input, INTRO_SIZE)?;
    let size = Header::size(&bytes)?;
    bytes.extend(file::take(input, size - INTRO_SIZE)?);
    Ok(bytes)
}

/// The digests of the header that its signature header has.
fn check_header(front: &Front) -> Result<()> {
    let bytes = front.header.bytes();
    let sums = [
        (tag::SHA1HEADER, "SHA-1", hex(&sha1::Sha1::digest(bytes))),
        (tag::SHA256HEADER, "SHA-256", hex(&sha2::Sha256::digest(bytes))),
    ];
    for (tag, name, sum) in sums {
        if let Some(told) = front.signature.text(tag)? {
            ensure!(
                told == sum.as_bytes(),
                "its header has the {name} {sum}, expected {}",
                String::from_utf8_lossy(told)
            );
        }
    }
    Ok(())
}

/// The digest of the payload that the header has.
fn check_payload(header: &Blob, digest: &[u8]) -> Result<()> {
    if header.numbers(tag::PAYLOADDIGESTALGO)?.first() != Some(&u64::from(tag::SHA256)) {
        return Ok(());
    }
    let Some(told) = header.text(tag::PAYLOADDIGEST)? else { return Ok(()) };
    let sum = hex(digest);
    let told = String::from_utf8_lossy(told);
    ensure!(told == sum, "its payload has the SHA-256 {sum}, expected {told}");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Digests what is read.
struct Digesting<R> {
    input: R,
    digest: sha2::Sha256,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

/// A payload on its way to members.
struct Unpacking<'a> {
    listed: &'a [Listed],
    algorithm: Algorithm,
    /// The number of each path in the header.
    numbers: HashMap<&'a str, usize>,
    /// How many names the file of each inode has.
    names: HashMap<(u64, u64), usize>,
    /// Of files with several names: the numbers of those that came without content, and the one that had it.
    waiting: HashMap<(u64, u64), Vec<usize>>,
    written: HashMap<(u64, u64), usize>,
    taken: HashSet<usize>,
    seen: Seen,
}

impl<'a> Unpacking<'a> {
    fn new(listed: &'a [Listed], algorithm: Algorithm) -> Self {
        let mut names = HashMap::new();
        let files = listed.iter().filter(|file| matches!(file.kind, MemberKind::File(_)) && !file.is_ghost());
        files.for_each(|file| *names.entry(file.inode).or_default() += 1);
        Self {
            listed,
            algorithm,
            numbers: listed.iter().enumerate().map(|(number, file)| (file.path.as_str(), number)).collect(),
            names,
            waiting: HashMap::new(),
            written: HashMap::new(),
            taken: HashSet::new(),
            seen: Seen::default(),
        }
    }

    fn run(mut self, stream: impl Read, sink: &mut dyn MemberSink) -> Result<()> {
        let mut archive = Archive::new(stream);
        while let Some(head) = archive.next()? {
            let number = self.number(&head.which)?;
            let file = &self.listed[number];
            let size = match (head.size, &file.kind) {
                (Some(size), _) => size,
                (None, MemberKind::File(size)) if !self.is_linked(file) || self.is_last(number) => *size,
                (None, MemberKind::Symlink(target)) => target.len() as u64,
                (None, _) => 0,
            };
            let mut content = archive.content(size);
            self.take(number, size, &mut content, sink).with_context(|| format!("at `{}`", file.path))?;
            ensure!(content.limit() == 0, "the payload is damaged or ends early, at `{}`", file.path);
        }
        archive.finish()?;
        if let Some(number) = self.waiting.values().flatten().min() {
            bail!("`{}` is a hard link to a file whose content is missing", self.listed[*number].path);
        }
        let missing = |(number, file): &(usize, &Listed)| !file.is_ghost() && !self.taken.contains(number);
        if let Some((_, file)) = self.listed.iter().enumerate().find(missing) {
            bail!("`{}` is in the header and not in the payload", file.path);
        }
        Ok(())
    }

    /// The number of the file that an entry is.
    fn number(&mut self, which: &Which) -> Result<usize> {
        let number = match which {
            Which::Number(number) if *number < self.listed.len() => *number,
            Which::Number(number) => bail!("it has the file {number}, the header only {}", self.listed.len()),
            Which::Path(raw) => {
                let relative = raw.strip_prefix(b"/").unwrap_or(raw);
                let path = safe_path(relative)?;
                let number = self.numbers.get(path.as_str()).copied();
                number.ok_or_else(|| anyhow!("it has `{path}`, which is not in the header"))?
            }
        };
        ensure!(self.taken.insert(number), "it has `{}` twice", self.listed[number].path);
        Ok(number)
    }

    fn is_linked(&self, file: &Listed) -> bool {
        matches!(file.kind, MemberKind::File(_)) && self.names.get(&file.inode).is_some_and(|names| *names > 1)
    }

    /// Whether no other name of its file is still to come.
    fn is_last(&self, number: usize) -> bool {
        let file = &self.listed[number];
        let came = self.waiting.get(&file.inode).map_or(0, Vec::len);
        self.names.get(&file.inode) == Some(&(came + 1))
    }

    fn take(&mut self, number: usize, size: u64, content: &mut dyn Read, sink: &mut dyn MemberSink) -> Result<()> {
        let file = &self.listed[number];
        let MemberKind::File(expected) = file.kind else {
            // The target of a link, which the header has, too.
            let mut target = Vec::new();
            content.read_to_end(&mut target)?;
            if let MemberKind::Symlink(told) = &file.kind {
                ensure!(target.is_empty() || target == told.as_bytes(), "its target is another than the header's");
            }
            return self.give(number, file.kind.clone(), &mut io::empty(), sink);
        };
        if !self.is_linked(file) {
            ensure!(size == expected, "it has {size} bytes, in the header {expected}");
            return self.give_file(number, content, sink);
        }
        if let Some(first) = self.written.get(&file.inode) {
            ensure!(size == 0, "the content of a hard link stands twice");
            return self.give_link(number, *first, sink);
        }
        if size == 0 && (expected > 0 || !self.is_last(number)) {
            self.waiting.entry(file.inode).or_default().push(number);
            return Ok(());
        }
        ensure!(size == expected, "it has {size} bytes, in the header {expected}");
        self.give_file(number, content, sink)?;
        self.written.insert(file.inode, number);
        for link in self.waiting.remove(&file.inode).unwrap_or_default() {
            self.give_link(link, number, sink)?;
        }
        Ok(())
    }

    /// Gives a file, whose content has to have the header's digest.
    fn give_file(&mut self, number: usize, content: &mut dyn Read, sink: &mut dyn MemberSink) -> Result<()> {
        let file = &self.listed[number];
        if file.digest.is_empty() {
            return self.give(number, file.kind.clone(), content, sink);
        }
        let found = match self.algorithm {
            Algorithm::Md5 => self.give_digesting::<md5::Md5>(number, content, sink),
            Algorithm::Sha1 => self.give_digesting::<sha1::Sha1>(number, content, sink),
            Algorithm::Sha224 => self.give_digesting::<sha2::Sha224>(number, content, sink),
            Algorithm::Sha256 => self.give_digesting::<sha2::Sha256>(number, content, sink),
            Algorithm::Sha384 => self.give_digesting::<sha2::Sha384>(number, content, sink),
            Algorithm::Sha512 => self.give_digesting::<sha2::Sha512>(number, content, sink),
        }?;
        ensure!(found == file.digest, "its content has the digest {found}, expected {}", file.digest);
        Ok(())
    }

    fn give_digesting<D: Digest>(
        &mut self,
        number: usize,
        content: &mut dyn Read,
        sink: &mut dyn MemberSink,
    ) -> Result<String> {
        struct Through<'a, D> {
            content: &'a mut dyn Read,
            digest: D,
        }
        impl<D: Digest> Read for Through<'_, D> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.content.read(buffer)?;
                self.digest.update(&buffer[..count]);
                Ok(count)
            }
        }
        let mut through = Through { content, digest: D::new() };
        let kind = self.listed[number].kind.clone();
        self.give(number, kind, &mut through, sink)?;
        Ok(hex(&through.digest.finalize()))
    }

    fn give_link(&mut self, number: usize, first: usize, sink: &mut dyn MemberSink) -> Result<()> {
        let kind = MemberKind::Hardlink(self.listed[first].path.clone());
        self.give(number, kind, &mut io::empty(), sink)
    }

    fn give(
        &mut self,
        number: usize,
        kind: MemberKind,
        content: &mut dyn Read,
        sink: &mut dyn MemberSink,
    ) -> Result<()> {
        let file = &self.listed[number];
        let member = Member {
            part: Part::Data,
            path: file.path.clone(),
            kind,
            mode: file.mode,
            uid: 0,
            gid: 0,
            user: file.user.clone(),
            group: file.group.clone(),
            mtime: file.mtime,
            xattrs: file.xattrs()?,
        };
        self.seen.check(&member)?;
        sink.member(member, content)
    }
}
