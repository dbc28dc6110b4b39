"""New names of builders and modules that moved."""

from __future__ import annotations

import re
import traceback

from ragloom.config.settings import COMPONENTS

MODULES = {
    "analyzer.base": "components.analyzer.base",
    "chunking.parser": "components.chunking.base",
    "chunking.units": "components.chunking.structural_units",
    "components.embedding.rejected_inputs": "components.embedding.batch_bisection",
    "components.source.encoding": "components.source.encoding_detection",
    "components.vector_store.index_records": "components.vector_store.record_types",
    "components.vector_store.lancedb_store.store": "components.vector_store.lancedb_store.lancedb_vector_store",
    "components.vector_store.weaviate_store.store": "components.vector_store.weaviate_store.weaviate_vector_store",
    "embedding.base": "components.embedding.base",
    "gold": "core.gold",
    "llm.remote": "components.llm.openai_llm",
    "messages": "core.prompt_and_reply",
    "nodes": "core.nodes",
    "providers.failed_batch": "providers.batch_errors",
    "records": "core.records",
    "retriever.ranked": "components.retriever.scored_nodes",
    "source.base": "components.source.base",
    "tokenizer": "core.tokenizers",
    "values": "config.builder_keys",
    "vector_store.interface": "components.vector_store.protocols",
    "vector_store.nodes": "components.vector_store.llama_index_store",
}
"""Modules that extensions import, both below `ragloom`; other modules of a group keep their place within it."""
_IMPORTED = re.compile(r"\bragloom(\.\w+)+")


def new_name(old: str) -> str | None:
    """Return the present name of what moved, or None."""
    package, _, path = old.partition(".")
    if package != "ragloom":
        return None
    for module, target in MODULES.items():
        if path == module or path.startswith(f"{module}."):
            return f"ragloom.{target}{path[len(module) :]}"
    if path.partition(".")[0] not in COMPONENTS:
        return None
    moved = f"ragloom.components.{path}"
    return new_name(moved) or moved


def moved_import(error: ModuleNotFoundError) -> str | None:
    """Name the new module of an extension's failed import, or None."""
    if error.name is None or new_name(error.name) is None:
        return None
    (line,) = [frame.line or "" for frame in traceback.extract_tb(error.__traceback__)[-1:]]
    written = _IMPORTED.search(line)
    old = written[0] if written and written[0].startswith(error.name) else error.name
    return f"{old} is now {new_name(old)}"
