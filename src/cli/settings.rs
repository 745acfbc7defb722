//! Options of every command, and what they come to with the environment and the user's configuration.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use compose::arch::Architecture;
use compose::assemble::ScriptLimits;
use compose::clock::Timestamp;
use compose::error::Hint;
use compose::lock;
use compose::manifest::Manifest;
use compose::source;
use compose::source::http::{self, Client};
use compose::source::mirrors::{self, Mirrors};
use compose::store;

use super::terminal::{Terminal, Verbosity};

/// The pager where `PAGER` names none.
pub const PAGER: &str = "less";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder of the store [default: compose in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "COMPOSE_STORE")]
    store: Option<PathBuf>,
    /// Where an archive is to be found, before all other mirrors; may be given several times
    #[arg(long, global = true, value_name = "ARCHIVE=URI")]
    mirror: Vec<String>,
    /// Use only what is here; tell what is missing
    #[arg(long, global = true)]
    offline: bool,
    /// Number of threads [default: one for each processor]
    #[arg(long, global = true, value_name = "N")]
    jobs: Option<usize>,
    /// How long a script may take, as a number with s, m or h
    #[arg(long, global = true, value_name = "TIME", default_value = "30m", value_parser = parse_time)]
    script_timeout: Duration,
    /// How much scripts may write, as a number with K, M, G or T [default: half of what is free]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    script_space: Option<u64>,
    /// Say nothing but errors and results
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Show also what programs print, and what the parts of a build take
    #[arg(long, short, global = true)]
    verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether standard error gets colours.
    pub fn applies(self) -> bool {
        match self {
            Self::Auto => std::io::stderr().is_terminal() && variable("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }

    /// Whether standard output gets colours.
    pub fn applies_to_output(self) -> bool {
        match self {
            Self::Auto => std::io::stdout().is_terminal() && variable("NO_COLOR").is_none(),
            other => other.applies(),
        }
    }
}

/// What every command works with.
#[derive(Debug)]
pub struct Settings {
    /// The store's folder.
    pub store: PathBuf,
    /// Whether the network is not to be used.
    pub offline: bool,
    /// Where progress goes.
    pub terminal: Terminal,
    /// What scripts may use.
    pub scripts: ScriptLimits,
    /// Where archives are.
    pub mirrors: Mirrors,
    /// What fetches files.
    pub client: Client,
    cache: PathBuf,
}

impl Global {
    /// The store's folder.
    pub fn store(&self) -> Result<PathBuf> {
        let cache = || folder("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("compose"));
        let store = self.store.clone().or_else(cache);
        store.ok_or_else(|| anyhow!("there is no place for the store: HOME is not set")).hint(|| "give --store DIR")
    }

    /// Reads the environment and the configuration, and starts the threads.
    pub fn settle(&self) -> Result<Settings> {
        if let Some(jobs) = self.jobs {
            rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global().context("cannot start threads")?;
        }
        let store = self.store()?;
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let configuration = match folder("XDG_CONFIG_HOME", ".config") {
            Some(folder) => mirrors::load_configuration(&folder.join("compose/config.yaml"))?,
            None => BTreeMap::default(),
        };
        let environment = variable("COMPOSE_MIRROR").unwrap_or_default();
        Ok(Settings {
            cache: store.join("archives"),
            client: Client::new(http::Options::default()),
            store,
            offline: self.offline,
            terminal: Terminal::new(verbosity),
            scripts: ScriptLimits { time: self.script_timeout, space: self.script_space },
            mirrors: Mirrors {
                arguments: mirrors::parse_pairs(self.mirror.iter().map(String::as_str)).context("in --mirror")?,
                environment: mirrors::parse_pairs(environment.split_whitespace()).context("in COMPOSE_MIRROR")?,
                configuration,
                host: mirrors::load_host(Path::new("/etc/apt")),
            },
        })
    }
}

impl Settings {
    /// The options that give another run of this program the same limits for scripts.
    pub fn script_options(&self) -> Vec<String> {
        let ScriptLimits { time, space } = self.scripts;
        let time = format!("--script-timeout={}s", time.as_secs());
        std::iter::once(time).chain(space.map(|bytes| format!("--script-space={bytes}"))).collect()
    }

    /// Lets the store know that a manifest's lock needs what it has.
    pub fn remember_lock(&self, manifest: &Manifest, architecture: &Architecture) -> Result<()> {
        let path = lock::path_for(manifest, architecture);
        let absolute = std::path::absolute(&path).with_context(|| format!("cannot find {}", path.display()))?;
        store::remember_lock(&self.store, &absolute)
    }

    /// What archives' metadata is loaded with.
    pub fn source(&self) -> source::Context<'_> {
        source::Context {
            client: &self.client,
            mirrors: &self.mirrors,
            cache: &self.cache,
            offline: self.offline,
            now: Timestamp::now(),
            progress: &self.terminal,
        }
    }
}

/// The program that the user reads long texts with.
pub fn pager() -> String {
    variable("PAGER").unwrap_or_else(|| PAGER.to_owned())
}

/// A folder of the user's, by its variable or else below the home folder.
fn folder(name: &str, below: &str) -> Option<PathBuf> {
    variable(name).or_else(|| variable("HOME").map(|home| format!("{home}/{below}"))).map(PathBuf::from)
}

fn parse_time(word: &str) -> Result<Duration> {
    scaled(word, &[("s", 1), ("m", 60), ("h", 3600)])
        .map(Duration::from_secs)
        .context("not a time such as 90s, 30m or 2h")
}

fn parse_size(word: &str) -> Result<u64> {
    let units = [("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)];
    scaled(word, &units).context("not a size such as 512M or 4G")
}

/// A number above 0 with one of these units.
fn scaled(word: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|value| *value > 0)
}

/// This program's file, to start sandboxes with.
pub fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

#[allow(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        let seconds = |word| parse_time(word).ok().map(|time| time.as_secs());
        assert_eq!(["10s", "30m", "2h"].map(seconds), [Some(10), Some(1800), Some(7200)]);
        assert_eq!(["", "0s", "10", "s", "1d", "-1s", "1.5h", "99999999999999999h"].map(seconds), [None; 8]);
        let size = |word| parse_size(word).ok();
        assert_eq!(["1", "64M", "2G"].map(size), [Some(1), Some(64 << 20), Some(2 << 30)]);
        assert_eq!(["", "0", "M", "64MB", "1.5G", "99999999T"].map(size), [None; 6]);
    }
}
