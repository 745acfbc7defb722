//! The history of templates: what builds leave, commands that look at it, garbage collection, and deltas. Stores are made of
//! small packages, whose merged trees stand for configured ones. Needs root, since objects have true owners.

mod commands;
mod deltas;
mod gc;
mod record;
mod scene;
#[path = "../support/mod.rs"]
mod support;
