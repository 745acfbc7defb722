//! The block `template:`: what a Qubes template package says of itself, within what Qubes accepts.
//!
//! What qvm-template refuses or passes over in dom0 is refused here, when the manifest is read. The rules are those of
//! `qvm-template`, `qvm-template-postprocess` (qubes-core-admin-client) and `qubes.vm` (qubes-core-admin).

mod words;

use serde::{Deserialize, Serialize};

use self::words::{Address, DesktopEntry, License, Line, Name, One, OwnKernel, Release, Text, Url, VirtMode};
use super::located::{Located, Word};

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
