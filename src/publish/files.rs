//! The files of a template package, as upstream's spec lists them.

use anyhow::{Result, bail};

use crate::error::Hint;
use crate::manifest::Template;

/// Where templates' folders are in dom0, and the form of cpio's paths to them.
pub const FOLDER: &str = "/var/lib/qubes/vm-templates/";
/// Bytes of a part of the image's archive; the last one is shorter.
const PART: u64 = 1 << 30;
/// How many parts two digits can number: qvm-template takes no others.
const MOST_PARTS: u64 = 100;

const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;

/// A file of the package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackagedFile {
    /// Its name in the template's folder; empty for the folder itself.
    pub name: String,
    /// File type and permission bits, as in stat(2).
    pub mode: u16,
    /// What it holds.
    pub content: Content,
}

/// What a file of the package holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// It is a directory.
    Directory,
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of the image's archive.
    Part(u64),
    /// Nothing: the package names it and does not bring it.
    Ghost,
}

impl Content {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Part(size) => *size,
            Self::Directory | Self::Ghost => 0,
        }
    }
}

/// The files in rpm's order, by path, for an image whose archive has so many bytes.
pub fn files(template: &Template, archive: u64) -> Result<Vec<PackagedFile>> {
    let parts = archive.div_ceil(PART);
    if parts > MOST_PARTS {
        let message = format!(
            "the image has content of {archive} bytes: in parts of {PART} bytes that is {parts} parts, and qvm-template takes {MOST_PARTS}"
        );
        return Err(anyhow::anyhow!(message)).hint(|| "install fewer packages");
    }
    if parts == 0 {
        bail!("the image has no archive");
    }
    let mut files = vec![
        PackagedFile { name: String::new(), mode: DIRECTORY | 0o2770, content: Content::Directory },
        regular("clean-volatile.img.tar", 0o660, Content::Bytes(Vec::new())),
        regular("template.conf", 0o664, Content::Bytes(conf(template).into_bytes())),
    ];
    files.extend(["root.img", "private.img", "volatile.img"].map(|name| regular(name, 0o660, Content::Ghost)));
    for name in ["apps", "apps.templates", "apps.tempicons"] {
        files.push(PackagedFile { name: name.to_owned(), mode: DIRECTORY | 0o775, content: Content::Directory });
    }
    let menus = &template.appmenus;
    for (name, entries) in [
        ("whitelisted-appmenus.list", &menus.whitelisted),
        ("vm-whitelisted-appmenus.list", &menus.vm_whitelisted),
        ("netvm-whitelisted-appmenus.list", &menus.netvm_whitelisted),
    ] {
        let lines: String = entries.iter().flat_map(|entry| [entry, "\n"]).collect();
        files.push(regular(name, 0o664, Content::Bytes(lines.into_bytes())));
    }
    for part in 0..parts {
        let size = PART.min(archive - part * PART);
        files.push(regular(&format!("root.img.part.{part:02}"), 0o660, Content::Part(size)));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn regular(name: &str, permissions: u16, content: Content) -> PackagedFile {
    PackagedFile { name: name.to_owned(), mode: REGULAR | permissions, content }
}

/// Lines `KEY=VALUE` and nothing else: qvm-template-postprocess gives up at any other line, when the VM is made already.
fn conf(template: &Template) -> String {
    template.conf.iter().flat_map(|(key, value)| [key, "=", value, "\n"]).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::manifest::Appmenus;

    /// A template with a value for each of its keys.
    pub fn template() -> Template {
        let menu = |name: &str| vec![format!("{name}.desktop"), "xterm.desktop".to_owned()];
        Template {
            name: "debian-13".to_owned(),
            version: "4.3.0".to_owned(),
            revision: None,
            summary: "Qubes OS template for debian-13".to_owned(),
            description: "Qubes OS template for debian-13.".to_owned(),
            license: "GPLv3+".to_owned(),
            url: "http://www.qubes-os.org".to_owned(),
            conf: vec![("gui", "1".to_owned()), ("kernel", String::new())],
            appmenus: Appmenus { whitelisted: menu("a"), vm_whitelisted: menu("b"), netvm_whitelisted: menu("c") },
        }
    }

    fn names(archive: u64) -> Vec<String> {
        files(&template(), archive).unwrap().into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn parts_are_numbered_in_order_from_00() {
        let names = names(10 * PART + 1);
        let parts: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("root.img.part.")).collect();
        assert_eq!(parts, ["00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10"]);
        let files = files(&template(), 10 * PART + 1).unwrap();
        let sizes: Vec<u64> = files.iter().map(|file| file.content.size()).filter(|size| *size >= PART).collect();
        assert_eq!(sizes, [PART; 10]);
        assert_eq!(files.iter().find(|file| file.name == "root.img.part.10").unwrap().content, Content::Part(1));
    }

    #[test]
    fn more_parts_than_two_digits_number_are_refused() {
        assert_eq!(names(100 * PART).len(), 100 + 12);
        let refused = files(&template(), 100 * PART + 1).unwrap_err();
        assert!(refused.to_string().ends_with("that is 101 parts, and qvm-template takes 100"), "{refused}");
    }

    #[test]
    fn settings_and_menus_are_lines() {
        let files = files(&template(), 1).unwrap();
        let text = |name: &str| match &files.iter().find(|file| file.name == name).unwrap().content {
            Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(text("template.conf"), "gui=1\nkernel=\n");
        assert_eq!(text("vm-whitelisted-appmenus.list"), "b.desktop\nxterm.desktop\n");
        assert_eq!(text("clean-volatile.img.tar"), "");
    }
}
