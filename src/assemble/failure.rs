//! A script that failed: whose it is, and what can be done.

use anyhow::Error;

use crate::error;
use crate::manifest::Manifest;
use crate::package::Installation;
use crate::sandbox::{How, StepFailed};

/// A script did not end well. Its source has the end of what was printed.
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
pub struct ScriptFailed {
    /// Whose script, and how it failed, in one line.
    pub told: String,
    source: Error,
}

/// Tells a failed step by the package and script that it failed in, as far as the package format knows them; other errors
/// stay as they are.
pub(super) fn explain(error: Error, installation: &dyn Installation, manifest: &Manifest) -> Error {
    let failed = match error.downcast::<StepFailed>() {
        Ok(failed) => failed,
        Err(other) => return other,
    };
    let (failure, output) = (&failed.failure, &failed.output);
    let process = failure.process.as_ref();
    let runs = process.and_then(|process| installation.script_of(&process.environment)).map(|script| (script, None));
    let told = runs.or_else(|| installation.failed_script(output));
    let (script, how) = told.unwrap_or_else(|| (failed.label.clone(), None));
    // A step that did not run to its end was not failed by the script that the package manager calls failed.
    let how = how.filter(|_| matches!(failure.how, How::Exit(_)));
    let told = format!("{script} {}", how.unwrap_or_else(|| failure.to_string()));
    let shell = format!("for a shell at that point: compose shell {}", manifest.path.display());
    let hints = hint(&failure.how).into_iter().chain([shell]);
    ScriptFailed { told, source: error::with_hints(failed.into(), hints) }.into()
}

/// The way out.
fn hint(how: &How) -> Option<String> {
    match how {
        How::Overtime(limit) => {
            Some(format!("where a script needs more time: --script-timeout {}s", 2 * limit.as_secs()))
        }
        How::Left => Some(
            "later scripts run beside such a process, and the result depends on which is faster: have the script end \
             what it starts"
                .to_owned(),
        ),
        How::Full { place, allowed: Some(allowed) } if place == "the root" => {
            Some(format!("where scripts need more room: --script-space {}M", allowed.div_ceil(1 << 19)))
        }
        How::NoDisk(_) => Some("make room there, or have another store with --store DIR".to_owned()),
        How::Full { .. } | How::Crowd(_) | How::Exit(_) | How::Signal(_) | How::NotRun(_) => None,
    }
}
