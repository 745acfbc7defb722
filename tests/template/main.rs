//! Qubes template packages, judged by rpm's own tools and by the rules that Qubes' importer has.

mod form;
mod import;
mod scene;
mod signed;
#[path = "../support/mod.rs"]
mod support;
