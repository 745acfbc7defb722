//! Tree to outputs.
