//! Where packages can come from.
