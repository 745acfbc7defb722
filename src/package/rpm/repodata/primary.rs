//! Primary metadata as a table: every package of a repository with its relations and the files that primary metadata
//! lists, texts held once and named by numbers.

use std::collections::HashMap;
use std::io::BufRead;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::relation::{Range, Relation};
use super::super::xml::{self, Element, Part};
use super::check_location;
use crate::digest::Sha256;

/// A kind of relation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "rpm's own names")]
pub enum Field {
    Requires,
    Provides,
    Conflicts,
    Obsoletes,
    Recommends,
    Suggests,
    Supplements,
    Enhances,
}

const FIELDS: [(&str, Field); 8] = [
    ("requires", Field::Requires),
    ("provides", Field::Provides),
    ("conflicts", Field::Conflicts),
    ("obsoletes", Field::Obsoletes),
    ("recommends", Field::Recommends),
    ("suggests", Field::Suggests),
    ("supplements", Field::Supplements),
    ("enhances", Field::Enhances),
];

/// The packages of a repository, in its order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    text: String,
    /// Where each text ends.
    ends: Vec<u32>,
    /// The packages.
    pub packages: Vec<Package>,
    relations: Vec<Stored>,
    files: Vec<u32>,
}

/// A package. Texts are numbers for [`Table::text`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: u32,
    /// Architecture.
    pub architecture: u32,
    /// `[EPOCH:]VERSION-RELEASE`, without an epoch of 0.
    pub evr: u32,
    /// The source package's name, without version.
    pub source: u32,
    /// Path below the repository's root.
    pub location: u32,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes once installed.
    pub installed_size: u64,
    /// Digest of the file; none where the repository has one of another kind.
    pub sha256: Option<Sha256>,
    /// Where its relations of each field end.
    ends: [u32; 8],
    /// Where its relations begin.
    start: u32,
    files: (u32, u32),
}

/// A relation of a package. Texts are numbers for [`Table::text`].
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Name; in parentheses where the dependency is rich.
    pub name: u32,
    /// Versions.
    pub range: Range,
    /// Version; an empty text where every one will do.
    pub evr: u32,
}

impl Table {
    /// Reads primary metadata.
    pub fn parse(document: impl BufRead) -> Result<Self> {
        let mut reader = Reader::default();
        reader.number("");
        xml::read(document, &mut |part| match part {
            Part::Open(element) => reader.open(&element),
            Part::Close(name, text) => reader.close(name, text).with_context(|| reader.place()),
        })?;
        match reader.announced {
            None => bail!("it has no element `metadata` with a number of `packages`"),
            Some(count) if count != reader.table.packages.len() => {
                bail!("it announces {count} packages and has {}", reader.table.packages.len())
            }
            Some(_) => Ok(reader.table),
        }
    }

    /// A text by its number.
    pub fn text(&self, number: u32) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number as usize - 1] };
        &self.text[start as usize..self.ends[number as usize] as usize]
    }

    /// How many texts there are.
    pub fn texts(&self) -> u32 {
        self.ends.len() as u32
    }

    /// A package's relations of a field.
    pub fn relations(&self, package: &Package, field: Field) -> &[Stored] {
        let at = field as usize;
        let start = if at == 0 { package.start } else { package.ends[at - 1] };
        &self.relations[start as usize..package.ends[at] as usize]
    }

    /// The numbers of the paths that primary metadata lists for a package.
    pub fn files(&self, package: &Package) -> &[u32] {
        &self.files[package.files.0 as usize..package.files.1 as usize]
    }

    /// A relation with its texts.
    pub fn relation(&self, stored: &Stored) -> Relation<'_> {
        Relation { name: self.text(stored.name), range: stored.range, evr: self.text(stored.evr) }
    }
}

/// Whether primary metadata lists a path wherever a package has it (`createrepo_c`(8), "primary files").
pub fn lists(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

#[derive(Default)]
struct Reader {
    table: Table,
    numbers: HashMap<String, u32>,
    announced: Option<usize>,
    package: Package,
    fields: [Vec<Stored>; 8],
    files: Vec<u32>,
    field: Option<Field>,
    checksum_type: String,
}

impl Reader {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.table.text.push_str(text);
        self.table.ends.push(self.table.text.len() as u32);
        number
    }

    fn place(&self) -> String {
        match self.table.text(self.package.name) {
            "" => "a package before its name".to_owned(),
            name => format!("the package `{}`", name.escape_debug()),
        }
    }

    fn open(&mut self, element: &Element<'_>) -> Result<()> {
        match element.name() {
            "metadata" => {
                self.announced = element.attribute("packages")?.and_then(|count| count.parse().ok());
            }
            "package" => {
                self.package = Package::default();
                self.fields.iter_mut().for_each(Vec::clear);
                self.files.clear();
            }
            "version" => {
                let evr = evr(element)?;
                self.package.evr = self.number(&evr);
            }
            "checksum" => self.checksum_type = element.attribute("type")?.unwrap_or_default().into_owned(),
            "size" => {
                let number = |name| {
                    let text = element.attribute(name)?.unwrap_or_default();
                    text.parse::<u64>().ok().with_context(|| format!("`{text}` is no size"))
                };
                (self.package.size, self.package.installed_size) = (number("package")?, number("installed")?);
            }
            "location" => {
                if element.attribute("xml:base")?.is_some() {
                    bail!("{} is in another place than the repository", self.place());
                }
                let href = element.attribute("href")?.unwrap_or_default();
                check_location(&href).with_context(|| self.place())?;
                self.package.location = self.number(&href);
            }
            "entry" => {
                if let Some(field) = self.field {
                    let stored = self.entry(element).with_context(|| self.place())?;
                    self.fields[field as usize].push(stored);
                }
            }
            name => {
                if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
                    self.field = Some(*field);
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, element: &Element<'_>) -> Result<Stored> {
        let (mut name, mut range, mut evr) = (0, Range::ANY, String::new());
        let [mut epoch, mut version, mut release] = [None, None, None];
        for attribute in element.attributes() {
            let (key, value) = attribute?;
            match key {
                "name" => name = self.number(&value),
                "flags" => {
                    range = match &*value {
                        "EQ" => Range::EQUAL,
                        "LT" => Range::LESS,
                        "GT" => Range::GREATER,
                        "LE" => Range::LESS.or(Range::EQUAL),
                        "GE" => Range::GREATER.or(Range::EQUAL),
                        other => bail!("`{other}` compares no versions"),
                    }
                }
                "epoch" => epoch = Some(value),
                "ver" => version = Some(value),
                "rel" => release = Some(value),
                _ => {}
            }
        }
        if name == 0 {
            bail!("a relation has no name");
        }
        if range != Range::ANY {
            if let Some(epoch) = epoch.filter(|epoch| epoch != "0") {
                evr.push_str(&epoch);
                evr.push(':');
            }
            evr.push_str(&version.unwrap_or_default());
            if let Some(release) = release {
                evr.push('-');
                evr.push_str(&release);
            }
        }
        Ok(Stored { name, range, evr: self.number(&evr) })
    }

    fn close(&mut self, name: &str, text: &str) -> Result<()> {
        match name {
            "name" => {
                check_word("name", text)?;
                self.package.name = self.number(text);
            }
            "arch" => {
                check_word("architecture", text)?;
                self.package.architecture = self.number(text);
            }
            "checksum" if self.checksum_type == "sha256" => {
                let sha256 = text.parse().ok().with_context(|| format!("`{text}` is no SHA-256"))?;
                self.package.sha256 = Some(sha256);
            }
            "sourcerpm" => {
                let source = text.rsplitn(3, '-').nth(2).unwrap_or_default();
                self.package.source = self.number(source);
            }
            "file" => {
                let file = self.number(text);
                self.files.push(file);
            }
            "package" => self.finish()?,
            name if FIELDS.iter().any(|(known, _)| *known == name) => self.field = None,
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let package = &mut self.package;
        for (what, number) in [
            ("name", package.name),
            ("architecture", package.architecture),
            ("version", package.evr),
            ("location", package.location),
        ] {
            if number == 0 {
                bail!("it has no {what}");
            }
        }
        package.start = self.table.relations.len() as u32;
        for (end, field) in package.ends.iter_mut().zip(&self.fields) {
            self.table.relations.extend(field);
            *end = self.table.relations.len() as u32;
        }
        let start = self.table.files.len() as u32;
        self.table.files.extend(&self.files);
        package.files = (start, self.table.files.len() as u32);
        self.table.packages.push(package.clone());
        Ok(())
    }
}

/// Names and architectures become parts of paths and of messages.
fn check_word(what: &str, text: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-+._~^".contains(c);
    if text.is_empty() || text.starts_with(['.', '-']) || !text.chars().all(good) {
        bail!("`{}` is no {what} of a package", text.escape_debug());
    }
    Ok(())
}

/// `[EPOCH:]VERSION-RELEASE` of an element `version`.
fn evr(element: &Element<'_>) -> Result<String> {
    let part = |name: &str| -> Result<String> {
        let text = element.attribute(name)?.unwrap_or_default().into_owned();
        if text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '-')) {
            Ok(text)
        } else {
            bail!("`{}` is no part of a version", text.escape_debug())
        }
    };
    let (epoch, version, release) = (part("epoch")?, part("ver")?, part("rel")?);
    if version.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
        bail!("a version has no version, or an epoch that is no number");
    }
    Ok(match epoch.as_str() {
        "" | "0" => format!("{version}-{release}"),
        epoch => format!("{epoch}:{version}-{release}"),
    })
}
