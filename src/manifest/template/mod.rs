//! The block `template:`: what a Qubes template package says of itself, within what Qubes accepts.
//!
//! What qvm-template refuses or passes over in dom0 is refused here, when the manifest is read. The rules are those of
//! `qvm-template`, `qvm-template-postprocess` (qubes-core-admin-client) and `qubes.vm` (qubes-core-admin).

mod words;

use serde::{Deserialize, Serialize};

use self::words::{Address, DesktopEntry, License, Line, Name, One, OwnKernel, Release, Revision, Text, Url, VirtMode};
use super::image::Kernel;
use super::located::{Located, Mistake, Sources, Word};
use super::typed::Typed;

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
    /// What tells this package from one of the same lock before it, where the lock's date does not: 1 to 999.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u16>,
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
    pub revision: Option<Located<Revision>>,
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
    pub whitelisted: Option<Vec<Located<DesktopEntry>>>,
    pub vm_whitelisted: Option<Vec<Located<DesktopEntry>>>,
    pub netvm_whitelisted: Option<Vec<Located<DesktopEntry>>>,
}

impl TypedTemplate {
    /// Takes what a later file says over what the files before it said; lists add up.
    pub fn merge(&mut self, later: Self) {
        fn one<T>(old: &mut Option<T>, new: Option<T>) {
            *old = new.or(old.take());
        }
        fn list(old: &mut Option<Vec<Located<DesktopEntry>>>, new: Option<Vec<Located<DesktopEntry>>>) {
            let Some(new) = new else { return };
            let old = old.get_or_insert_default();
            for entry in new {
                if !old.iter().any(|known| known.value == entry.value) {
                    old.push(entry);
                }
            }
        }
        one(&mut self.name, later.name);
        one(&mut self.version, later.version);
        one(&mut self.revision, later.revision);
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

    /// The number of the first value that is given, in this type's order.
    fn first_number(&self) -> Option<usize> {
        fn number<T>(typed: Option<&Located<T>>) -> Option<usize> {
            typed.map(|typed| typed.number)
        }
        let (conf, menus) = (&self.conf, &self.appmenus);
        let single = [
            number(self.name.as_ref()),
            number(self.version.as_ref()),
            number(self.revision.as_ref()),
            number(self.summary.as_ref()),
            number(self.description.as_ref()),
            number(self.license.as_ref()),
            number(self.url.as_ref()),
            number(conf.no_monitor_layout.as_ref()),
            number(conf.pci_e820_host.as_ref()),
            number(conf.linux_stubdom.as_ref()),
            number(conf.gui.as_ref()),
            number(conf.selinux.as_ref()),
            number(conf.gui_emulated.as_ref()),
            number(conf.qrexec.as_ref()),
            number(conf.fake_ip.as_ref()),
            number(conf.fake_gateway.as_ref()),
            number(conf.fake_netmask.as_ref()),
            number(conf.virt_mode.as_ref()),
            number(conf.kernel.as_ref()),
        ];
        let lists = [&menus.whitelisted, &menus.vm_whitelisted, &menus.netvm_whitelisted];
        let listed = lists.into_iter().flatten().flatten().map(|entry| entry.number);
        single.into_iter().flatten().chain(listed).next()
    }

    /// The values with defaults for those not given; without any there is no template. The name is the manifest's unless another
    /// is given. `kernel` is the one of guests of the image.
    pub fn finish(
        self,
        sources: &Sources,
        manifest: &Located<String>,
        kernel: Kernel,
    ) -> Result<Option<Template>, Mistake> {
        let Some(first) = self.first_number() else { return Ok(None) };
        let Some(version) = self.version else {
            let message = "what `template` says needs `version` beside it: the Qubes release, such as `4.3.0`";
            return Err(sources.mistake::<Typed>(first, message));
        };
        if let (Some(own), Kernel::Dom0) = (&self.conf.kernel, kernel) {
            let message = "with `kernel: ''` Qubes starts what boots from the disk, and nothing does";
            let hint = "add `image: {kernel: own}` and a kernel, such as by `include: [include/own-kernel.yaml]`";
            return Err(Mistake { hint: Some(hint.to_owned()), ..sources.mistake::<Typed>(own.number, message) });
        }
        let name = if let Some(name) = self.name {
            name.value.0
        } else {
            // As qubes-builder names templates, `+` becomes `-`.
            let name = Name::from_word(&manifest.value.replace('+', "-"));
            let mistake = |why| {
                let message = format!("{why}; `template: name:` gives it another name than the manifest's");
                sources.mistake::<Typed>(manifest.number, message)
            };
            name.map_err(mistake)?.0
        };
        let summary = self.summary.map_or_else(|| format!("Qubes OS template for {name}"), |typed| typed.value.0);
        let menu = |typed: Option<Vec<Located<DesktopEntry>>>| match typed {
            None => vec![MENU.to_owned()],
            Some(entries) => entries.into_iter().map(|entry| entry.value.0).collect(),
        };
        Ok(Some(Template {
            version: version.value.0,
            revision: self.revision.map(|revision| revision.value.0),
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
