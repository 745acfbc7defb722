//! Roots of rpm packages: what scriptlets do, in which order, and whose files are, as the host's rpm does it, whose programs are in
//! these roots, too.

mod accounts;
mod fixture;
mod hostile;
mod multilib;
mod order;
mod same;
#[path = "../support/mod.rs"]
mod support;
