//! The packages that tests build are what dpkg takes them for.

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use support::deb::{Compression, Deb};

/// Runs a program on the package and gives what it prints; `None` stands for a refusal.
fn run(package: &[u8], program: &str, before: &[&str], after: &[&str]) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(package).unwrap();
    let output = Command::new(program)
        .args(before)
        .arg(file.path())
        .args(after)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// `TYPE+MODE OWNER SIZE PATH` of each member, from `dpkg-deb --contents`.
fn contents(package: &Deb) -> Vec<String> {
    let listing = run(&package.build(), "dpkg-deb", &["--contents"], &[]).expect("dpkg-deb reads the package");
    let short = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        [&words[..words.len().min(3)], &words[words.len().min(5)..]].concat().join(" ")
    };
    listing.lines().map(short).collect()
}

fn ordinary() -> Deb {
    Deb::new("hello", "2:1.0-1")
        .arch("amd64")
        .depends("libc6 (>= 2.36)")
        .file("usr/bin/hello", b"#!/bin/sh\necho hello\n")
        .mode(0o755)
        .file("etc/hello.conf", b"x\n")
        .conffiles(&["/etc/hello.conf"])
        .script("postinst", "#!/bin/sh\nset -e\n")
        .triggers("interest-noawait /usr/share/hello\n")
}

#[test]
fn an_ordinary_package_reads_as_one() {
    let info = run(&ordinary().build(), "dpkg-deb", &["--field"], &[]).unwrap();
    assert_eq!(
        info,
        "Package: hello\nVersion: 2:1.0-1\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n\
         Description: a package made by a test\nDepends: libc6 (>= 2.36)\n"
    );
    let show = |part| run(&ordinary().build(), "dpkg-deb", &["--info"], &[part]).unwrap();
    assert_eq!(show("conffiles"), "/etc/hello.conf\n");
    assert_eq!(show("triggers"), "interest-noawait /usr/share/hello\n");
    assert_eq!(show("postinst"), "#!/bin/sh\nset -e\n");
    assert_eq!(
        show("md5sums"),
        "d604a220708aa59433ba410986cd4ffa  usr/bin/hello\n401b30e3b8b5d629635a5c613cdb7919  etc/hello.conf\n"
    );
    assert_eq!(
        contents(&ordinary()),
        [
            "drwxr-xr-x root/root 0 ./",
            "drwxr-xr-x root/root 0 ./usr/",
            "drwxr-xr-x root/root 0 ./usr/bin/",
            "-rwxr-xr-x root/root 21 ./usr/bin/hello",
            "drwxr-xr-x root/root 0 ./etc/",
            "-rw-r--r-- root/root 2 ./etc/hello.conf",
        ]
    );
    assert_eq!(ordinary().file_name(), "hello_1.0-1_amd64.deb");
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    for compression in Compression::ALL {
        assert_eq!(ordinary().compression(compression).build(), ordinary().compression(compression).build());
    }
}

#[test]
fn every_compression_of_deb_5_is_read_by_dpkg() {
    for compression in Compression::ALL {
        let package = ordinary().data_compression(compression);
        assert_eq!(contents(&package), contents(&ordinary()), "{compression:?}");
        // dpkg-deb takes bzip2 and lzma for the data part alone.
        let refused = matches!(compression, Compression::Bz2 | Compression::Lzma);
        let info = run(&ordinary().control_compression(compression).build(), "dpkg-deb", &["--field"], &["Package"]);
        assert_eq!(info.as_deref(), if refused { None } else { Some("hello\n") }, "{compression:?}");
    }
}

#[test]
fn every_kind_of_member_is_listed() {
    let package = Deb::new("kinds", "1")
        .file("set-id", b"")
        .mode(0o6755)
        .dir("sticky")
        .mode(0o1777)
        .symlink("outside", "/etc")
        .file("outside/passwd", b"hostile")
        .hardlink("second", "set-id")
        .hardlink("nowhere", "missing")
        .fifo("fifo")
        .char_device("null", 1, 3)
        .block_device("disk", 254, 1)
        .file("owned", b"")
        .owner(123, 4_000_000_000)
        .owner_names("", "");
    assert_eq!(
        contents(&package),
        [
            "drwxr-xr-x root/root 0 ./",
            "-rwsr-sr-x root/root 0 ./set-id",
            "drwxrwxrwt root/root 0 ./sticky/",
            "lrwxrwxrwx root/root 0 ./outside -> /etc",
            "-rw-r--r-- root/root 7 ./outside/passwd",
            "hrw-r--r-- root/root 0 ./second link to ./set-id",
            "hrw-r--r-- root/root 0 ./nowhere link to ./missing",
            "prw-r--r-- root/root 0 ./fifo",
            "crw------- root/root 1,3 ./null",
            "brw------- root/root 254,1 ./disk",
            "-rw-r--r-- 123/4000000000 0 ./owned",
        ]
    );
}

#[test]
fn paths_that_lead_outside_are_stored_as_they_stand() {
    let package = Deb::new("hostile", "1").file("/tmp/absolute", b"").file("../above", b"").file("./a/../../b", b"");
    let bytes = package.compression(Compression::None).build();
    let has = |path: &[u8]| bytes.windows(path.len()).any(|window| window == path);
    assert!(has(b"\0/tmp/absolute\0") && has(b"\0../above\0") && has(b"\0./a/../../b\0"));
}

#[test]
fn long_names_are_kept_by_either_extension() {
    let long = format!("{}/{}", "folder".repeat(20), "file".repeat(30));
    let target = "target".repeat(30);
    let gnu = Deb::new("long", "1").without_parents().file(&long, b"").symlink("link", &target);
    let expected = [
        "drwxr-xr-x root/root 0 ./".to_owned(),
        format!("-rw-r--r-- root/root 0 ./{long}"),
        format!("lrwxrwxrwx root/root 0 ./link -> {target}"),
    ];
    assert_eq!(contents(&gnu), expected);
    let pax = Deb::new("long", "1").without_parents().file(&long, b"").pax_names().symlink("link", &target).pax_names();
    assert_eq!(contents(&pax), expected);
}

/// The data part, unpacked by tar into a folder.
fn unpack(package: &Deb, options: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("dpkg-deb --fsys-tarfile \"$0\" | tar -x {options} -C \"$1\"");
    run(&package.build(), "sh", &["-c", &script], &[folder.path().to_str().unwrap()])
        .expect("tar unpacks the data part");
    folder
}

#[test]
fn sparse_files_have_their_pieces_and_holes() {
    let piece = [b'p'; 512];
    let pieces: Vec<(u64, &[u8])> = (0..40).map(|i| (i * 65536, &piece[..])).collect();
    let package = Deb::new("sparse", "1").sparse("many", 1 << 22, &pieces).sparse("empty", 1 << 33, &[]);
    let folder = unpack(&package, "");
    let many = std::fs::read(folder.path().join("many")).unwrap();
    assert_eq!(many.len(), 1 << 22);
    let mut expected = vec![0; 1 << 22];
    for (offset, bytes) in pieces {
        let offset = usize::try_from(offset).unwrap();
        expected[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    assert!(many == expected, "the pieces stand at their offsets");
    assert_eq!(folder.path().join("empty").metadata().unwrap().len(), 1 << 33);
}

#[test]
fn extended_attributes_are_pax_records() {
    let package = Deb::new("xattr", "1").file("f", b"").xattr("user.note", b"a\0b").xattr("user.long", [b'x'; 120]);
    let folder = unpack(&package, "--xattrs");
    let path = folder.path().join("f");
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(&path, "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"a\0b");
    let length = rustix::fs::getxattr(&path, "user.long", &mut value[..]).unwrap();
    assert_eq!(&value[..length], [b'x'; 120]);
}
