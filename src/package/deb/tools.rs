//! The packages of the programs that write outputs. The libraries these need come with them.

use crate::arch::Architecture;
use crate::manifest::{Kernel, OutputFormat};
use crate::package::Tool;

/// GRUB's own image maker, and what it makes images of.
const GRUB: &[Tool] = &[
    Tool { request: "grub-common", reason: "grub-mkimage makes the boot loader of a root with a kernel of its own" },
    Tool { request: "grub-pc-bin", reason: "a machine with a BIOS boots from it" },
    Tool { request: "grub-efi-amd64-bin", reason: "a machine with EFI firmware boots from it" },
];

/// What makes file systems that are only read.
const EROFS: &[Tool] =
    &[Tool { request: "erofs-utils (>= 1.8)", reason: "its mkfs.erofs packs tar streams; older ones do not" }];
const SQUASHFS: &[Tool] = &[Tool { request: "squashfs-tools-ng", reason: "its tar2sqfs packs tar streams" }];

/// qemu's user mode emulators, statically linked. In Debian 12, `qemu-user` is not.
pub const INTERPRETERS: [&str; 2] = ["qemu-user (>= 1:10)", "qemu-user-static"];

/// Where these packages have the emulator of an architecture.
pub fn interpreter_paths(architecture: &Architecture) -> Vec<String> {
    let name = architecture.emulator();
    vec![format!("usr/bin/{name}"), format!("usr/bin/{name}-static")]
}

/// What these outputs are written with.
pub fn of(outputs: &[OutputFormat], kernel: Kernel) -> Vec<Tool> {
    let mut tools = Vec::new();
    let has = |output: OutputFormat| outputs.contains(&output);
    if kernel == Kernel::Own && outputs.iter().any(|output| output.needs_image()) {
        tools.extend(GRUB);
    }
    if has(OutputFormat::Erofs) {
        tools.extend(EROFS);
    }
    if has(OutputFormat::Squashfs) {
        tools.extend(SQUASHFS);
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::deb::request;

    #[test]
    fn requests_are_right() {
        let tools = of(OutputFormat::ALL, Kernel::Own);
        assert_eq!(tools.len(), 5);
        assert!(INTERPRETERS.iter().all(|request| request::parse(request).is_ok()));
        assert!(tools.iter().all(|tool| request::parse(tool.request).is_ok()));
        assert!(of(&[OutputFormat::Tar, OutputFormat::PrivateImg], Kernel::Own).is_empty());
        for output in [OutputFormat::RootImg, OutputFormat::QubesTemplate] {
            assert!(of(&[output], Kernel::Dom0).is_empty());
            assert_eq!(of(&[output], Kernel::Own).len(), 3);
        }
        // What is imported for an output is what it needs.
        for output in OutputFormat::ALL {
            for kernel in [Kernel::Dom0, Kernel::Own] {
                assert_eq!(output.needs_tools(kernel), !of(&[*output], kernel).is_empty(), "{output:?}");
            }
        }
    }
}
