//! How a scriptlet is run: by its interpreter in the root, as rpm runs it; or by the root's own rpm from beside it, where it is
//! in the Lua that is part of rpm, or has macros.
//!
//! For that a package is made up that has nothing but the scriptlet as its `%pre`. rpm then does all that it does for
//! scriptlets, in roots that have no program yet.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::digest::Sha256;
use crate::package::rpm::file::Front;
use crate::package::rpm::header::{Header, Value};
use crate::package::rpm::tag;
use crate::package::{Place, ROOT_IN_TOOLS, Script};

use super::RPM;
use super::accounts::Accounts;
use super::scriptlet::{Facts, LUA};
use super::sequence::Call;

/// Tells which scriptlet a process works for: what spec files call it, and the package.
const SCRIPTLET: &str = "COMPOSE_SCRIPTLET";

/// What rpm calls the making of users and groups.
const ACCOUNTS: &str = "%sysusers";

/// The search path of scriptlets (`_install_script_path` in rpm's macros).
const PATH: &str = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/X11R6/bin";

/// Options that keep rpm to what it is told: the lock has decided on packages, their signatures and architectures.
pub(super) const OPTIONS: &[&str] =
    &["--nosignature", "--nodigest", "--noplugins", "--ignorearch", "--ignoreos", "--ignoresize"];

/// How a scriptlet is run.
pub(super) fn script(packages: &[Facts], call: &Call<'_>) -> Script {
    let facts = &packages[call.package];
    let by =
        call.by.filter(|by| *by != call.package).map_or_else(String::new, |by| format!(" for {}", packages[by].name));
    let label = format!("{}{by}", name(call.kind, &facts.name));
    let mut environment = environment(call.kind, facts);
    // Lua is no process of its own.
    if call.script.program[0] != LUA {
        environment.extend(prefixes(facts));
    }
    let script = if call.script.is_for_rpm() { by_rpm(facts, call) } else { by_interpreter(call) };
    Script { label, environment, ..script }
}

/// How users and groups of a package are made: by the program that rpm has for it, from beside the root. None where nothing is for
/// this rpm, whose version tells whether it takes all lines.
pub(super) fn make(program: &str, facts: &Facts, accounts: &Accounts, takes_all: bool) -> Option<Script> {
    let lines = accounts.lines.iter().filter(|(_, is_late)| takes_all || !is_late);
    let input: String = lines.flat_map(|(line, _)| [line, "\n"]).collect();
    if input.is_empty() {
        return None;
    }
    let replace = accounts.source.iter().flat_map(|source| ["--replace", source]);
    let command = [program].into_iter().chain(replace).chain(["--root", ROOT_IN_TOOLS, "-"]).map(str::to_owned);
    Some(Script {
        label: name(ACCOUNTS, &facts.name),
        command: command.collect(),
        environment: environment(ACCOUNTS, facts),
        input: input.into_bytes(),
        place: Place::Tools,
        ..Script::default()
    })
}

fn environment(kind: &str, facts: &Facts) -> Vec<(String, String)> {
    vec![("PATH".to_owned(), PATH.to_owned()), (SCRIPTLET.to_owned(), format!("{kind} {}", facts.name))]
}

/// Where a package is that could be elsewhere (`doScriptExec` in rpm's sources).
fn prefixes(facts: &Facts) -> impl Iterator<Item = (String, String)> {
    let name =
        |number: Option<usize>| format!("RPM_INSTALL_PREFIX{}", number.map_or_else(String::new, |n| n.to_string()));
    let numbered = (0..).map(Some).zip(&facts.prefixes);
    let first = facts.prefixes.first().map(|prefix| (None, prefix));
    first.into_iter().chain(numbered).map(move |(number, prefix)| (name(number), prefix.clone()))
}

fn name(kind: &str, package: &str) -> String {
    format!("the {kind} scriptlet of {package}")
}

/// Which scriptlet a process works for, by its environment.
pub(super) fn script_of(packages: &[Facts], environment: &BTreeMap<String, String>) -> Option<String> {
    const KINDS: [&str; 9] = [
        ACCOUNTS,
        "%pretrans",
        "%pre",
        "%post",
        "%posttrans",
        "%triggerprein",
        "%triggerin",
        "%filetriggerin",
        "%transfiletriggerin",
    ];
    let (kind, package) = environment.get(SCRIPTLET)?.split_once(' ')?;
    let known = KINDS.contains(&kind) && packages.iter().any(|facts| facts.name == package);
    known.then(|| name(kind, package))
}

/// The name of a file of the sandbox, which tells what is in it.
fn file_name(content: &[u8], ending: &str) -> String {
    format!("/tmp/scriptlet-{}{ending}", &Sha256::of(content).to_hex()[..16])
}

/// The interpreter gets the text in a file, and arguments; without a text it is a program that gets none (`runExtScript` in rpm's
/// sources).
fn by_interpreter(call: &Call<'_>) -> Script {
    let mut script = Script { command: call.script.program.clone(), ..Script::default() };
    if let Some(text) = &call.script.text {
        let path = file_name(text, "");
        script.files.push((path.clone(), text.clone()));
        script.command.push(path);
        script.command.extend(call.arguments.iter().map(usize::to_string));
    }
    script.input = input(call).into_bytes();
    script
}

/// The paths that a trigger is given, one on a line.
fn input(call: &Call<'_>) -> String {
    call.paths.iter().flatten().flat_map(|path| [*path, "\n"]).collect()
}

fn by_rpm(facts: &Facts, call: &Call<'_>) -> Script {
    let mut header = Header::new(tag::IMMUTABLE);
    let texts = [
        (tag::NAME, facts.name.as_str()),
        (tag::VERSION, &facts.version),
        (tag::RELEASE, "1"),
        (tag::LICENSE, "none"),
        (tag::OS, "linux"),
        (tag::ARCH, "noarch"),
        (tag::RPMVERSION, "4.0"),
        (tag::SOURCERPM, "scriptlet.src.rpm"),
        (tag::PAYLOADFORMAT, "cpio"),
        (tag::PAYLOADCOMPRESSOR, "none"),
    ];
    for (tag, text) in texts {
        header.set(tag, Value::Text(text.to_owned()));
    }
    let translated = [tag::SUMMARY, tag::DESCRIPTION, tag::GROUP];
    header.set(tag::I18NTABLE, Value::Texts(vec!["C".to_owned()]));
    for tag in translated {
        header.set(tag, Value::Translated("scriptlet".to_owned()));
    }
    header.set(tag::SIZE, Value::Int32(vec![0]));
    let text = String::from_utf8_lossy(call.script.text.as_deref().unwrap_or_default()).into_owned();
    header.set(tag::PREIN, Value::Text(preamble(call) + &text));
    header.set(tag::PREINPROG, Value::Texts(call.script.program.clone()));
    header.set(tag::PREINFLAGS, Value::Int32(vec![call.script.flags]));
    let package = Front::new(header, 0, 0).to_bytes();
    let (path, database) = (file_name(&package, ".rpm"), file_name(&package, ".db"));
    let command = [RPM, "--root", ROOT_IN_TOOLS, "--install", "--nodeps", "--dbpath", &database]
        .into_iter()
        .chain(OPTIONS.iter().copied())
        .chain([path.as_str()])
        .map(str::to_owned);
    Script {
        command: command.collect(),
        files: vec![(path, package)],
        input: input(call).into_bytes(),
        place: Place::Tools,
        ..Script::default()
    }
}

/// What stands ahead of a text so that it gets what a `%pre` does not, on its first line, so that messages name its own lines: in Lua
/// the second argument and the paths of triggers, which rpm hands over by `rpm.next_file` and `rpm.input`.
fn preamble(call: &Call<'_>) -> String {
    if call.script.program[0] != LUA {
        return String::new();
    }
    let mut text = String::new();
    for (number, argument) in (2..).zip(&call.arguments) {
        let _ = write!(text, "arg[{number}] = \"{argument}\" ");
    }
    if call.paths.is_some() {
        let paths = quoted(&input(call));
        let _ = write!(text, "rpm.next_file = string.gmatch({paths}, \"[^\\n]+\") rpm.input = rpm.next_file ");
    }
    // Macros begin with this.
    if call.script.flags & tag::EXPAND == 0 { text } else { text.replace('%', "%%") }
}

/// A text as a literal of Lua (Lua manual, section 3.1).
fn quoted(text: &str) -> String {
    let mut literal = "\"".to_owned();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'+' => {
                literal.push(char::from(byte));
            }
            _ => drop(write!(literal, "\\{byte:03}")),
        }
    }
    literal + "\""
}
