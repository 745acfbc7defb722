//! Options of every command, and what they come to with the environment and the user's configuration.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use compose::clock::Timestamp;
use compose::error::Hint;
use compose::source;
use compose::source::http::{self, Client};
use compose::source::mirrors::{self, Mirrors};

use super::terminal::{Terminal, Verbosity};

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
    /// Where archives are.
    pub mirrors: Mirrors,
    /// What fetches files.
    pub client: Client,
    cache: PathBuf,
}

impl Global {
    /// Reads the environment and the configuration, and starts the threads.
    pub fn settle(&self) -> Result<Settings> {
        if let Some(jobs) = self.jobs {
            rayon::ThreadPoolBuilder::new().num_threads(jobs).build_global().context("cannot start threads")?;
        }
        let home = variable("HOME").map(PathBuf::from);
        let folder = |name: &str, below: &str| {
            variable(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(below)))
        };
        let store =
            self.store.clone().or_else(|| folder("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("compose")));
        let store = store
            .ok_or_else(|| anyhow!("there is no place for the store: HOME is not set"))
            .hint(|| "give --store DIR")?;
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
            client: Client::new(http::Options::default())?,
            store,
            offline: self.offline,
            terminal: Terminal::new(verbosity),
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

/// This program's file, to start sandboxes with.
pub fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

#[allow(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
