"""Lists a folder tree in one fixed order: patterns, hidden files, links, collisions. Opens no file.

Symbolic links are followed, to files and to folders, inside the root or outside. A link to a folder that encloses it
is a loop and reported; a folder that links reach a second time is skipped, so that a listing always ends.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ragloom.components.source.base import ListedItem, os_error_reason, printable_path, special_file_type
from ragloom.components.source.file_age import trusted_mtime
from ragloom.core.records import Entry, Skipped, Unreadable


@dataclass(frozen=True)
class ListingRules:
    """What of a folder is listed.

    Attributes:
        include, exclude: patterns of relative paths; a file needs one of `include` and none of `exclude`.
        max_bytes: larger files are skipped.
        no_reader: says why a file of this name is not read; None where it is.
    """

    include: list[str]
    exclude: list[str]
    max_bytes: int
    no_reader: Callable[[str], str | None]


@dataclass(frozen=True)
class _ListedFolder:
    """A folder that is listed, and the one it was reached through."""

    path: Path
    identity: tuple[int, int]
    parent: _ListedFolder | None = None

    def encloses(self, identity: tuple[int, int]) -> bool:
        """Return whether a device and inode are this folder's, or of one that it was reached through."""
        folder: _ListedFolder | None = self
        while folder is not None and folder.identity != identity:
            folder = folder.parent
        return folder is not None


@dataclass(frozen=True)
class _FolderGroup:
    """Folders of the same id with the names in them; more than one only where names collide in NFC."""

    id: str
    members: list[tuple[_ListedFolder, list[str]]]


@lru_cache(maxsize=256)
def _compile_pattern(glob: str) -> re.Pattern[str]:
    """Translate a path pattern: `*` and `?` stay within a folder, `**` as a whole part crosses any number."""
    parts = unicodedata.normalize("NFC", glob).split("/")
    made = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            made += ".*" if last else "(?:[^/]+/)*"
            continue
        for piece in re.findall(r"\[!?\]?[^\]]*\]|.", part, re.DOTALL):
            if piece == "*":
                made += "[^/]*"
            elif piece == "?":
                made += "[^/]"
            elif len(piece) > 2:
                made += _character_class(piece)
            else:
                made += re.escape(piece)
        made += "" if last else "/"
    return re.compile(made, re.DOTALL)


def _character_class(piece: str) -> str:
    """Translate `[a-z]` or `[!a-z]`; what is no class, as `[z-a]`, stands for itself."""
    without, inside = ("^", piece[2:-1]) if piece[1] == "!" else ("", piece[1:-1])
    escaped = re.sub(r"([^\w-])", r"\\\1", inside)
    made = f"(?!/)[{without}{escaped}]"
    try:
        re.compile(made)
    except re.error:
        return re.escape(piece)
    return made


def matches_any(path: str, globs: list[str]) -> bool:
    """Return whether a relative path with `/`, in NFC, matches one of the patterns as a whole."""
    return any(_compile_pattern(glob).fullmatch(path) for glob in globs)


def list_folder(root: Path, rules: ListingRules) -> Iterator[ListedItem]:
    """List the files below `root`, ordered by id (code points), one folder in memory at a time.

    Raises:
        OSError: `root` itself cannot be listed.
    """
    top = _ListedFolder(root, _inode(root.stat()))
    return _FolderWalk(rules).below(_FolderGroup("", [(top, _names(root))]))


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _names(folder: Path) -> list[str]:
    """List the names in a folder by their ids, those of folders with a slash: so they sort as the ids below them."""
    with os.scandir(folder) as found:
        return sorted((f"{child.name}/" if _is_folder(child) else child.name for child in found), key=_nfc)


def _nfc(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class _FolderWalk:
    """One listing: it remembers the folders that links have led to."""

    def __init__(self, rules: ListingRules) -> None:
        self._rules = rules
        self._linked: dict[tuple[int, int], str] = {}

    def below(self, top: _FolderGroup) -> Iterator[ListedItem]:
        """List what is in folders and their sub-folders; not recursive, since a path has room for 2,000 of these."""
        opened = [self._inside(top)]
        while opened:
            for found in opened[-1]:
                if isinstance(found, _FolderGroup):
                    opened.append(self._inside(found))
                    break
                yield found
            else:
                opened.pop()

    def _inside(self, group: _FolderGroup) -> Iterator[ListedItem | _FolderGroup]:
        found = ((_nfc(name), folder, name) for folder, names in group.members for name in names)
        several = len(group.members) > 1
        children = sorted(found, key=lambda child: (child[0], str(child[1].path), child[2])) if several else found
        for key, same in itertools.groupby(children, lambda child: child[0]):
            list_them = self._folders if key.endswith("/") else self._files
            yield from list_them(group.id + key, [(folder, name) for _, folder, name in same])

    def _folders(self, id: str, same: list[tuple[_ListedFolder, str]]) -> Iterator[ListedItem | _FolderGroup]:
        members: list[tuple[_ListedFolder, list[str]]] = []
        for parent, name in same:
            path = parent.path / name
            location = printable_path(path) + "/"
            found = self._left_out(id, name[:-1], location) or self._entered(parent, path, location)
            if not isinstance(found, _ListedFolder):
                yield found
                continue
            try:
                members.append((found, _names(path)))
            except OSError as error:
                yield _unreadable_folder(location, error)
        if members:
            yield _FolderGroup(id, members)

    def _entered(self, parent: _ListedFolder, path: Path, location: str) -> ListedItem | _ListedFolder:
        """Enter a folder, unless a link led back to one that encloses it or to one that links reached before."""
        try:
            identity = _inode(path.stat())
            if path.is_symlink():
                if parent.encloses(identity):
                    return Unreadable(
                        location,
                        f"it is a symbolic link loop: it leads back to {printable_path(os.path.realpath(path))}",
                    )
                first = self._linked.setdefault(identity, location)
                if first != location:
                    return Skipped(location, f"a link to a folder that is listed as {first} already")
        except OSError as error:
            return _unreadable_folder(location, error)
        return _ListedFolder(path, identity, parent)

    def _left_out(self, id: str, name: str, location: str) -> Skipped | Unreadable | None:
        if not name.isascii():
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                return Unreadable(location, "its name is not Unicode; rename it")
        if name.startswith("."):
            return Skipped(location, "hidden")
        if name.startswith("~$"):
            return Skipped(location, "a lock file of an office program")
        if id.endswith("/"):
            heads = [glob.removesuffix("/**") for glob in self._rules.exclude]
            return Skipped(location, "excluded by source.exclude") if matches_any(id[:-1], heads) else None
        if matches_any(id, self._rules.exclude):
            return Skipped(location, "excluded by source.exclude")
        if not matches_any(id, self._rules.include):
            return Skipped(location, "not included by source.include")
        reason = self._rules.no_reader(name)
        return Skipped(location, reason) if reason else None

    def _files(self, id: str, same: list[tuple[_ListedFolder, str]]) -> Iterator[ListedItem]:
        wanted: list[str] = []
        for folder, name in same:
            path = str(folder.path / name)
            left_out = self._left_out(id, name, printable_path(path))
            if left_out:
                yield left_out
            else:
                wanted.append(path)
        for path in wanted:
            if len(wanted) > 1:
                reason = (
                    f"its name and that of {len(wanted) - 1} other become the same id {id!r} in Unicode NFC; rename one"
                )
                yield Unreadable(printable_path(path), reason)
            else:
                yield self._file(id, path)

    def _file(self, id: str, path: str) -> ListedItem:
        try:
            status = Path(path).stat()
        except OSError as error:
            return Unreadable(printable_path(path), os_error_reason(error))
        if kind := special_file_type(status.st_mode):
            return Unreadable(printable_path(path), f"it is {kind}, not a file")
        if status.st_size > self._rules.max_bytes:
            limit = self._rules.max_bytes / 1_000_000
            reason = f"{status.st_size / 1_000_000:.1f} MB is over source.max_file_mb={limit:g}"
            return Skipped(printable_path(path), reason, stays=True)
        return Entry(id=id, location=path, size=status.st_size, mtime_ns=trusted_mtime(status.st_mtime_ns))


def _unreadable_folder(location: str, error: OSError) -> Unreadable:
    return Unreadable(location, os_error_reason(error).replace(" it", " this folder", 1), hides=True)


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:
        return False  # a broken or looping link: what is wrong with it is said where it is listed as a file
