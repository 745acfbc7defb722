//! One file on its way: a `.part` file that is hashed as it grows, and continued where an earlier run stopped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use super::failure::{Attempt, Kind};
use crate::digest::{Hasher, Sha256};
use crate::durable;
use crate::lock::Package;
use crate::package::SignatureError;
use crate::progress::Task;
use crate::source::http::{self, Client, Sink};

/// A file that is being fetched, and locked against other processes that fetch it too.
pub struct Download<'a> {
    package: &'a Package,
    part: PathBuf,
    file: File,
    hasher: Hasher,
    /// How many of the bytes held came from an earlier attempt that was not seen to its end.
    resumed: u64,
    fetched: u64,
    /// Whether the attempt brought more bytes than the file has.
    too_long: bool,
    /// How many bytes the task has heard of.
    told: u64,
    task: &'a dyn Task,
}

impl<'a> Download<'a> {
    /// Opens the partial file that will become `path`, and hashes what it has. [`None`] if another process has finished the
    /// file meanwhile.
    pub fn open(path: &Path, package: &'a Package, task: &'a dyn Task) -> Result<Option<Self>> {
        let part = path.with_extension("part");
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let failed = || format!("cannot open {}", part.display());
        let file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&part)
                .with_context(failed)?;
            flock(&file, FlockOperation::LockExclusive).with_context(failed)?;
            if path.exists() {
                let _ = fs::remove_file(&part);
                task.advance(package.size);
                return Ok(None);
            }
            // Whoever held the lock may have renamed or removed the file that we opened.
            let opened = file.metadata().with_context(failed)?;
            match fs::metadata(&part) {
                Ok(present) if (present.dev(), present.ino()) == (opened.dev(), opened.ino()) => break file,
                _ => {}
            }
        };
        let mut download = Self {
            package,
            part,
            file,
            hasher: Hasher::default(),
            resumed: 0,
            fetched: 0,
            too_long: false,
            told: 0,
            task,
        };
        download.take_up().with_context(|| format!("cannot read {}", download.part.display()))?;
        Ok(Some(download))
    }

    /// Hashes what an earlier run left.
    fn take_up(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.package.size {
            return self.restart();
        }
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.file, &mut self.hasher)?;
        self.resumed = self.hasher.size();
        self.tell();
        Ok(())
    }

    /// Tries each mirror until the file is whole and right.
    pub fn fetch_from_any(&mut self, client: &Client, mirrors: &[String]) -> Result<(), Kind> {
        let mut attempts = Vec::new();
        for mirror in mirrors {
            let uri = http::join(mirror, &self.package.path);
            match self.fetch_from(client, &uri) {
                Ok(()) => return Ok(()),
                Err(attempt @ Attempt::Local(..)) => return Err(Kind::Attempts(vec![attempt])),
                Err(attempt) => attempts.push(attempt),
            }
        }
        Err(Kind::Attempts(attempts))
    }

    fn fetch_from(&mut self, client: &Client, uri: &str) -> Result<(), Attempt> {
        loop {
            let outcome = if self.held() < self.package.size || self.package.size == 0 {
                client.fetch(uri, None, self).map(drop)
            } else {
                Ok(())
            };
            match outcome {
                Ok(()) => {}
                Err(http::Error::Sink { .. }) if self.too_long => {}
                Err(http::Error::Sink { error, .. }) => return Err(Attempt::Local(self.part.clone(), error)),
                Err(error) => {
                    // What is held so far may not be this mirror's, but it may still be right.
                    self.resumed = self.held();
                    return Err(Attempt::Http(error));
                }
            }
            let found = self.hasher.clone().finish();
            if !self.too_long && found == self.package.sha256 {
                return Ok(());
            }
            let (size, resumed, too_long) = (self.held(), self.resumed > 0, self.too_long);
            self.restart().map_err(|error| Attempt::Local(self.part.clone(), error))?;
            if !resumed {
                let found = if too_long { None } else { Some((size, found)) };
                return Err(Attempt::WrongFile { uri: uri.to_owned(), found });
            }
        }
    }

    /// Looks at the whole file before it gets its name; one that is not good does not stay.
    pub fn check(&mut self, look: impl FnOnce(&mut File) -> Result<(), SignatureError>) -> Result<(), Kind> {
        look(&mut self.file).map_err(|error| match self.restart() {
            Ok(()) => Kind::Signature(error),
            Err(error) => Kind::Attempts(vec![Attempt::Local(self.part.clone(), error)]),
        })
    }

    /// Gives the file its name; tells how many bytes were fetched for it.
    pub fn finish(self, path: &Path) -> Result<u64> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.part.display()))?;
        durable::rename(&self.part, path)?;
        Ok(self.fetched)
    }

    /// Tells the task of bytes it has not heard of.
    fn tell(&mut self) {
        let held = self.hasher.size().min(self.package.size);
        if held > self.told {
            self.task.advance(held - self.told);
            self.told = held;
        }
    }
}

impl Sink for Download<'_> {
    fn held(&self) -> u64 {
        self.hasher.size()
    }

    fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::default();
        self.resumed = 0;
        self.too_long = false;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0)).map(drop)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fetched += bytes.len() as u64;
        self.too_long = self.held() + bytes.len() as u64 > self.package.size;
        if self.too_long {
            return Err(io::Error::other("the file is longer than expected"));
        }
        // In this order: what is hashed has to be in the file.
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.tell();
        Ok(())
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        // Nothing to continue from; after `finish` the name is gone already.
        if self.hasher.size() == 0 {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// The size and SHA-256 of what a mirror sent in full.
pub type FoundFile = (u64, Sha256);
