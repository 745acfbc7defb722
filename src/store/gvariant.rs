//! Values as glib serialises its variants (`gvariant-specification`), which objects are made of, written and read as bytes.
//! All types here but the numbers at the front are byte-aligned, so nothing is padded. glib's own readers wait for each other, for
//! each value, at a lock around its table of types.

use std::ffi::CStr;

use anyhow::{Context, Result};

use super::object::{Attributes, Xattrs};
use super::tree::Entries;
use crate::digest::Sha256;

/// In how many bytes each end stands in a container of this size.
fn width(size: usize) -> usize {
    [1, 2, 4].into_iter().find(|width| size < 1 << (8 * width)).unwrap_or(8)
}

/// A container's end: after its members stand the ends of those of variable size, in as few bytes each as can hold the
/// whole container's size.
fn frame(mut body: Vec<u8>, ends: impl ExactSizeIterator<Item = usize>) -> Vec<u8> {
    let count = ends.len();
    let width = [1, 2, 4].into_iter().find(|w| width(body.len() + w * count) <= *w).unwrap_or(8);
    for end in ends {
        body.extend_from_slice(&end.to_le_bytes()[..width]);
    }
    body
}

/// A tuple of byte-aligned members of variable size behind a `front` of fixed size. The ends stand last to first, and the
/// last member has none.
fn tuple(front: &[u8], members: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::with_capacity(front.len() + members.iter().map(|m| m.len() + 4).sum::<usize>());
    body.extend_from_slice(front);
    let mut ends = Vec::with_capacity(members.len());
    for member in members {
        body.extend_from_slice(member);
        ends.push(body.len());
    }
    ends.pop();
    frame(body, ends.into_iter().rev())
}

/// An array of elements of variable size.
fn array(elements: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let (mut body, mut ends) = (Vec::new(), Vec::new());
    for element in elements {
        body.extend_from_slice(&element);
        ends.push(body.len());
    }
    frame(body, ends.into_iter())
}

/// The number of a container's ends that stands at `at`, if what it ends is no further than that.
fn end(container: &[u8], at: usize) -> Option<usize> {
    let mut number = [0; 8];
    let bytes = container.get(at..at + width(container.len()))?;
    number[..bytes.len()].copy_from_slice(bytes);
    usize::try_from(u64::from_le_bytes(number)).ok().filter(|end| *end <= at)
}

/// The members that [`tuple`] was given.
fn members<const N: usize>(tuple: &[u8], front: usize) -> Option<[&[u8]; N]> {
    let mut ends_at = tuple.len();
    let (mut start, mut members) = (front, [&[][..]; N]);
    for (number, member) in members.iter_mut().enumerate() {
        let stop = if number + 1 == N {
            ends_at
        } else {
            ends_at = ends_at.checked_sub(width(tuple.len()))?;
            end(tuple, ends_at)?
        };
        *member = tuple.get(start..stop)?;
        start = stop;
    }
    Some(members)
}

/// The elements that [`array`] was given.
fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    if array.is_empty() {
        return Some(Vec::new());
    }
    let width = width(array.len());
    let ends = end(array, array.len().checked_sub(width)?)?;
    let mut start = 0;
    let next = |at| {
        let stop = end(array, at)?;
        let element = array.get(start..stop)?;
        start = stop;
        Some(element)
    };
    (array.len() - ends).is_multiple_of(width).then(|| (ends..array.len()).step_by(width).map(next).collect())?
}

fn text(string: &[u8]) -> Option<&str> {
    CStr::from_bytes_with_nul(string).ok()?.to_str().ok()
}

fn checksum(bytes: &[u8]) -> Option<Sha256> {
    bytes.try_into().ok().map(Sha256::from_bytes)
}

fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// Extended attributes as ostree orders and types them: `a(ayay)`, names with a final NUL.
fn xattrs(xattrs: &Xattrs) -> Vec<u8> {
    array(xattrs.iter().map(|(name, value)| tuple(&[], &[&string(name), value])))
}

/// `(uuuusa(ayay))`: what `ostree_checksum_file` hashes of a file beside its content, numbers in big-endian order.
pub(super) fn file_header(uid: u32, gid: u32, mode: u32, target: &str, attributes: &Xattrs) -> Vec<u8> {
    let front = [uid.to_be_bytes(), gid.to_be_bytes(), mode.to_be_bytes(), [0; 4]].concat();
    tuple(&front, &[&string(target), &xattrs(attributes)])
}

/// `(uuua(ayay))`, `OSTREE_DIRMETA_GVARIANT_FORMAT` in ostree-core.h, numbers in big-endian order.
pub(super) fn dirmeta(uid: u32, gid: u32, mode: u32, attributes: &Xattrs) -> Vec<u8> {
    tuple(&[uid.to_be_bytes(), gid.to_be_bytes(), mode.to_be_bytes()].concat(), &[&xattrs(attributes)])
}

/// `(a(say)a(sayay))`, `OSTREE_TREE_GVARIANT_FORMAT` in ostree-core.h: files with their checksums, and directories with
/// those of their tree and meta objects, both in order of names.
pub(super) fn dirtree<'a>(
    files: impl Iterator<Item = (&'a str, &'a [u8; 32])>,
    directories: impl Iterator<Item = (&'a str, &'a [u8; 32], &'a [u8; 32])>,
) -> Vec<u8> {
    let files = array(files.map(|(name, file)| tuple(&[], &[&string(name), file])));
    let directories = array(directories.map(|(name, tree, meta)| tuple(&[], &[&string(name), tree, meta])));
    tuple(&[], &[&files, &directories])
}

/// Reads what [`dirmeta`] wrote.
pub(super) fn read_dirmeta(bytes: &[u8]) -> Result<Attributes> {
    let read = || {
        let number = |at| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let [attributes] = members(bytes, 12)?;
        let pair = |pair| {
            let [name, value] = members(pair, 0)?;
            Some((text(name)?.to_owned(), value.to_vec()))
        };
        let xattrs = elements(attributes)?.into_iter().map(pair).collect::<Option<_>>()?;
        Some(Attributes { uid: number(0)?, gid: number(4)?, mode: number(8)?, xattrs })
    };
    read().context("it is no `dirmeta` object")
}

/// Reads what [`dirtree`] wrote.
pub(super) fn read_dirtree(bytes: &[u8]) -> Result<Entries> {
    let read = || {
        let [files, directories] = members(bytes, 0)?;
        let file = |file| {
            let [name, object] = members(file, 0)?;
            Some((text(name)?.to_owned(), checksum(object)?))
        };
        let directory = |directory| {
            let [name, tree, meta] = members(directory, 0)?;
            Some((text(name)?.to_owned(), (checksum(tree)?, checksum(meta)?)))
        };
        Some(Entries {
            files: elements(files)?.into_iter().map(file).collect::<Option<_>>()?,
            directories: elements(directories)?.into_iter().map(directory).collect::<Option<_>>()?,
        })
    };
    read().context("it is no `dirtree` object")
}

#[cfg(test)]
mod tests {
    use glib::prelude::*;
    use glib::variant::{FixedSizeVariantArray, Variant};

    use super::*;

    fn bytes(bytes: &[u8]) -> Variant {
        FixedSizeVariantArray::from(bytes.to_vec()).to_variant()
    }

    fn glib_array(element: &str, children: impl IntoIterator<Item = Variant>) -> Variant {
        Variant::array_from_iter_with_type(glib::VariantTy::new(element).unwrap(), children)
    }

    fn glib_xattrs(xattrs: &Xattrs) -> Variant {
        let pair = |(name, value): (&String, &Vec<u8>)| Variant::tuple_from_iter([bytes(&string(name)), bytes(value)]);
        glib_array("(ayay)", xattrs.iter().map(pair))
    }

    /// Sizes around those at which ends take more bytes.
    const SIZES: [usize; 12] = [0, 1, 200, 235, 236, 237, 238, 240, 255, 256, 65_510, 65_536];

    fn samples() -> impl Iterator<Item = (String, Xattrs)> {
        SIZES.into_iter().flat_map(|size| {
            let texts = ["", "a", "user.name"].map(|name| Xattrs::from([(name.to_owned(), vec![7; size])]));
            let many = (0..size.min(300)).map(|n| (format!("user.{n}"), vec![1; n])).collect();
            let all = texts.into_iter().chain([Xattrs::new(), many]);
            all.map(move |xattrs| ("t".repeat(size), xattrs))
        })
    }

    #[test]
    fn headers_are_as_glib_writes_them() {
        for (target, xattrs) in samples() {
            let number = |n: u32| n.to_be().to_variant();
            let (uid, gid, mode) = (number(1), number(65_534), number(0o100_644));
            let glibs = [uid.clone(), gid.clone(), mode.clone(), 0_u32.to_variant(), target.to_variant()];
            let glibs = Variant::tuple_from_iter(glibs.into_iter().chain([glib_xattrs(&xattrs)]));
            assert_eq!(file_header(1, 65_534, 0o100_644, &target, &xattrs), glibs.data());
            let glibs = Variant::tuple_from_iter([uid, gid, mode, glib_xattrs(&xattrs)]);
            let written = dirmeta(1, 65_534, 0o100_644, &xattrs);
            assert_eq!(written, glibs.data());
            let attributes = Attributes { uid: 1, gid: 65_534, mode: 0o100_644, xattrs };
            assert_eq!(read_dirmeta(&written).unwrap(), attributes);
        }
    }

    #[test]
    fn directories_are_as_glib_writes_them() {
        for (files, directories, length) in
            [(0, 0, 1), (1, 0, 1), (0, 1, 200), (7, 2, 30), (300, 900, 90), (2000, 1, 9)]
        {
            let names =
                |count: usize| (0..count).map(move |n| format!("{n}{}", "n".repeat(length))).collect::<Vec<_>>();
            let (files, directories) = (names(files), names(directories));
            let written = dirtree(
                files.iter().map(|name| (name.as_str(), &[1; 32])),
                directories.iter().map(|name| (name.as_str(), &[2; 32], &[3; 32])),
            );
            let of_file = |name: &String| Variant::tuple_from_iter([name.to_variant(), bytes(&[1; 32])]);
            let of_directory =
                |name: &String| Variant::tuple_from_iter([name.to_variant(), bytes(&[2; 32]), bytes(&[3; 32])]);
            let glibs = Variant::tuple_from_iter([
                glib_array("(say)", files.iter().map(of_file)),
                glib_array("(sayay)", directories.iter().map(of_directory)),
            ]);
            assert_eq!(written, glibs.data());
            let [object, tree, meta] = [1, 2, 3].map(|byte| Sha256::from_bytes([byte; 32]));
            let entries = Entries {
                files: files.into_iter().map(|name| (name, object)).collect(),
                directories: directories.into_iter().map(|name| (name, (tree, meta))).collect(),
            };
            assert_eq!(read_dirtree(&written).unwrap(), entries);
        }
    }

    #[test]
    fn what_is_damaged_is_no_object() {
        let tree =
            dirtree([("carp", &[1; 32]), ("dace", &[2; 32])].into_iter(), [("eel", &[3; 32], &[4; 32])].into_iter());
        let meta = dirmeta(1, 2, 0o40_755, &Xattrs::from([("user.name".to_owned(), vec![7; 3])]));
        assert!(read_dirtree(&dirtree([("ca\0rp", &[1; 32])].into_iter(), std::iter::empty())).is_err());
        // Whatever it is read as, it is read without a panic.
        for (bytes, least) in [(&tree, 40), (&meta, 1)] {
            let (mut refused, mut changed) = (0, bytes.clone());
            for at in 0..bytes.len() {
                for value in [0, 1, bytes[at].wrapping_add(1), bytes[at].wrapping_sub(1), 0x7f, 0xff] {
                    changed[at] = value;
                    refused += usize::from(read_dirtree(&changed).is_err() && read_dirmeta(&changed).is_err());
                }
                changed[at] = bytes[at];
                refused += usize::from(read_dirtree(&bytes[..at]).is_err() && read_dirmeta(&bytes[..at]).is_err());
            }
            assert!(refused >= least, "{refused}");
        }
    }
}
