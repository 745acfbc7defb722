//! What a step prints, where its observer is told.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use crate::sandbox::plain;

/// What a step prints.
pub(super) struct Printer {
    file: File,
    is_open: bool,
    text: Vec<u8>,
}

/// The most bytes of what a step prints that are kept.
const MOST_PRINTED: usize = 1 << 20;

impl Printer {
    /// Of the end of a pipe.
    pub fn new(file: OwnedFd) -> Self {
        Self { file: file.into(), is_open: true, text: Vec::new() }
    }

    /// Where it can be read, as long as more may come.
    pub fn open_end(&self) -> Option<BorrowedFd<'_>> {
        self.is_open.then(|| self.file.as_fd())
    }

    /// Reads what is there: what is too much is read as well, since the step waits.
    pub fn read_once(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let count = self.file.read(&mut buffer).context("cannot read what a step prints")?;
        self.is_open = count > 0;
        if self.text.len() <= MOST_PRINTED {
            self.text.extend(&buffer[..count]);
        }
        Ok(())
    }

    /// All of it, when all processes of the step have ended.
    pub fn finish(mut self) -> Result<Option<String>> {
        while self.is_open {
            self.read_once()?;
        }
        Ok((self.text.len() <= MOST_PRINTED).then(|| plain(&self.text)))
    }
}
