//! Machine architectures: what they are called by whom, and how their programs are told apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What differs between architectures.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Row {
    /// Debian's name (`dpkg-architecture -L`).
    deb: &'static str,
    /// RPM's name (`rpmrc`).
    rpm: &'static str,
    /// What `uname -m` says.
    kernel: &'static str,
    /// GNU's name (`DEB_HOST_GNU_TYPE` of dpkg-architecture).
    gnu: &'static str,
    /// The end of the name of qemu's user mode emulator.
    qemu: &'static str,
    /// `EI_CLASS` of `elf(5)`: 1 for 32 bits, 2 for 64.
    class: u8,
    /// `EI_DATA`: 1 for little-endian, 2 for big-endian.
    data: u8,
    /// `e_machine`.
    machine: u16,
    /// `e_flags` of a program that every kernel takes for one of the architecture's.
    flags: u32,
    /// Machine code of `exit(0)`.
    exit: &'static [u8],
}

/// `mov r0, #0; mov r7, #1; svc #0` of ARM.
const ARM_EXIT: &[u8] = &[0x00, 0x00, 0xa0, 0xe3, 0x01, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef];

/// The architectures that can be built, sorted by Debian's name.
#[rustfmt::skip]
static KNOWN: &[Row] = &[
    Row { deb: "amd64", rpm: "x86_64", kernel: "x86_64", gnu: "x86_64-linux-gnu",
          qemu: "x86_64", class: 2, data: 1, machine: 62, flags: 0,
          exit: &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05] },
    Row { deb: "arm64", rpm: "aarch64", kernel: "aarch64", gnu: "aarch64-linux-gnu",
          qemu: "aarch64", class: 2, data: 1, machine: 183, flags: 0,
          exit: &[0xa8, 0x0b, 0x80, 0xd2, 0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4] },
    Row { deb: "armel", rpm: "armv5tel", kernel: "armv7l", gnu: "arm-linux-gnueabi",
          qemu: "arm", class: 1, data: 1, machine: 40,
          flags: 0x0500_0200, exit: ARM_EXIT },
    Row { deb: "armhf", rpm: "armv7hl", kernel: "armv7l", gnu: "arm-linux-gnueabihf",
          qemu: "arm", class: 1, data: 1, machine: 40,
          flags: 0x0500_0400, exit: ARM_EXIT },
    Row { deb: "i386", rpm: "i686", kernel: "i686", gnu: "i686-linux-gnu",
          qemu: "i386", class: 1, data: 1, machine: 3, flags: 0,
          exit: &[0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80] },
    Row { deb: "mips64el", rpm: "mips64el", kernel: "mips64", gnu: "mips64el-linux-gnuabi64",
          qemu: "mips64el", class: 2, data: 1, machine: 8,
          flags: 0x8000_0007, exit: &[0xc2, 0x13, 0x02, 0x24, 0, 0, 0x04, 0x24, 0x0c, 0, 0, 0] },
    Row { deb: "ppc64el", rpm: "ppc64le", kernel: "ppc64le", gnu: "powerpc64le-linux-gnu",
          qemu: "ppc64le", class: 2, data: 1, machine: 21, flags: 2,
          exit: &[0x01, 0, 0x00, 0x38, 0, 0, 0x60, 0x38, 0x02, 0, 0, 0x44] },
    Row { deb: "riscv64", rpm: "riscv64", kernel: "riscv64", gnu: "riscv64-linux-gnu",
          qemu: "riscv64", class: 2, data: 1, machine: 243, flags: 5,
          exit: &[0x93, 0x08, 0xd0, 0x05, 0x13, 0x05, 0, 0, 0x73, 0, 0, 0] },
    Row { deb: "s390x", rpm: "s390x", kernel: "s390x", gnu: "s390x-linux-gnu",
          qemu: "s390x", class: 2, data: 2, machine: 22, flags: 0,
          exit: &[0xa7, 0x29, 0, 0, 0x0a, 0x01] },
];

/// An architecture that a root file system can have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Architecture(&'static Row);

/// Where the program of [`Architecture::smallest_program`] stands in memory: no kernel keeps this place from programs.
const ADDRESS: u64 = 0x1000_0000;

impl Architecture {
    /// The names of all architectures, sorted.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|row| row.deb)
    }

    /// Debian's name.
    pub fn as_str(&self) -> &'static str {
        self.0.deb
    }

    /// RPM's name.
    pub fn rpm(&self) -> &'static str {
        self.0.rpm
    }

    /// What `uname -m` says on such a machine.
    pub fn kernel(&self) -> &'static str {
        self.0.kernel
    }

    /// The name of the emulator that runs such programs: `qemu-aarch64`.
    pub fn emulator(&self) -> String {
        format!("qemu-{}", self.0.qemu)
    }

    /// The architecture this program was compiled for, when a root can have it.
    pub fn host() -> Option<Self> {
        let name = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "i386",
            "aarch64" => "arm64",
            "arm" => "armhf",
            "powerpc64" => "ppc64el",
            other => other,
        };
        name.parse().ok()
    }

    /// How a program begins, `elf(5)`: bytes, and a mask of those of their bits that matter. Executables and shared objects,
    /// as position-independent programs are, count; which operating system's conventions one follows does not.
    pub fn magic(&self) -> ([u8; 20], [u8; 20]) {
        let (mut magic, mut mask) = ([0; 20], [0xff; 20]);
        magic[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.0.class, self.0.data, 1]);
        magic[16..18].copy_from_slice(&self.bytes(2, 2));
        magic[18..].copy_from_slice(&self.bytes(self.0.machine.into(), 2));
        mask[7] = 0;
        // ET_EXEC is 2, ET_DYN is 3.
        mask[16..18].copy_from_slice(&self.bytes(0xfffe, 2));
        (magic, mask)
    }

    /// A statically linked program that ends at once and well.
    pub fn smallest_program(&self) -> Vec<u8> {
        let wide = self.0.class == 2;
        let word = if wide { 8 } else { 4 };
        let (header, entry): (u16, u16) = if wide { (64, 56) } else { (52, 32) };
        let start = u64::from(header + entry);
        let length = start + self.0.exit.len() as u64;
        let mut program = self.magic().0.to_vec();
        let mut put = |fields: &[(u64, usize)]| {
            program.extend(fields.iter().flat_map(|(value, size)| self.bytes(*value, *size)));
        };
        // e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, and no sections.
        put(&[(1, 4), (ADDRESS + start, word), (header.into(), word), (0, word), (self.0.flags.into(), 4)]);
        put(&[(header.into(), 2), (entry.into(), 2), (1, 2), (0, 2), (0, 2), (0, 2)]);
        // One part of the file, PT_LOAD, readable and executable (5); the place of its rights differs.
        put(&[(1, 4)]);
        if wide {
            put(&[(5, 4)]);
        }
        put(&[(0, word), (ADDRESS, word), (ADDRESS, word), (length, word), (length, word)]);
        if !wide {
            put(&[(5, 4)]);
        }
        put(&[(0x1_0000, word)]);
        program.extend(self.0.exit);
        program
    }

    /// A number in so many bytes, in the architecture's order.
    fn bytes(&self, value: u64, size: usize) -> Vec<u8> {
        if self.0.data == 2 { value.to_be_bytes()[8 - size..].to_vec() } else { value.to_le_bytes()[..size].to_vec() }
    }
}

/// Why a text names no architecture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownArchitecture {
    /// Nobody's name for one.
    #[error("unknown architecture `{0}`: expected one of {list}", list = Architecture::known().collect::<Vec<_>>().join(", "))]
    Unknown(String),
    /// The name that others have for it, and Debian's names for what they mean.
    #[error("the architecture `{0}` is called `{list}` here", list = .1.join("` or `"))]
    Foreign(String, Vec<&'static str>),
}

/// Debian's names for what others call so: RPM, the kernel, qemu, or GNU, with a vendor and a system after the machine. Where machines
/// have one name, the system tells them apart.
fn called_here(name: &str) -> Vec<&'static str> {
    let (machine, system) = (first(name), name.rsplit('-').next());
    if name != machine && !name.contains("-linux") {
        return Vec::new();
    }
    let called = |row: &&Row| [row.rpm, row.kernel, row.qemu, first(row.gnu)].contains(&machine);
    let exact = |row: &&Row| first(row.gnu) == machine && row.gnu.rsplit('-').next() == system;
    let names = |fits: &dyn Fn(&&Row) -> bool| KNOWN.iter().filter(fits).map(|row| row.deb).collect::<Vec<_>>();
    Some(names(&exact)).filter(|names| !names.is_empty()).unwrap_or_else(|| names(&called))
}

/// The machine of a GNU triplet.
fn first(triplet: &str) -> &str {
    triplet.split('-').next().unwrap_or_default()
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        KNOWN.iter().find(|known| known.deb == name).map(Self).ok_or_else(|| match called_here(name) {
            none if none.is_empty() => UnknownArchitecture::Unknown(name.to_owned()),
            names => UnknownArchitecture::Foreign(name.to_owned(), names),
        })
    }
}

impl TryFrom<String> for Architecture {
    type Error = UnknownArchitecture;

    fn try_from(name: String) -> Result<Self, UnknownArchitecture> {
        name.parse()
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.as_str().to_owned()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Architecture> {
        Architecture::known().map(|name| name.parse().unwrap())
    }

    #[test]
    fn the_table_is_sorted_and_says_what_programs_say() {
        assert!(Architecture::known().is_sorted());
        let arm64: Architecture = "arm64".parse().unwrap();
        assert_eq!((arm64.rpm(), arm64.kernel(), arm64.emulator().as_str()), ("aarch64", "aarch64", "qemu-aarch64"));
        let s390x: Architecture = "s390x".parse().unwrap();
        assert_eq!(s390x.magic().0[16..], [0, 2, 0, 22]);
        assert_eq!(s390x.magic().1[16..], [0xff, 0xfe, 0xff, 0xff]);
        assert_eq!(arm64.magic().0[16..], [2, 0, 183, 0]);
    }

    #[test]
    fn names_of_others_are_told_apart_from_mistakes() {
        let expected = "amd64, arm64, armel, armhf, i386, mips64el, ppc64el, riscv64, s390x";
        let none = format!("unknown architecture `x86_64-apple-darwin`: expected one of {expected}");
        assert_eq!("x86_64-apple-darwin".parse::<Architecture>().unwrap_err().to_string(), none);
        for (name, message) in [
            ("x86_64", "the architecture `x86_64` is called `amd64` here"),
            ("aarch64-linux-gnu", "the architecture `aarch64-linux-gnu` is called `arm64` here"),
            ("ppc64le", "the architecture `ppc64le` is called `ppc64el` here"),
            ("powerpc64le", "the architecture `powerpc64le` is called `ppc64el` here"),
            ("powerpc64le-linux-gnu", "the architecture `powerpc64le-linux-gnu` is called `ppc64el` here"),
            ("x86_64-unknown-linux-musl", "the architecture `x86_64-unknown-linux-musl` is called `amd64` here"),
            ("arm-linux-gnueabihf", "the architecture `arm-linux-gnueabihf` is called `armhf` here"),
            ("i386-linux-gnu", "the architecture `i386-linux-gnu` is called `i386` here"),
            ("arm", "the architecture `arm` is called `armel` or `armhf` here"),
            (
                "amd46",
                "unknown architecture `amd46`: expected one of amd64, arm64, armel, armhf, i386, mips64el, ppc64el, riscv64, s390x",
            ),
        ] {
            assert_eq!(name.parse::<Architecture>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn programs_are_those_of_their_architecture_alone() {
        let fits = |architecture: &Architecture, program: &[u8]| {
            let (magic, mask) = architecture.magic();
            (0..20).all(|i| program[i] & mask[i] == magic[i] & mask[i])
        };
        for own in all() {
            let program = own.smallest_program();
            let header = if own.0.class == 2 { 120 } else { 84 };
            assert_eq!(program.len(), header + own.0.exit.len(), "{own}");
            for other in all() {
                assert_eq!(fits(&other, &program), own.emulator() == other.emulator(), "{own} {other}");
            }
        }
    }

    #[test]
    fn this_machine_runs_the_smallest_program_of_its_own() {
        let Some(host) = Architecture::host() else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        crate::durable::write(&path, &host.smallest_program()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(std::process::Command::new(&path).status().unwrap().success());
    }
}
