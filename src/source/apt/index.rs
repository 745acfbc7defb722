//! Package indexes: which of a suite's index files are wanted, and their bytes by SHA-256, from the cache or a mirror.

use std::io::{BufReader, Read};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};

use super::super::cache::SuiteCache;
use super::super::http::{self, Memory, Sink as _};
use super::Found;
use super::suite::Suite;
use crate::arch::Architecture;
use crate::digest::Sha256;
use crate::error::Hint;
use crate::manifest::Archive;
use crate::package;
use crate::package::deb::table::{self, Table};
use crate::progress::Task;
use crate::source::{Asked, Context, Index};

/// How an index file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compression {
    Xz,
    Zstd,
    Gzip,
    None,
}

/// The compressions with their suffixes, the preferred first.
const COMPRESSIONS: [(Compression, &str); 4] =
    [(Compression::Xz, ".xz"), (Compression::Zstd, ".zst"), (Compression::Gzip, ".gz"), (Compression::None, "")];

/// An index file that a suite lists.
#[derive(Debug)]
pub struct Wanted<'a> {
    suite: &'a Suite<'a>,
    archive: &'a Archive,
    architecture: &'a Architecture,
    component: Option<&'a str>,
    /// Path relative to the Release file.
    path: String,
    compression: Compression,
    /// Size of the file in bytes, compressed.
    pub size: u64,
    /// SHA-256 of the file, compressed.
    pub sha256: Sha256,
}

/// The index files of a suite for an architecture, in the order of the manifest's components.
///
/// Packages for all architectures stand in each architecture's index. They stand in `binary-all` too, or only there, where
/// the Release file has `all` among its architectures and does not say `No-Support-for-Architecture-all: Packages`
/// (Debian repository format, "Architectures"); a `binary-all` that is merely listed may not even be on the mirrors.
pub fn wanted<'a>(suite: &'a Suite<'a>, asked: &Asked<'a>) -> Result<Vec<Wanted<'a>>> {
    let Asked { archive, architecture, optional } = *asked;
    let (source, release) = (&suite.source, &suite.release);
    let best = |component: Option<&'a str>, plain: &str| best(suite, archive, architecture, component, plain);
    if source.is_flat() {
        let index = best(None, "Packages").with_context(|| {
            format!("the flat repository `{}` of the archive `{}` lists no Packages", source.name, archive.id)
        })?;
        return Ok(vec![index]);
    }
    let mut all = Vec::new();
    for component in &archive.components {
        let of = |architecture: &str| best(Some(component), &format!("{component}/binary-{architecture}/Packages"));
        let own = of(architecture.as_str());
        let apart = !release.all_in_each && release.architectures.iter().any(|name| name == "all");
        let independent = if apart { of("all") } else { None };
        if own.is_none() && independent.is_none() && !optional {
            return Err(anyhow!(
                "suite `{}` of the archive `{}` has no component `{component}` for {architecture}: its components are {}, \
                 its architectures {}",
                source.name,
                archive.id,
                release.components.join(", "),
                release.architectures.join(", ")
            ))
            .hint(|| format!("check `components:` of the archive `{}` and `architectures:` in the manifest", archive.id));
        }
        all.extend(own.into_iter().chain(independent));
    }
    Ok(all)
}

/// The listed file with the preferred compression.
fn best<'a>(
    suite: &'a Suite<'a>,
    archive: &'a Archive,
    architecture: &'a Architecture,
    component: Option<&'a str>,
    plain: &str,
) -> Option<Wanted<'a>> {
    COMPRESSIONS.iter().find_map(|(compression, suffix)| {
        // A flat repository may list its files with the folder that it is itself.
        [format!("{plain}{suffix}"), format!("./{plain}{suffix}")].into_iter().find_map(|path| {
            let (size, sha256) = *suite.release.files.get(&path)?;
            let path = path.trim_start_matches("./").to_owned();
            Some(Wanted { suite, archive, architecture, component, path, compression: *compression, size, sha256 })
        })
    })
}

impl Wanted<'_> {
    /// Where the file is kept.
    pub fn cache(&self) -> &SuiteCache {
        &self.suite.source.cache
    }

    /// Whether a run before has kept the file.
    pub fn is_cached(&self) -> bool {
        self.cache().has_index(&self.sha256)
    }

    /// The index's table, from the cache or a mirror. The task hears of the bytes fetched.
    pub fn load(&self, context: &Context<'_>, task: &dyn Task) -> Result<Found<Table>> {
        let cache = self.cache();
        if let Some(table) = cache.table(&self.sha256) {
            return Ok(Found::Here(table));
        }
        if context.offline && !self.is_cached() {
            return Ok(Found::Missing(format!("{} ({})", self.archive(), self.suite.source.path_of(&self.path))));
        }
        let bytes = self.bytes(context, task)?;
        let table = compile(self.compression, &bytes)
            .with_context(|| format!("cannot read {} of {}", self.path, self.archive()))?;
        cache.save_table(&self.sha256, table).map(Found::Here)
    }

    /// The index, with its table.
    pub fn index(&self, table: Arc<package::Table>) -> Index {
        let (source, release) = (&self.suite.source, &self.suite.release);
        let named = |name: &Option<String>| name.clone().unwrap_or_else(|| source.name.to_owned());
        Index {
            archive: self.archive(),
            suite: named(&release.suite),
            codename: named(&release.codename),
            priority: self.archive.priority,
            not_automatic: release.not_automatic,
            but_automatic_upgrades: release.but_automatic_upgrades,
            architecture: self.architecture.clone(),
            date: release.date,
            sha256: self.sha256,
            table,
        }
    }

    /// The verified bytes of the file, from the cache or a mirror.
    fn bytes(&self, context: &Context<'_>, task: &dyn Task) -> Result<Vec<u8>> {
        let cache = self.cache();
        if let Some(bytes) = cache.index(&self.sha256)? {
            return Ok(bytes);
        }
        let bytes = self.fetch(context, task)?;
        cache.save_index(&self.sha256, &bytes)?;
        Ok(bytes)
    }

    /// `ARCHIVE/SUITE/COMPONENT`, for a flat repository `ARCHIVE/PATH`.
    fn archive(&self) -> String {
        let source = &self.suite.source;
        let flat = source.name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
        match self.component {
            Some(component) => format!("{}/{}/{component}", source.archive.id, source.name),
            None if flat.is_empty() => source.archive.id.clone(),
            None => format!("{}/{flat}", source.archive.id),
        }
    }

    /// The verified bytes of the file from the first mirror that has them.
    fn fetch(&self, context: &Context<'_>, task: &dyn Task) -> Result<Vec<u8>> {
        let mut reasons = Vec::new();
        let mut memory = Memory::new(self.size, task);
        for mirror in &self.suite.source.mirrors {
            for path in self.paths() {
                let uri = http::join(mirror, &path);
                memory.restart().context("cannot forget bytes in memory")?;
                match context.client.fetch(&uri, None, &mut memory) {
                    Ok(_) => {
                        let found = Sha256::of(memory.bytes());
                        if found == self.sha256 {
                            return Ok(memory.into_bytes());
                        }
                        reasons.push(format!(
                            "{uri} is not the file that the Release file names: expected {} bytes with SHA-256 {}, found {} \
                             bytes with SHA-256 {found}",
                            self.size,
                            self.sha256,
                            memory.held()
                        ));
                    }
                    Err(error) => reasons.push(error.to_string()),
                }
            }
        }
        Err(anyhow!("cannot fetch the index {}: {}", self.archive(), reasons.join("; ")))
            .hint(|| "the mirror may be in the middle of an update: try again later, or give another --mirror")
    }

    /// Where the file may be below the archive's root: under its hash, which stays right while a mirror is updated
    /// (Debian repository format, "Acquire-By-Hash"), then under its name.
    fn paths(&self) -> Vec<String> {
        let plain = self.suite.source.path_of(&self.path);
        if !self.suite.release.acquire_by_hash {
            return vec![plain];
        }
        let folder = self.path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        vec![self.suite.source.path_of(&format!("{folder}by-hash/SHA256/{}", self.sha256)), plain]
    }
}

/// The table of a compressed index, as bytes. The text is never whole in memory.
fn compile(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>> {
    let text: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(bytes),
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(bytes)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).context("cannot decompress it")?),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
    };
    table::compile(&mut BufReader::with_capacity(1 << 17, text))
}
