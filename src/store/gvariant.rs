//! Values as glib serialises its variants (`gvariant-specification`), which objects are made of, written as bytes.
//! All types here but the numbers at the front are byte-aligned, so nothing is padded.

use super::object::Xattrs;

/// A container's end: after its members stand the ends of those of variable size, in as few bytes each as can hold the
/// whole container's size.
fn frame(mut body: Vec<u8>, ends: impl ExactSizeIterator<Item = usize>) -> Vec<u8> {
    let count = ends.len();
    let width = [1, 2, 4].into_iter().find(|width| body.len() + width * count < 1 << (8 * width)).unwrap_or(8);
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
            assert_eq!(dirmeta(1, 65_534, 0o100_644, &xattrs), glibs.data());
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
        }
    }
}
