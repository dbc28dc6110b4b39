"""The `reranker` group: how candidates are reordered before the prompt."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ragloom.config.builder_keys import CONTENT, OPERATIONAL, Fraction, Name, Positive, code_version
from ragloom.config.key_rules import checked_by

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms.llm import LLM
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

    from ragloom.components.reranker.mmr_reranker import StoredVectors


def _window_rule(values: Mapping[str, Any]) -> Iterator[str]:
    size, step = values["window_size"], values["window_step"]
    if step >= size:
        yield (
            f"reranker: reranker.window_step={step} must be less than reranker.window_size={size}, "
            "or no passage can rise from one window to the next; lower window_step"
        )


@code_version(1)
def none(*, top_n: Positive) -> "BaseNodePostprocessor":
    """Build the stage that keeps the retriever's order and cuts to `top_n`."""
    from ragloom.components.reranker.passthrough_reranker import PassthroughReranker

    return PassthroughReranker(top_n=top_n)


none.keeps_order = True  # type: ignore[attr-defined]


@code_version(1)
def mmr(
    embedding: "BaseEmbedding", index: "StoredVectors", *, top_n: Positive, relevance_weight: Fraction
) -> "BaseNodePostprocessor":
    """Build the reranker by maximal marginal relevance."""
    from ragloom.components.reranker.mmr_reranker import Marginal

    return Marginal(embedding=embedding, index=index, top_n=top_n, relevance_weight=relevance_weight)


@code_version(1)
def cross_encoder(
    *,
    top_n: Positive,
    model: Annotated[Name, CONTENT],
    max_length: Positive,
    on_too_long: Literal["cut", "error"],
    batch_size: Annotated[Positive, OPERATIONAL],
) -> "BaseNodePostprocessor":
    """Build the reranker by an ONNX cross-encoder.

    Raises:
        ConfigError: no such model, it does not fit its keys, or the extra `fastembed` is not installed.
        ServiceError: the model's download failed.
    """
    values = locals()
    from ragloom.components.reranker.cross_encoder_reranker import CrossEncoder, load

    return CrossEncoder(**values | {"model": load(model, max_length)})


@code_version(1)
@checked_by(_window_rule)
def llm(
    llm: "LLM",
    *,
    top_n: Positive,
    window_size: Positive,
    window_step: Positive,
    passage_tokens: Positive,
    tokenizer: Annotated[Name, CONTENT],
) -> "BaseNodePostprocessor":
    """Build the reranker by the configured LLM's listwise ranking.

    Raises:
        ConfigError: the window's step is not smaller than the window, or there is no such tokenizer.
    """
    values = locals()
    from ragloom.components.reranker.llm_reranker import Listwise
    from ragloom.core.tokenizers import load

    return Listwise(**values | {"tokenizer": load(tokenizer)})
