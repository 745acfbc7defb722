//! Child processes of the host: one way to run them, with arguments and the end of stderr in the error.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use rustix::process::Signal;

/// How much of a failed program's stderr an error repeats, in bytes.
const STDERR_TAIL: usize = 4096;

/// Runs a program to its end with no standard input; an exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", describe(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", describe(command), output.status, tail(&output.stderr));
    }
    Ok(output)
}

/// Runs a program to its end with these bytes on standard input; gives what it printed. An exit status other than 0 is an error.
pub fn run_with(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let name = describe(command);
    let failed = || format!("cannot run {name}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(failed)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A program that needs not all of its input may end before it is written.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    });
    let output = output.with_context(failed)?;
    if !output.status.success() {
        bail!("{name} ended with {}: {}", output.status, tail(&output.stderr));
    }
    Ok(output.stdout)
}

/// Lets a program run with this file mode mask, and be killed when the calling thread ends.
pub fn bind_to_caller(command: &mut Command, umask: u32) {
    let prepare = move || {
        rustix::process::umask(Mode::from_raw_mode(umask));
        Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
    };
    // SAFETY: two system calls, which are all that happens between fork and exec.
    unsafe { command.pre_exec(prepare) };
}

/// Program and arguments as one would type them.
pub fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}

/// The last lines of what a program printed, as text.
pub fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
}
