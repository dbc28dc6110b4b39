"""`indexes.py list`, `show` and `compare`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ragloom.cli.console import OK, console, print_json
from ragloom.cli.indexes.request import Request
from ragloom.cli.table_layout import Column, print_columns
from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.config.fingerprint import difference
from ragloom.core.suggested_commands import program


def list_all(request: Request) -> int:
    """List all indexes."""
    aliases = request.aliases
    if request.as_json:
        print_json([as_json(info, aliases) for info in request.infos])
    elif request.infos:
        print_indexes(request.infos, aliases)
    else:
        of_tenant = f" of tenant {request.tenant}" if request.tenant is not None else ""
        sys.stdout.write(f"no indexes{of_tenant} yet; {program('ingest')} builds one\n")
    return OK


def show(request: Request) -> int:
    """Show one index with the settings that shape it."""
    info, aliases = request.find(request.options.index), request.aliases
    if request.as_json:
        print_json(as_json(info, aliases))
        return OK
    size = "(estimated: the server does not tell)" if info.bytes_estimated else "with older versions"
    lines = [
        f"name: {info.name}",
        f"source: {info.source}, read from {info.root}",
        f"documents: {info.documents}",
        f"chunks: {info.chunks}, vectors of {info.dimensions} dimensions",
        f"size: {megabytes(info)} MB {size}",
        f"last ingest: {info.committed_at.isoformat(timespec='seconds')}, commit {info.version}",
    ]
    if info.deleted_chunks:
        lines.append(f"deleted chunks that still count in BM25 statistics: {info.deleted_chunks} (rebuild ends that)")
    if names := names_of(info.name, aliases):
        lines.append(f"aliases: {', '.join(names)}")
    lines += [f"note: {note}" for note in info.notes]
    lines.append("shaped by:")
    for group, keys in info.description.items():
        lines.append(f"  {group}:")
        lines += [f"    {key}: {value}" for key, value in keys.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return OK


def compare(request: Request) -> int:
    """Show the keys in which two indexes differ."""
    info, other = request.find_of_source(request.options.index), request.find_of_source(request.options.other)
    differs = difference(info.description, other.description)
    if request.as_json:
        print_json({"indexes": [info.name, other.name], "differs": differs})
        return OK
    sys.stdout.write(f"{info.name} / {other.name}\n")
    lines = differs or ["shaped the same way"]
    for name in ("source", "documents", "chunks"):
        left, right = getattr(info, name), getattr(other, name)
        if left != right:
            lines.append(f"{name}: {left} / {right}")
    sys.stdout.write("".join(f"  {line}\n" for line in lines))
    return OK


def as_json(info: IndexInfo, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return an index as one JSON object."""
    shown = {**asdict(info), "committed_at": info.committed_at.isoformat(), "notes": list(info.notes)}
    return {**shown, "aliases": names_of(info.name, aliases)}


def print_indexes(infos: Iterable[IndexInfo], aliases: Mapping[str, str]) -> None:
    """Print one row for each index; empty columns are left out."""
    infos = list(infos)
    deleted = any(info.deleted_chunks for info in infos)
    names = [", ".join(names_of(info.name, aliases)) for info in infos]
    columns = [
        Column("index", [info.name for info in infos], whole=True),
        Column("shaped by", [in_words(info.description) for info in infos]),
        Column("documents", [str(info.documents) for info in infos], number=True, rank=1),
        Column("chunks", [str(info.chunks) for info in infos], number=True),
    ]
    if deleted:
        columns.append(Column("deleted", [str(info.deleted_chunks) for info in infos], number=True))
    columns.append(Column("MB", [megabytes(info) for info in infos], number=True, rank=2))
    ended = [info.committed_at.strftime("%Y-%m-%d %H:%M") for info in infos]
    columns.append(Column("last ingest (UTC)", ended, number=True, rank=3))
    if any(names):
        columns.append(Column("aliases", names, whole=True))
    print_columns(console(), columns, "; indexes show NAME has them")
    if deleted:
        rebuild = f"{program('indexes')} rebuild NAME"
        console().print(f"deleted: chunks that still count in BM25 statistics; {rebuild} ends that")


def in_words(description: dict[str, Any]) -> str:
    """Describe an index in a few words: `fixed 256/32, multilingual, hashing 1024`."""
    parts = []
    for group in ("chunking", "analyzer", "embedding"):
        keys = description.get(group, {})
        words = [str(keys.get("builder", "?")).rpartition(".")[2]]
        if keys.get("chunk_size") is not None:
            words.append(f"{keys['chunk_size']}/{keys.get('chunk_overlap', 0)}")
        if keys.get("model") is not None:
            words.append(str(keys["model"])[:40])
        if keys.get("dimensions") is not None:
            words.append(str(keys["dimensions"]))
        parts.append(" ".join(words))
    return ", ".join(parts)


def megabytes(info: IndexInfo) -> str:
    """Format the size of an index in MB; `~` marks an estimate."""
    return f"{'~' if info.bytes_estimated else ''}{info.bytes / 1e6:.2f}"


def names_of(index: str, aliases: Mapping[str, str]) -> list[str]:
    """Return the aliases of an index."""
    return sorted(alias for alias, name in aliases.items() if name == index)
