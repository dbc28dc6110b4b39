"""Checks of built components: methods that Ragloom calls."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_type_hints

from ragloom.config.builder_keys import needs_of
from ragloom.config.config import build
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from ragloom.config.config import Config

_NEEDED = {
    "source": ("entries", "read", "parse"),
    "chunking": ("chunks", "spans"),
    "analyzer": ("terms",),
    "embedding": ("prepare", "embed_batch_tolerant", "embed_documents", "count_tokens"),
    "vector_store": ("indexes", "open", "writer", "delete", "aliases"),
    "retriever": ("retrieve", "aretrieve"),
    "reranker": ("postprocess_nodes",),
    "prompt": ("fill",),
    "dataset": ("name", "queries", "check"),
    "llm": ("chat", "achat", "stream_chat", "metadata"),
    "judge": ("chat", "achat", "stream_chat", "metadata"),
    "executor": ("run",),
}
_HOW = {
    "source": "derive its class from ragloom.components.source.base.Source",
    "chunking": (
        "derive its class from ragloom.components.chunking.base.SpanParser: a plain LlamaIndex NodeParser does not say "
        "which characters each chunk has"
    ),
    "analyzer": "give it a method terms(text)",
    "embedding": (
        "derive its class from ragloom.components.embedding.base.Embedding, which a plain LlamaIndex embedding is not, "
        "or choose embedding=openai_compatible for a server, embedding=huggingface or fastembed for a model"
    ),
    "vector_store": (
        "give it the methods of ragloom.components.vector_store.protocols.Database, which a plain LlamaIndex vector "
        "store lacks, or choose vector_store=lancedb or vector_store=weaviate"
    ),
    "retriever": "derive its class from llama_index.core.base.base_retriever.BaseRetriever",
    "reranker": "derive its class from llama_index.core.postprocessor.types.BaseNodePostprocessor",
    "prompt": "return a ragloom.components.prompt.Prompt, or give it a method fill(question, nodes, around)",
    "dataset": "derive its class from ragloom.components.dataset.base.Dataset",
    "llm": "derive its class from llama_index.core.llms.LLM, or from ragloom.components.llm.openai_llm.OpenAIChat",
    "judge": "derive its class from llama_index.core.llms.LLM, or from ragloom.components.llm.openai_llm.OpenAIChat",
    "executor": "give it the method of ragloom.ingestion.executor.Executor",
}
_OPTIONAL = ("judge", "executor")
"""Groups whose neutral option builds nothing."""
_MISSING = object()


def built(config: Config, group: str, code_version: int | None = None, **available: Any) -> Any:
    """Build a group's option, and check its methods.

    Args:
        config, group, code_version, available: as for `ragloom.config.config.build`.

    Raises:
        ConfigError: some are missing; the text says what to do.
    """
    shown = _shown(config, group)
    try:
        part = build(config, group, code_version, **available)
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise ConfigError(f"{shown} all methods ({error}); write them in its class") from error
    if part is None and group in _OPTIONAL:
        return None
    kind = type(part)
    _demand_methods(part, kind, group, shown)
    if undefined := [name for name, method in inspect.getmembers_static(kind) if getattr(method, "undefined", False)]:
        raise ConfigError(f"{shown} {', '.join(undefined)}; write it in {kind.__module__}.{kind.__qualname__}")
    if group in ("llm", "judge"):
        from ragloom.components.llm.extension_llm import wrap_extension

        return wrap_extension(part, group)
    return part


def check_extension(config: Config, group: str) -> None:
    """Check an extension's option before there is an index.

    A builder that needs no other part is called. Of another one, the class that it declares to return is checked.

    Args:
        config, group: as for `built`.

    Raises:
        ConfigError: as `built`.
    """
    builder = config.builder(group)
    if builder.__module__.partition(".")[0] == __package__.partition(".")[0]:
        return
    if not needs_of(builder):
        built(config, group)
        return
    with suppress(NameError):  # an annotation for type checkers only
        kind = get_type_hints(builder).get("return")
        if isinstance(kind, type):
            _demand_methods(kind, kind, group, _shown(config, group))


def _shown(config: Config, group: str) -> str:
    return f"{group}: {group}={config.choices.get(group)} must build an object with"


def _demand_methods(part: object, kind: type, group: str, shown: str) -> None:
    missing = [name for name in _NEEDED[group] if inspect.getattr_static(part, name, _MISSING) is _MISSING]
    if missing:
        raise ConfigError(
            f"{shown} {', '.join(missing)}, and builds {kind.__module__}.{kind.__qualname__}; {_HOW[group]}"
        )
