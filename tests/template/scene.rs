//! A folder with an image, and packages made of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use compose::clock::Timestamp;
use compose::durable;
use compose::manifest::{Appmenus, Template};
use compose::publish::{self, Signer};
use sequoia_openpgp as openpgp;

use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::serialize::SerializeInto;
use openpgp::types::KeyFlags;

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
        host_program("rpm", "--version").and(host_program("rpm2cpio", "/dev/null"))?;
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

    /// A secret key's file, and the public key's beside it in a form that rpm takes.
    pub fn key(&self, name: &str, suite: CipherSuite) -> (PathBuf, PathBuf) {
        let flags = KeyFlags::empty().set_certification().set_signing();
        let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_780_000_000);
        let builder = CertBuilder::new().add_userid(name).set_primary_key_flags(flags).set_creation_time(created);
        let (cert, _) = builder.set_cipher_suite(suite).generate().unwrap();
        let (secret, public) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.asc")));
        durable::write(&secret, &cert.as_tsk().armored().to_vec().unwrap()).unwrap();
        durable::write(&public, &cert.armored().to_vec().unwrap()).unwrap();
        (secret, public)
    }

    pub fn signer(&self, name: &str, suite: CipherSuite) -> (Signer, PathBuf) {
        let (secret, public) = self.key(name, suite);
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
        summary: "Qubes OS template for debian-13".to_owned(),
        description: "Qubes OS template for debian-13.".to_owned(),
        license: "GPLv3+".to_owned(),
        url: "http://www.qubes-os.org".to_owned(),
        conf: vec![("gui", "1".to_owned()), ("virt-mode", "pvh".to_owned())],
        appmenus: Appmenus { whitelisted: xterm(), vm_whitelisted: xterm(), netvm_whitelisted: xterm() },
    }
}
