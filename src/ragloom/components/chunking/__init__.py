"""Builders of the conf group `chunking`: how a document is cut.

Each returns a LlamaIndex `NodeParser` whose chunks are exact spans of the document (see `chunking.base`).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import CONTENT, NonNegative, Positive, code_version
from ragloom.config.key_rules import checked_by
from ragloom.core.smallest_limit import smallest_limit
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding

    from ragloom.components.chunking.base import SpanParser

TokenizerName = Annotated[str, Field(min_length=1), CONTENT]
Separators = Annotated[list[str], Field(min_length=1)]
Threshold = Literal["percentile", "standard_deviation", "fixed"]

_THRESHOLDS = {"percentile": (0, 100), "standard_deviation": (-10, 10), "fixed": (0, 2)}
_CHARACTERS = "characters"


def _size_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require that overlap and smallest chunk fit in a chunk."""
    size = values["chunk_size"]
    for key in ("chunk_overlap", "min_size"):
        if values.get(key, 0) >= size:
            yield f"chunking: {key}={values[key]} must be less than chunk_size={size}; lower it or raise chunk_size"


def _threshold_rule(values: Mapping[str, Any]) -> Iterator[str]:
    kind, value = values["threshold"], values["threshold_value"]
    low, high = _THRESHOLDS[kind]
    if not low <= value <= high:
        yield f"chunking: threshold_value={value} must be {low} to {high} with threshold={kind}; set it in that range"


def _separator_rule(values: Mapping[str, Any]) -> Iterator[str]:
    if not all(values["separators"][:-1]):
        yield (
            f"chunking: separators={values['separators']} must have the empty one last, since it cuts anywhere; "
            "put it last or leave it out"
        )


def _length_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require that `length` fits the other keys."""
    if values["length"] != _CHARACTERS:
        yield from _limit_problems(values["length"], values["chunk_size"], values["special_tokens"])
    elif special := values["special_tokens"]:
        yield (
            f"chunking: special_tokens={special} must be 0 with length=characters; "
            "set it to 0, or length to the model's tokenizer"
        )


def _tokenizer_rule(values: Mapping[str, Any]) -> Iterator[str]:
    return _limit_problems(values["tokenizer"], values["chunk_size"])


def _limit_problems(tokenizer: str, size: int, special: int = 0) -> Iterator[str]:
    """Require room for one character; only a tokenizer file is loaded."""
    try:
        least = smallest_limit(tokenizer) + special
    except ConfigError as error:
        yield from (f"chunking: {problem}" for problem in error.problems)
        return
    if size < least:
        yield f"chunking: chunk_size={size} must be at least {least}, the tokens of one character; raise it"


@code_version(2)
@checked_by(_size_rule, _tokenizer_rule)
def fixed(*, chunk_size: Positive, chunk_overlap: NonNegative, tokenizer: TokenizerName) -> "SpanParser":
    """Build the chunker of token windows.

    Raises:
        ConfigError: keys contradict each other, or the tokenizer is unknown.
    """
    from ragloom.components.chunking.fixed_chunker import TokenWindows

    return TokenWindows(chunk_size=chunk_size, chunk_overlap=chunk_overlap, tokenizer=tokenizer)


@code_version(2)
@checked_by(_size_rule, _length_rule, _separator_rule)
def recursive(
    *,
    separators: Separators,
    length: TokenizerName,
    special_tokens: NonNegative,
    chunk_size: Positive,
    chunk_overlap: NonNegative,
    keep_separator: Literal["start", "end"],
) -> "SpanParser":
    """Build the chunker with cuts at separators, in order.

    Raises:
        ConfigError: keys contradict each other, or the tokenizer is unknown.
    """
    values = locals()
    from ragloom.components.chunking.recursive_chunker import SeparatorCutter

    return SeparatorCutter(**values)


@code_version(2)
@checked_by(_size_rule, _tokenizer_rule)
def paragraph(*, chunk_size: Positive, chunk_overlap: NonNegative, tokenizer: TokenizerName) -> "SpanParser":
    """Build the chunker of whole paragraphs.

    Raises:
        ConfigError: keys contradict each other, or the tokenizer is unknown.
    """
    from ragloom.components.chunking.paragraph_chunker import ParagraphPacker

    return ParagraphPacker(chunk_size=chunk_size, chunk_overlap=chunk_overlap, tokenizer=tokenizer)


@code_version(3)
@checked_by(_size_rule, _threshold_rule, _tokenizer_rule)
def semantic(
    embedding: "BaseEmbedding",
    *,
    chunk_size: Positive,
    chunk_overlap: NonNegative,
    min_size: NonNegative,
    buffer_size: NonNegative,
    threshold: Threshold,
    threshold_value: float,
    tokenizer: TokenizerName,
) -> "SpanParser":
    """Build the chunker with cuts between sentences of different meaning.

    Raises:
        ConfigError: keys contradict each other, or the tokenizer is unknown.
    """
    values = locals()
    from ragloom.components.chunking.semantic_chunker import SemanticCutter

    return SemanticCutter(**values)


@code_version(3)
@checked_by(_size_rule, _threshold_rule, _tokenizer_rule)
def hybrid(
    embedding: "BaseEmbedding",
    *,
    chunk_size: Positive,
    chunk_overlap: NonNegative,
    min_size: NonNegative,
    buffer_size: NonNegative,
    threshold: Threshold,
    threshold_value: float,
    tokenizer: TokenizerName,
) -> "SpanParser":
    """Build the chunker of whole paragraphs, overlong ones cut by meaning.

    Raises:
        ConfigError: keys contradict each other, or the tokenizer is unknown.
    """
    values = locals()
    from ragloom.components.chunking.semantic_chunker import HybridCutter

    return HybridCutter(**values)
