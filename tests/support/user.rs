//! An ordinary user with subordinate ids, for as long as a test lasts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::needs;
use super::program::{PROGRAM, run};

/// A user with the program in the home folder.
pub struct User {
    name: &'static str,
    home: tempfile::TempDir,
}

impl User {
    /// Makes the user, whose home folder is filled first, which only root can.
    pub fn new(name: &'static str, fill: impl FnOnce(&Path)) -> Result<Self, String> {
        needs::root()?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        fill(home.path());
        fs::copy(PROGRAM, home.path().join("compose")).map_err(|e| e.to_string())?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        let user = Self { name, home };
        user.remove();
        let folder = user.home.path();
        run(Command::new("useradd").args(["--no-create-home", "--home-dir"]).arg(folder).arg(name)).or_reason()?;
        let subordinate = |file: &str| fs::read_to_string(file).unwrap_or_default().contains(name);
        if !subordinate("/etc/subuid") || !subordinate("/etc/subgid") {
            let ranges = ["--add-subuids", "500000000-500065535", "--add-subgids", "500000000-500065535"];
            run(Command::new("usermod").args(ranges).arg(name)).or_reason()?;
        }
        run(Command::new("chown").arg("-R").arg(format!("{name}:")).arg(folder)).or_reason()?;
        Ok(user)
    }

    /// A path below the home folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// The program, run by the user in a folder below the home folder.
    pub fn compose(&self, folder: &str) -> Command {
        let mut command = Command::new("runuser");
        command.args(["-u", self.name, "--"]).arg(self.path("compose"));
        command.env("HOME", self.home.path()).env_remove("COMPOSE_STORE").current_dir(self.path(folder));
        command
    }

    /// Also of an earlier run that was killed.
    fn remove(&self) {
        if fs::read_to_string("/etc/passwd").is_ok_and(|text| text.contains(&format!("\n{}:", self.name))) {
            run(Command::new("userdel").arg(self.name)).result();
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.remove();
    }
}
