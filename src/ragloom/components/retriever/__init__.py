"""The `retriever` group: how candidates are found in an index."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import Fraction, NonNegative, Positive, code_version
from ragloom.config.key_rules import checked_by

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding

    from ragloom.components.retriever.retrievers import SearchableIndex as Index

Cosine = Annotated[float, Field(ge=-1, le=1)]
NonNegativeScore = Annotated[float, Field(ge=0)]
Filters = list[dict[str, Any]] | dict[str, Any] | None


def _filter_rule(values: Mapping[str, Any]) -> list[str]:
    from ragloom.components.retriever.filter_config import problems

    return problems(values["filters"])


def _candidates_rule(values: Mapping[str, Any]) -> Iterator[str]:
    candidates, top_k = values["candidates"], values["top_k"]
    if candidates < top_k:
        yield (
            f"retriever: retriever.candidates={candidates} must be at least retriever.top_k={top_k}; "
            "raise candidates or lower top_k"
        )


@code_version(1)
@checked_by(_filter_rule)
def dense(
    index: "Index", embedding: "BaseEmbedding", *, top_k: Positive, filters: Filters, min_score: Cosine | None
) -> "BaseRetriever":
    """Build the retriever by cosine similarity of embeddings.

    Raises:
        ConfigError: the filters are wrong.
    """
    from ragloom.components.retriever.filter_config import metadata_filters
    from ragloom.components.retriever.retrievers import DenseArm, OneArm

    return OneArm([DenseArm(index, top_k, metadata_filters(filters), min_score, embedding)])


@code_version(1)
@checked_by(_filter_rule)
def bm25(index: "Index", *, top_k: Positive, filters: Filters, min_score: NonNegativeScore | None) -> "BaseRetriever":
    """Build the retriever by BM25 over the analyzer's terms.

    Raises:
        ConfigError: the filters are wrong.
    """
    from ragloom.components.retriever.filter_config import metadata_filters
    from ragloom.components.retriever.retrievers import LexicalArm, OneArm

    return OneArm([LexicalArm(index, top_k, metadata_filters(filters), min_score)])


@code_version(1)
@checked_by(_filter_rule, _candidates_rule)
def hybrid(
    index: "Index",
    embedding: "BaseEmbedding",
    *,
    top_k: Positive,
    candidates: Positive,
    fusion: Literal["rrf", "weighted"],
    dense_weight: Fraction,
    rrf_k: NonNegative,
    filters: Filters,
    min_score: Cosine | None,
    min_bm25_score: NonNegativeScore | None,
) -> "BaseRetriever":
    """Build the retriever that asks both arms and fuses their lists.

    Raises:
        ConfigError: the filters are wrong, or there are fewer candidates than `top_k`.
    """
    from ragloom.components.retriever.filter_config import metadata_filters
    from ragloom.components.retriever.fusion import reciprocal_rank, weighted_score
    from ragloom.components.retriever.retrievers import DenseArm, Hybrid, LexicalArm

    wanted = metadata_filters(filters)
    fuse = {
        "rrf": partial(reciprocal_rank, dense_weight=dense_weight, k=rrf_k),
        "weighted": partial(weighted_score, dense_weight=dense_weight),
    }[fusion]
    dense = [DenseArm(index, candidates, wanted, min_score, embedding)] if dense_weight > 0 else []
    bm25 = [LexicalArm(index, candidates, wanted, min_bm25_score)] if dense_weight < 1 else []
    return Hybrid([*dense, *bm25], fuse, top_k)
