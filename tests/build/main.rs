//! The whole program on the real Debian archive, through the host's own apt sources.
//!
//! Needs root or a user with subordinate ids, and the archive; some tests need more. A test says what it lacks and is
//! skipped, or fails where `COMPOSE_TESTS=all`. Downloaded packages are kept in the build folder for the next run; locks
//! are made anew by each, so that the tests hold when the archive moves on.

mod again;
mod ahead;
mod boot;
mod diff;
mod fixture;
mod foreign;
mod history;
mod hostile;
mod image;
mod install;
mod labels;
mod older_kernel;
mod outputs;
mod recover;
mod replay;
mod same;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod template;
mod told;
mod tree;
mod verify;
