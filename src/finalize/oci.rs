//! `oci`: an image layout of the Open Container Initiative (image-spec 1.1) as a tar archive, with the tree as its one layer.
//! podman and skopeo read it as `oci-archive:`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ::tar::{Builder, Header};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Request, hashed, tar};
use crate::digest::{Hasher, Sha256};
use crate::store::Tree;

/// zstd's own default.
const LEVEL: i32 = 3;

/// What a container runs when nothing else is said, and where it looks for programs.
const COMMAND: &str = "/bin/sh";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the archive to `output`, which must not exist; gives its digest and size.
pub(super) fn write(request: &Request<'_>, tree: &Tree, output: &Path) -> Result<(Sha256, u64)> {
    let Request { store, lock, .. } = request;
    let packed = output.with_extension("layer");
    let mut content = Sha256::of(b"");
    let (layer, layer_size) = hashed::write(&packed, |blocks| {
        let mut layer = Layer { hasher: Hasher::default(), encoder: zstd::Encoder::new(blocks, LEVEL)? };
        // Who runs a container labels its files.
        tar::write(&store.reader(), (tree, None), lock.date, BufWriter::with_capacity(1 << 16, &mut layer))?;
        content = layer.hasher.finish();
        Ok(layer.encoder.finish()?.flush()?)
    })?;
    let (architecture, variant) = architecture(lock.architecture.as_str());
    let mut config = json!({
        "created": lock.date.to_string(),
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": [PATH], "Cmd": [COMMAND] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{content}")] },
        "history": [{ "created": lock.date.to_string(), "created_by": "compose" }],
    });
    if let Some(variant) = variant {
        config["variant"] = json!(variant);
    }
    let config = serde_json::to_vec(&config)?;
    let described = |kind: &str, digest: Sha256, size: u64| -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": size,
        })
    };
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", Sha256::of(&config), config.len() as u64),
        "layers": [described("layer.v1.tar+zstd", layer, layer_size)],
    }))?;
    let mut entry = described("manifest.v1+json", Sha256::of(&manifest), manifest.len() as u64);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": lock.manifest });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let written = hashed::write(output, |blocks| {
        let mut archive = Archive { builder: Builder::new(blocks), mtime: lock.date.seconds().unsigned_abs() };
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(), 30)?;
        archive.file("index.json", serde_json::to_vec(&index)?.as_slice(), serde_json::to_vec(&index)?.len() as u64)?;
        for bytes in [&config, &manifest] {
            archive.blob(Sha256::of(bytes), bytes.as_slice(), bytes.len() as u64)?;
        }
        archive.blob(layer, File::open(&packed)?, layer_size)?;
        Ok(archive.builder.into_inner()?.flush()?)
    });
    fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))?;
    written
}

/// The tar stream, hashed before it is packed.
struct Layer<W: Write> {
    hasher: Hasher,
    encoder: zstd::Encoder<'static, W>,
}

impl<W: Write> Write for Layer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Archive<W: Write> {
    builder: Builder<W>,
    mtime: u64,
}

impl<W: Write> Archive<W> {
    fn blob(&mut self, digest: Sha256, content: impl io::Read, size: u64) -> Result<()> {
        self.file(&format!("blobs/sha256/{digest}"), content, size)
    }

    fn file(&mut self, path: &str, content: impl io::Read, size: u64) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(self.mtime);
        header.set_size(size);
        Ok(self.builder.append_data(&mut header, path, content)?)
    }
}

/// The name that Go has for an architecture of Debian's, as the specification demands, and its variant.
fn architecture(debian: &str) -> (&str, Option<&'static str>) {
    match debian {
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v5")),
        "i386" => ("386", None),
        "mips64el" => ("mips64le", None),
        "ppc64el" => ("ppc64le", None),
        same => (same, None),
    }
}
