"""Builders of the conf group `embedding`: texts become vectors."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import (
    CONTENT,
    OPERATIONAL,
    Added,
    ExtraBody,
    Fraction,
    HeadersEnv,
    Name,
    Positive,
    Seconds,
    code_version,
)
from ragloom.config.key_rules import checked_by
from ragloom.providers.credentials import body_problems, link_problems

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding

# Lengths of OpenAI's own vectors (platform documentation, 2025); only text-embedding-3 models shorten theirs.
_OPENAI_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}

# Fields in every request, and the key that sets each.
_OWN_FIELDS = {"model": "model", "input": None, "dimensions": "send_dimensions", "encoding_format": "encoding_format"}

BatchSize = Annotated[int, Field(gt=0, le=2048), OPERATIONAL]
"""Texts per request, or run at once: at most 2,048, which is OpenAI's and LlamaIndex's limit."""
Concurrency = Annotated[int, Field(gt=0, le=256), OPERATIONAL]
"""Requests in flight: each has its own thread and connection."""
Refused = Annotated[Fraction, OPERATIONAL, Added(0.01)]
"""Share of an ingest's texts at which the server may fail."""
Rate = Annotated[Positive | None, OPERATIONAL]
"""A limit on requests or tokens; None = no limit."""


def _server_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require a valid address, key name and extra body."""
    yield from link_problems("embedding", values["base_url"], values["api_key_env"], values.get("headers_env"))
    yield from body_problems("embedding", values.get("extra_body") or {}, _OWN_FIELDS)


def _batch_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require that the longest text fits in a request."""
    if values["batch_tokens"] < values["max_tokens"]:
        yield (
            f"embedding: batch_tokens={values['batch_tokens']} must be at least max_tokens={values['max_tokens']}; "
            "raise embedding.batch_tokens"
        )


def _dimensions_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require a vector length of OpenAI's model."""
    model, dimensions = values["model"], values["dimensions"]
    if (own := _OPENAI_DIMENSIONS.get(model)) is None:
        return
    if dimensions > own:
        yield (
            f"embedding: dimensions={dimensions} must be at most {own}, the length of {model}'s vectors; "
            f"set embedding.dimensions={own} or less"
        )
    elif dimensions < own and "-3-" not in model:
        yield (
            f"embedding: dimensions={dimensions} must be {own} for {model}, which cannot shorten its vectors; "
            f"set embedding.dimensions={own}"
        )


@code_version(1)
def hashing(*, dimensions: Positive, embedded_metadata: list[Name], batch_size: BatchSize) -> "Embedding":
    """Build lexical vectors by feature hashing: no model, no download, no key."""
    from ragloom.components.embedding.hashing_embedding import HashingEmbedding

    return HashingEmbedding(
        model_name=f"hashing-{dimensions}",
        dimensions=dimensions,
        max_tokens=None,
        embedded_metadata=embedded_metadata,
        embed_batch_size=batch_size,
    )


@code_version(1)
@checked_by(_server_rule, _batch_rule, _dimensions_rule)
def openai(
    *,
    model: Name,
    dimensions: Positive,
    embedded_metadata: list[Name],
    max_tokens: Positive,
    batch_size: BatchSize,
    batch_tokens: Annotated[Positive, OPERATIONAL],
    base_url: Annotated[Name | None, OPERATIONAL],
    api_key_env: Annotated[Name, OPERATIONAL],
    timeout: Annotated[Seconds, OPERATIONAL],
    attempts: Annotated[Positive, OPERATIONAL],
    deadline: Annotated[Seconds, OPERATIONAL],
    concurrency: Concurrency,
    tokens_in_flight: Rate,
    requests_per_minute: Rate,
    tokens_per_minute: Rate,
    max_refused: Refused,
) -> "Embedding":
    """Build an embedding on OpenAI's API.

    Raises:
        ConfigError: keys contradict each other, or the API key is not in the environment.
    """
    values = locals()
    from ragloom.components.embedding.openai_embedding import OpenAIEmbedding

    embedding = OpenAIEmbedding(
        model_name=values.pop("model"),
        tokenizer="cl100k_base",  # of every embedding model that OpenAI offers
        send_dimensions=dimensions != _OPENAI_DIMENSIONS.get(model),
        encoding_format="base64",  # a quarter of the bytes, and every bit of the numbers
        **values,
    )
    embedding.provider.check_key()
    return embedding


@code_version(1)
@checked_by(_server_rule, _batch_rule)
def openai_compatible(
    *,
    base_url: Name,
    api_key_env: Annotated[Name | None, OPERATIONAL],
    headers_env: HeadersEnv,
    model: Name,
    query_model: Annotated[Name | None, Added(None)],
    dimensions: Positive,
    send_dimensions: bool,
    embedded_metadata: list[Name],
    document_prefix: str,
    query_prefix: str,
    tokenizer: Annotated[Name, CONTENT],
    max_tokens: Positive,
    encoding_format: Annotated[Literal["float", "base64"] | None, OPERATIONAL],
    extra_body: ExtraBody,
    batch_size: BatchSize,
    batch_tokens: Annotated[Positive, OPERATIONAL],
    timeout: Annotated[Seconds, OPERATIONAL],
    attempts: Annotated[Positive, OPERATIONAL],
    deadline: Annotated[Seconds, OPERATIONAL],
    concurrency: Concurrency,
    tokens_in_flight: Rate,
    requests_per_minute: Rate,
    tokens_per_minute: Rate,
    max_refused: Refused,
) -> "Embedding":
    """Build an embedding on any server that speaks OpenAI's protocol.

    Such as vLLM, Ollama, TEI, LM Studio, or a gateway.

    Raises:
        ConfigError: keys contradict each other, the API key is not in the environment, or the tokenizer is unknown.
    """
    values = locals() | {"headers_env": headers_env or {}, "extra_body": extra_body or {}}
    from ragloom.components.embedding.openai_embedding import OpenAIEmbedding
    from ragloom.core.tokenizers import load

    load(tokenizer)
    embedding = OpenAIEmbedding(model_name=values.pop("model"), **values)
    embedding.provider.check_key()
    return embedding


@code_version(1)
def fastembed(
    *,
    model: Annotated[Name, CONTENT],
    dimensions: Positive,
    max_length: Positive,
    overlong: Literal["error", "truncate"],
    pooling: Literal["auto", "mean", "cls", "last_token"],
    normalize: bool,
    embedded_metadata: list[Name],
    document_prefix: str,
    query_prefix: str,
    batch_size: BatchSize,
    threads: Annotated[Positive | None, OPERATIONAL],
    cache_dir: Annotated[Name | None, OPERATIONAL],
) -> "Embedding":
    """Build an embedding on ONNX Runtime, from a folder or fastembed's list.

    Raises:
        ConfigError: the extra is missing, or the model is not what the keys say or cannot be had.
    """
    values = locals()
    from ragloom.components.embedding.onnx_embedding import OnnxEmbedding

    return OnnxEmbedding(model_name=values.pop("model"), max_tokens=values.pop("max_length"), **values)


@code_version(1)
def huggingface(
    *,
    model: Annotated[Name, CONTENT],
    revision: Name | None,
    dimensions: Positive,
    max_length: Positive,
    overlong: Literal["error", "truncate"],
    normalize: bool,
    embedded_metadata: list[Name],
    document_prefix: str,
    query_prefix: str,
    device: Annotated[Name | None, OPERATIONAL],
    batch_size: BatchSize,
) -> "Embedding":
    """Build an embedding on sentence-transformers.

    Raises:
        ConfigError: the extra is missing, or the model is not what the keys say or cannot be had.
    """
    values = locals()
    from ragloom.components.embedding.huggingface_embedding import SentenceTransformerEmbedding

    return SentenceTransformerEmbedding(model_name=values.pop("model"), max_tokens=values.pop("max_length"), **values)
