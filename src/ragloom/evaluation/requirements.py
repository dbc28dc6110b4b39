"""Requirements of config and dataset, checked before anything is ingested or paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragloom.components.interface_checks import check_extension
from ragloom.config.config import Config
from ragloom.core.gold import Query
from ragloom.core.metric_names import measurable, measures
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.scoring import by_documents


def kinds_of_gold(queries: Sequence[Query]) -> tuple[bool, bool]:
    """Return whether any query has gold spans, and any graded documents."""
    return any(query.spans for query in queries), any(map(by_documents, queries))


def require_measurable(dataset: str, queries: Sequence[Query], tree: Mapping[str, Any]) -> None:
    """Require gold that suits a requested metric.

    Raises:
        DataError: no gold, or none that suits a requested metric.
    """
    spans, documents = kinds_of_gold(queries)
    if measurable(tree["metrics"], answers=tree["answers"], spans=spans, documents=documents):
        return
    kinds = [kind for kind, present in (("quotes or ranges", spans), ("graded documents", documents)) if present]
    raise DataError(
        f"dataset: {dataset} must have gold for one of the requested metrics, and has "
        f"{' and '.join(kinds) or 'no gold at all'} in {len(queries)} questions; add gold, ask for metrics of "
        f"{' or '.join(kinds) or 'answers'}, or choose another dataset"
    )


def require_methods(config: Config) -> None:
    """Require the methods of an extension's retriever, reranker and prompt.

    Raises:
        ConfigError: one lacks a method.
    """
    for group in ("retriever", "reranker", "prompt"):
        check_extension(config, group)


_DEPTH = {"retriever": ("top_k", "it returns"), "reranker": ("top_n", "it returns for the prompt")}


def require_depth(config: Config) -> None:
    """Require the keys by which a ranking is made deeper.

    Raises:
        ConfigError: an extension's retriever or reranker lacks its key.
    """
    problems = [
        f"{group}: {group}={config.choices.get(group)} must have the key {key}, the number of chunks that {what}; "
        f"declare it in the builder's signature and in the option's yaml"
        for group, (key, what) in _DEPTH.items()
        if key not in config.tree[group]
    ]
    if problems:
        raise ConfigError(*problems)


def require_reranking(config: Config, queries: Sequence[Query]) -> None:
    """Require a reranker that can change recall: `top_k` above the smallest k.

    Raises:
        ConfigError: `top_k` is too small.
    """
    settings, top_k = config.tree["metrics"], config.tree["retriever"]["top_k"]
    spans, documents = kinds_of_gold(queries)
    names = [*(settings["spans"] if spans else ()), *(settings["documents"] if documents else ())]
    least = min((each.k for each in measures(names) if each.k and not each.budget), default=0)
    if not getattr(config.builder("reranker"), "keeps_order", False) and top_k <= least:
        raise ConfigError(
            f"retriever: retriever.top_k={top_k} must be more than {least}, the smallest k of the metrics, or "
            f"reranker={config.choices.get('reranker')} re-orders only what is scored, and no recall can change; "
            f"set retriever.top_k={5 * least}, or ask for metrics of a smaller k"
        )
