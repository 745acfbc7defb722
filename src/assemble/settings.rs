//! What a manifest sets in the root beyond packages, accounts and files: host name, locale, time zone, units, hooks.
//! Values go by arguments, never into a script's text.

use crate::manifest::{Hook, HookPoint, Manifest, System};
use crate::package::Script;

/// `$0` is the locale. One that libc does not have of itself is generated (locale-gen(8), update-locale(8)).
const SET_LOCALE: &str = r#"
set -e
case $0 in
C | POSIX | C.*) ;;
*)
    [ -x /usr/sbin/locale-gen ] || { echo "the locale $0 has to be generated: add the package locales" >&2; exit 1; }
    line=$(sed -n "/^$0[ .]/p" /usr/share/i18n/SUPPORTED | head -n 1)
    [ -n "$line" ] || { echo "/usr/share/i18n/SUPPORTED has no locale $0" >&2; exit 1; }
    grep -qxF "$line" /etc/locale.gen || printf '%s\n' "$line" >>/etc/locale.gen
    locale-gen
    ;;
esac
if [ -x /usr/sbin/update-locale ]; then
    update-locale "LANG=$0"
else
    printf 'LANG=%s\n' "$0" >/etc/default/locale
fi
"#;

/// `$0` is the zone. /etc/timezone is kept where packages made one.
const SET_TIMEZONE: &str = r#"
set -e
[ -f "/usr/share/zoneinfo/$0" ] || { echo "the root has no time zone $0: is tzdata among its packages?" >&2; exit 1; }
ln -sfn "/usr/share/zoneinfo/$0" /etc/localtime
[ ! -f /etc/timezone ] || printf '%s\n' "$0" >/etc/timezone
"#;

/// The commands for all settings but hooks.
pub fn scripts(system: &System) -> Vec<Script> {
    let shell = |label: String, text: &str, value: &str| Script {
        label,
        command: ["/bin/sh", "-c", text, value].map(str::to_owned).to_vec(),
        ..Script::default()
    };
    let mut scripts = Vec::new();
    if let Some(name) = &system.hostname {
        scripts.push(shell("setting the host name".to_owned(), r#"printf '%s\n' "$0" >/etc/hostname"#, name));
    }
    if let Some(locale) = &system.locale {
        scripts.push(shell(format!("setting the locale {locale}"), SET_LOCALE, locale));
    }
    if let Some(zone) = &system.timezone {
        scripts.push(shell(format!("setting the time zone {zone}"), SET_TIMEZONE, zone));
    }
    for (verb, units) in [("disable", &system.disable), ("enable", &system.enable), ("mask", &system.mask)] {
        if !units.is_empty() {
            let command = ["/usr/bin/systemctl", "--root=/", verb].map(str::to_owned);
            scripts.push(Script {
                label: format!("systemctl {verb}"),
                command: command.into_iter().chain(units.iter().cloned()).collect(),
                ..Script::default()
            });
        }
    }
    scripts
}

/// The commands for the hooks that run at a point.
pub fn hooks(manifest: &Manifest, at: HookPoint) -> Vec<Script> {
    let numbered = manifest.system.hooks.iter().enumerate().filter(|(_, hook)| hook.at == at);
    let script = |(number, hook): (usize, &Hook)| Script {
        label: format!("the hook {}", hook.name),
        command: vec![file_of(number)],
        ..Script::default()
    };
    numbered.map(script).collect()
}

/// The files of all hooks while steps run: path, permission bits, content.
pub fn hook_files(manifest: &Manifest) -> impl Iterator<Item = (String, u32, String)> {
    manifest.system.hooks.iter().enumerate().map(|(number, hook)| {
        let interpreter = if hook.script.starts_with("#!") { "" } else { "#!/bin/sh -e\n" };
        (file_of(number), 0o755, format!("{interpreter}{}", hook.script))
    })
}

fn file_of(number: usize) -> String {
    format!("/tmp/hook-{number}")
}
