//! Manifest and indexes to lock.
