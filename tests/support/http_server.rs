//! A mirror on loopback: HTTP/1.1 from a folder, with ranges, validators, a log of requests, and faults on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use compose::digest::Sha256;

/// What goes wrong with a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// So many requests are answered with 503.
    Unavailable(u32),
    /// So many answers end after half of their body.
    Truncated(u32),
    /// Every answer has its first byte changed.
    Corrupt,
    /// Ranges are ignored.
    NoRanges,
}

/// A request that was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Path, as sent.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Status of the answer.
    pub status: u16,
}

#[derive(Default)]
struct State {
    faults: BTreeMap<String, Fault>,
    requests: Vec<Request>,
}

/// A running server; it ends when dropped.
pub struct HttpServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Serves the files below a folder.
    pub fn serve(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("the address of a bound socket");
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (root, shared, stopped) = (root.to_owned(), Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (root, shared) = (root.clone(), Arc::clone(&shared));
                std::thread::spawn(move || stream.ok().and_then(|stream| answer(stream, &root, &shared)));
            }
        });
        Self { address, state, stop, thread: Some(thread) }
    }

    /// `http://ADDRESS`.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes something go wrong with a path (`/debian/…`) from now on.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.lock().faults.insert(path.to_owned(), fault);
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a client sent.
struct Asked {
    path: String,
    headers: BTreeMap<String, String>,
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    Some(Asked { path, headers })
}

/// Status, further header lines, and body.
type Answer = (u16, String, Vec<u8>);

fn answer(mut stream: TcpStream, root: &Path, state: &Mutex<State>) -> Option<()> {
    let asked = read_request(&stream)?;
    let fault = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = state.faults.get(&asked.path).copied();
        match state.faults.get_mut(&asked.path) {
            Some(Fault::Unavailable(0) | Fault::Truncated(0)) => None,
            Some(Fault::Unavailable(left) | Fault::Truncated(left)) => {
                *left -= 1;
                fault
            }
            _ => fault,
        }
    };
    let (status, headers, mut body) = match fault {
        Some(Fault::Unavailable(_)) => (503, String::new(), Vec::new()),
        _ => respond(&asked, root, fault == Some(Fault::NoRanges)),
    };
    if let (Some(Fault::Corrupt), Some(first)) = (fault, body.first_mut()) {
        *first ^= 0xff;
    }
    state.lock().unwrap_or_else(PoisonError::into_inner).requests.push(Request {
        path: asked.path,
        range: asked.headers.get("range").cloned(),
        status,
    });
    let length = if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    if matches!(fault, Some(Fault::Truncated(_))) {
        body.truncate(body.len() / 2);
    }
    let head = format!("HTTP/1.1 {status} x\r\n{length}{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()
}

fn respond(asked: &Asked, root: &Path, ignore_range: bool) -> Answer {
    let path: PathBuf = root.join(asked.path.trim_start_matches('/').replace("%25", "%"));
    let Ok(bytes) = std::fs::read(path) else { return (404, String::new(), Vec::new()) };
    let etag = format!("\"{}\"", &Sha256::of(&bytes).to_hex()[..16]);
    let headers = format!("ETag: {etag}\r\n");
    if asked.headers.get("if-none-match") == Some(&etag) {
        return (304, headers, Vec::new());
    }
    let from = asked.headers.get("range").filter(|_| !ignore_range).and_then(|range| {
        let from = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        from.parse::<usize>().ok()
    });
    match from {
        None => (200, headers, bytes),
        Some(from) if from >= bytes.len() => (416, headers, Vec::new()),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            (206, headers + &range, bytes[from..].to_vec())
        }
    }
}
