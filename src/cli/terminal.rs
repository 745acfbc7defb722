//! Progress on standard error: bars on a terminal, plain lines otherwise.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use compose::progress::{Progress, Task, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::settings::Color;

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verbosity {
    /// Errors and warnings.
    Quiet,
    /// What is going on.
    Normal,
    /// Also what programs print.
    Verbose,
}

/// Standard error of this process.
#[derive(Debug)]
pub struct Terminal {
    bars: Option<MultiProgress>,
    verbosity: Verbosity,
}

impl Terminal {
    /// Standard error as it is.
    pub fn new(verbosity: Verbosity) -> Self {
        let draws = std::io::stderr().is_terminal() && verbosity == Verbosity::Normal;
        let bars = draws.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars, verbosity }
    }

    /// The option that makes another run of the program tell as much.
    pub fn option(&self) -> Option<&'static str> {
        match self.verbosity {
            Verbosity::Quiet => Some("--quiet"),
            Verbosity::Normal => None,
            Verbosity::Verbose => Some("--verbose"),
        }
    }

    fn line(&self, line: &str) {
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

impl Progress for Terminal {
    fn task(&self, label: &str, unit: Unit, total: u64) -> Box<dyn Task> {
        let Some(bars) = &self.bars else {
            if self.verbosity >= Verbosity::Normal {
                self.line(&match (unit, total) {
                    (_, 0) => label.to_owned(),
                    (Unit::Bytes, _) => format!("{label}: {}", size(total)),
                    (Unit::Items, _) => format!("{label}: {total}"),
                });
            }
            return Box::new(compose::progress::Silent);
        };
        let template = match (unit, total) {
            (_, 0) => "{prefix:>10} {spinner} {elapsed}",
            (Unit::Bytes, _) => "{prefix:>10} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            (Unit::Items, _) => "{prefix:>10} [{bar:30}] {pos}/{len} {per_sec} {eta}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Box::new(Bar(bar))
    }

    fn detail(&self, line: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.line(&format!("  {line}"));
        }
    }

    fn note(&self, line: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.line(line);
        }
    }

    fn warn(&self, line: &str) {
        self.line(&format!("warning: {line}"));
    }
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, by: u64) {
        self.0.inc(by);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line of a command's result, on standard output.
pub fn print(line: &str) -> Result<()> {
    written(writeln!(std::io::stdout(), "{line}"))
}

/// A command's whole result, with its own line breaks.
pub fn print_text(text: &str) -> Result<()> {
    written(std::io::stdout().write_all(text.as_bytes()))
}

/// Who reads a result, such as head(1), may have enough of it before its end.
fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the result to standard output"),
    }
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Text for an error's label.
pub fn bold_red(text: &str, color: Color) -> String {
    paint(text, "1;31", color)
}

/// Text for a hint's label.
pub fn bold_green(text: &str, color: Color) -> String {
    paint(text, "1;32", color)
}

fn paint(text: &str, code: &str, color: Color) -> String {
    if color.applies() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
