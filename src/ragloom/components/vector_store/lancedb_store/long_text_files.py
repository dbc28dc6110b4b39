"""Files of long document texts, named by their hash.

The engine would hold such a text several times in memory.

A file is there before the manifest row that needs it, and stays until no commit that is kept has such a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ragloom.components.vector_store.lancedb_store import tables
from ragloom.components.vector_store.lancedb_store.commit_record import DOCUMENTS
from ragloom.components.vector_store.lancedb_store.sql_filters import one_of
from ragloom.core.file_backed_text import FileBackedText

_FOLDER = "texts"


def put(index: Path, text_hash: str, text: FileBackedText) -> None:
    """Keep a text.

    Args:
        index: the index's folder.

    Raises:
        OSError: the system refuses.
    """
    path = index / _FOLDER / text_hash
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        text.copy_to(path)


def read(index: Path, text_hash: str) -> str:
    """Read a text.

    Raises:
        OSError: it is not there, which `put` and `clean` do not let happen.
    """
    return FileBackedText(index / _FOLDER / text_hash).read()


def clean(index: Path, versions: Iterable[int]) -> None:
    """Remove texts unused in all given versions; requires the lock."""
    folder = index / _FOLDER
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not names:
        return
    connection, used = tables.connect(index), set()
    for version in versions:
        documents = tables.open_table(connection, DOCUMENTS, version)
        for some in tables.batches(sorted(names)):
            rows = documents.search().where(one_of("text_hash", some)).select(["text_hash"]).to_arrow()
            used.update(rows["text_hash"].to_pylist())
    for name in names - used:
        (folder / name).unlink(missing_ok=True)
