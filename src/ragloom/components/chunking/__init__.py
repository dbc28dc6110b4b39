"""Builders of the `chunking` group: how a document is cut. Knows no other group.

Each returns a LlamaIndex `NodeParser` whose chunks are exact spans of the document (see `chunking.base`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import CONTENT, NonNegative, Positive, code_version
from ragloom.core.tokenizers import smallest_limit
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding

    from ragloom.components.chunking.fixed_chunker import TokenWindows
    from ragloom.components.chunking.paragraph_chunker import ParagraphPacker
    from ragloom.components.chunking.recursive_chunker import SeparatorCutter
    from ragloom.components.chunking.semantic_chunker import HybridCutter, SemanticCutter

TokenizerName = Annotated[str, Field(min_length=1), CONTENT]
Separators = Annotated[list[str], Field(min_length=1)]
Threshold = Literal["percentile", "standard_deviation", "fixed"]

_THRESHOLDS = {"percentile": (0, 100), "standard_deviation": (-10, 10), "fixed": (0, 2)}
_CHARACTERS = "characters"


def check(option: str, values: Mapping[str, Any]) -> list[str]:
    """Says what is wrong between the keys of an option, one line a problem, without building anything.

    Args:
        option: its name.
        values: its keys; each has been checked alone.
    """
    problems = []
    size, overlap, least = values["chunk_size"], values["chunk_overlap"], values.get("min_size")
    if overlap >= size:
        problems.append(
            f"chunking: chunk_overlap={overlap} must be less than chunk_size={size}; lower it or raise chunk_size"
        )
    if least is not None and least >= size:
        problems.append(f"chunking: min_size={least} must be less than chunk_size={size}; lower it or raise chunk_size")
    problems += _check_threshold(values) + _check_tokenizer(option, values)
    if not all(values.get("separators", [])[:-1]):
        problems.append(
            f"chunking: separators={values['separators']} must have the empty one last, since it cuts anywhere; "
            "put it last or leave it out"
        )
    return problems


def _check_threshold(values: Mapping[str, Any]) -> list[str]:
    if "threshold" not in values:
        return []
    kind, value = values["threshold"], values["threshold_value"]
    low, high = _THRESHOLDS[kind]
    if low <= value <= high:
        return []
    return [f"chunking: threshold_value={value} must be {low} to {high} with threshold={kind}; set it in that range"]


def _check_tokenizer(option: str, values: Mapping[str, Any]) -> list[str]:
    """Loads only a tokenizer that comes from a file."""
    key = "length" if option == "recursive" else "tokenizer"
    name, size = values[key], values["chunk_size"]
    special = values.get("special_tokens", 0)
    if option == "recursive" and name == _CHARACTERS:
        if not special:
            return []
        return [
            f"chunking: special_tokens={special} must be 0 with length=characters; "
            "set it to 0, or length to the model's tokenizer"
        ]
    try:
        least = smallest_limit(name)
    except ConfigError as error:
        return [f"chunking: {problem}" for problem in error.problems]
    if size >= least + special:
        return []
    return [f"chunking: chunk_size={size} must be at least {least + special}, the tokens of one character; raise it"]


def _demand(option: str, values: Mapping[str, Any]) -> None:
    if problems := check(option, values):
        raise ConfigError(*problems)


@code_version(2)
def fixed(*, chunk_size: Positive, chunk_overlap: NonNegative, tokenizer: TokenizerName) -> "TokenWindows":
    """Builds the chunker of token windows.

    Raises:
        ConfigError: keys contradict each other, or there is no such tokenizer.
    """
    _demand("fixed", locals())
    from ragloom.components.chunking.fixed_chunker import TokenWindows

    return TokenWindows(chunk_size=chunk_size, chunk_overlap=chunk_overlap, tokenizer=tokenizer)


@code_version(2)
def recursive(
    *,
    separators: Separators,
    length: TokenizerName,
    special_tokens: NonNegative,
    chunk_size: Positive,
    chunk_overlap: NonNegative,
    keep_separator: Literal["start", "end"],
) -> "SeparatorCutter":
    """Builds the chunker that cuts at separators in order.

    Raises:
        ConfigError: keys contradict each other, or there is no such tokenizer.
    """
    values = locals()
    _demand("recursive", values)
    from ragloom.components.chunking.recursive_chunker import SeparatorCutter

    return SeparatorCutter(**values)


@code_version(2)
def paragraph(*, chunk_size: Positive, chunk_overlap: NonNegative, tokenizer: TokenizerName) -> "ParagraphPacker":
    """Builds the chunker that packs whole paragraphs.

    Raises:
        ConfigError: keys contradict each other, or there is no such tokenizer.
    """
    _demand("paragraph", locals())
    from ragloom.components.chunking.paragraph_chunker import ParagraphPacker

    return ParagraphPacker(chunk_size=chunk_size, chunk_overlap=chunk_overlap, tokenizer=tokenizer)


@code_version(2)
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
) -> "SemanticCutter":
    """Builds the chunker that cuts where the meaning of neighbouring sentences differs most.

    Raises:
        ConfigError: keys contradict each other, or there is no such tokenizer.
    """
    values = locals()
    _demand("semantic", values)
    from ragloom.components.chunking.semantic_chunker import SemanticCutter

    return SemanticCutter(**values)


@code_version(2)
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
) -> "HybridCutter":
    """Builds the chunker that packs whole paragraphs and cuts by meaning only those that are too long.

    Raises:
        ConfigError: keys contradict each other, or there is no such tokenizer.
    """
    values = locals()
    _demand("hybrid", values)
    from ragloom.components.chunking.semantic_chunker import HybridCutter

    return HybridCutter(**values)
