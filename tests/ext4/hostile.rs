//! A tree with all that file systems have trouble with.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::run;

/// Fills a folder.
pub fn make(folder: &Path) {
    let create = |path: &str, content: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).and_then(|file| file.write_all_at(content, 0)).unwrap();
        path
    };
    for number in 0..5000 {
        create(&format!("many/file-{number}"), b"");
    }
    // More blocks of names than one node of their tree has.
    for number in 0..8000 {
        create(&format!("long/{}", format!("{number:05}").repeat(51)), b"");
    }
    for number in 0..300 {
        create(&format!("bytes/ö-ÿ\u{1f}\n\\\"{number}"), &[b'n'; 5]);
    }
    // Every piece is an extent, of which a tree of two levels is needed.
    let sparse = File::create(folder.join("sparse")).unwrap();
    for number in 0..1500 {
        sparse.write_all_at(b"piece", number * 200_000).unwrap();
    }
    sparse.set_len(300_000_001).unwrap();
    create("zeros", &vec![0; 3 << 20]);
    let noise = |size: usize| (0..size as u64).map(|at| ((at * at) >> 7) as u8 | 1).collect::<Vec<u8>>();
    create("large", &[noise(2 << 20), vec![0; 100_000], noise(5_000_001)].concat());
    // Larger than a group of blocks is.
    File::create(folder.join("larger")).and_then(|file| file.write_all_at(&noise(150 << 20), 0)).unwrap();
    for length in [1, 59, 60, 4095] {
        symlink("t".repeat(length), folder.join(format!("link-{length}"))).unwrap();
    }
    let deep = (0..300).fold(PathBuf::from("deep"), |path, number| path.join(format!("d{number}")));
    create(deep.join("end").to_str().unwrap(), b"deep");
    create("lost+found/#99", b"found before");

    let file = create("attributes", b"with attributes");
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    let entry =
        |tag: u16, mode: u16, id: u32| [&tag.to_le_bytes()[..], &mode.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let entries = [entry(1, 6, none), entry(2, 7, 1000), entry(4, 4, none), entry(16, 7, none), entry(32, 4, none)];
    let access = [2_u32.to_le_bytes().to_vec(), entries.concat()].concat();
    set(&file, "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set(&file, "system.posix_acl_access", &access);
    set(&file, "user.empty", b"");
    for number in 0..30_u8 {
        set(&file, &format!("user.number-{number}"), &vec![number; usize::from(number)]);
    }
    set(&create("one-attribute", b""), "user.value", &[b'v'; 150]);
    set(&folder.join("many"), "system.posix_acl_default", &access);
    for name in ["a-link", "many/link", "long/link"] {
        fs::hard_link(&file, folder.join(name)).unwrap();
    }
    std::os::unix::fs::chown(folder.join("large"), Some(70_000), Some(4_000_000_000)).unwrap();
    fs::set_permissions(folder.join("large"), std::os::unix::fs::PermissionsExt::from_mode(0o6751)).unwrap();
    for arguments in [
        ["-m", "640", "pipe", "p", "", ""],
        ["-m", "606", "null", "c", "1", "3"],
        ["-m", "660", "disk", "b", "259", "70000"],
    ] {
        let arguments = arguments.iter().filter(|argument| !argument.is_empty());
        run(Command::new("mknod").args(arguments).current_dir(folder)).result();
    }
}
