"""Description of what shapes an index, and its short digest.

Everything that changes what an index holds is part of it: the source's parsing, the chunking, the analyzer, the
embedding with its model's content, and physical settings of the store. What only changes speed or place is not: the
builders' signatures mark such keys `OPERATIONAL`. A key marked `CONTENT` that is a path stands for what is in it; of a
key marked `Shapes` only what its function returns counts, and a key marked `Added` is left out at its default.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ragloom.config.builder_keys import CONTENT, OPERATIONAL, Shapes, added_at_default, builder_id, keys_of
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError

SHAPING_GROUPS = ("source", "chunking", "analyzer", "embedding", "vector_store")
"""The groups that shape an index."""
QUERY_GROUPS = ("analyzer", "embedding")
"""Those of them that a query has to share with the index it reads, whatever the index was built of."""
_DIGITS = 12  # 48 bits: two of a thousand indexes share a digest once in 500 million cases


def describe(builder: Callable[..., Any], values: dict[str, Any], version: int | None = None) -> dict[str, Any]:
    """Describe an option's part of an index: builder, version, keys.

    Args:
        version: of the builder's code, as it described itself then (its number alone, where that builder is gone);
            None: this release's.

    Raises:
        ConfigError: the builder declares no `code_version`.
    """
    if not hasattr(builder, "code_version"):
        raise ConfigError(
            f"config: {builder.__module__}.{builder.__name__} must declare a code_version, since it shapes the index; "
            "write @code_version(1) above it (from ragloom.config.builder_keys)"
        )
    described: dict[str, Any] = {"builder": builder_id(builder)}
    described["code_version"] = builder.code_version if version is None else version
    if depends_on := getattr(builder, "depends_on", None):
        described[depends_on] = _installed(depends_on)
    keyed = getattr(builder, "former", {}).get(version, builder)
    added = added_at_default(keyed, values)
    for key, parameter in keys_of(keyed).items():
        marks = getattr(parameter.annotation, "__metadata__", ())
        if OPERATIONAL in marks or key in added:
            continue
        value = values[key]
        for mark in marks:
            if isinstance(mark, Shapes):
                value = mark.part(value)
        described[key] = _content(value) if CONTENT in marks else value
    return described


def digest(description: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits of a description, equal on every machine."""
    return sha256(canonical_json(description))[:_DIGITS]


def is_older(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether two descriptions differ in code versions only."""
    differs = difference(ours, theirs)
    return bool(differs) and all(line.partition(":")[0].endswith(".code_version") for line in differs)


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """List differing keys of two descriptions: `chunking.chunk_size: 256 / 512`."""
    mine, other = flat(ours), flat(theirs)
    pairs = {key: (mine.get(key, "(none)"), other.get(key, "(none)")) for key in sorted({*mine, *other})}
    return [f"{key}: {left} / {right}" for key, (left, right) in pairs.items() if left != right]


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted key -> value of a nested tree."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return result


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # building the option says which command installs it


def _content(value: Any) -> Any:
    """Return the hash of a path's content, or the value itself."""
    if not isinstance(value, str) or not Path(value).expanduser().exists():
        return value
    path = Path(value).expanduser().resolve()
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    stamps = tuple((str(item), item.stat().st_size, item.stat().st_mtime_ns) for item in files)
    return f"sha256:{_hash_files(str(path), stamps)}"


@functools.lru_cache(maxsize=16)
def _hash_files(root: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, _, _ in stamps:
        with Path(name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        relative = Path(name).relative_to(root).as_posix() if name != root else "."
        total.update(f"{relative}\0{content}\n".encode())
    return total.hexdigest()
