//! Binary packages as bytes: deb(5) files made member by member, the ordinary kind and kinds that no packaging tool would
//! write. The same calls give the same bytes.
//!
//! A call that adds a member (`file`, `dir`, `symlink`, …) may be followed by calls that change it (`mode`, `owner`, …):
//!
//! ```ignore
//! Deb::new("hello", "1.0").file("usr/bin/hello", b"#!/bin/sh\n").mode(0o755).script("postinst", "#!/bin/sh\n").build()
//! ```

use std::fmt::Write as _;
use std::io::Write as _;

use md5::{Digest as _, Md5};

use super::tar::{Kind, Member, Tar};

/// The modification time of every member unless said otherwise: 2023-11-14T22:13:20Z.
const MTIME: u64 = 1_700_000_000;

/// How a member of the package file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gz,
    Xz,
    Zst,
    Bz2,
    Lzma,
}

impl Compression {
    pub const ALL: [Self; 6] = [Self::None, Self::Gz, Self::Xz, Self::Zst, Self::Bz2, Self::Lzma];

    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Xz => ".xz",
            Self::Zst => ".zst",
            Self::Bz2 => ".bz2",
            Self::Lzma => ".lzma",
        }
    }

    fn compress(self, bytes: Vec<u8>) -> Vec<u8> {
        const IN_MEMORY: &str = "compression in memory does not fail";
        match self {
            Self::None => bytes,
            Self::Gz => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(&bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
                encoder.write_all(&bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
            Self::Zst => zstd::encode_all(&bytes[..], 3).expect(IN_MEMORY),
            Self::Bz2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
                encoder.write_all(&bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
            Self::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(6).expect("6 is a preset");
                let stream = liblzma::stream::Stream::new_lzma_encoder(&options).expect("the options are valid");
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(&bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
        }
    }
}

/// A package under construction.
#[derive(Clone, Debug)]
pub struct Deb {
    fields: Vec<(String, String)>,
    control: Vec<Member>,
    data: Vec<Member>,
    parents: bool,
    md5sums: bool,
    control_compression: Compression,
    data_compression: Compression,
    further: Vec<(String, Vec<u8>)>,
}

impl Deb {
    /// A package for all architectures that holds nothing but its root folder.
    pub fn new(name: &str, version: &str) -> Self {
        let package = Self {
            fields: Vec::new(),
            control: Vec::new(),
            data: vec![Member::new(".", Kind::Folder, 0o755, MTIME)],
            parents: true,
            md5sums: true,
            control_compression: Compression::Xz,
            data_compression: Compression::Xz,
            further: Vec::new(),
        };
        package
            .field("Package", name)
            .field("Version", version)
            .arch("all")
            .field("Maintainer", "Nobody <nobody@example.org>")
            .field("Description", "a package made by a test")
    }

    // ---- the control file

    /// Sets a field of the control file; an empty value removes it.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let present = self.fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name));
        match (present, value) {
            (Some(i), "") => drop(self.fields.remove(i)),
            (Some(i), _) => value.clone_into(&mut self.fields[i].1),
            (None, "") => {}
            (None, _) => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn arch(self, name: &str) -> Self {
        self.field("Architecture", name)
    }

    pub fn multi_arch(self, value: &str) -> Self {
        self.field("Multi-Arch", value)
    }

    pub fn essential(self) -> Self {
        self.field("Essential", "yes")
    }

    pub fn priority(self, value: &str) -> Self {
        self.field("Priority", value)
    }

    pub fn depends(self, relations: &str) -> Self {
        self.field("Depends", relations)
    }

    pub fn pre_depends(self, relations: &str) -> Self {
        self.field("Pre-Depends", relations)
    }

    pub fn provides(self, relations: &str) -> Self {
        self.field("Provides", relations)
    }

    pub fn conflicts(self, relations: &str) -> Self {
        self.field("Conflicts", relations)
    }

    pub fn breaks(self, relations: &str) -> Self {
        self.field("Breaks", relations)
    }

    pub fn replaces(self, relations: &str) -> Self {
        self.field("Replaces", relations)
    }

    /// The value of a field of the control file.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The control file's text, as an index of an archive repeats it.
    pub fn control_text(&self) -> String {
        self.fields.iter().fold(String::new(), |mut text, (name, value)| {
            writeln!(text, "{name}: {value}").expect("a string takes everything");
            text
        })
    }

    // ---- further control members

    /// A maintainer script (`preinst`, `postinst`, `prerm`, `postrm`, `config`).
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.control.push(Member::new(name, Kind::File(text.into()), 0o755, MTIME));
        self
    }

    /// Any other file of the control part (`triggers`, `shlibs`, `templates`, …).
    pub fn control_file(mut self, name: &str, text: &str) -> Self {
        self.control.push(Member::new(name, Kind::File(text.into()), 0o644, MTIME));
        self
    }

    /// The list of configuration files, as absolute paths.
    pub fn conffiles(self, paths: &[&str]) -> Self {
        let text: String = paths.iter().flat_map(|path| [*path, "\n"]).collect();
        self.control_file("conffiles", &text)
    }

    pub fn triggers(self, text: &str) -> Self {
        self.control_file("triggers", text)
    }

    /// A control part without the `md5sums` that is written otherwise.
    pub fn without_md5sums(mut self) -> Self {
        self.md5sums = false;
        self
    }

    // ---- members of the data part

    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.add(path, Kind::File(bytes.as_ref().to_vec()), 0o644)
    }

    pub fn dir(self, path: &str) -> Self {
        self.add(path, Kind::Folder, 0o755)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.add(path, Kind::Symlink(target.into()), 0o777)
    }

    /// A hard link; a target that is no earlier member makes it one that leads nowhere. The target is stored by the same rule
    /// as a member's path.
    pub fn hardlink(self, path: &str, target: &str) -> Self {
        self.add(path, Kind::Hardlink(stored(target)), 0o644)
    }

    pub fn fifo(self, path: &str) -> Self {
        self.add(path, Kind::Fifo, 0o644)
    }

    pub fn char_device(self, path: &str, major: u32, minor: u32) -> Self {
        self.add(path, Kind::CharDevice(major, minor), 0o600)
    }

    pub fn block_device(self, path: &str, major: u32, minor: u32) -> Self {
        self.add(path, Kind::BlockDevice(major, minor), 0o600)
    }

    /// A file of `size` bytes that holds `pieces` (offset and bytes, ascending) and holes between them, in the old GNU format.
    /// Readers expect every piece but the last to be a multiple of 512 bytes long.
    pub fn sparse(self, path: &str, size: u64, pieces: &[(u64, &[u8])]) -> Self {
        let pieces = pieces.iter().map(|(offset, bytes)| (*offset, bytes.to_vec())).collect();
        self.add(path, Kind::Sparse { size, pieces }, 0o644)
    }

    /// From here on, folders that lead to a member are no longer added with it.
    pub fn without_parents(mut self) -> Self {
        self.parents = false;
        self
    }

    // ---- changes to the member added last

    /// Permission bits, set-id and sticky bits included.
    pub fn mode(mut self, mode: u32) -> Self {
        self.last().mode = mode;
        self
    }

    /// Numbers of owner and group.
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.last().uid, self.last().gid) = (uid, gid);
        self
    }

    /// Names of owner and group.
    pub fn owner_names(mut self, user: &str, group: &str) -> Self {
        (self.last().user, self.last().group) = (user.to_owned(), group.to_owned());
        self
    }

    pub fn mtime(mut self, seconds: u64) -> Self {
        self.last().mtime = seconds;
        self
    }

    /// An extended attribute, as a PAX record.
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// A PAX record, whatever it says.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.last().pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Names over 100 bytes go into PAX records, not into GNU's `L` and `K` members.
    pub fn pax_names(mut self) -> Self {
        self.last().pax_names = true;
        self
    }

    // ---- the file

    /// Compression of the control and the data part.
    pub fn compression(self, compression: Compression) -> Self {
        self.control_compression(compression).data_compression(compression)
    }

    pub fn control_compression(mut self, compression: Compression) -> Self {
        self.control_compression = compression;
        self
    }

    pub fn data_compression(mut self, compression: Compression) -> Self {
        self.data_compression = compression;
        self
    }

    /// A further member behind the data part; deb(5) tells readers to pass over it.
    pub fn further_member(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.further.push((name.to_owned(), bytes.as_ref().to_vec()));
        self
    }

    /// The package file.
    pub fn build(&self) -> Vec<u8> {
        let mut control = Tar::default();
        control.append(&Member::new("./", Kind::Folder, 0o755, MTIME));
        let control_file = Kind::File(self.control_text().into_bytes());
        let md5sums = self.md5sums.then(|| Member::new("md5sums", Kind::File(self.md5sums_text()), 0o644, MTIME));
        let first = [Member::new("control", control_file, 0o644, MTIME)];
        for member in first.iter().chain(&md5sums).chain(&self.control) {
            control.append(&Member { path: stored(&member.path), ..member.clone() });
        }
        let mut data = Tar::default();
        for member in &self.data {
            data.append(&Member { path: member.stored_path(), ..member.clone() });
        }

        let mut file = b"!<arch>\n".to_vec();
        append_ar_member(&mut file, "debian-binary", b"2.0\n");
        for (name, compression, tar) in
            [("control.tar", self.control_compression, control), ("data.tar", self.data_compression, data)]
        {
            append_ar_member(
                &mut file,
                &format!("{name}{}", compression.extension()),
                &compression.compress(tar.finish()),
            );
        }
        for (name, bytes) in &self.further {
            append_ar_member(&mut file, name, bytes);
        }
        file
    }

    /// `NAME_VERSION_ARCH.deb`, the version without its epoch.
    pub fn file_name(&self) -> String {
        let get = |name| self.get(name).unwrap_or_default();
        let version = get("Version");
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        format!("{}_{version}_{}.deb", get("Package"), get("Architecture"))
    }

    fn add(mut self, path: &str, kind: Kind, mode: u32) -> Self {
        if self.parents && is_ordinary(path) {
            for (end, _) in path.match_indices('/') {
                if !self.data.iter().any(|member| member.path == path[..end]) {
                    self.data.push(Member::new(&path[..end], Kind::Folder, 0o755, MTIME));
                }
            }
        }
        self.data.push(Member::new(path, kind, mode, MTIME));
        self
    }

    fn last(&mut self) -> &mut Member {
        self.data.last_mut().expect("a package has its root folder")
    }

    fn md5sums_text(&self) -> Vec<u8> {
        let mut text = String::new();
        for member in &self.data {
            if let Kind::File(bytes) = &member.kind {
                for byte in Md5::digest(bytes) {
                    write!(text, "{byte:02x}").expect("a string takes everything");
                }
                writeln!(text, "  {}", member.path).expect("a string takes everything");
            }
        }
        text.into_bytes()
    }
}

impl Member {
    fn stored_path(&self) -> String {
        let path = stored(&self.path);
        match self.kind {
            Kind::Folder if !path.ends_with('/') => format!("{path}/"),
            _ => path,
        }
    }
}

/// A path as dpkg-deb stores it, below `./`; one that is absolute or begins with a dot is stored as it stands.
fn stored(path: &str) -> String {
    if path.starts_with(['/', '.']) { path.to_owned() } else { format!("./{path}") }
}

/// Whether a path is relative and every part of it a name.
fn is_ordinary(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// ar(5), in the form deb(5) asks for.
fn append_ar_member(file: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let header = format!("{name:<16}{MTIME:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len());
    assert_eq!(header.len(), 60, "ar names are at most 16 bytes: {name}");
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        file.push(b'\n');
    }
}
