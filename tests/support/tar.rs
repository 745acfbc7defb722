//! tar(5) by hand: what a header may say is not limited to what is wise.

const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Debug)]
pub enum Kind {
    File(Vec<u8>),
    Folder,
    Symlink(String),
    Hardlink(String),
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Sparse { size: u64, pieces: Vec<(u64, Vec<u8>)> },
}

/// A member; paths are written as they stand.
#[derive(Clone, Debug)]
pub struct Member {
    pub path: String,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub user: String,
    pub group: String,
    pub mtime: u64,
    /// Records of an extended header before the member.
    pub pax: Vec<(String, Vec<u8>)>,
    /// Long names in PAX records, not in GNU's members.
    pub pax_names: bool,
}

impl Member {
    /// A member that belongs to root.
    pub fn new(path: &str, kind: Kind, mode: u32, mtime: u64) -> Self {
        let (path, user, group) = (path.to_owned(), "root".to_owned(), "root".to_owned());
        Self { path, kind, mode, uid: 0, gid: 0, user, group, mtime, pax: Vec::new(), pax_names: false }
    }

    fn link(&self) -> &str {
        match &self.kind {
            Kind::Symlink(target) | Kind::Hardlink(target) => target,
            _ => "",
        }
    }
}

/// A tar archive under construction.
#[derive(Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn append(&mut self, member: &Member) {
        let mut records = member.pax.clone();
        for (name, key, gnu) in [(&*member.path, "path", b'L'), (member.link(), "linkpath", b'K')] {
            if name.len() > 100 && member.pax_names {
                records.push((key.to_owned(), name.into()));
            } else if name.len() > 100 {
                self.append_special("././@LongLink", gnu, &[name.as_bytes(), b"\0"].concat());
            }
        }
        if !records.is_empty() {
            let body: Vec<u8> = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
            self.append_special("./PaxHeaders/member", b'x', &body);
        }

        let (flag, device) = match &member.kind {
            Kind::File(_) => (b'0', None),
            Kind::Hardlink(_) => (b'1', None),
            Kind::Symlink(_) => (b'2', None),
            Kind::CharDevice(major, minor) => (b'3', Some((*major, *minor))),
            Kind::BlockDevice(major, minor) => (b'4', Some((*major, *minor))),
            Kind::Folder => (b'5', None),
            Kind::Fifo => (b'6', None),
            Kind::Sparse { .. } => (b'S', None),
        };
        let body = match &member.kind {
            Kind::File(bytes) => bytes.clone(),
            Kind::Sparse { pieces, .. } => pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect(),
            _ => Vec::new(),
        };
        let mut header = header(&member.path, flag, body.len() as u64);
        number(&mut header[100..108], u64::from(member.mode));
        number(&mut header[108..116], member.uid);
        number(&mut header[116..124], member.gid);
        number(&mut header[136..148], member.mtime);
        text(&mut header[157..257], member.link());
        text(&mut header[265..297], &member.user);
        text(&mut header[297..329], &member.group);
        if let Some((major, minor)) = device {
            number(&mut header[329..337], u64::from(major));
            number(&mut header[337..345], u64::from(minor));
        }
        let extension = match &member.kind {
            Kind::Sparse { size, pieces } => sparse_map(&mut header, *size, pieces),
            _ => Vec::new(),
        };
        self.append_block(header, &extension, &body);
    }

    /// The archive with its end.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes.resize(self.bytes.len().next_multiple_of(20 * BLOCK), 0);
        self.bytes
    }

    fn append_special(&mut self, name: &str, flag: u8, body: &[u8]) {
        let mut header = header(name, flag, body.len() as u64);
        for field in [100..108, 108..116, 116..124, 136..148] {
            number(&mut header[field], 0);
        }
        self.append_block(header, &[], body);
    }

    fn append_block(&mut self, mut header: [u8; BLOCK], extension: &[u8], body: &[u8]) {
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(extension);
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }
}

/// Name (its first 100 bytes), kind, size and GNU's magic.
fn header(name: &str, flag: u8, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    text(&mut header[..100], name);
    number(&mut header[124..136], size);
    header[156] = flag;
    header[257..265].copy_from_slice(b"ustar  \0");
    header
}

fn text(field: &mut [u8], value: &str) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value.as_bytes()[..length]);
}

/// Octal digits, or GNU's base 256 for a number that has too many.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}\0");
    if octal.len() == field.len() {
        field.copy_from_slice(octal.as_bytes());
    } else {
        field.fill(0);
        let low = value.to_be_bytes();
        let from = field.len().saturating_sub(low.len());
        let skip = low.len().saturating_sub(field.len());
        field[from..].copy_from_slice(&low[skip..]);
        field[0] |= 0x80;
    }
}

/// Writes the first four pieces into the header; the rest fill blocks that follow it.
fn sparse_map(header: &mut [u8; BLOCK], size: u64, pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut map: Vec<(u64, u64)> = pieces.iter().map(|(offset, bytes)| (*offset, bytes.len() as u64)).collect();
    if map.last().is_none_or(|(offset, length)| offset + length < size) {
        map.push((size, 0));
    }
    let write = |field: &mut [u8], (offset, length): (u64, u64)| {
        number(&mut field[..12], offset);
        number(&mut field[12..24], length);
    };
    let (first, rest) = map.split_at(map.len().min(4));
    for (field, entry) in header[386..482].chunks_mut(24).zip(first) {
        write(field, *entry);
    }
    header[482] = u8::from(!rest.is_empty());
    number(&mut header[483..495], size);
    let mut blocks = Vec::new();
    let mut left = rest.chunks(21).peekable();
    while let Some(entries) = left.next() {
        let mut block = [0; BLOCK];
        for (field, entry) in block.chunks_mut(24).zip(entries) {
            write(field, *entry);
        }
        block[504] = u8::from(left.peek().is_some());
        blocks.extend_from_slice(&block);
    }
    blocks
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
