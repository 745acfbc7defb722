//! Importing packages: what gets into the store, and what is refused. Needs root, since objects have true owners.

mod support;

use std::fs;
use std::path::Path;

use compose::digest::Sha256;
use compose::durable;
use compose::import::{self, Imports};
use compose::lock::Package;
use compose::package::{Format, MemberKind};
use compose::progress::Silent;
use support::deb::{Compression, Deb};
use support::fixture::Fixture;

fn rich() -> Deb {
    let long = format!("usr/share/{}/{}", "a".repeat(90), "b".repeat(90));
    Deb::new("rich", "1.0-1")
        .script("postinst", "#!/bin/sh\nexit 0\n")
        .conffiles(&["/etc/rich.conf"])
        .file("etc/rich.conf", "setting\n")
        .file("usr/bin/rich", "program")
        .mode(0o4755)
        .hardlink("usr/bin/other", "usr/bin/rich")
        .symlink("usr/bin/link", "rich")
        .file("var/mail/box", "mail")
        .owner(8, 12)
        .mode(0o2660)
        .file(&long, "far away")
        .char_device("dev/something", 1, 3)
        .fifo("run/pipe")
}

#[test]
fn a_package_becomes_the_same_commit_everywhere() {
    let Some(fixture) = Fixture::new() else { return };
    let plain = Deb::new("plain", "1").file("usr/share/plain", "text\n").build();
    let pins = [
        (plain, "2f37346c3d785e15df13149e070672c3ed9bb0c4a60b2dee9c8067b5749c2b5f"),
        (rich().build(), "ea88c42e1ce4bd3d0b1aed00b4b9c86b936250f55d332553b0045476ec66e276"),
        (
            rich().compression(Compression::Zst).build(),
            "9107ddd0c10cf339174ebdf0b197956ae8760ff33135b87de5829630df3bb85b",
        ),
        (Deb::new("empty", "1").build(), "5eaace36cfb27419ab0347f9963e37a8ca6148015bb7332cfae0538f5e9045c7"),
    ];
    let found: Vec<String> = pins.iter().map(|(deb, _)| fixture.import_one(deb).unwrap().to_hex()).collect();
    let expected: Vec<&str> = pins.iter().map(|(_, pin)| *pin).collect();
    assert_eq!(found, expected);
    fixture.fsck();
}

#[test]
fn nothing_of_a_package_is_lost() {
    let Some(fixture) = Fixture::new() else { return };
    let commit = fixture.import_one(&rich().build()).unwrap();
    let index = fixture.index(commit);
    let find = |path: &str| index.iter().find(|r| r.member.path == path).expect("the member is in the index");

    assert_eq!(fixture.content(commit, "control/postinst"), b"#!/bin/sh\nexit 0\n");
    assert_eq!(fixture.content(commit, "data/etc/rich.conf"), b"setting\n");
    assert_eq!(find("dev/something").member.kind, MemberKind::CharDevice(1, 3));
    assert_eq!(find("run/pipe").member.kind, MemberKind::Fifo);
    assert_eq!(find("usr/bin/other").member.kind, MemberKind::Hardlink("usr/bin/rich".to_owned()));
    assert_eq!(find("usr/bin/other").object, find("usr/bin/rich").object);
    assert_eq!(find("usr/bin/link").member.kind, MemberKind::Symlink("rich".to_owned()));
    assert!(index.iter().any(|r| r.member.path.len() > 180), "long names are whole");

    let program = fixture.store.reader().attributes(find("usr/bin/rich").object.unwrap()).unwrap();
    assert_eq!(program.mode, 0o104_755);
    let mail = fixture.store.reader().attributes(find("var/mail/box").object.unwrap()).unwrap();
    assert_eq!((mail.uid, mail.gid, mail.mode), (8, 12, 0o102_660));
}

#[test]
fn every_compression_gives_the_same_content() {
    let Some(fixture) = Fixture::new() else { return };
    let compressions =
        [Compression::None, Compression::Gz, Compression::Xz, Compression::Zst, Compression::Bz2, Compression::Lzma];
    for compression in compressions {
        let commit = fixture.import_one(&rich().compression(compression).build()).unwrap();
        assert_eq!(fixture.content(commit, "data/usr/bin/rich"), b"program", "{compression:?}");
    }
}

#[test]
fn large_and_sparse_files_stream_through() {
    let Some(fixture) = Fixture::new() else { return };
    let large: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let deb = Deb::new("large", "1")
        .file("large", &large)
        .sparse("sparse", 64 << 20, &[(1 << 20, &[b'i'; 512]), (50 << 20, b"other")])
        .compression(Compression::Zst)
        .build();
    let commit = fixture.import_one(&deb).unwrap();
    assert_eq!(fixture.content(commit, "data/large"), large);
    let sparse = fixture.content(commit, "data/sparse");
    assert_eq!((sparse.len(), &sparse[1 << 20..(1 << 20) + 512]), (64 << 20, &[b'i'; 512][..]));
    let object = fixture.store.find_file(commit, "data/sparse").unwrap().unwrap();
    let metadata = fs::metadata(fixture.store.reader().path(object)).unwrap();
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 < 1 << 20, "holes stay holes");
    fixture.fsck();
}

#[test]
fn extended_attributes_are_kept() {
    let Some(fixture) = Fixture::new() else { return };
    // cap_net_raw=ep, the form of linux/capability.h's vfs_cap_data, revision 2.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let deb = Deb::new("ping", "1")
        .file("usr/bin/ping", "program")
        .xattr("security.capability", capability)
        .xattr("trusted.secret", b"kept in the index")
        .build();
    let commit = fixture.import_one(&deb).unwrap();
    let index = fixture.index(commit);
    let record = index.iter().find(|r| r.member.path == "usr/bin/ping").unwrap();
    assert_eq!(record.member.xattrs["trusted.secret"], b"kept in the index");
    let attributes = fixture.store.reader().attributes(record.object.unwrap()).unwrap();
    assert_eq!(
        attributes.xattrs.into_iter().collect::<Vec<_>>(),
        [("security.capability".to_owned(), capability.to_vec())]
    );
    fixture.fsck();
}

#[test]
fn hostile_members_are_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let deb = || Deb::new("bad", "1").without_parents();
    let cases = [
        (deb().file("../outside", "x"), "the path `../outside` climbs out of the package's root"),
        (deb().file("usr/../../outside", "x"), "the path `./usr/../../outside` climbs out of the package's root"),
        (deb().file("/etc/passwd", "x"), "the path `/etc/passwd` is absolute: expected one below the package's root"),
        (
            deb().symlink("way", "/etc").file("way/passwd", "x"),
            "`way/passwd` stands below `way`, which the package makes a symbolic link",
        ),
        (deb().symlink("way", "../../etc").dir("way"), "`way` is both a directory and a symbolic link"),
        (
            deb().hardlink("x", "/etc/shadow"),
            "the path `/etc/shadow` is absolute: expected one below the package's root",
        ),
        (deb().hardlink("x", "y"), "`x` is a hard link to `y`, which is no earlier file of the package"),
        (deb().file("x", "1").file("x", "2"), "`x` is in the package twice"),
        (deb().file("x", "1").file("x/y", "2"), "`x/y` stands below `x`, which the package makes a file"),
    ];
    for (deb, expected) in cases {
        let text = fixture.refusal(&deb.build());
        assert_eq!(text, format!("cannot import sample 1 amd64: in data.tar.xz: {expected}"));
    }
}

#[test]
fn damaged_files_are_refused_and_removed() {
    let Some(fixture) = Fixture::new() else { return };
    let bytes = rich().build();
    let package = fixture.add("rich", &bytes);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    durable::write(&fixture.file(package.sha256), &damaged).unwrap();
    let error = fixture.import(&[&package]).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "cannot import rich 1 amd64: {} ({} bytes) has SHA-256 {}, the lock expects {}; the file has been removed",
            fixture.file(package.sha256).display(),
            bytes.len(),
            Sha256::of(&damaged),
            package.sha256
        )
    );
    assert!(!fixture.file(package.sha256).exists());
}

#[test]
fn truncated_packages_are_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let bytes = rich().build();
    // The lock may name a file that was broken from the start: each length is refused, none panics.
    for length in (0..bytes.len()).step_by(97) {
        let text = fixture.refusal(&bytes[..length]);
        assert!(text.starts_with("cannot import sample 1 amd64: "), "{length}: {text}");
    }
}

#[test]
fn what_is_no_package_is_refused() {
    let Some(fixture) = Fixture::new() else { return };
    assert_eq!(
        fixture.refusal(b"Not an archive at all"),
        "cannot import sample 1 amd64: not a Debian package: no ar archive, or a truncated one: \
         Not an archive file (invalid global header)"
    );
}

#[test]
fn imported_packages_are_found_again() {
    let Some(fixture) = Fixture::new() else { return };
    let (here, gone) = (fixture.add("here", &rich().build()), fixture.add("gone", &Deb::new("gone", "1").build()));
    fixture.import(&[&here]).unwrap();
    let found = import::look_up(&fixture.store, Format::Deb, &[&here, &gone]).unwrap();
    assert_eq!(found.commits.keys().copied().collect::<Vec<_>>(), [here.sha256]);
    assert_eq!(found.missing, [&gone]);
    assert!(Path::new(&fixture.file(gone.sha256)).exists());
}

/// One package of an import for which others wait.
fn wait_for(fixture: &Fixture, packages: &[&Package], late: &Package) -> (anyhow::Result<usize>, Option<String>) {
    let file_of = fixture.files();
    let found = import::look_up(&fixture.store, Format::Deb, packages).unwrap();
    let imports = Imports::new(&fixture.store, Format::Deb, found, &file_of).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| imports.records(late).map(|records| records.len()));
        imports.hurry(&[late]);
        let failure = imports.run(&Silent).err().map(|e| format!("{e:#}"));
        (waiting.join().unwrap(), failure)
    })
}

#[test]
fn who_waits_for_a_package_gets_it_or_is_told() {
    let Some(fixture) = Fixture::new() else { return };
    let (one, two) = (fixture.add("one", &rich().build()), fixture.add("two", &Deb::new("two", "1").build()));
    let (got, failure) = wait_for(&fixture, &[&one, &two], &one);
    assert!(got.unwrap() > 3 && failure.is_none());

    let broken = fixture.add("broken", b"Not an archive at all");
    let (got, failure) = wait_for(&fixture, &[&one, &broken], &broken);
    assert_eq!(got.unwrap_err().to_string(), "broken 1 amd64 is not imported");
    assert!(failure.unwrap().starts_with("cannot import broken 1 amd64: not a Debian package"));
}

#[test]
fn control_files_can_be_read_ahead_of_the_import() {
    let Some(fixture) = Fixture::new() else { return };
    let package = fixture.add("rich", &rich().build());
    let file_of = fixture.files();
    let read = || {
        let found = import::look_up(&fixture.store, Format::Deb, &[&package]).unwrap();
        let imports = Imports::new(&fixture.store, Format::Deb, found, &file_of).unwrap();
        imports.control(&package, &["control", "no-such-file"]).unwrap()
    };
    let ahead = read();
    assert!(ahead["control"].starts_with(b"Package: "), "{ahead:?}");
    assert_eq!(ahead.len(), 1);
    fixture.import(&[&package]).unwrap();
    assert_eq!(read(), ahead);
}
