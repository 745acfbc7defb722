//! System calls that name files, and what each does with them, of this program's own architecture (syscalls(2)).

use libc::{c_int, c_long};

use crate::sandbox::filter;

/// What a call does with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// Asks whether it is there and what may be done with it.
    Test,
    /// Asks for all that can be known of it.
    Look,
    /// Opens it, with these flags of open(2).
    Open(u64),
    /// Opens it, as the struct of openat2(2) at this address says.
    OpenHow(u64),
    /// Executes it.
    Execute,
    /// Makes something with this name, or fails because of what has it.
    Name,
    /// Takes it away, unless it is a folder.
    Remove,
    /// Takes a folder away, unless something is in it.
    RemoveFolder,
    /// Takes it away for another name, or gives it another name.
    Move,
    /// Changes what is there.
    Change,
    /// Something that is not understood here.
    Unknown,
}

/// A name in a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Named {
    /// The folder that a relative name starts from, as a file descriptor; the working directory without one.
    pub folder: Option<c_int>,
    /// Where the process keeps the name; without one the folder's descriptor is what is meant.
    pub address: Option<u64>,
    /// Whether a symbolic link at its end is followed.
    pub follow: bool,
    /// What is done.
    pub deed: Deed,
}

/// How the arguments of a call are read.
#[derive(Clone, Copy)]
struct Row {
    number: c_long,
    deed: Deed,
    /// Which argument is the folder's descriptor, if any.
    folder: Option<usize>,
    /// Which argument is the name; none where the descriptor is all.
    name: Option<usize>,
    /// Whether links are followed.
    follow: Follow,
}

#[derive(Clone, Copy)]
enum Follow {
    Always,
    Never,
    /// Unless this argument has `AT_SYMLINK_NOFOLLOW`.
    Unless(usize),
    /// When this argument has `AT_SYMLINK_FOLLOW`.
    When(usize),
    /// As the flags of open(2) in this argument say, which are its deed, too.
    Flags(usize),
    /// As the struct that this argument points to says.
    How(usize),
}

const fn plain(number: c_long, deed: Deed, name: usize, follow: Follow) -> Row {
    Row { number, deed, folder: None, name: Some(name), follow }
}

const fn at(number: c_long, deed: Deed, folder: usize, follow: Follow) -> Row {
    Row { number, deed, folder: Some(folder), name: Some(folder + 1), follow }
}

const fn descriptor(number: c_long, deed: Deed) -> Row {
    Row { number, deed, folder: Some(0), name: None, follow: Follow::Never }
}

/// The calls of every architecture.
const CALLS: &[Row] = &[
    at(libc::SYS_openat, Deed::Open(0), 0, Follow::Flags(2)),
    at(libc::SYS_openat2, Deed::OpenHow(0), 0, Follow::How(2)),
    at(libc::SYS_newfstatat, Deed::Look, 0, Follow::Unless(3)),
    at(libc::SYS_statx, Deed::Look, 0, Follow::Unless(2)),
    at(libc::SYS_faccessat, Deed::Test, 0, Follow::Always),
    at(libc::SYS_faccessat2, Deed::Test, 0, Follow::Unless(3)),
    at(libc::SYS_readlinkat, Deed::Look, 0, Follow::Never),
    at(libc::SYS_execveat, Deed::Execute, 0, Follow::Unless(4)),
    at(libc::SYS_mkdirat, Deed::Name, 0, Follow::Never),
    at(libc::SYS_mknodat, Deed::Name, 0, Follow::Never),
    at(libc::SYS_unlinkat, Deed::Remove, 0, Follow::Never),
    at(libc::SYS_symlinkat, Deed::Name, 1, Follow::Never),
    at(libc::SYS_linkat, Deed::Move, 0, Follow::When(4)),
    at(libc::SYS_linkat, Deed::Name, 2, Follow::Never),
    at(libc::SYS_renameat2, Deed::Move, 0, Follow::Never),
    at(libc::SYS_renameat2, Deed::Name, 2, Follow::Never),
    at(libc::SYS_fchmodat, Deed::Change, 0, Follow::Always),
    at(FCHMODAT2, Deed::Change, 0, Follow::Unless(3)),
    at(libc::SYS_fchownat, Deed::Change, 0, Follow::Unless(4)),
    // Times are no part of a root, but scripts compare them.
    at(libc::SYS_utimensat, Deed::Change, 0, Follow::Unless(3)),
    at(SETXATTRAT, Deed::Change, 0, Follow::Unless(2)),
    at(GETXATTRAT, Deed::Look, 0, Follow::Unless(2)),
    at(LISTXATTRAT, Deed::Look, 0, Follow::Unless(2)),
    at(REMOVEXATTRAT, Deed::Change, 0, Follow::Unless(2)),
    at(FILE_SETATTR, Deed::Unknown, 0, Follow::Always),
    plain(libc::SYS_execve, Deed::Execute, 0, Follow::Always),
    plain(libc::SYS_chdir, Deed::Test, 0, Follow::Always),
    plain(libc::SYS_statfs, Deed::Test, 0, Follow::Always),
    plain(libc::SYS_chroot, Deed::Unknown, 0, Follow::Always),
    plain(libc::SYS_truncate, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_setxattr, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_lsetxattr, Deed::Change, 0, Follow::Never),
    plain(libc::SYS_removexattr, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_lremovexattr, Deed::Change, 0, Follow::Never),
    plain(libc::SYS_getxattr, Deed::Look, 0, Follow::Always),
    plain(libc::SYS_lgetxattr, Deed::Look, 0, Follow::Never),
    plain(libc::SYS_listxattr, Deed::Look, 0, Follow::Always),
    plain(libc::SYS_llistxattr, Deed::Look, 0, Follow::Never),
    at(libc::SYS_name_to_handle_at, Deed::Look, 0, Follow::When(4)),
    descriptor(libc::SYS_fchmod, Deed::Change),
    descriptor(libc::SYS_fchown, Deed::Change),
    descriptor(libc::SYS_fsetxattr, Deed::Change),
    descriptor(libc::SYS_fremovexattr, Deed::Change),
];

// The same numbers on every architecture; Linux 6.6, 6.13 and 6.17.
const FCHMODAT2: c_long = 452;
const SETXATTRAT: c_long = 463;
const GETXATTRAT: c_long = 464;
const LISTXATTRAT: c_long = 465;
const REMOVEXATTRAT: c_long = 466;
const FILE_SETATTR: c_long = 469;

/// The first number whose call is not known here.
pub(super) const UNKNOWN: u32 = 470;

/// Calls that newer architectures do without.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[Row] = &[
    plain(libc::SYS_open, Deed::Open(0), 0, Follow::Flags(1)),
    plain(libc::SYS_creat, Deed::Open(CREAT), 0, Follow::Always),
    plain(libc::SYS_stat, Deed::Look, 0, Follow::Always),
    plain(libc::SYS_lstat, Deed::Look, 0, Follow::Never),
    plain(libc::SYS_access, Deed::Test, 0, Follow::Always),
    plain(libc::SYS_readlink, Deed::Look, 0, Follow::Never),
    plain(libc::SYS_mkdir, Deed::Name, 0, Follow::Never),
    plain(libc::SYS_mknod, Deed::Name, 0, Follow::Never),
    plain(libc::SYS_unlink, Deed::Remove, 0, Follow::Never),
    plain(libc::SYS_rmdir, Deed::RemoveFolder, 0, Follow::Never),
    plain(libc::SYS_symlink, Deed::Name, 1, Follow::Never),
    plain(libc::SYS_link, Deed::Move, 0, Follow::Never),
    plain(libc::SYS_link, Deed::Name, 1, Follow::Never),
    plain(libc::SYS_rename, Deed::Move, 0, Follow::Never),
    plain(libc::SYS_rename, Deed::Name, 1, Follow::Never),
    at(libc::SYS_renameat, Deed::Move, 0, Follow::Never),
    at(libc::SYS_renameat, Deed::Name, 2, Follow::Never),
    plain(libc::SYS_chmod, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_chown, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_lchown, Deed::Change, 0, Follow::Never),
    plain(libc::SYS_utime, Deed::Change, 0, Follow::Always),
    plain(libc::SYS_utimes, Deed::Change, 0, Follow::Always),
    at(libc::SYS_futimesat, Deed::Change, 0, Follow::Always),
];
/// `renameat`, of which libc has no number here.
#[cfg(target_arch = "aarch64")]
const OLD_CALLS: &[Row] = &[at(38, Deed::Move, 0, Follow::Never), at(38, Deed::Name, 2, Follow::Never)];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OLD_CALLS: &[Row] = &[];

/// creat(2) in terms of open(2).
#[cfg(target_arch = "x86_64")]
const CREAT: u64 = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;

/// The numbers of all calls that [`names`] understands; none on an architecture whose calls are not known here.
pub(super) fn numbers() -> Option<(u32, Vec<u32>)> {
    let architecture = filter::audit_architecture()?;
    let mut numbers: Vec<u32> = CALLS.iter().chain(OLD_CALLS).filter_map(|row| row.number.try_into().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Some((architecture, numbers))
}

/// Whether flags have all of these.
pub(super) fn has(flags: u64, wanted: c_int) -> bool {
    let wanted = u64::from(wanted.cast_unsigned());
    flags & wanted == wanted
}

/// Whether open(2) with these flags follows a link.
pub(super) fn follows(flags: u64) -> bool {
    !has(flags, libc::O_NOFOLLOW) && !has(flags, libc::O_CREAT | libc::O_EXCL)
}

/// The names in a call of this number and these arguments.
pub(super) fn names(number: c_int, arguments: &[u64; 6]) -> impl Iterator<Item = Named> {
    let rows = CALLS.iter().chain(OLD_CALLS).filter(move |row| row.number == c_long::from(number));
    rows.map(|row| {
        let has = |argument: usize, flag: c_int| has(arguments[argument], flag);
        let (follow, deed) = match row.follow {
            Follow::Always => (true, row.deed),
            Follow::Never => (false, row.deed),
            Follow::Unless(flags) => (!has(flags, libc::AT_SYMLINK_NOFOLLOW), row.deed),
            Follow::When(flags) => (has(flags, libc::AT_SYMLINK_FOLLOW), row.deed),
            Follow::Flags(flags) => (follows(arguments[flags]), Deed::Open(arguments[flags])),
            Follow::How(how) => (true, Deed::OpenHow(arguments[how])),
        };
        let deed = match deed {
            Deed::Remove if row.folder.is_some() && has(2, libc::AT_REMOVEDIR) => Deed::RemoveFolder,
            Deed::Name if row.number == libc::SYS_renameat2 && has(4, libc::RENAME_EXCHANGE.cast_signed()) => {
                Deed::Move
            }
            deed => deed,
        };
        // Descriptors are ints, whatever stands in the upper half.
        let folder = row.folder.map(|index| arguments[index] as c_int).filter(|folder| *folder != libc::AT_FDCWD);
        Named { folder, address: row.name.map(|index| arguments[index]), follow, deed }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_the_manual_says() {
        let read = |number: c_long, arguments: [u64; 6]| names(number as c_int, &arguments).collect::<Vec<_>>();
        let cwd = u64::from(libc::AT_FDCWD.cast_unsigned());
        let flags = u64::from((libc::O_CREAT | libc::O_EXCL | libc::O_RDWR).cast_unsigned());
        assert_eq!(
            read(libc::SYS_openat, [cwd, 7, flags, 0, 0, 0]),
            [Named { folder: None, address: Some(7), follow: false, deed: Deed::Open(flags) }]
        );
        assert_eq!(
            read(libc::SYS_renameat2, [3, 7, 4, 8, 0, 0]),
            [
                Named { folder: Some(3), address: Some(7), follow: false, deed: Deed::Move },
                Named { folder: Some(4), address: Some(8), follow: false, deed: Deed::Name },
            ]
        );
        assert!(read(libc::SYS_renameat2, [3, 7, 4, 8, 2, 0]).iter().all(|named| named.deed == Deed::Move));
        let directory = u64::from(libc::AT_REMOVEDIR.cast_unsigned());
        assert_eq!(read(libc::SYS_unlinkat, [3, 7, 0, 0, 0, 0])[0].deed, Deed::Remove);
        assert_eq!(read(libc::SYS_unlinkat, [3, 7, directory, 0, 0, 0])[0].deed, Deed::RemoveFolder);
        let nofollow = u64::from(libc::AT_SYMLINK_NOFOLLOW.cast_unsigned());
        assert!(!read(libc::SYS_newfstatat, [cwd, 7, 0, nofollow, 0, 0])[0].follow);
        assert_eq!(read(libc::SYS_fchmod, [5, 0o644, 0, 0, 0, 0])[0].address, None);
        assert!(read(libc::SYS_getpid, [0; 6]).is_empty());
    }
}
