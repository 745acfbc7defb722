//! Every package of a folder, beside what rpm itself says of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use compose::digest::Sha256;
use compose::package::rpm::archive;
use compose::package::rpm::files::{self, Listed};
use compose::package::{Member, MemberKind, MemberSink, Part};

/// What is asked of rpm, a line for each file; in it `(none)` stands for what is not there.
const QUERY: &str = "[%{FILENAMES}\t%{FILEMODES:octal}\t%{FILEUSERNAME}\t%{FILEGROUPNAME}\t%{FILEMTIMES}\t%{FILEFLAGS}\t\
                     %{FILEDIGESTS}\t%{FILELINKTOS}\t%{FILECAPS}\t%{LONGFILESIZES}\t%{FILERDEVS}\n]";

/// The members of a package by their paths, and of files the digests.
#[derive(Default)]
struct Members {
    data: BTreeMap<String, (Member, Option<Sha256>)>,
    order: Vec<String>,
}

impl MemberSink for Members {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<()> {
        let digest = match member.kind {
            MemberKind::File(_) => Some(Sha256::of_reader(content)?.0),
            _ => None,
        };
        if member.part == Part::Data {
            self.order.push(member.path.clone());
            self.data.insert(member.path.clone(), (member, digest));
        }
        Ok(())
    }
}

pub fn packages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => found.extend(packages(&path)),
            Some(ending) if ending == "rpm" => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

/// What rpm says of a package's files, unless it refuses the package.
fn ask_rpm(package: &Path) -> Result<Vec<String>, String> {
    let mut rpm = Command::new("rpm");
    rpm.args(["--query", "--package", "--nosignature", "--queryformat", QUERY]).arg(package).env("LC_ALL", "C.UTF-8");
    let said = rpm.output().unwrap();
    if !said.status.success() {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect())
}

/// The same line of what was read here.
fn line_of(file: &Listed) -> String {
    let (kind, size, target, device) = match &file.kind {
        MemberKind::File(size) => (libc::S_IFREG, *size, String::new(), 0),
        MemberKind::Directory => (libc::S_IFDIR, 0, String::new(), 0),
        MemberKind::Symlink(target) => (libc::S_IFLNK, target.len() as u64, target.clone(), 0),
        MemberKind::CharDevice(major, minor) => (libc::S_IFCHR, 0, String::new(), major << 8 | minor),
        MemberKind::BlockDevice(major, minor) => (libc::S_IFBLK, 0, String::new(), major << 8 | minor),
        MemberKind::Fifo => (libc::S_IFIFO, 0, String::new(), 0),
        MemberKind::Hardlink(_) => unreachable!("headers have no such files"),
    };
    let Listed { path, mode, user, group, mtime, flags, digest, capabilities, .. } = file;
    format!(
        "/{path}\t{:o}\t{user}\t{group}\t{mtime}\t{flags}\t{digest}\t{target}\t{capabilities}\t{size}\t{device}",
        kind | mode
    )
}

/// rpm's line, with what both say in several ways said in one.
fn plain(line: &str) -> String {
    let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
    if !fields[0].starts_with('/') {
        fields[0].insert(0, '/');
    }
    let mode = u32::from_str_radix(&fields[1], 8).unwrap_or_default() & 0o177_777;
    fields[1] = format!("{mode:o}");
    for field in [6, 7, 8] {
        if fields[field] == "(none)" {
            fields[field].clear();
        }
    }
    let kind = mode & libc::S_IFMT;
    // The sizes of folders are those of the builder's file system, and what of a device has numbers is a device.
    if ![libc::S_IFREG, libc::S_IFLNK].contains(&kind) {
        "0".clone_into(&mut fields[9]);
    }
    if ![libc::S_IFCHR, libc::S_IFBLK].contains(&kind) {
        "0".clone_into(&mut fields[10]);
    }
    fields.join("\t")
}

/// The digest of each regular file that `rpm2cpio` and cpio(1) take out of a package; `rpm2archive` and tar(1), where the payload
/// is of rpm's own form, which cpio does not read.
fn unpack(package: &Path, folder: &Path) -> BTreeMap<String, Sha256> {
    let script = "rpm2cpio \"$0\" >archive && cpio --extract --make-directories --no-absolute-filenames --quiet <archive || \
                  rpm2archive --nocompression - <\"$0\" | tar --extract; rm archive";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(package).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().unwrap();
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

/// Whether rpm takes a package's digests for wrong.
fn rpm_finds_damage(package: &Path) -> bool {
    let mut rpmkeys = Command::new("rpmkeys");
    rpmkeys.args(["--checksig", "--nosignature"]).arg(package).env("LC_ALL", "C.UTF-8");
    String::from_utf8_lossy(&rpmkeys.output().unwrap().stdout).contains("DIGESTS NOT OK")
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeMap<String, Sha256>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            collect(top, &path, found);
        } else if metadata.is_file() {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            found.insert(name, Sha256::of_reader(&File::open(&path).unwrap()).unwrap().0);
        }
    }
}

/// What differs between rpm's view of a package and the one here; nothing to compare where both refuse it.
pub fn compare(package: &Path) -> Option<Vec<String>> {
    let mut members = Members::default();
    let mut read = || -> Result<Vec<Listed>> {
        archive::unpack(&mut File::open(package)?, &mut members)?;
        let front = archive::read_front(&mut File::open(package)?)?;
        Ok(files::list(&front.header)?.0)
    };
    let (ours, theirs) = (read(), ask_rpm(package));
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return None,
        (Err(_), Ok(_)) if rpm_finds_damage(package) => return None,
        (Ok(_), Err(said)) => return Some(vec![format!("rpm alone refuses it: {said}")]),
        (Err(error), Ok(_)) => return Some(vec![format!("rpm alone takes it: {error:#}")]),
    };
    let mut differences = Vec::new();
    let mine: Vec<String> = ours.iter().map(line_of).collect();
    let theirs: Vec<String> = theirs.iter().map(|line| plain(line)).collect();
    for line in mine.iter().filter(|line| !theirs.contains(line)) {
        differences.push(format!("here alone:  {line}"));
    }
    for line in theirs.iter().filter(|line| !mine.contains(line)) {
        differences.push(format!("rpm's alone: {line}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let unpacked = unpack(package, folder.path());
    let content = |path: &str| match members.data.get(path)? {
        (Member { kind: MemberKind::Hardlink(target), .. }, _) => members.data.get(target)?.1,
        (_, digest) => *digest,
    };
    for file in ours.iter().filter(|file| matches!(file.kind, MemberKind::File(_)) && !file.is_ghost()) {
        let (ours, theirs) = (content(&file.path), unpacked.get(&file.path).copied());
        if ours != theirs {
            differences.push(format!("{}: content {ours:?} here, {theirs:?} of rpm2cpio", file.path));
        }
    }
    Some(differences)
}

#[test]
#[ignore = "compares the packages of a folder: ci/oracle-rpm"]
#[allow(clippy::disallowed_methods, reason = "the test's own environment")]
fn packages_are_what_rpm_says() {
    let folder = std::env::var("COMPOSE_RPM_PACKAGES").expect("COMPOSE_RPM_PACKAGES names a folder of packages");
    let packages = packages(Path::new(&folder));
    let (mut bad, mut refused) = (0, 0);
    for package in &packages {
        let Some(differences) = compare(package) else {
            refused += 1;
            continue;
        };
        if !differences.is_empty() {
            bad += 1;
            println!("{}: {} differences", package.display(), differences.len());
            differences.iter().take(6).for_each(|line| println!("  {line}"));
        }
    }
    println!("{} packages, of which {refused} are refused by both; {bad} differ", packages.len());
    assert_eq!(bad, 0);
}
