//! The block `template:`: what a Qubes template package says of itself, within what Qubes accepts.
//!
//! What qvm-template refuses or passes over in dom0 is refused here, when the manifest is read. The rules are those of
//! `qvm-template`, `qvm-template-postprocess` (qubes-core-admin-client) and `qubes.vm` (qubes-core-admin).

use serde::{Deserialize, Serialize};

use super::located::{Located, Word};

/// The longest name of a Qubes VM, in bytes (`qubes.vm.validate_name`).
const LONGEST_NAME: usize = 31;
/// The longest text, in bytes: it becomes a feature of the VM, set by a request of at most 64 KiB with all else in it.
const LONGEST_TEXT: usize = 32 << 10;
/// What upstream's templates offer in menus where nothing else is said.
const MENU: &str = "xterm.desktop";
/// Upstream's licence and home page for templates.
const LICENSE: &str = "GPLv3+";
const URL: &str = "http://www.qubes-os.org";

/// A Qubes template package's own values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Template {
    /// The template's name in dom0.
    pub name: String,
    /// The Qubes release it is for, as `X.Y.0`.
    pub version: String,
    /// One line.
    pub summary: String,
    /// Lines, without one at the end.
    pub description: String,
    /// One word.
    pub license: String,
    /// A home page.
    pub url: String,
    /// Keys and values of `template.conf`, in upstream's order.
    pub conf: Vec<(&'static str, String)>,
    /// What menus offer.
    pub appmenus: Appmenus,
}

/// Desktop entries (`*.desktop`) that menus of dom0 offer, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Appmenus {
    /// For the template itself (`vm-whitelisted-appmenus.list` is for VMs made of it).
    pub whitelisted: Vec<String>,
    /// For VMs made of it.
    pub vm_whitelisted: Vec<String>,
    /// For those of them that provide network.
    pub netvm_whitelisted: Vec<String>,
}

/// The block as typed.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedTemplate {
    pub name: Option<Located<Name>>,
    pub version: Option<Located<Release>>,
    pub summary: Option<Located<Line>>,
    pub description: Option<Located<Text>>,
    pub license: Option<Located<License>>,
    pub url: Option<Located<Url>>,
    pub conf: TypedConf,
    pub appmenus: TypedAppmenus,
}

/// `template: conf:`, the keys that qvm-template-postprocess takes.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedConf {
    pub no_monitor_layout: Option<Located<One>>,
    pub pci_e820_host: Option<Located<One>>,
    pub linux_stubdom: Option<Located<One>>,
    pub gui: Option<Located<One>>,
    pub selinux: Option<Located<One>>,
    pub gui_emulated: Option<Located<One>>,
    pub qrexec: Option<Located<One>>,
    #[serde(rename = "net.fake-ip")]
    pub fake_ip: Option<Located<Address>>,
    #[serde(rename = "net.fake-gateway")]
    pub fake_gateway: Option<Located<Address>>,
    #[serde(rename = "net.fake-netmask")]
    pub fake_netmask: Option<Located<Address>>,
    pub virt_mode: Option<Located<VirtMode>>,
    pub kernel: Option<Located<OwnKernel>>,
}

/// `template: appmenus:`.
#[derive(Deserialize, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TypedAppmenus {
    pub whitelisted: Vec<Located<DesktopEntry>>,
    pub vm_whitelisted: Vec<Located<DesktopEntry>>,
    pub netvm_whitelisted: Vec<Located<DesktopEntry>>,
}

impl TypedTemplate {
    /// Takes what a later file says over what the files before it said; lists add up.
    pub fn merge(&mut self, later: Self) {
        fn one<T>(old: &mut Option<T>, new: Option<T>) {
            *old = new.or(old.take());
        }
        fn list(old: &mut Vec<Located<DesktopEntry>>, new: Vec<Located<DesktopEntry>>) {
            for entry in new {
                if !old.iter().any(|known| known.value == entry.value) {
                    old.push(entry);
                }
            }
        }
        one(&mut self.name, later.name);
        one(&mut self.version, later.version);
        one(&mut self.summary, later.summary);
        one(&mut self.description, later.description);
        one(&mut self.license, later.license);
        one(&mut self.url, later.url);
        let (conf, new) = (&mut self.conf, later.conf);
        one(&mut conf.no_monitor_layout, new.no_monitor_layout);
        one(&mut conf.pci_e820_host, new.pci_e820_host);
        one(&mut conf.linux_stubdom, new.linux_stubdom);
        one(&mut conf.gui, new.gui);
        one(&mut conf.selinux, new.selinux);
        one(&mut conf.gui_emulated, new.gui_emulated);
        one(&mut conf.qrexec, new.qrexec);
        one(&mut conf.fake_ip, new.fake_ip);
        one(&mut conf.fake_gateway, new.fake_gateway);
        one(&mut conf.fake_netmask, new.fake_netmask);
        one(&mut conf.virt_mode, new.virt_mode);
        one(&mut conf.kernel, new.kernel);
        list(&mut self.appmenus.whitelisted, later.appmenus.whitelisted);
        list(&mut self.appmenus.vm_whitelisted, later.appmenus.vm_whitelisted);
        list(&mut self.appmenus.netvm_whitelisted, later.appmenus.netvm_whitelisted);
    }

    /// The values with defaults for those not given; without `version`, which has none, there is no template. The name is
    /// the manifest's unless another is given.
    pub fn finish(self, manifest: &str) -> Result<Option<Template>, String> {
        let Some(version) = self.version else { return Ok(None) };
        let name = match self.name {
            Some(name) => name.value.0,
            // As qubes-builder names templates, `+` becomes `-`.
            None => {
                Name::from_word(&manifest.replace('+', "-"))
                    .map_err(|why| format!("{why}; `template: name:` gives it another name than the manifest's"))?
                    .0
            }
        };
        let summary = self.summary.map_or_else(|| format!("Qubes OS template for {name}"), |typed| typed.value.0);
        let menu = |typed: Vec<Located<DesktopEntry>>| match typed.as_slice() {
            [] => vec![MENU.to_owned()],
            some => some.iter().map(|entry| entry.value.0.clone()).collect(),
        };
        Ok(Some(Template {
            version: version.value.0,
            description: self.description.map_or_else(|| format!("{summary}."), |typed| typed.value.0),
            license: self.license.map_or_else(|| LICENSE.to_owned(), |typed| typed.value.0),
            url: self.url.map_or_else(|| URL.to_owned(), |typed| typed.value.0),
            conf: self.conf.finish(),
            appmenus: Appmenus {
                whitelisted: menu(self.appmenus.whitelisted),
                vm_whitelisted: menu(self.appmenus.vm_whitelisted),
                netvm_whitelisted: menu(self.appmenus.netvm_whitelisted),
            },
            summary,
            name,
        }))
    }
}

impl TypedConf {
    fn finish(self) -> Vec<(&'static str, String)> {
        let one = |typed: Option<Located<One>>| typed.map(|_| "1".to_owned());
        let address = |typed: Option<Located<Address>>| typed.map(|address| address.value.0);
        let all = [
            ("no-monitor-layout", one(self.no_monitor_layout)),
            ("pci-e820-host", one(self.pci_e820_host)),
            ("linux-stubdom", one(self.linux_stubdom)),
            ("gui", one(self.gui)),
            ("selinux", one(self.selinux)),
            ("gui-emulated", one(self.gui_emulated)),
            ("qrexec", one(self.qrexec)),
            ("net.fake-ip", address(self.fake_ip)),
            ("net.fake-gateway", address(self.fake_gateway)),
            ("net.fake-netmask", address(self.fake_netmask)),
            ("virt-mode", self.virt_mode.map(|mode| mode.value.0.to_owned())),
            ("kernel", self.kernel.map(|_| String::new())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// A name that `qubes.vm.validate_name` takes.
#[derive(Debug)]
pub struct Name(String);

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
        match word.len() {
            ..=LONGEST_NAME => Ok(Self(word.to_owned())),
            long => Err(format!("`{word}` has {long} characters: Qubes takes names of at most {LONGEST_NAME}")),
        }
    }
}

/// A Qubes release as upstream's packages have it.
#[derive(Debug)]
pub struct Release(String);

impl Word for Release {
    fn from_word(word: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u8>().is_ok_and(|number| number.to_string() == text);
        match word.split('.').collect::<Vec<_>>().as_slice() {
            [major, minor, "0"] if number(major) && number(minor) => Ok(Self(word.to_owned())),
            _ => Err(format!("`{word}` is not a Qubes release as `X.Y.0`, such as `4.3.0`")),
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
pub struct Line(String);

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
pub struct Text(String);

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
pub struct License(String);

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
pub struct Url(String);

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
pub struct Address(String);

impl Word for Address {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse::<std::net::Ipv4Addr>()
            .map(|address| Self(address.to_string()))
            .map_err(|_| format!("`{word}` is not an IPv4 address such as `192.168.0.1`"))
    }
}

/// How a VM is virtualised.
#[derive(Debug)]
pub struct VirtMode(&'static str);

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
pub struct DesktopEntry(String);

impl Word for DesktopEntry {
    fn from_word(word: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        match word.strip_suffix(".desktop") {
            Some(stem) if !stem.is_empty() && word.chars().all(good) => Ok(Self(word.to_owned())),
            _ => Err(format!("`{word}` is not a desktop entry such as `xterm.desktop`")),
        }
    }
}
