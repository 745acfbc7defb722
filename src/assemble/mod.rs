//! Refs to a configured tree.
