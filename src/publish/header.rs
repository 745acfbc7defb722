//! The header of a template package: what upstream's spec says, in the tags that rpmbuild makes of it.

use anyhow::{Context, Result};

use super::files::{Content, FOLDER, PackagedFile};
use super::payload::{LEVEL, Payload};
use crate::digest::Sha256;
use crate::manifest::Template;
use crate::package::rpm::header::{Header, Value};
use crate::package::rpm::tag;

/// The package's name without the template's.
pub const PREFIX: &str = "qubes-template-";

/// Upstream's refusal: qvm-template reads the package and never runs this; rpm and dnf must not install it.
const REFUSAL: &str = "\
echo '***** ERROR: do not install template using rpm/dnf or similar' >&2
echo \"*****        use 'qvm-template install' instead\" >&2
exit 1";

/// What the package needs: name, flags, version.
const REQUIRES: [(&str, u32, &str); 7] = [
    ("/bin/sh", tag::SCRIPT_PRE | tag::INTERPRETER, ""),
    ("rpmlib(CompressedFileNames)", RPMLIB, "3.0.4-1"),
    ("rpmlib(FileDigests)", RPMLIB, "4.6.0-1"),
    ("rpmlib(PayloadFilesHavePrefix)", RPMLIB, "4.0-1"),
    ("rpmlib(PayloadIsZstd)", RPMLIB, "5.4.18-1"),
    ("tar", tag::SCRIPT_POST, ""),
    ("xdg-utils", 0, ""),
];
const RPMLIB: u32 = tag::RPMLIB | tag::LESS_EQUAL;

/// The header of a package with these files and this payload. `date` is the only time in it, in seconds since 1970.
pub fn header(
    template: &Template,
    release: &str,
    date: u32,
    files: &[PackagedFile],
    payload: &Payload,
) -> Result<Header> {
    let mut header = Header::new(tag::IMMUTABLE);
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |number: u32| Value::Int32(vec![number]);
    let name = format!("{PREFIX}{}", template.name);
    let version = format!("{}-{release}", template.version);

    header.set(tag::I18NTABLE, Value::Texts(vec!["C".to_owned()]));
    header.set(tag::NAME, text(&name));
    header.set(tag::VERSION, text(&template.version));
    header.set(tag::RELEASE, text(release));
    header.set(tag::SUMMARY, Value::Translated(template.summary.clone()));
    header.set(tag::DESCRIPTION, Value::Translated(template.description.clone()));
    header.set(tag::BUILDTIME, number(date));
    header.set(tag::BUILDHOST, text("localhost"));
    header.set(tag::LICENSE, text(&template.license));
    header.set(tag::GROUP, Value::Translated("Unspecified".to_owned()));
    header.set(tag::URL, text(&template.url));
    header.set(tag::OS, text("linux"));
    header.set(tag::ARCH, text("noarch"));
    header.set(tag::PREIN, text(REFUSAL));
    header.set(tag::PREINPROG, text("/bin/sh"));
    // Without a source package's name rpm takes a package for one.
    header.set(tag::SOURCERPM, text(&format!("{name}-{version}.src.rpm")));
    // The rpm whose packages have this form.
    header.set(tag::RPMVERSION, text("4.18.0"));
    header.set(tag::ENCODING, text("utf-8"));

    header.set(tag::PROVIDENAME, texts(["qubes-template", &name]));
    header.set(tag::PROVIDEFLAGS, Value::Int32(vec![0, tag::EQUAL]));
    header.set(tag::PROVIDEVERSION, texts(["", &version]));
    header.set(tag::REQUIRENAME, texts(REQUIRES.map(|(name, ..)| name)));
    header.set(tag::REQUIREFLAGS, Value::Int32(REQUIRES.map(|(_, flags, _)| flags).to_vec()));
    header.set(tag::REQUIREVERSION, texts(REQUIRES.map(|(.., version)| version)));
    header.set(tag::OBSOLETENAME, texts([name.as_str()]));
    header.set(tag::OBSOLETEFLAGS, number(tag::GREATER));
    header.set(tag::OBSOLETEVERSION, texts([version.as_str()]));

    list_files(&mut header, &template.name, date, files, &payload.files)?;

    header.set(tag::PAYLOADFORMAT, text("cpio"));
    header.set(tag::PAYLOADCOMPRESSOR, text("zstd"));
    header.set(tag::PAYLOADFLAGS, text(&LEVEL.to_string()));
    header.set(tag::PAYLOADDIGEST, texts([payload.compressed.0.to_hex().as_str()]));
    header.set(tag::PAYLOADDIGESTALGO, number(tag::SHA256));
    header.set(tag::PAYLOADDIGESTALT, texts([payload.archive.0.to_hex().as_str()]));
    Ok(header)
}

fn list_files(
    header: &mut Header,
    template: &str,
    date: u32,
    files: &[PackagedFile],
    digests: &[Option<Sha256>],
) -> Result<()> {
    let count = files.len();
    let each = |value: u32| Value::Int32(vec![value; count]);
    let numbers = |value: &dyn Fn(&PackagedFile) -> u32| Value::Int32(files.iter().map(value).collect());
    let is_ghost = |file: &PackagedFile| file.content == Content::Ghost;
    let sizes: Vec<u32> = files.iter().map(|file| u32::try_from(file.content.size())).collect::<Result<_, _>>()?;
    let total: u64 = files.iter().map(|file| file.content.size()).sum();
    match u32::try_from(total) {
        Ok(total) => header.set(tag::SIZE, Value::Int32(vec![total])),
        Err(_) => header.set(tag::LONGSIZE, Value::Int64(vec![total])),
    }
    header.set(tag::FILESIZES, Value::Int32(sizes));
    header.set(tag::FILEMODES, Value::Int16(files.iter().map(|file| file.mode).collect()));
    header.set(tag::FILERDEVS, Value::Int16(vec![0; count]));
    header.set(tag::FILEMTIMES, each(date));
    let digests = digests.iter().map(|digest| digest.map(Sha256::to_hex).unwrap_or_default());
    header.set(tag::FILEDIGESTS, Value::Texts(digests.collect()));
    header.set(tag::FILEDIGESTALGO, Value::Int32(vec![tag::SHA256]));
    header.set(tag::FILELINKTOS, Value::Texts(vec![String::new(); count]));
    header.set(tag::FILEFLAGS, numbers(&|file| if is_ghost(file) { tag::GHOST } else { 0 }));
    header.set(tag::FILEUSERNAME, Value::Texts(vec!["root".to_owned(); count]));
    header.set(tag::FILEGROUPNAME, Value::Texts(vec!["qubes".to_owned(); count]));
    let verified = |file: &PackagedFile| if is_ghost(file) { tag::VERIFY_GHOST } else { tag::VERIFY_ALL };
    header.set(tag::FILEVERIFYFLAGS, numbers(&verified));
    header.set(tag::FILEDEVICES, each(1));
    header.set(tag::FILEINODES, Value::Int32((1..=u32::try_from(count).context("too many files")?).collect()));
    header.set(tag::FILELANGS, Value::Texts(vec![String::new(); count]));
    // The template's folder is a file of the folder above it; all others are files in it.
    header.set(tag::DIRINDEXES, numbers(&|file| u32::from(!file.name.is_empty())));
    let names = files.iter().map(|file| if file.name.is_empty() { template } else { &file.name });
    header.set(tag::BASENAMES, texts(names));
    header.set(tag::DIRNAMES, texts([FOLDER, &format!("{FOLDER}{template}/")]));
    Ok(())
}

fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Texts(all.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::super::files::{files, tests::template};
    use super::super::payload::unknown;
    use super::*;

    #[test]
    fn digests_do_not_change_the_headers_size() {
        let files = files(&template(), 5 << 30).unwrap();
        let empty = unknown(&files);
        let mut full = empty.clone();
        full.compressed = (Sha256::of(b"a"), 1 << 40);
        full.archive = (Sha256::of(b"b"), 1 << 41);
        let length = |payload| header(&template(), "202611140912", 7, &files, payload).unwrap().to_bytes().len();
        assert_eq!(length(&empty), length(&full));
    }

    #[test]
    fn sums_beyond_4_gib_have_a_tag_of_their_own() {
        let size = |archive| {
            let files = files(&template(), archive).unwrap();
            let header = header(&template(), "1", 7, &files, &unknown(&files)).unwrap();
            (header.number(tag::SIZE).is_some(), header.number(tag::LONGSIZE).is_some())
        };
        assert_eq!((size(1 << 30), size(5 << 30)), ((true, false), (false, true)));
    }
}
