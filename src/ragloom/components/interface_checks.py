"""What a group's builder must build, checked once: a plain LlamaIndex object is not yet enough everywhere."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

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
    "llm": ("chat", "achat", "stream_chat", "metadata"),
    "judge": ("chat", "achat", "stream_chat", "metadata"),
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
        "store has not, or choose vector_store=lancedb or vector_store=weaviate"
    ),
    "llm": "derive its class from llama_index.core.llms.LLM, or from ragloom.components.llm.openai_llm.OpenAIChat",
    "judge": "derive its class from llama_index.core.llms.LLM, or from ragloom.components.llm.openai_llm.OpenAIChat",
}
_MISSING = object()


def built(config: Config, group: str, code_version: int | None = None, **available: Any) -> Any:
    """Builds a group's chosen option, and holds that it can do what Ragloom needs of it.

    Args:
        code_version, available: as `ragloom.config.config.build` takes them.

    Raises:
        ConfigError: it cannot; the text says what to do.
    """
    made = build(config, group, code_version, **available)
    if made is None and group == "judge":
        return None
    lacks = [name for name in _NEEDED[group] if inspect.getattr_static(made, name, _MISSING) is _MISSING]
    if lacks:
        kind = type(made)
        raise ConfigError(
            f"{group}: {group}={config.choices.get(group)} must build what has {', '.join(lacks)}, and builds "
            f"{kind.__module__}.{kind.__qualname__}; {_HOW[group]}"
        )
    if group in ("llm", "judge"):
        from ragloom.components.llm.extension_llm import guarded

        return guarded(made, group)
    return made
