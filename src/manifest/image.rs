//! What a tree is given out as: the forms of outputs, and how images are made.

use serde::{Serialize, Serializer};

use super::located::{Located, Mistake, Sources};
use super::typed::{Typed, TypedImage};
use super::words::Size;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The least size of an image with partitions, in bytes: what stands before the root file system and behind it takes 204 MiB
/// already.
const LEAST_WITH_PARTITIONS: u64 = 256 * MIB;

/// A form in which a tree is given out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OutputFormat {
    /// A disk, or an ext4 file system alone.
    RootImg,
    /// An empty ext4 file system for what an installed guest keeps.
    PrivateImg,
    /// Swap space.
    SwapImg,
    /// A tar archive.
    Tar,
    /// An EROFS file system.
    Erofs,
    /// A squashfs file system.
    Squashfs,
    /// An OCI image layout in a tar archive.
    Oci,
    /// A Qubes template package, an rpm with `root.img` in it.
    QubesTemplate,
    /// The ref in the store alone.
    Ostree,
}

impl OutputFormat {
    /// Every form, in the order in which they are told.
    pub const ALL: &[Self] = &[
        Self::RootImg,
        Self::PrivateImg,
        Self::SwapImg,
        Self::Tar,
        Self::Erofs,
        Self::Squashfs,
        Self::Oci,
        Self::QubesTemplate,
        Self::Ostree,
    ];

    /// The name in manifests, on the command line, and at the end of file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootImg => "root.img",
            Self::PrivateImg => "private.img",
            Self::SwapImg => "swap.img",
            Self::Tar => "tar",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::Oci => "oci",
            Self::QubesTemplate => "qubes-template",
            Self::Ostree => "ostree",
        }
    }

    /// The form of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.as_str() == name)
    }

    /// Whether programs that the lock pins have a part in it, where a guest runs this kernel.
    pub fn needs_tools(self, kernel: Kernel) -> bool {
        matches!(self, Self::Erofs | Self::Squashfs) || self.needs_image() && kernel == Kernel::Own
    }

    /// Whether `root.img` is made for it.
    pub fn needs_image(self) -> bool {
        matches!(self, Self::RootImg | Self::QubesTemplate)
    }
}

impl Serialize for OutputFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How images are made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ImageOptions {
    /// Total size of `root.img` in bytes, a whole number of MiB; sized to fit when missing.
    pub size: Option<u64>,
    /// Free space in bytes beyond what the files need, when sized to fit.
    pub slack: u64,
    /// Volume label of the root file system, at most 16 bytes.
    pub label: String,
    /// Whether `root.img` is a disk with the partitions that Qubes templates have, or the root file system alone.
    pub partitions: bool,
    /// Whose kernel a guest runs.
    pub kernel: Kernel,
    /// Size of `private.img` in bytes, a whole number of MiB.
    pub private: u64,
    /// Size of `swap.img` in bytes, a whole number of MiB.
    pub swap: u64,
}

impl Default for ImageOptions {
    /// What Qubes' own builder makes (`template-root-size`, `TEMPLATE_ROOT_WITH_PARTITIONS`), and the sizes of its volumes.
    fn default() -> Self {
        Self {
            size: Some(20 * GIB),
            slack: 128 * MIB,
            label: "root".to_owned(),
            partitions: true,
            kernel: Kernel::Dom0,
            private: 2 * GIB,
            swap: GIB,
        }
    }
}

/// Whose kernel a guest runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// One that dom0 hands in, with its initramfs.
    Dom0,
    /// The root's own, which GRUB loads.
    Own,
}

impl TypedImage {
    /// The values of a later file win.
    pub(super) fn override_with(&mut self, new: Self) {
        fn later<T>(old: &mut Option<T>, new: Option<T>) {
            *old = new.or(old.take());
        }
        later(&mut self.size, new.size);
        later(&mut self.slack, new.slack);
        later(&mut self.label, new.label);
        later(&mut self.partitions, new.partitions);
        later(&mut self.kernel, new.kernel);
        later(&mut self.private, new.private);
        later(&mut self.swap, new.swap);
    }

    /// Fills in defaults and checks.
    pub(super) fn finish(self, sources: &Sources) -> Result<ImageOptions, Mistake> {
        fn whole<T>(sources: &Sources, typed: &Located<T>, size: u64) -> Result<u64, Mistake> {
            match size {
                size if size > 0 && size % MIB == 0 => Ok(size),
                size => Err(sources.mistake::<Typed>(typed.number, format!("{size} bytes are no whole number of MiB"))),
            }
        }
        let default = ImageOptions::default();
        let size = match &self.size {
            Some(typed) => typed.value.0.map(|size| whole(sources, typed, size)).transpose()?,
            None => default.size,
        };
        let volume = |typed: Option<Located<Size>>, default: u64| {
            typed.map_or(Ok(default), |typed| whole(sources, &typed, typed.value.0))
        };
        let options = ImageOptions {
            size,
            slack: self.slack.map_or(default.slack, |s| s.value.0),
            label: self.label.map_or(default.label, |l| l.value),
            partitions: self.partitions.as_ref().map_or(default.partitions, |p| p.value),
            kernel: self.kernel.as_ref().map_or(default.kernel, |k| k.value),
            private: volume(self.private, default.private)?,
            swap: volume(self.swap, default.swap)?,
        };
        if let (Some(typed), Some(size), true) = (&self.size, options.size, options.partitions)
            && size < LEAST_WITH_PARTITIONS
        {
            let message = "with partitions an image has at least 256M, of which they take 204M: write more, or \
                           `partitions: false`";
            return Err(sources.mistake::<Typed>(typed.number, message));
        }
        if let (Some(typed), Kernel::Own, false) = (&self.kernel, options.kernel, options.partitions) {
            let message = "the root's own kernel is loaded by GRUB, which needs a place beside the root file system: \
                           leave out `partitions: false`";
            return Err(sources.mistake::<Typed>(typed.number, message));
        }
        Ok(options)
    }
}
