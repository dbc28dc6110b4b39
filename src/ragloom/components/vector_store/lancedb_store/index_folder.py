"""Folder of one index: identity, commits, lock and size.

    <path>/<index>/index.json      what the index is, written once when it is created
    <path>/<index>/commits.json    which table versions queries read, newest last; replaced atomically at each commit
    <path>/<index>/*.lance         the engine's tables
    <path>/<index>/texts/          texts too long for the engine (`texts`)
    <path>/.locks/<index>          held by the writer; the kernel lets go of it when the process dies
    <path>/.aliases.json           which index each alias names (`aliases`)

The engine does not fsync what it commits (lancedb 0.40): killing a process at any moment loses nothing that was
committed, a power cut may.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.lancedb_store.commit_record import Commit
from ragloom.core.records import sha256
from ragloom.errors import DataError, ServiceError

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_DELETED = ".deleted-"


def folder_name(name: str) -> str:
    """Return an index's folder name: its name, or slug and hash.

    Only names that every file system can hold are used as they are.
    """
    if _SLUG.fullmatch(name) and not name.endswith("."):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{slug or 'index'}.{sha256(name)[:16]}"


class IndexFolder:
    """The folder of one index, which may not exist yet.

    Args:
        base: the database's folder.
        name: the index.
    """

    def __init__(self, base: Path, name: str) -> None:
        self.base = base
        self.name = name
        self.path = base / folder_name(name)

    def identity(self) -> Identity | None:
        """Read the identity of the index; None without one.

        Raises:
            DataError: the file is damaged.
        """
        record = self._read("index.json")
        return None if record is None else self._parse(Identity, record)

    def commits(self) -> list[Commit]:
        """Read the readable commits, newest last; empty without one."""
        return [self._parse(Commit, item) for item in self._read("commits.json") or []]

    def create(self, identity: Identity) -> None:
        """Make the folder and says what it is.

        Raises:
            ServiceError: it cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            replace_file(self.path / "index.json", asdict(identity))

    def record(self, commits: list[Commit]) -> None:
        """Replace the commits atomically; queries read the newest from now on."""
        with writing(self.path):
            replace_file(self.path / "commits.json", [asdict(commit) for commit in commits])

    def size(self) -> int:
        """Add up the bytes of all files of the index."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with suppress(FileNotFoundError):  # a writer has just cleaned it away
                    total += (Path(folder) / name).lstat().st_size
        return total

    def remove(self) -> None:
        """Remove the index: first its visibility, then its files; requires the lock."""
        with writing(self.path):
            grave = self.base / f"{_DELETED}{uuid.uuid4().hex}"
            self.path.rename(grave)
            for left in self.base.glob(f"{_DELETED}*"):  # what killed removals left goes as well, if it can
                shutil.rmtree(left, ignore_errors=left != grave)

    @contextmanager
    def lock(self, wait: float = 0) -> Iterator[None]:
        """Hold the index for writing.

        Args:
            wait: seconds to wait for another writer.

        Raises:
            ServiceError: somebody else holds it (who, since when), or the folder cannot be written.
        """
        held = self.base / ".locks" / self.path.name
        holder = held.with_name(f"{held.name}.holder")

        def busy() -> str:
            return f"index {self.name} is being written by {_describe(holder)}; wait until it ends, or end it"

        with locked(held, self.path, wait, busy):
            with writing(self.path):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                replace_file(holder, {"pid": os.getpid(), "host": socket.gethostname(), "since": now})
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)

    def damaged(self, what: object) -> DataError:
        """Return the error of a damaged index."""
        return DataError(
            f"vector_store: index {self.name} in {self.path} is damaged ({_first_line(what)}); "
            "delete the index and ingest again"
        )

    def _read(self, file: str) -> Any:
        try:
            return read_file(self.path / file)
        except ValueError as error:
            raise self.damaged(f"{file}: {error}") from None

    def _parse(self, record: Any, fields: Any) -> Any:
        try:
            return record(**fields)
        except TypeError as error:
            raise self.damaged(error) from None


def folders(base: Path) -> list[IndexFolder]:
    """List the index folders of a database, by name.

    Raises:
        ServiceError: the database's folder cannot be listed.
    """
    try:
        paths = [path for path in base.iterdir() if (path / "index.json").exists()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ServiceError(
            f"vector_store: vector_store.path={base} cannot be listed ({error.strerror}); "
            "name a folder that you may read"
        ) from None
    result = []
    for path in paths:
        folder = IndexFolder(base, path.name)
        folder.path = path
        identity = folder.identity()
        if identity is not None:
            folder.name = identity.name
            result.append(folder)
    return sorted(result, key=lambda folder: folder.name)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn file system errors into a `ServiceError` with the path."""
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"vector_store: {path} cannot be written ({error.strerror or _first_line(error)}); "
            "check permissions and free space, or set vector_store.path to another folder"
        ) from None


@contextmanager
def locked(file: Path, path: Path, wait: float, busy: Callable[[], str]) -> Iterator[None]:
    """Hold a lock file; the kernel releases it when the process ends.

    Args:
        path: what cannot be written where the lock file cannot.
        wait: seconds to wait for another holder.
        busy: the message about another holder.

    Raises:
        ServiceError: somebody else holds it, or the folder cannot be written.
    """
    lock = FileLock(file, thread_local=False)
    with writing(path):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise ServiceError(f"vector_store: {busy()}") from None
    try:
        yield
    finally:
        lock.release()


def read_file(file: Path, *, missing: Any = None) -> Any:
    """Read JSON; `missing` for a file that is not there.

    Raises:
        ServiceError: it cannot be read.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return missing
    except OSError as error:
        raise ServiceError(f"vector_store: {file} cannot be read ({error.strerror}); check its permissions") from None


def replace_file(file: Path, content: Any) -> None:
    """Write JSON atomically and durably [14]; requires the lock."""
    draft = file.with_name(f"{file.name}.new")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, ensure_ascii=True, indent=1, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    if os.name == "posix":
        handle = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _describe(holder: Path) -> str:
    try:
        record = json.loads(holder.read_bytes())
        return f"process {record['pid']} on {record['host']} since {record['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process (it has not said which)"


def _first_line(what: object) -> str:
    return (str(what).strip().splitlines() or [type(what).__name__])[0][:200]
