//! rpm's format: packages.

mod builder;
mod oracle;
mod packages;
