//! What a process that waits keeps in its memory: names, and the arguments of calls.

use super::Call;

/// The memory of a process that waits.
pub(super) struct Memory<'a> {
    /// Its number.
    pub process: u32,
    /// Whether it still waits, so that what was read is its own.
    pub alive: &'a dyn Fn() -> bool,
}

/// The longest text of a process: an argument, execve(2).
const LONGEST: usize = 128 << 10;
/// How much is read at a time: names are short, and no page ends within.
const CHUNK: usize = 256;

impl Memory<'_> {
    /// The text at an address, without its null byte.
    pub fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut buffer = [0; CHUNK];
        while text.len() < LONGEST {
            let at = usize::try_from(address).ok()? + text.len();
            let length = CHUNK - at % CHUNK;
            self.read(at, &mut buffer[..length])?;
            let end = memchr::memchr(0, &buffer[..length]);
            text.extend(&buffer[..end.unwrap_or(length)]);
            if end.is_some() {
                return (self.alive)().then_some(text);
            }
        }
        None
    }

    fn read(&self, address: usize, buffer: &mut [u8]) -> Option<()> {
        let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: buffer.len() };
        // SAFETY: writes to the buffer only, and no further than it goes.
        let read =
            unsafe { libc::process_vm_readv(self.process.cast_signed(), &raw const local, 1, &raw const remote, 1, 0) };
        (read == buffer.len().cast_signed()).then_some(())
    }

    /// The texts of a list of addresses that ends with null.
    fn texts(&self, address: u64) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        let mut at = usize::try_from(address).ok()?;
        loop {
            let mut word = [0; size_of::<usize>()];
            self.read(at, &mut word)?;
            match usize::from_ne_bytes(word) {
                0 => return Some(texts),
                text => texts.push(String::from_utf8(self.text(text as u64)?).ok()?),
            }
            at += size_of::<usize>();
        }
    }

    /// The flags of a `struct open_how`; none where names mean something else than they do for open(2).
    pub fn how(&self, address: u64) -> Option<u64> {
        let mut words = [[0; 8]; 3];
        self.read(usize::try_from(address).ok()?, words.as_flattened_mut())?;
        let [flags, _, resolve] = words.map(u64::from_ne_bytes);
        (resolve & (libc::RESOLVE_BENEATH | libc::RESOLVE_IN_ROOT) == 0).then_some(flags)
    }

    /// The call of an execve(2) with these arguments; the path stands for the name that the program is given.
    pub fn call(&self, arguments: &[u64; 6]) -> Option<Call> {
        let path = String::from_utf8(self.text(arguments[0])?).ok()?;
        let given = self.texts(arguments[1])?;
        let environment = self.texts(arguments[2])?;
        Some(Call { arguments: [path].into_iter().chain(given).collect(), environment, input: Vec::new() }.sorted())
    }

    /// Puts another text in the place of one that is at least as long.
    pub fn replace(&self, address: u64, text: &str) -> bool {
        if self.text(address).is_none_or(|old| old.len() < text.len()) {
            return false;
        }
        let bytes = [text.as_bytes(), b"\0"].concat();
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address as usize), iov_len: bytes.len() };
        // SAFETY: reads the bytes; what is written belongs to a process of the sandbox.
        let written = unsafe {
            libc::process_vm_writev(self.process.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
        };
        written == bytes.len().cast_signed()
    }
}
