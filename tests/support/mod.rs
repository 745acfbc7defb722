//! What tests share: packages and archives made by builders, a mirror on loopback that serves them, runs of the program.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod archive;
pub mod browser;
pub mod deb;
pub mod fixture;
pub mod http_server;
pub mod lock;
pub mod manifest;
pub mod needs;
pub mod program;
pub mod rpm;
pub mod snapshot;
mod tar;
pub mod user;

/// An error as the command line shows it: the message with its causes, then the hints, a line each.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    for hint in compose::error::hints(error) {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    text
}
