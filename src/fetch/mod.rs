//! Lock to verified files.
