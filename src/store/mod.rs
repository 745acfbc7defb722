//! The ostree repository.
