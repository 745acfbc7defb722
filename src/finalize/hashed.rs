//! A file that is hashed while it is written, each in a thread beside the one that makes its bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::direct::Stream;
use crate::digest::{Hasher, Sha256};

/// How many bytes are handed over at once: few enough to be in the cache still when they are hashed.
const BLOCK: usize = 1 << 16;
/// How many blocks may wait.
const WAITING: usize = 16;

/// Makes a new file of what `fill` writes; gives its digest and size.
pub fn write(path: &Path, fill: impl FnOnce(BufWriter<Blocks>) -> Result<()>) -> Result<(Sha256, u64)> {
    let failed = || format!("cannot write {}", path.display());
    let output = File::create_new(path).with_context(failed)?;
    let (sender, blocks) = sync_channel::<Vec<u8>>(WAITING);
    let written = thread::scope(|scope| {
        let (onwards, to_write) = sync_channel::<Vec<u8>>(WAITING);
        let hasher = scope.spawn(move || {
            let mut hasher = Hasher::default();
            for block in blocks {
                hasher.update(&block);
                if onwards.send(block).is_err() {
                    break;
                }
            }
            hasher
        });
        let writer = scope.spawn(move || -> io::Result<()> {
            let mut stream = Stream::new(&output);
            to_write.iter().try_for_each(|block| stream.write_all(&block))?;
            stream.finish()
        });
        let filled = fill(BufWriter::with_capacity(BLOCK, Blocks(sender)));
        let panicked = |_| anyhow!("a thread that writes the file panicked");
        let (hasher, written) = (hasher.join().map_err(panicked)?, writer.join().map_err(panicked)?);
        // Where both failed, the file's own words say more than those of a broken pipe.
        written.with_context(failed)?;
        filled.map(|()| hasher)
    })?;
    let size = written.size();
    Ok((written.finish(), size))
}

/// Where the file's bytes go.
pub struct Blocks(SyncSender<Vec<u8>>);

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let (digest, size) = write(&path, |mut out| Ok(out.write_all(&bytes).and_then(|()| out.flush())?)).unwrap();
        assert_eq!((digest, size), (Sha256::of(&bytes), 3_000_000));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(write(&path, |_| Ok(())).is_err(), "it must not exist");
    }

    #[test]
    fn what_fails_while_it_is_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let failed = write(&folder.path().join("file"), |_| Err(anyhow!("no content"))).unwrap_err();
        assert_eq!(failed.to_string(), "no content");
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let failed = write(Path::new("/dev/full"), |_| Ok(())).unwrap_err();
        assert_eq!(failed.to_string(), "cannot write /dev/full");
    }
}
