//! What is read of sound packages, and that no other is.

use std::io::{Read, Seek, Write};

use crate::builder::{Listed, Package, Packed, file};
use crate::oracle;
use crate::support::fixture::Fixture;
use crate::support::needs::{host_program, needs};
use anyhow::Result;
use compose::durable;
use compose::package::rpm::{archive, tag};
use compose::package::{Format, Member, MemberSink, Part};

/// The members of a package in its order, with the contents of files.
#[derive(Default)]
struct Members(Vec<(Member, Vec<u8>)>);

impl MemberSink for Members {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.push((member, bytes));
        Ok(())
    }
}

fn unpack(bytes: &[u8]) -> Result<Members> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    let mut members = Members::default();
    archive::unpack(&mut file, &mut members)?;
    Ok(members)
}

/// Path and kind of each data member, and of files the content.
fn data(members: &Members) -> Vec<String> {
    let data = members.0.iter().filter(|(member, _)| member.part == Part::Data);
    data.map(|(Member { path, kind, mode, .. }, content)| {
        format!("{path} {mode:o} {kind:?} {}", String::from_utf8_lossy(content))
    })
    .collect()
}

fn sample() -> Package {
    let folder = Listed { folder: "/", name: "etc", mode: 0o040_755, ..Listed::default() };
    let link = Listed { folder: "/etc/", name: "link", mode: 0o120_777, target: "a", ..Listed::default() };
    let ghost = Listed { flags: tag::GHOST, ..file("/etc/", "ghost", b"") };
    let listed = vec![
        folder,
        Listed { inode: 1, ..file("/etc/", "a", b"text") },
        Listed { inode: 2, ..link },
        Listed { inode: 3, ..ghost },
        Listed { inode: 4, mode: 0o020_600, ..file("/etc/", "null", b"") },
    ];
    let packed: &[Packed] = &[("./etc", b""), ("./etc/a", b"text"), ("./etc/link", b"a"), ("./etc/null", b"")];
    Package::new(listed, packed)
}

#[test]
fn a_payload_of_any_compression_has_the_same_members() {
    let expected = [
        "etc 755 Directory ",
        "etc/a 644 File(4) text",
        "etc/link 777 Symlink(\"a\") ",
        "etc/null 600 CharDevice(1, 3) ",
    ];
    for compressor in ["gzip", "bzip2", "xz", "lzma", "zstd", "none"] {
        let members = unpack(&Package { compressor, ..sample() }.to_bytes()).unwrap();
        assert_eq!(data(&members), expected, "{compressor}");
        let (owned, _) = &members.0[4];
        assert_eq!((owned.user.as_str(), owned.group.as_str(), owned.mtime), ("root", "mail", 1_700_000_000));
    }
}

#[test]
fn control_members_are_all_that_stands_ahead_of_the_payload() {
    let bytes = sample().to_bytes();
    let members = unpack(&bytes).unwrap();
    let control: Vec<_> = members.0.iter().take(3).map(|(member, content)| (member.path.as_str(), content)).collect();
    assert_eq!(control.iter().map(|(path, _)| *path).collect::<Vec<_>>(), archive::CONTROL_FILES);
    let mut front = Vec::new();
    for (_, content) in control {
        front.extend(content);
        front.resize(front.len().next_multiple_of(8), 0);
    }
    // The padding behind the main header is no part of it.
    assert!(bytes.starts_with(&front[..front.len() - 8]));
}

#[test]
fn hard_links_have_one_content_whichever_name_has_it() {
    let linked = |name| Listed { inode: 7, ..file("/", name, b"text") };
    let packed: [&[Packed]; 2] =
        [&[("./a", b""), ("./b", b"text"), ("./c", b"")], &[("./a", b"text"), ("./b", b""), ("./c", b"")]];
    let expected = [
        ["b 644 File(4) text", "a 644 Hardlink(\"b\") ", "c 644 Hardlink(\"b\") "],
        ["a 644 File(4) text", "b 644 Hardlink(\"a\") ", "c 644 Hardlink(\"a\") "],
    ];
    for (packed, expected) in packed.into_iter().zip(expected) {
        let package = Package::new(vec![linked("a"), linked("b"), linked("c")], packed);
        assert_eq!(data(&unpack(&package.to_bytes()).unwrap()), expected);
    }
    let empty = |name| Listed { inode: 7, ..file("/", name, b"") };
    let package = Package::new(vec![empty("a"), empty("b")], &[("./a", b""), ("./b", b"")]);
    let expected = ["b 644 File(0) ", "a 644 Hardlink(\"b\") "];
    assert_eq!(data(&unpack(&package.to_bytes()).unwrap()), expected);
}

#[test]
fn entries_may_be_numbers_of_files() {
    let linked = |name| Listed { inode: 7, ..file("/", name, b"text") };
    let link = Listed { mode: 0o120_777, target: "a", ..file("/", "l", b"") };
    let packed: &[Packed] = &[("", b""), ("", b"text"), ("", b"a")];
    let package = Package { stripped: true, ..Package::new(vec![linked("a"), linked("b"), link], packed) };
    let expected = ["b 644 File(4) text", "a 644 Hardlink(\"b\") ", "l 777 Symlink(\"a\") "];
    assert_eq!(data(&unpack(&package.to_bytes()).unwrap()), expected);
}

#[test]
fn capabilities_are_the_kernels() {
    let ping = Listed { capabilities: "cap_net_admin,cap_net_raw=ep", ..file("/", "ping", b"x") };
    let members = unpack(&Package::new(vec![ping], &[("./ping", b"x")]).to_bytes()).unwrap();
    let (member, _) = members.0.last().unwrap();
    // VFS_CAP_REVISION_2 with the effective bit; permitted 1 << 12 | 1 << 13.
    let expected = [1, 0, 0, 2, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(member.xattrs["security.capability"], expected);
}

/// Files, entries, and what is said of the package.
type Refused = (Vec<Listed>, &'static [Packed], &'static str);

#[test]
fn what_leads_elsewhere_or_contradicts_itself_is_refused() {
    let a = || file("/", "a", b"text");
    let linked = |name| Listed { inode: 7, ..file("/", name, b"text") };
    let rows: Vec<Refused> = vec![
        (vec![a()], &[("./a", b"text"), ("./b", b"")], "in the payload: it has `b`, which is not in the header"),
        (vec![a()], &[("../a", b"text")], "in the payload: the path `../a` climbs out of the package's root"),
        (vec![file("/../../", "a", b"")], &[], "the path `../../a` climbs out of the package's root"),
        (vec![file("/etc/", "../a", b"")], &[], "a file's name has a slash: `../a`"),
        (vec![a()], &[("./a", b"text"), ("./a", b"text")], "in the payload: it has `a` twice"),
        (vec![a(), a()], &[("./a", b"text")], "in the payload: `a` is in the header and not in the payload"),
        (vec![a()], &[], "in the payload: `a` is in the header and not in the payload"),
        (vec![a()], &[("./a", b"longer")], "in the payload: at `a`: it has 6 bytes, in the header 4"),
        (vec![a()], &[("./a", b"tEXT")], "in the payload: at `a`: its content has the digest "),
        (
            vec![linked("a"), linked("b")],
            &[("./a", b""), ("./b", b"")],
            "in the payload: `a` is a hard link to a file whose content is missing",
        ),
        (
            vec![linked("a"), linked("b")],
            &[("./a", b"text"), ("./b", b"text")],
            "in the payload: at `b`: the content of a hard link stands twice",
        ),
        (
            vec![Listed { mode: 0o120_777, target: "/tmp", ..a() }, file("/a/", "b", b"")],
            &[("./a", b"/tmp"), ("./a/b", b"")],
            "in the payload: at `a/b`: `a/b` stands below `a`, which the package makes a symbolic link",
        ),
        (
            vec![Listed { capabilities: "cap_all_of_it", ..a() }],
            &[("./a", b"text")],
            "in the payload: at `a`: `a` has the capabilities `cap_all_of_it`",
        ),
        (vec![Listed { mode: 0o140_777, ..a() }], &[], "`a` is of the unknown type 140000"),
    ];
    for (listed, packed, expected) in rows {
        let error = unpack(&Package::new(listed, packed).to_bytes()).map(|_| ()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn no_changed_byte_goes_unseen() {
    let bytes = Package { compressor: "none", ..sample() }.to_bytes();
    let lead_and_signatures = 96 + 4608;
    for at in (lead_and_signatures..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(unpack(&changed).is_err(), "byte {at}");
    }
    for end in (0..bytes.len()).step_by(7) {
        assert!(unpack(&bytes[..end]).is_err(), "{end} bytes");
    }
    let mut other = bytes;
    other[78..80].copy_from_slice(&[0, 1]);
    let error = unpack(&other).map(|_| ()).unwrap_err();
    assert_eq!(format!("{error:#}"), "its signatures are not in a header: it is older than rpm 3");
}

/// As `ci/oracle-rpm` has it of packages that others made.
#[test]
fn rpm_says_the_same_of_packages_made_here() {
    let programs = host_program("rpm", "--version").and(host_program("rpm2cpio", "/dev/null"));
    let Some(()) = needs(programs) else { return };
    let folder = tempfile::tempdir().unwrap();
    let ping = Listed { capabilities: "cap_net_raw=ep", ..file("/", "ping", b"x") };
    let capable = Package::new(vec![ping], &[("./ping", b"x")]);
    for (number, package) in [sample(), capable].iter().enumerate() {
        let path = folder.path().join(format!("{number}.rpm"));
        durable::write(&path, &package.to_bytes()).unwrap();
        assert_eq!(oracle::compare(&path), Some(Vec::new()));
    }
}

#[test]
fn an_import_holds_all_of_a_package_or_nothing() {
    let Some(mut fixture) = Fixture::new() else { return };
    fixture.format = Format::Rpm;
    let bytes = sample().to_bytes();
    let commit = fixture.import_one(&bytes).unwrap();
    assert_eq!(fixture.content(commit, "data/etc/a"), b"text");
    let (header, lead) = (fixture.content(commit, "control/header"), fixture.content(commit, "control/lead"));
    assert!(bytes.starts_with(&lead) && bytes.windows(header.len()).any(|window| window == header));
    let paths: Vec<String> = fixture.index(commit).into_iter().map(|record| record.member.path).collect();
    assert_eq!(paths, ["lead", "signature", "header", "etc", "etc/a", "etc/link", "etc/null"]);
    fixture.fsck();

    let Some(mut fixture) = Fixture::new() else { return };
    fixture.format = Format::Rpm;
    let climbing = Package::new(vec![file("/", "a", b"text")], &[("./a", b"text"), ("../../b", b"")]);
    let refusal = fixture.refusal(&climbing.to_bytes());
    assert!(refusal.ends_with("in the payload: the path `../../b` climbs out of the package's root"), "{refusal}");
}
