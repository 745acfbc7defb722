//! Packages of any content, sound or not.

use std::io::Write;

use compose::digest::Sha256;
use compose::package::rpm::cpio::{self, Entry};
use compose::package::rpm::file::Front;
use compose::package::rpm::header::{Header, Value};
use compose::package::rpm::tag;

/// A file of the header.
#[derive(Clone, Default)]
pub struct Listed {
    pub folder: &'static str,
    pub name: &'static str,
    pub mode: u16,
    pub content: &'static [u8],
    pub target: &'static str,
    pub flags: u32,
    pub capabilities: &'static str,
    pub inode: u32,
}

/// A regular file.
pub fn file(folder: &'static str, name: &'static str, content: &'static [u8]) -> Listed {
    Listed { folder, name, mode: 0o100_644, content, ..Listed::default() }
}

/// An entry of the payload: path and content.
pub type Packed = (&'static str, &'static [u8]);

/// What a package is made of.
pub struct Package {
    pub listed: Vec<Listed>,
    pub packed: Vec<Packed>,
    pub compressor: &'static str,
    /// Whether entries are numbers of files, as rpm writes them where files are large.
    pub stripped: bool,
    /// Further tags, and others in place of the usual ones.
    pub more: Vec<(u32, Value)>,
}

impl Package {
    pub fn new(listed: Vec<Listed>, packed: &[Packed]) -> Self {
        Self { listed, packed: packed.to_vec(), compressor: "gzip", stripped: false, more: Vec::new() }
    }

    /// The package file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = compress(self.compressor, &self.archive());
        let mut header = Header::new(tag::IMMUTABLE);
        let text = |text: &str| Value::Text(text.to_owned());
        header.set(tag::NAME, text("test"));
        header.set(tag::VERSION, text("1"));
        header.set(tag::RELEASE, text("1"));
        header.set(tag::PAYLOADFORMAT, text("cpio"));
        header.set(tag::PAYLOADCOMPRESSOR, text(self.compressor));
        header.set(tag::PAYLOADDIGEST, Value::Texts(vec![Sha256::of(&payload).to_hex()]));
        header.set(tag::PAYLOADDIGESTALGO, Value::Int32(vec![tag::SHA256]));
        header.set(tag::FILEDIGESTALGO, Value::Int32(vec![tag::SHA256]));
        if !self.listed.is_empty() {
            self.list(&mut header);
        }
        for (tag, value) in &self.more {
            header.set(*tag, value.clone());
        }
        let mut bytes = Front::new(header, payload.len() as u64, 0).to_bytes();
        bytes.extend(payload);
        bytes
    }

    fn list(&self, header: &mut Header) {
        fn texts(listed: &[Listed], of: impl Fn(&Listed) -> String) -> Value {
            Value::Texts(listed.iter().map(of).collect())
        }
        let numbers = |of: fn(&Listed) -> u32| Value::Int32(self.listed.iter().map(of).collect());
        let listed = &self.listed;
        header.set(tag::BASENAMES, texts(listed, |file| file.name.to_owned()));
        header.set(tag::DIRNAMES, texts(listed, |file| file.folder.to_owned()));
        header.set(tag::DIRINDEXES, Value::Int32((0..listed.len() as u32).collect()));
        header.set(tag::FILESIZES, numbers(|file| file.content.len().max(file.target.len()) as u32));
        header.set(tag::FILEMODES, Value::Int16(listed.iter().map(|file| file.mode).collect()));
        header.set(tag::FILERDEVS, Value::Int16(vec![0x0103; listed.len()]));
        header.set(tag::FILEMTIMES, numbers(|_| 1_700_000_000));
        header.set(tag::FILEINODES, numbers(|file| file.inode));
        header.set(tag::FILEFLAGS, numbers(|file| file.flags));
        header.set(tag::FILELINKTOS, texts(listed, |file| file.target.to_owned()));
        header.set(tag::FILEUSERNAME, texts(listed, |_| "root".to_owned()));
        header.set(tag::FILEGROUPNAME, texts(listed, |_| "mail".to_owned()));
        header.set(tag::FILECAPS, texts(listed, |file| file.capabilities.to_owned()));
        let digest = |file: &Listed| {
            let has = file.mode & 0o170_000 == 0o100_000 && file.flags & tag::GHOST == 0;
            if has { Sha256::of(file.content).to_hex() } else { String::new() }
        };
        header.set(tag::FILEDIGESTS, texts(listed, digest));
    }

    fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (number, (path, content)) in self.packed.iter().enumerate() {
            if self.stripped {
                write!(archive, "07070X{number:08x}\0\0").unwrap();
            } else {
                let entry = Entry { path, inode: number as u32, mode: 0, mtime: 0, size: content.len() as u32 };
                cpio::begin(&mut archive, &entry).unwrap();
            }
            archive.extend(*content);
            cpio::pad(&mut archive, content.len() as u64).unwrap();
        }
        cpio::finish(&mut archive).unwrap();
        archive
    }
}

fn compress(name: &str, bytes: &[u8]) -> Vec<u8> {
    let with = |command: &str| {
        let mut program = std::process::Command::new("sh");
        program.args(["-c", command]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut running = program.spawn().unwrap();
        running.stdin.take().unwrap().write_all(bytes).unwrap();
        running.wait_with_output().unwrap().stdout
    };
    match name {
        "none" => bytes.to_vec(),
        "lzma" => with("xz --format=lzma"),
        "zstd" => with("zstd -q"),
        name => with(name),
    }
}
