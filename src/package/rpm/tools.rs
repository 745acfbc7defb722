//! Programs that builds need beside a root's own.

use crate::arch::Architecture;

/// The path of qemu's statically linked user mode emulator of an architecture, by which packages that have it are asked for: each
/// distribution splits qemu in its own way.
pub fn interpreter(architecture: &Architecture) -> String {
    format!("/usr/bin/{}-static", architecture.emulator())
}
