//! Debian binary packages.
