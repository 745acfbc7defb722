//! What tests are made of: packages, archives and servers built in memory.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod deb;
mod tar;
