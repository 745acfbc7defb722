"""Compares two roots that are tar archives, path by path, for the oracles that have another program make compose's root.

A row of expected differences has patterns (fnmatch) for a path, or for PATH -> TARGET; the reason; and, where only a part of a file's
content may differ, what gives the part that may not.
"""

import collections
import difflib
import fnmatch
import hashlib
import tarfile

FIELDS = ["kind", "mode", "owner", "target", "device", "xattrs", "same file as", "size"]
Entry = collections.namedtuple("Entry", "kind mode owner target device xattrs same size content rest")
KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
}
# A text with more differing lines than this is cut.
SHOWN_LINES = 30


def fits(texts, patterns):
    """Whether one of the patterns, with spaces between them, fits one of the texts."""
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts for pattern in patterns.split())


def read_tar(path, expected):
    """Every path of an archive."""
    entries, first = {}, {}
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix(".").strip("/")
            if member.islnk():
                target = member.linkname.removeprefix(".").strip("/")
                first[name] = first.get(target, target)
                continue
            kind = KINDS.get(member.type, repr(member.type))
            size, content, rest = 0, "", ""
            if kind == "file":
                size, content = member.size, hashlib.file_digest(tar.extractfile(member), "sha256").hexdigest()
                leave = next((leave for patterns, _, leave in expected if leave and fits([name], patterns)), None)
                rest = hashlib.sha256(leave(tar.extractfile(member).read())).hexdigest() if leave else content
            xattrs = {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            device = (member.devmajor, member.devminor) if "device" in kind else None
            # Whether a link has mode bits is the file system's affair.
            mode = "" if kind == "link" else f"{member.mode:04o}"
            target = member.linkname if kind == "link" else ""
            entries[name] = Entry(kind, mode, (member.uid, member.gid), target, device, xattrs, (), size, content, rest)
    groups = collections.defaultdict(set)
    for name, target in first.items():
        groups[target] |= {name, target}
    for names in groups.values():
        entry = next(entries[name] for name in names if name in entries)
        for name in names:
            entries[name] = entry._replace(same=tuple(sorted(names - {name})))
    return entries


def read_members(path, names):
    """Contents of some files of an archive."""
    contents = {}
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix(".").strip("/")
            if name in names and (member.isreg() or member.islnk()):
                contents[name] = tar.extractfile(member).read()
    return contents


def differences(ours, theirs, other):
    """Path and words for each path that is not the same in both."""
    for path in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(path), theirs.get(path)
        if a is None or b is None:
            yield path, f"only in {'compose' if b is None else other} ({(a or b).kind})"
        elif a != b:
            fields = [(f, x, y) for f, x, y in zip(FIELDS, a, b) if x != y]
            words = [f"{field}: compose {x}, {other} {y}" for field, x, y in fields]
            yield path, "; ".join(words) or "content"


def text_difference(ours, theirs, other):
    """The lines that differ, indented; a word on what is no text."""
    try:
        a, b = ours.decode().splitlines(), theirs.decode().splitlines()
    except UnicodeDecodeError:
        return ["    (not text)"]
    lines = list(difflib.unified_diff(b, a, other, "compose", lineterm="", n=1))
    cut = [f"… {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else []
    return [f"    {line[:200]}" for line in lines[:SHOWN_LINES] + cut]


def explanation(path, ours, theirs, expected):
    """The row that explains why a path is not the same in both, if there is one."""
    texts = [path, *(f"{path} -> {entry.target}" for entry in (ours, theirs) if entry and entry.target)]
    same_rest = ours and theirs and ours._replace(size=0, content="") == theirs._replace(size=0, content="")
    return next((row for row in expected if fits(texts, row[0]) and (same_rest or not row[2])), None)


def compare(ours_path, theirs_path, other, expected):
    """Prints what differs from the root of the other program; gives how many paths differ without a row that expects it."""
    ours, theirs = read_tar(ours_path, expected), read_tar(theirs_path, expected)
    explained, defects = collections.Counter(), []
    for path, words in differences(ours, theirs, other):
        row = explanation(path, ours.get(path), theirs.get(path), expected)
        if row:
            explained[row] += 1
        else:
            defects.append((path, words))
    files = {path for path, _ in defects if path in ours and path in theirs and ours[path].content != theirs[path].content}
    a, b = read_members(ours_path, files), read_members(theirs_path, files)
    print(f"{len(ours.keys() | theirs.keys())} paths, {len(defects)} differ without a reason, {explained.total()} with one")
    for (patterns, reason, _), count in explained.items():
        print(f"  expected: {patterns} ({count}): {reason}")
    for path, words in defects:
        print(f"  /{path}: {words}")
        if path in files:
            print("\n".join(text_difference(a[path], b[path], other)))
    return len(defects)
