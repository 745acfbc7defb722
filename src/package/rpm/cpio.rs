//! The payload's archive: cpio in the form `newc` (cpio(5)), as rpm writes it.

use std::io::{self, Write};

/// An entry of the archive.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its path, `./` first.
    pub path: &'a str,
    /// Number of the inode.
    pub inode: u32,
    /// File type and permission bits, as in stat(2).
    pub mode: u32,
    /// Modification time, in seconds since 1970.
    pub mtime: u32,
    /// Bytes of content, which follow.
    pub size: u32,
}

/// Begins an entry; its content is to be written next, then [`pad`].
pub fn begin(output: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    let Entry { path, inode, mode, mtime, size } = *entry;
    // rpm looks owners up by the header's names, has the one link, and devices of its own.
    let name = path.len() + 1;
    write!(output, "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{mtime:08x}{size:08x}", 0, 1)?;
    write!(output, "{0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}{path}\0", 0)?;
    pad(output, (HEADER + name) as u64)
}

/// Pads content of so many bytes.
pub fn pad(output: &mut impl Write, size: u64) -> io::Result<()> {
    output.write_all(&[0; 3][..padding(size) as usize])
}

/// Ends the archive.
pub fn finish(output: &mut impl Write) -> io::Result<()> {
    begin(output, &Entry { path: "TRAILER!!!", inode: 0, mode: 0, mtime: 0, size: 0 })
}

/// Bytes of an entry's header without the path.
const HEADER: usize = 110;

fn padding(size: u64) -> u64 {
    size.next_multiple_of(4) - size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_padded_text_and_content() {
        let mut archive = Vec::new();
        let entry = Entry { path: "./a", inode: 10, mode: 0o100_660, mtime: 0x6af8_260c, size: 3 };
        begin(&mut archive, &entry).unwrap();
        archive.extend(b"abc");
        pad(&mut archive, 3).unwrap();
        finish(&mut archive).unwrap();
        let zero = "0".repeat(8);
        let expected = format!(
            "0707010000000a000081b0{zero}{zero}000000016af8260c00000003{zero}{zero}{zero}{zero}00000004{zero}./a\0\0\0abc\0\
             070701{zero}{zero}{zero}{zero}00000001{zero}{zero}{zero}{zero}{zero}{zero}0000000b{zero}TRAILER!!!\0\0\0\0"
        );
        assert_eq!(String::from_utf8(archive).unwrap(), expected);
    }
}
