//! The command line: arguments in, stages called, results on standard output, words on standard error. Only this folder
//! prints, reads the environment and knows exit codes.

mod build;
mod check;
mod check_archive;
mod checkout;
mod commit;
mod diff;
mod emulation;
mod export;
mod fetch;
mod forget;
mod gc;
mod graph;
mod import_delta;
mod log;
mod manifests;
mod outputs;
mod rollback;
mod settings;
mod shell;
mod show;
mod sign;
mod signing;
mod store;
mod tag;
mod terminal;
mod update_lock;
mod verify;
mod why;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use compose::error;
use compose::sandbox;

/// Composes operating-system images from manifests and locks, the same bytes every time.
#[derive(Debug, Parser)]
#[command(name = "compose", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten, next_help_heading = "Options of every command")]
    global: settings::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    UpdateLock(update_lock::Arguments),
    Fetch(fetch::Arguments),
    Build(build::Arguments),
    Check(check::Arguments),
    Verify(verify::Arguments),
    Why(why::Arguments),
    Graph(graph::Arguments),
    Diff(diff::Arguments),
    CheckArchive(check_archive::Arguments),
    Shell(shell::Arguments),
    Sign(sign::Arguments),
    Log(log::Arguments),
    Show(show::Arguments),
    Checkout(checkout::Arguments),
    Rollback(rollback::Arguments),
    Tag(tag::Arguments),
    Forget(forget::Arguments),
    Export(export::Arguments),
    ImportDelta(import_delta::Arguments),
    Store(store::Arguments),
    /// The first process of a sandbox; started by compose itself
    #[command(hide = true)]
    SandboxInit {
        /// The plan's file
        plan: std::path::PathBuf,
    },
}

/// How a command that did not fail ended.
#[derive(Debug)]
pub enum Answer {
    /// Done, or yes.
    Yes,
    /// No: a check found otherwise.
    No,
    /// No, for a reason that is told as errors are.
    NoBecause(anyhow::Error),
    /// Another program's exit code.
    Code(i32),
}

/// Runs the program: exit code 0 for done, 1 for an answer of no, 2 for failure or misuse.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    if let Command::SandboxInit { plan } = &arguments.command {
        return exit_code(sandbox::init::execute(plan));
    }
    match run(&arguments) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::NoBecause(reason)) => {
            report(&reason, arguments.global.color);
            ExitCode::from(1)
        }
        Ok(Answer::Code(code)) => exit_code(code),
        Err(e) => {
            report(&e, arguments.global.color);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Answer> {
    // Before anything starts a thread.
    let opens_store = matches!(
        arguments.command,
        Command::Build(_)
            | Command::Check(_)
            | Command::Verify(_)
            | Command::Shell(_)
            | Command::Log(_)
            | Command::Show(_)
            | Command::Checkout(_)
            | Command::Rollback(_)
            | Command::Tag(_)
            | Command::Forget(_)
            | Command::Export(_)
            | Command::ImportDelta(_)
            | Command::Store(_)
    ) || matches!(&arguments.command, Command::Diff(a) if a.needs_store());
    if opens_store && let Some(code) = sandbox::identity::enter()? {
        return Ok(Answer::Code(code));
    }
    // Needs nothing of what settings take time for.
    if let Command::Diff(a) = &arguments.command {
        return diff::run(a, &arguments.global);
    }
    let settings = arguments.global.settle()?;
    match &arguments.command {
        Command::UpdateLock(a) => update_lock::run(a, &settings),
        Command::Fetch(a) => fetch::run(a, &settings),
        Command::Build(a) => build::run(a, &settings),
        Command::Check(a) => check::run(a, &settings),
        Command::Verify(a) => verify::run(a, &settings),
        Command::Why(a) => why::run(a, &settings),
        Command::Graph(a) => graph::run(a, &settings),
        Command::CheckArchive(a) => check_archive::run(a, &settings),
        Command::Shell(a) => shell::run(a, &settings),
        Command::Sign(a) => sign::run(a, &settings),
        Command::Log(a) => log::run(a, &settings),
        Command::Show(a) => show::run(a, &settings),
        Command::Checkout(a) => checkout::run(a, &settings),
        Command::Rollback(a) => rollback::run(a, &settings),
        Command::Tag(a) => tag::run(a, &settings),
        Command::Forget(a) => forget::run(a, &settings),
        Command::Export(a) => export::run(a, &settings),
        Command::ImportDelta(a) => import_delta::run(a, &settings),
        Command::Store(a) => store::run(a, &settings),
        Command::Diff(_) | Command::SandboxInit { .. } => Ok(Answer::Yes),
    }
}

/// An error as its chain of causes, then its hints.
fn report(error: &anyhow::Error, color: settings::Color) {
    let mut lines = vec![format!("{} {error}", terminal::bold_red("error:", color))];
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some libraries repeat their cause in their own words.
        if !said.contains(&cause) {
            lines.push(format!("  caused by: {}", cause.replace('\n', "\n    ")));
        }
        said.push_str(&cause);
    }
    let hints = error::hints(error).into_iter();
    lines.extend(hints.map(|hint| format!("{} {hint}", terminal::bold_green("hint:", color))));
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}
