//! Who changed which path while scripts ran: runs that were executed and runs that others stood in for alike.

use std::collections::{BTreeMap, HashMap};

use crate::package::Installation;
use crate::sandbox::{Call, Step};

use super::{Cause, CauseKind};

/// What was seen of all runs of a build.
#[derive(Debug, Default)]
pub struct Deeds {
    /// Steps by their command: label, and whether the manifest asks for it.
    steps: HashMap<Vec<String>, (String, bool)>,
    /// How each script was called, in order.
    calls: Vec<Call>,
    /// The callers that may have changed each path, in order; none stands for the program that runs scripts.
    paths: HashMap<String, Vec<Option<u32>>>,
    /// Whether there were runs of which not all was seen.
    pub lost: bool,
}

impl Deeds {
    /// Announces the steps of a round; the labels `of_manifest` are those of what the manifest asks for.
    pub fn expect(&mut self, steps: &[Step], of_manifest: &[String]) {
        let named =
            steps.iter().map(|step| (step.command.clone(), (step.label.clone(), of_manifest.contains(&step.label))));
        self.steps.extend(named);
    }

    /// A script is about to run.
    pub fn begin(&mut self, call: &Call) {
        self.calls.push(call.clone());
    }

    /// The script that began last may have changed these paths.
    pub fn note<'a>(&mut self, paths: impl Iterator<Item = &'a String>) {
        let caller = (self.calls.len() as u32).checked_sub(1);
        paths.for_each(|path| self.put(path, caller));
    }

    /// The program that runs scripts may have changed a path.
    pub fn note_runner(&mut self, path: &str) {
        self.put(path, None);
    }

    fn put(&mut self, path: &str, caller: Option<u32>) {
        match self.paths.get_mut(path) {
            Some(callers) if callers.contains(&caller) => {}
            Some(callers) => callers.push(caller),
            None => drop(self.paths.insert(path.to_owned(), vec![caller])),
        }
    }

    /// Who may have changed a path, in order, each once.
    pub(super) fn of(&self, path: &str, installation: &dyn Installation) -> Vec<Cause> {
        let mut causes: Vec<Cause> = Vec::new();
        for caller in self.paths.get(path).into_iter().flatten() {
            let cause = match caller {
                None => Cause::new(CauseKind::Program, program_name(installation.script_runner().unwrap_or_default())),
                Some(number) => self.name(&self.calls[*number as usize], installation),
            };
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        causes
    }

    fn name(&self, call: &Call, installation: &dyn Installation) -> Cause {
        let variables: BTreeMap<String, String> = call
            .environment
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if let Some(script) = installation.script_of(&variables) {
            // The program's path stands ahead of what it is given.
            let triggered = call.arguments.get(1..).is_some_and(|given| installation.is_triggered(given));
            return Cause::new(CauseKind::Script, if triggered { format!("{script}, triggered") } else { script });
        }
        match self.steps.get(&call.arguments) {
            Some((label, true)) => Cause::new(CauseKind::Manifest, label.clone()),
            Some((label, false)) => Cause::new(CauseKind::Program, label.clone()),
            None => Cause::new(CauseKind::Program, program_name(call.arguments.first().map_or("", String::as_str))),
        }
    }
}

fn program_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
