//! In which order rpm runs scriptlets and unpacks packages (rpm-scriptlets(7), "EXECUTION ORDER"), of a transaction that installs
//! packages into an empty root. What the manual leaves open is as rpm does it, which a test compares.

use super::accounts::Accounts;
use super::scriptlet::{Condition, Facts, FileTrigger, Scriptlet};
use crate::package::rpm::tag;

/// File triggers of at least this priority run ahead of the `%post` of a package, the others after it.
const EARLY: u64 = 10_000;

/// A step of an installation; packages are named by their index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A package's files come to the root.
    Unpack(usize),
    /// Users and groups of a package are made.
    Make(usize, &'a Accounts),
    /// A scriptlet runs.
    Run(Call<'a>),
}

/// A scriptlet that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call<'a> {
    /// Its package.
    pub package: usize,
    /// What spec files call it, such as `%post`.
    pub kind: &'static str,
    /// The package that fired it, where it is a trigger of another one.
    pub by: Option<usize>,
    /// The scriptlet.
    pub script: &'a Scriptlet,
    /// Its arguments.
    pub arguments: Vec<usize>,
    /// The paths that it is given.
    pub paths: Option<Vec<&'a str>>,
}

/// A transaction so far.
struct Transaction<'a> {
    packages: &'a [Facts],
    counts: bool,
    /// The packages that are installed, in order.
    installed: Vec<usize>,
    events: Vec<Event<'a>>,
}

/// The events of an installation of packages in this order. `counts` tells whether triggers of files are told how many
/// packages there are of a name, as by rpm from 4.20 on.
pub fn sequence<'a>(packages: &'a [Facts], order: &[usize], counts: bool) -> Vec<Event<'a>> {
    let mut transaction = Transaction { packages, counts, installed: Vec::new(), events: Vec::new() };
    for package in order {
        transaction.run(*package, "%pretrans", packages[*package].pretrans.as_ref(), 1);
    }
    for package in order {
        transaction.install(*package);
    }
    for package in order {
        let count = transaction.count(*package);
        transaction.run(*package, "%posttrans", packages[*package].posttrans.as_ref(), count);
    }
    for package in order {
        for trigger in &packages[*package].transaction_triggers {
            let paths = transaction.paths(trigger, None);
            let arguments = vec![if counts { transaction.count(*package) } else { 0 }];
            transaction.fire_files(*package, "%transfiletriggerin", None, trigger, arguments, paths);
        }
    }
    transaction.events
}

impl<'a> Transaction<'a> {
    fn install(&mut self, package: usize) {
        let facts = &self.packages[package];
        self.events.extend(facts.accounts.iter().map(|accounts| Event::Make(package, accounts)));
        self.fire_others(package, "%triggerprein", tag::TRIGGERPREIN);
        self.fire_own(package, "%triggerprein", tag::TRIGGERPREIN);
        let count = self.count(package) + 1;
        self.run(package, "%pre", facts.pre.as_ref(), count);
        self.events.push(Event::Unpack(package));
        self.installed.push(package);
        self.fire_file_triggers(package, true);
        self.run(package, "%post", facts.post.as_ref(), count);
        self.fire_others(package, "%triggerin", tag::TRIGGERIN);
        self.fire_own(package, "%triggerin", tag::TRIGGERIN);
        self.fire_file_triggers(package, false);
    }

    /// How many packages of the name of one are installed.
    fn count(&self, package: usize) -> usize {
        let name = &self.packages[package].name;
        self.installed.iter().filter(|other| self.packages[**other].name == *name).count()
    }

    fn run(&mut self, package: usize, kind: &'static str, script: Option<&'a Scriptlet>, argument: usize) {
        if let Some(script) = script {
            let (by, arguments, paths) = (None, vec![argument], None);
            self.events.push(Event::Run(Call { package, kind, by, script, arguments, paths }));
        }
    }

    /// The condition of a package that another one meets, the first one in the header.
    fn condition(&self, package: usize, source: usize, sense: u32) -> Option<&'a Condition> {
        let met = |condition: &&Condition| condition.sense & sense != 0 && self.packages[source].meets(condition);
        self.packages[package].conditions.iter().find(met)
    }

    fn fire(&mut self, package: usize, kind: &'static str, source: usize, script: usize, arguments: Vec<usize>) {
        let (by, script) = (Some(source), &self.packages[package].triggers[script]);
        self.events.push(Event::Run(Call { package, kind, by, script, arguments, paths: None }));
    }

    /// Triggers of what is installed, which a package fires.
    fn fire_others(&mut self, source: usize, kind: &'static str, sense: u32) {
        for package in self.installed.clone() {
            if let Some(condition) = self.condition(package, source, sense) {
                let arguments = vec![self.count(package), self.count(source)];
                self.fire(package, kind, source, condition.script, arguments);
            }
        }
    }

    /// Triggers of a package, each of which runs once for all that is installed.
    fn fire_own(&mut self, package: usize, kind: &'static str, sense: u32) {
        let facts = &self.packages[package];
        let mut done = vec![false; facts.triggers.len()];
        for named in &facts.conditions {
            let sources: Vec<usize> =
                self.installed.iter().copied().filter(|source| self.packages[*source].name == named.name).collect();
            for source in &sources {
                if done[named.script] {
                    break;
                }
                if let Some(condition) = self.condition(package, *source, sense)
                    && !std::mem::replace(&mut done[condition.script], true)
                {
                    let arguments = vec![self.count(package), sources.len()];
                    self.fire(package, kind, *source, condition.script, arguments);
                }
            }
        }
    }

    /// Triggers of files: those that a package's files fire, then its own for the files of all others.
    fn fire_file_triggers(&mut self, source: usize, early: bool) {
        const KIND: &str = "%filetriggerin";
        let is_wanted = |trigger: &&FileTrigger| (trigger.priority >= EARLY) == early;
        let mut fired: Vec<(usize, &FileTrigger)> = Vec::new();
        for package in &self.installed {
            fired.extend(self.packages[*package].file_triggers.iter().filter(is_wanted).map(|t| (*package, t)));
        }
        fired.sort_by_key(|(_, trigger)| std::cmp::Reverse(trigger.priority));
        for (package, trigger) in fired {
            let below = |prefix: &'a String| self.packages[source].files_below(prefix);
            let paths = trigger.prefixes.iter().flat_map(below).collect();
            let arguments = self.arguments(package, source);
            self.fire_files(package, KIND, Some(source), trigger, arguments, paths);
        }
        for trigger in self.packages[source].file_triggers.iter().filter(is_wanted) {
            let paths = self.paths(trigger, Some(source));
            let arguments = self.arguments(source, source);
            self.fire_files(source, KIND, None, trigger, arguments, paths);
        }
    }

    fn arguments(&self, package: usize, source: usize) -> Vec<usize> {
        if self.counts { vec![self.count(package), self.count(source)] } else { vec![0] }
    }

    /// The paths of all packages but one that fire a trigger.
    fn paths(&self, trigger: &'a FileTrigger, but: Option<usize>) -> Vec<&'a str> {
        let mut paths = Vec::new();
        for prefix in &trigger.prefixes {
            for package in self.installed.iter().filter(|package| Some(**package) != but) {
                let facts = &self.packages[*package];
                if facts.has_folder_below(prefix) {
                    paths.extend(facts.files_below(prefix));
                }
            }
        }
        paths
    }

    fn fire_files(
        &mut self,
        package: usize,
        kind: &'static str,
        by: Option<usize>,
        trigger: &'a FileTrigger,
        arguments: Vec<usize>,
        paths: Vec<&'a str>,
    ) {
        if !paths.is_empty() {
            let (script, paths) = (&trigger.script, Some(paths));
            self.events.push(Event::Run(Call { package, kind, by, script, arguments, paths }));
        }
    }
}
