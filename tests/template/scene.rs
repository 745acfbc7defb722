//! A folder with an image, and packages made of it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::clock::Timestamp;
use compose::manifest::{Appmenus, Template};
use compose::publish::{self, Signer};
use rustix::fs::{SeekFrom, seek};

use crate::support::needs::host_program;
use crate::support::program::{Outcome, run};

pub const DATE: &str = "2026-11-14T09:12:44Z";
/// [`DATE`] in seconds since 1970.
pub const SECONDS: &str = "1794647564";
pub const FILE: &str = "qubes-template-debian-13-4.3.0-202611140912.noarch.rpm";
/// The template's folder in dom0.
pub const FOLDER: &str = "/var/lib/qubes/vm-templates/debian-13";
/// Bytes of the image, which are more than eleven octal digits can tell.
pub const SIZE: u64 = 20 << 30;

pub struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// An image of 20 GiB with content here and there; the reason is given where rpm's tools are missing.
    pub fn new() -> Result<Self, String> {
        host_program("rpm", "--version")
            .and(host_program("gpg", "--version"))
            .and(host_program("rpm2cpio", "/dev/null"))?;
        let scene = Self { folder: tempfile::tempdir().map_err(|e| e.to_string())? };
        let image = scene.image(SIZE);
        for number in 0..60_u64 {
            let block: Vec<u8> = (0..9000_u64).map(|at| ((at * (number + 3)) >> 4) as u8 | 1).collect();
            image.write_all_at(&block, number * 300_000_000 / 4096 * 4096).unwrap();
        }
        Ok(scene)
    }

    /// Makes an empty image of that size.
    pub fn image(&self, size: u64) -> File {
        let image = File::options().read(true).write(true).create(true).truncate(true).open(self.path("root.img"));
        let image = image.unwrap();
        image.set_len(size).unwrap();
        image
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the package of the image.
    pub fn package(&self, name: &str, signer: Option<&Signer>, threads: usize) -> PathBuf {
        self.package_of(&template(), name, signer, threads)
    }

    pub fn package_of(&self, template: &Template, name: &str, signer: Option<&Signer>, threads: usize) -> PathBuf {
        let (path, image) = (self.path(name), File::open(self.path("root.img")).unwrap());
        publish::write(template, date(), &image, signer, threads, &path).unwrap();
        path
    }

    /// Makes a key with gpg; gives the secret key's file, and the public key's in a form that rpm takes.
    pub fn key(&self, name: &str, algorithm: &str) -> (PathBuf, PathBuf) {
        let _ = fs::create_dir(self.path("gpg"));
        fs::set_permissions(self.path("gpg"), Permissions::from_mode(0o700)).unwrap();
        let (secret, public) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.asc")));
        let new = ["--faked-system-time", "20260601T000000", "--passphrase", "", "--quick-generate-key"];
        self.gpg(&[&new[..], &[name, algorithm, "sign", "never"]].concat());
        for (path, command) in [(&secret, "--export-secret-keys"), (&public, "--export")] {
            self.gpg(&["--armor", "--output", path.to_str().unwrap(), command, &format!("={name}")]);
        }
        (secret, public)
    }

    /// `gpg` with the scene's keys.
    pub fn gpg(&self, arguments: &[&str]) -> String {
        let mut gpg = Command::new("gpg");
        run(gpg.args(["--batch", "--quiet"]).args(arguments).env("GNUPGHOME", self.path("gpg"))).result()
    }

    pub fn signer(&self, name: &str, algorithm: &str) -> (Signer, PathBuf) {
        let (secret, public) = self.key(name, algorithm);
        (Signer::load_key(&secret).unwrap(), public)
    }

    /// What qvm-template asks rpm of a package: all digests and signatures, by one key alone.
    pub fn verify(&self, package: &Path, key: &Path) -> Outcome {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let dbpath = format!("--dbpath={}", folder.path().display());
        run(Command::new("rpmkeys").args([&dbpath, "--import"]).arg(key)).result();
        let options = ["--define=_pkgverify_level all", "--define=_pkgverify_flags 0x0", "--checksig", "-"];
        let script = "exec \"$@\" <\"$0\"";
        run(Command::new("sh").args(["-c", script]).arg(package).arg("rpmkeys").arg(&dbpath).args(options))
    }

    /// Unpacks the payload below a new folder.
    pub fn unpack(&self, package: &Path, name: &str) -> PathBuf {
        let root = self.path(name);
        fs::create_dir(&root).unwrap();
        let script =
            "set -e; rpm2cpio \"$0\" >\"$1.cpio\"; cd \"$1\"; cpio -id --quiet --no-absolute-filenames <\"$1.cpio\"";
        run(Command::new("sh").args(["-c", script]).arg(package).arg(&root)).result();
        root.join(FOLDER.trim_start_matches('/'))
    }
}

impl Drop for Scene {
    /// gpg leaves an agent running, which a test must not.
    fn drop(&mut self) {
        if self.path("gpg").exists() {
            run(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.path("gpg"))).result();
        }
    }
}

/// Whether two files are the same, of which one need not read the holes.
pub fn are_same(first: &Path, second: &Path) -> bool {
    let [first, second] = [first, second].map(|path| File::open(path).unwrap());
    let size = first.metadata().unwrap().len();
    let mut at = 0;
    while size == second.metadata().unwrap().len() {
        let next = [&first, &second].map(|file| seek(file, SeekFrom::Data(at)).unwrap_or(size));
        at = next[0].min(next[1]);
        if at >= size {
            return true;
        }
        let length = (size - at).min(1 << 20) as usize;
        let [first, second] = [&first, &second].map(|file| {
            let mut chunk = vec![0; length];
            file.read_exact_at(&mut chunk, at).unwrap();
            chunk
        });
        if first != second {
            return false;
        }
        at += length as u64;
    }
    false
}

/// `rpm --query --package`.
pub fn query(package: &Path, options: &[&str]) -> String {
    run(Command::new("rpm").arg("-qp").args(options).arg(package)).result()
}

pub fn date() -> Timestamp {
    DATE.parse().unwrap()
}

/// Upstream's values, as for a manifest that gives none but the release.
pub fn template() -> Template {
    let xterm = || vec!["xterm.desktop".to_owned()];
    Template {
        name: "debian-13".to_owned(),
        version: "4.3.0".to_owned(),
        revision: None,
        summary: "Qubes OS template for debian-13".to_owned(),
        description: "Qubes OS template for debian-13.".to_owned(),
        license: "GPLv3+".to_owned(),
        url: "http://www.qubes-os.org".to_owned(),
        conf: vec![("gui", "1".to_owned()), ("virt-mode", "pvh".to_owned())],
        appmenus: Appmenus { whitelisted: xterm(), vm_whitelisted: xterm(), netvm_whitelisted: xterm() },
    }
}
