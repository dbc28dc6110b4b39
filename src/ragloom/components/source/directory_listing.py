"""Ordered listing of a folder tree: patterns, hidden files, links, name collisions.

Symbolic links to files and folders are followed, inside and outside the root. A link to an enclosing folder is
reported as a loop; a folder reached by a second link is skipped. So every listing ends.
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
    """Filters of a folder listing.

    Attributes:
        include, exclude: patterns of relative paths; a file needs one of `include` and none of `exclude`.
        max_bytes: larger files are skipped.
        no_reader: explains why a file is not read; None with a reader.
    """

    include: list[str]
    exclude: list[str]
    max_bytes: int
    no_reader: Callable[[str], str | None]


@dataclass(frozen=True)
class _ListedFolder:
    """A folder and the folder above it in the walk."""

    path: Path
    identity: tuple[int, int]
    parent: _ListedFolder | None = None

    def encloses(self, identity: tuple[int, int]) -> bool:
        """Return whether this folder, or one above it, has the inode."""
        folder: _ListedFolder | None = self
        while folder is not None and folder.identity != identity:
            folder = folder.parent
        return folder is not None


@dataclass(frozen=True)
class _FolderGroup:
    """Folders with one id and their names; several after NFC collisions."""

    id: str
    members: list[tuple[_ListedFolder, list[str]]]


@lru_cache(maxsize=256)
def _compile_pattern(glob: str) -> re.Pattern[str]:
    """Translate a path pattern into a regular expression.

    `*` and `?` stay within a folder; `**` as a whole part crosses any number of folders.
    """
    parts = unicodedata.normalize("NFC", glob).split("/")
    pattern = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            pattern += ".*" if last else "(?:[^/]+/)*"
            continue
        for piece in re.findall(r"\[!?\]?[^\]]*\]|.", part, re.DOTALL):
            if piece == "*":
                pattern += "[^/]*"
            elif piece == "?":
                pattern += "[^/]"
            elif len(piece) > 2:
                pattern += _character_class(piece)
            else:
                pattern += re.escape(piece)
        pattern += "" if last else "/"
    return re.compile(pattern, re.DOTALL)


def _character_class(piece: str) -> str:
    """Translate `[a-z]` or `[!a-z]`; an invalid class like `[z-a]` is literal."""
    negation, characters = ("^", piece[2:-1]) if piece[1] == "!" else ("", piece[1:-1])
    escaped = re.sub(r"([^\w-])", r"\\\1", characters)
    pattern = f"(?!/)[{negation}{escaped}]"
    try:
        re.compile(pattern)
    except re.error:
        return re.escape(piece)
    return pattern


def matches_any(path: str, globs: list[str]) -> bool:
    """Return whether a relative NFC path fully matches one of the patterns."""
    return any(_compile_pattern(glob).fullmatch(path) for glob in globs)


def list_folder(root: Path, rules: ListingRules) -> Iterator[ListedItem]:
    """List the files below `root` by id, in code point order.

    Holds one folder in memory at a time.

    Raises:
        OSError: `root` itself cannot be listed.
    """
    top = _ListedFolder(root, _inode(root.stat()))
    return _FolderWalk(rules).walk(_FolderGroup("", [(top, _names(root))]))


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _names(folder: Path) -> list[str]:
    """List the names in a folder, sorted by id.

    Folders end with a slash, so that they sort like the ids below them.
    """
    with os.scandir(folder) as children:
        return sorted((f"{child.name}/" if _is_folder(child) else child.name for child in children), key=_nfc)


def _nfc(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class _FolderWalk:
    """One listing, with the folders reached by links."""

    def __init__(self, rules: ListingRules) -> None:
        self._rules = rules
        self._linked: dict[tuple[int, int], str] = {}

    def walk(self, top: _FolderGroup) -> Iterator[ListedItem]:
        """List folders and their sub-folders, without recursion.

        A path has room for 2,000 levels.
        """
        stack = [self._children(top)]
        while stack:
            for item in stack[-1]:
                if isinstance(item, _FolderGroup):
                    stack.append(self._children(item))
                    break
                yield item
            else:
                stack.pop()

    def _children(self, group: _FolderGroup) -> Iterator[ListedItem | _FolderGroup]:
        members = ((_nfc(name), folder, name) for folder, names in group.members for name in names)
        collide = len(group.members) > 1
        children = sorted(members, key=lambda child: (child[0], str(child[1].path), child[2])) if collide else members
        for key, same in itertools.groupby(children, lambda child: child[0]):
            list_them = self._folders if key.endswith("/") else self._files
            yield from list_them(group.id + key, [(folder, name) for _, folder, name in same])

    def _folders(self, id: str, same: list[tuple[_ListedFolder, str]]) -> Iterator[ListedItem | _FolderGroup]:
        members: list[tuple[_ListedFolder, list[str]]] = []
        for parent, name in same:
            path = parent.path / name
            location = printable_path(path) + "/"
            item = self._exclusion(id, name[:-1], location) or self._enter(parent, path, location)
            if not isinstance(item, _ListedFolder):
                yield item
                continue
            try:
                members.append((item, _names(path)))
            except OSError as error:
                yield _unreadable_folder(location, error)
        if members:
            yield _FolderGroup(id, members)

    def _enter(self, parent: _ListedFolder, path: Path, location: str) -> ListedItem | _ListedFolder:
        """Enter a folder; report link loops and folders linked twice."""
        try:
            identity = _inode(path.stat())
            if path.is_symlink():
                if parent.encloses(identity):
                    target = printable_path(os.path.realpath(path))
                    return Unreadable(location, f"it is a symbolic link loop: it leads back to {target}")
                first = self._linked.setdefault(identity, location)
                if first != location:
                    return Skipped(location, f"a link to a folder already listed as {first}")
        except OSError as error:
            return _unreadable_folder(location, error)
        return _ListedFolder(path, identity, parent)

    def _exclusion(self, id: str, name: str, location: str) -> Skipped | Unreadable | None:
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
        paths: list[str] = []
        for folder, name in same:
            path = str(folder.path / name)
            if excluded := self._exclusion(id, name, printable_path(path)):
                yield excluded
            else:
                paths.append(path)
        for path in paths:
            yield self._file(id, path, others=len(paths) - 1)

    def _file(self, id: str, path: str, *, others: int) -> ListedItem:
        """List a file; `others` have the same id."""
        if others:
            reason = f"its name and that of {others} other become the same id {id!r} in Unicode NFC; rename one"
            return Unreadable(printable_path(path), reason)
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
        return False  # a broken or looping link: reported when it is listed as a file
