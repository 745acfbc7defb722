//! The single values of the block: what Qubes takes, and why not.

use super::super::located::Word;

/// The longest name of a Qubes VM, in bytes (`qubes.vm.validate_name`).
const LONGEST_NAME: usize = 31;
/// The longest text, in bytes: it becomes a feature of the VM, set by a request of at most 64 KiB with all else in it.
const LONGEST_TEXT: usize = 32 << 10;

/// A name that `qubes.vm.validate_name` takes.
#[derive(Debug)]
pub struct Name(pub String);

impl Word for Name {
    fn from_word(word: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !word.starts_with(|c: char| c.is_ascii_alphabetic()) || !word.chars().all(good) {
            return Err(format!(
                "`{word}` is not a name that Qubes takes: letters, digits and `_.-` are expected, beginning with a letter"
            ));
        }
        if word == "Domain-0" {
            return Err("`Domain-0` is dom0's own name".to_owned());
        }
        if matches!(word, "none" | "default") {
            return Err(format!("`{word}` is a word that Qubes takes for no VM's name"));
        }
        if word.ends_with("-dm") {
            return Err(format!("`{word}` ends in `-dm`, as the names of device models' VMs do"));
        }
        match word.len() {
            ..=LONGEST_NAME => Ok(Self(word.to_owned())),
            long => Err(format!("`{word}` has {long} characters: Qubes takes names of at most {LONGEST_NAME}")),
        }
    }
}

/// A Qubes release as upstream's packages have it.
#[derive(Debug)]
pub struct Release(pub String);

impl Word for Release {
    fn from_word(word: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u8>().is_ok_and(|number| number.to_string() == text);
        match word.split('.').collect::<Vec<_>>().as_slice() {
            [major, minor, "0"] if number(major) && number(minor) => Ok(Self(word.to_owned())),
            _ => Err(format!("`{word}` is not a Qubes release as `X.Y.0`, such as `4.3.0`")),
        }
    }
}

/// The number of a package that is made anew of the same lock.
#[derive(Clone, Copy, Debug)]
pub struct Revision(pub u16);

impl Word for Revision {
    fn from_word(word: &str) -> Result<Self, String> {
        match word.parse::<u16>() {
            Ok(number @ 1..=999) if number.to_string() == word => Ok(Self(number)),
            _ => Err(format!("`{word}` is not a number from 1 to 999")),
        }
    }
}

/// Text that qubes.TemplateSearch can hand on: it separates fields by `|`, and reads ASCII only.
fn plain(word: &str, more: &str) -> Result<String, String> {
    let bad = |c: &char| !(' '..='~').contains(c) && !more.contains(*c) || *c == '|';
    match word.chars().find(bad) {
        Some(c) => Err(format!("{c:?} cannot stand here: Qubes takes printable ASCII without `|`")),
        None if word.len() > LONGEST_TEXT => {
            Err(format!("a text has at most {LONGEST_TEXT} bytes, this {}", word.len()))
        }
        None => Ok(word.to_owned()),
    }
}

/// A line of text.
#[derive(Debug)]
pub struct Line(pub String);

impl Word for Line {
    fn from_word(word: &str) -> Result<Self, String> {
        match plain(word, "")? {
            empty if empty.trim().is_empty() => Err("a line of text is expected".to_owned()),
            line => Ok(Self(line)),
        }
    }
}

/// Lines of text.
#[derive(Debug)]
pub struct Text(pub String);

impl Word for Text {
    fn from_word(word: &str) -> Result<Self, String> {
        match plain(word, "\n")?.trim_end() {
            "" => Err("text is expected".to_owned()),
            text if text.starts_with('\n') => {
                Err("Qubes takes no description that begins with an empty line".to_owned())
            }
            text => Ok(Self(text.to_owned())),
        }
    }
}

/// A word that names a licence.
#[derive(Debug)]
pub struct License(pub String);

impl Word for License {
    fn from_word(word: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._+()-".contains(c);
        if word.is_empty() || word.starts_with('-') || !word.chars().all(good) {
            return Err(format!(
                "`{word}` is not a licence that Qubes takes: one word of letters, digits and `._+()-`, such as `GPL-3.0-or-later`"
            ));
        }
        Ok(Self(word.to_owned()))
    }
}

/// An address on the web.
#[derive(Debug)]
pub struct Url(pub String);

impl Word for Url {
    fn from_word(word: &str) -> Result<Self, String> {
        let url = plain(word, "")?;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.contains(' ') => Ok(Self(url)),
            _ => Err(format!("`{word}` is not a URL: `https://…` is expected")),
        }
    }
}

/// The one value of a feature that is on.
#[derive(Debug)]
pub struct One;

impl Word for One {
    fn from_word(word: &str) -> Result<Self, String> {
        match word {
            "1" => Ok(Self),
            _ => Err(format!("Qubes passes over `{word}`: `1` is the only value, leave the key out for all else")),
        }
    }
}

/// An IPv4 address.
#[derive(Debug)]
pub struct Address(pub String);

impl Word for Address {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse::<std::net::Ipv4Addr>()
            .map(|address| Self(address.to_string()))
            .map_err(|_| format!("`{word}` is not an IPv4 address such as `192.168.0.1`"))
    }
}

/// How a VM is virtualised.
#[derive(Debug)]
pub struct VirtMode(pub &'static str);

impl Word for VirtMode {
    fn from_word(word: &str) -> Result<Self, String> {
        match word {
            "pvh" => Ok(Self("pvh")),
            "hvm" => Ok(Self("hvm")),
            "pv" => Err("`pv` is refused by qvm-template unless it is told --allow-pv: take `pvh` or `hvm`".to_owned()),
            _ => Err(format!("unknown virt-mode `{word}`, expected one of `pvh`, `hvm`")),
        }
    }
}

/// The empty text: the template boots its own kernel.
#[derive(Debug)]
pub struct OwnKernel;

impl Word for OwnKernel {
    fn from_word(word: &str) -> Result<Self, String> {
        match word {
            "" => Ok(Self),
            _ => Err(format!(
                "Qubes passes over `{word}`: only `kernel: ''` (the template's own kernel) is taken, leave it out for dom0's"
            )),
        }
    }
}

/// A desktop entry's file name.
#[derive(PartialEq, Eq, Debug)]
pub struct DesktopEntry(pub String);

impl Word for DesktopEntry {
    fn from_word(word: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        match word.strip_suffix(".desktop") {
            Some(stem) if !stem.is_empty() && word.chars().all(good) => Ok(Self(word.to_owned())),
            _ => Err(format!("`{word}` is not a desktop entry such as `xterm.desktop`")),
        }
    }
}
