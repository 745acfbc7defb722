//! What the stage tests share: packages and archives made by builders, and a mirror on loopback that serves them.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod archive;
pub mod deb;
pub mod fixture;
pub mod http_server;
mod tar;

/// An error as the command line shows it: the message with its causes, then the hints, a line each.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    for hint in compose::error::hints(error) {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    text
}

/// Tells why a test does not run here. Where all tests must run (`COMPOSE_TESTS=all`, as ci/test sets), that is a failure.
pub fn skip(reason: &str) {
    #[allow(clippy::disallowed_methods, reason = "tests are told by their environment what they must do")]
    let all = std::env::var("COMPOSE_TESTS").is_ok_and(|value| value == "all");
    assert!(!all, "this test cannot run here: {reason}");
    eprintln!("skipped: {reason}");
}
