//! Getting files by URI: `http:`, `https:` and `file:`, with time limits, retries and resumption.
//!
//! What is got, whether it is the right thing and where it is kept is the callers' affair: bytes go to a [`Sink`].
//! Proxies are those of the environment, as reqwest reads them, unless [`Options::proxy`] says no.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking as http;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{StatusCode, redirect};

use crate::progress::{Silent, Task};

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for an answer's head and for each next piece of its body.
    pub read_timeout: Duration,
    /// How many attempts in a row may bring nothing new before a file is given up.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles before each further one.
    pub first_pause: Duration,
    /// Whether the proxies of the environment are used.
    pub proxy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(30),
            attempts: 4,
            first_pause: Duration::from_millis(500),
            proxy: true,
        }
    }
}

/// Why a URI gave no file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered, and has no such file.
    #[error("{uri} does not exist")]
    NotFound {
        /// What was asked for.
        uri: String,
    },
    /// The server answered with something that another attempt would not change.
    #[error("{uri} was answered with {status}")]
    Refused {
        /// What was asked for.
        uri: String,
        /// The status line's number and words.
        status: String,
    },
    /// No whole answer came, however often it was asked for.
    #[error("{uri} could not be fetched: {reason}")]
    Unreachable {
        /// What was asked for.
        uri: String,
        /// What went wrong the last time.
        reason: String,
    },
    /// The text is no URI this program can read.
    #[error("`{uri}` is not an http:, https: or file: URI")]
    BadUri {
        /// The text.
        uri: String,
    },
    /// The sink did not take the bytes.
    #[error("the answer of {uri} was not taken: {error}")]
    Sink {
        /// What was asked for.
        uri: String,
        /// The sink's own error.
        error: io::Error,
    },
}

/// Takes the bytes of a file.
pub trait Sink {
    /// How many bytes of the file are here already; they are not asked for again.
    fn held(&self) -> u64;

    /// The file comes from its beginning after all: forget what is held.
    fn restart(&mut self) -> io::Result<()>;

    /// The next bytes. An error ends the transfer without another attempt.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// What a server said about a file so that it can be asked later whether it has changed (RFC 9110, section 8.8).
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Validators {
    /// The `ETag` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// How a transfer ended well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The sink has the whole file.
    Complete(Validators),
    /// The file is still the one the validators stand for; the sink got nothing.
    NotModified,
}

/// What ends one attempt.
enum Failed {
    /// For good.
    Finally(Error),
    /// Until the next attempt; the text is the reason.
    Perhaps(String),
}

/// Fetches files; one per run, shared by all threads.
#[derive(Debug)]
pub struct Client {
    /// Set up for the first request: most runs have none, and the certificates that it loads are many.
    http: OnceLock<http::Client>,
    options: Options,
}

impl Client {
    /// A client with these options.
    pub fn new(options: Options) -> Self {
        Self { http: OnceLock::new(), options }
    }

    /// What makes requests; fails only where the host's TLS library cannot be set up.
    fn http(&self) -> reqwest::Result<&http::Client> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let mut builder = http::Client::builder()
            .user_agent(concat!("compose/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.options.connect_timeout)
            .timeout(self.options.read_timeout)
            .redirect(redirect::Policy::custom(redirected));
        if !self.options.proxy {
            builder = builder.no_proxy();
        }
        let http = builder.build()?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Brings the file at `uri` into the sink, from where the sink stands. With `known`, only if it has changed.
    pub fn fetch(&self, uri: &str, known: Option<&Validators>, sink: &mut dyn Sink) -> Result<Outcome, Error> {
        let url = Url::parse(uri).map_err(|_| Error::BadUri { uri: uri.to_owned() })?;
        match url.scheme() {
            "file" => read_file(&url, sink).map(|()| Outcome::Complete(Validators::default())),
            "http" | "https" => self.get(&url, known, sink),
            _ => Err(Error::BadUri { uri: displayed(&url) }),
        }
    }

    /// The whole file at `uri`, which may have at most `limit` bytes. [`None`] when it has not changed.
    pub fn fetch_bytes(
        &self,
        uri: &str,
        known: Option<&Validators>,
        limit: u64,
    ) -> Result<Option<(Vec<u8>, Validators)>, Error> {
        let mut memory = Memory::new(limit, &Silent);
        match self.fetch(uri, known, &mut memory)? {
            Outcome::Complete(validators) => Ok(Some((memory.into_bytes(), validators))),
            Outcome::NotModified => Ok(None),
        }
    }

    /// Attempts until one is whole, or `attempts` of them in a row bring nothing new.
    fn get(&self, url: &Url, known: Option<&Validators>, sink: &mut dyn Sink) -> Result<Outcome, Error> {
        let mut furthest = sink.held();
        let mut fruitless = 0;
        loop {
            let reason = match self.attempt(url, known, sink) {
                Ok(outcome) => return Ok(outcome),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Perhaps(reason)) => reason,
            };
            if sink.held() > furthest {
                furthest = sink.held();
                fruitless = 0;
            }
            fruitless += 1;
            if fruitless >= self.options.attempts {
                return Err(Error::Unreachable { uri: displayed(url), reason });
            }
            std::thread::sleep(self.options.first_pause * 2u32.saturating_pow(fruitless - 1));
        }
    }

    fn attempt(&self, url: &Url, known: Option<&Validators>, sink: &mut dyn Sink) -> Result<Outcome, Failed> {
        let held = sink.held();
        let http = self.http().map_err(|e| {
            let reason = format!("the HTTP client cannot be set up: {e}");
            Failed::Finally(Error::Unreachable { uri: displayed(url), reason })
        })?;
        let mut request = http.get(url.clone());
        if held > 0 {
            request = request.header(header::RANGE, format!("bytes={held}-"));
        }
        if let Some(known) = known {
            let pairs = [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.last_modified)];
            for (name, value) in pairs {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        let response = request.send().map_err(|e| match innermost(&e) {
            reason if e.is_redirect() => Failed::Finally(Error::Unreachable { uri: displayed(url), reason }),
            reason => Failed::Perhaps(reason),
        })?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Outcome::NotModified),
            StatusCode::OK => restart(url, sink)?,
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(held) => {}
            // Our idea of how far we are is not the server's: ask again from the beginning.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if held > 0 => {
                restart(url, sink)?;
                return Err(Failed::Perhaps("the server cannot continue the file".to_owned()));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(Failed::Finally(Error::NotFound { uri: displayed(url) }));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failed::Perhaps(format!("the server answered with {status}")));
            }
            status => {
                return Err(Failed::Finally(Error::Refused { uri: displayed(url), status: status.to_string() }));
            }
        }
        let validators = Validators {
            etag: text_of(response.headers(), &header::ETAG),
            last_modified: text_of(response.headers(), &header::LAST_MODIFIED),
        };
        let expected = response.content_length();
        let taken = copy(url, response, sink)?;
        match expected {
            Some(expected) if taken != expected => {
                Err(Failed::Perhaps(format!("the connection ended after {taken} of {expected} bytes")))
            }
            _ => Ok(Outcome::Complete(validators)),
        }
    }
}

/// Follows a few redirections, but none that leaves https:, as apt has it.
fn redirected(attempt: redirect::Attempt<'_>) -> redirect::Action {
    if leaves_https(attempt.previous(), attempt.url()) {
        return attempt.error("it leads from https: to http:, where anybody on the way could answer");
    }
    redirect::Policy::limited(5).redirect(attempt)
}

/// Whether a redirection to `next` would leave the encryption that one of the URIs before it had.
fn leaves_https(previous: &[Url], next: &Url) -> bool {
    next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https")
}

/// Moves an answer's body into the sink; gives the number of bytes moved, which is short when the connection ended early.
fn copy(url: &Url, mut body: impl Read, sink: &mut dyn Sink) -> Result<u64, Failed> {
    let mut buffer = vec![0; 1 << 16];
    let mut taken = 0;
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(taken),
            Ok(n) => {
                sink.take(&buffer[..n]).map_err(|error| Failed::Finally(Error::Sink { uri: displayed(url), error }))?;
                taken += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                return Err(Failed::Perhaps(format!("the connection broke after {taken} bytes: {}", innermost(&e))));
            }
        }
    }
}

fn restart(url: &Url, sink: &mut dyn Sink) -> Result<(), Failed> {
    if sink.held() == 0 {
        return Ok(());
    }
    sink.restart().map_err(|error| Failed::Finally(Error::Sink { uri: displayed(url), error }))
}

fn read_file(url: &Url, sink: &mut dyn Sink) -> Result<(), Error> {
    let uri = displayed(url);
    let Ok(path) = url.to_file_path() else { return Err(Error::BadUri { uri }) };
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { uri: uri.clone() },
        _ => Error::Unreachable { uri: uri.clone(), reason: e.to_string() },
    };
    let mut file = File::open(path).map_err(unreadable)?;
    file.seek(SeekFrom::Start(sink.held())).map_err(unreadable)?;
    match copy(url, file, sink) {
        Ok(_) => Ok(()),
        Err(Failed::Finally(error)) => Err(error),
        Err(Failed::Perhaps(reason)) => Err(Error::Unreachable { uri, reason }),
    }
}

/// A file of limited size, in memory.
pub struct Memory<'a> {
    bytes: Vec<u8>,
    limit: u64,
    /// How many bytes the task has heard of; more than are held after a restart.
    told: u64,
    task: &'a dyn Task,
}

impl<'a> Memory<'a> {
    /// Nothing yet; the task hears of each byte taken, once.
    pub fn new(limit: u64, task: &'a dyn Task) -> Self {
        Self { bytes: Vec::new(), limit, told: 0, task }
    }

    /// What was taken so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was taken.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Sink for Memory<'_> {
    fn held(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn restart(&mut self) -> io::Result<()> {
        self.bytes.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.held() + bytes.len() as u64 > self.limit {
            return Err(io::Error::other(format!("it has more than {} bytes", self.limit)));
        }
        self.bytes.extend_from_slice(bytes);
        if self.held() > self.told {
            self.task.advance(self.held() - self.told);
            self.told = self.held();
        }
        Ok(())
    }
}

/// The URI of `path` (unescaped, relative) below `base`.
pub fn join(base: &str, path: &str) -> String {
    let mut uri = base.trim_end_matches('/').to_owned();
    uri.push('/');
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(byte as char),
            b'/' | b'-' | b'.' | b'_' | b'~' | b'+' | b':' | b'@' | b'!' | b'$' | b'&' | b'(' | b')' | b',' | b'=' => {
                uri.push(byte as char);
            }
            // A name in a pool may hold a percent sign itself: `%3a` for the colon of an epoch.
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

/// The URI without user and password.
fn displayed(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Where the body of a partial answer begins (`Content-Range: bytes 5-9/10`).
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The last error of a chain, which names the cause; the outer ones repeat the URI.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_once() {
        let rows = [
            ("http://h/debian/", "pool/main/g/g++_1.deb", "http://h/debian/pool/main/g/g++_1.deb"),
            ("http://h/debian", "pool/a_1%3a2~b_all.deb", "http://h/debian/pool/a_1%253a2~b_all.deb"),
            ("file:///srv", "a b#c?d", "file:///srv/a%20b%23c%3Fd"),
        ];
        for (base, path, uri) in rows {
            assert_eq!(join(base, path), uri);
        }
    }

    #[test]
    fn encryption_once_begun_is_kept() {
        for (uris, leaves) in [
            (&["https://a/x", "https://b/x"][..], false),
            (&["http://a/x", "https://b/x"], false),
            (&["http://a/x", "http://b/x"], false),
            (&["https://a/x", "http://a/x"], true),
            (&["http://a/x", "https://b/x", "http://c/x"], true),
            (&["https://a/x", "ftp://a/x"], true),
        ] {
            let urls: Vec<Url> = uris.iter().map(|uri| Url::parse(uri).unwrap()).collect();
            let (next, previous) = urls.split_last().unwrap();
            assert_eq!(leaves_https(previous, next), leaves, "{uris:?}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = Url::parse("https://user:secret@h/debian").unwrap();
        assert_eq!(displayed(&url), "https://h/debian");
    }

    #[test]
    fn local_files_are_read_from_where_the_sink_stands() {
        let folder = tempfile::tempdir().unwrap();
        crate::durable::write(&folder.path().join("a b"), b"0123456789").unwrap();
        let client = Client::new(Options::default());
        let base = format!("file://{}", folder.path().display());
        let mut memory = Memory::new(10, &Silent);
        memory.take(b"0123").unwrap();
        client.fetch(&join(&base, "a b"), None, &mut memory).unwrap();
        assert_eq!(memory.bytes, b"0123456789");
        let missing = client.fetch_bytes(&join(&base, "c"), None, 1).unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }));
        let long = client.fetch_bytes(&join(&base, "a b"), None, 9).unwrap_err();
        assert!(matches!(long, Error::Sink { .. }));
        assert!(matches!(client.fetch_bytes("ftp://h/a", None, 9), Err(Error::BadUri { .. })));
    }
}
