//! The `compose` program.

fn main() {}
