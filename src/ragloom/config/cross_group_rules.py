"""Validation rules that span several config groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ragloom.config.builder_keys import needs_of
from ragloom.core import metric_names

_QUESTION_TOKENS = 512  # kept free in an LLM's context window for instruction and question


Tree = Mapping[str, Any]
Choices = Mapping[str, str]
Builders = Mapping[str, Callable[..., Any]]


def problems(tree: Tree, choices: Choices, builders: Builders) -> list[str]:
    """List what is wrong between groups, one line each.

    Args:
        tree: resolved values, which need not be valid.
        choices: group -> option.
        builders: group -> its option's builder, of those that exist.
    """
    lines = [*_depth(tree), *_window(tree, "llm"), *_load_test(tree)]
    try:
        return [*lines, *_writing(choices, builders), *_judging(tree, choices, builders)]
    except (KeyError, TypeError):
        return lines  # such an option or value has its own line


def _depth(tree: Tree) -> Iterator[str]:
    """Check that the reranker keeps no more than the retriever returns."""
    top_k, top_n = _keys(tree, "retriever").get("top_k"), _keys(tree, "reranker").get("top_n")
    if isinstance(top_k, int) and isinstance(top_n, int) and top_n > top_k > 0:
        yield (
            f"reranker: reranker.top_n={top_n} must be at most retriever.top_k={top_k}; "
            f"set reranker.top_n={top_k}, or retriever.top_k={top_n}"
        )


def _window(tree: Tree, group: str) -> Iterator[str]:
    """Check that passages, question and reply fit the context window."""
    window, context = _keys(tree, group).get("context_window"), _keys(tree, "prompt").get("max_context_tokens")
    reply = _keys(tree, group).get("max_tokens") or 0
    if isinstance(window, int) and isinstance(context, int) and isinstance(reply, int):
        most = window - reply - _QUESTION_TOKENS
        if context > most:
            yield (
                f"prompt: prompt.max_context_tokens={context} must be at most {most}, what "
                f"{group}.context_window={window} leaves after {group}.max_tokens={reply} and {_QUESTION_TOKENS} for "
                "instruction and question; lower it"
            )


def _load_test(tree: Tree) -> Iterator[str]:
    """Check the time-out and the target of a benchmark."""
    settings = _keys(tree, "benchmark")
    limit, timeout, target = (settings.get(key) for key in ("slo_ms", "timeout_ms", "target"))
    if isinstance(limit, int | float) and isinstance(timeout, int | float) and timeout <= limit:
        yield (
            f"config: benchmark.timeout_ms={timeout:g} must be more than benchmark.slo_ms={limit:g}, since a failed "
            "request counts as over the limit; raise it"
        )
    if isinstance(target, str) and not re.match(r"https?://[^/]", target):
        yield f"config: benchmark.target={target!r} must begin with http://HOST or https://HOST; give it so, or null"


def _writing(choices: Choices, builders: Builders) -> Iterator[str]:
    """Check that a reranker's LLM writes text."""
    if "llm" in needs_of(builders["reranker"]) and not getattr(builders["llm"], "writes_text", True):
        yield (
            f"reranker: reranker={choices.get('reranker')} must have an llm that writes text; "
            f"llm={choices.get('llm')} only extracts: set llm=openai or llm=openai_compatible"
        )


def _judging(tree: Tree, choices: Choices, builders: Builders) -> Iterator[str]:
    """Metrics of a judge need answers and a judge."""
    names = metric_names.judged(tree["metrics"])
    if not names:
        if getattr(builders["judge"], "writes_text", True):
            yield (
                f"judge: judge={choices.get('judge')} would never be asked, since metrics.answers "
                f"names neither {' nor '.join(metric_names.JUDGED)}; set answers=true "
                f"'metrics.answers=[{','.join(metric_names.JUDGED)}]', or judge=none"
            )
        return
    shown = f"metrics: metrics.answers names {' and '.join(names)}, which must have"
    if not tree["answers"]:
        yield f"{shown} answers to judge; set answers=true, or leave {'it' if len(names) == 1 else 'them'} out"
    if not getattr(builders["judge"], "writes_text", True):
        yield (
            f"{shown} an LLM that judges, which judge={choices.get('judge')} is not; set judge=openai or "
            "judge=openai_compatible"
        )
    if (temperature := _keys(tree, "judge").get("temperature")) not in (None, 0):
        yield (
            f"judge: judge.temperature={temperature} must be 0, so that verdicts do not vary by chance; set it to 0, "
            "or to null for a model that refuses it"
        )
    yield from _window(tree, "judge")


def _keys(tree: Tree, group: str) -> dict[str, object]:
    return tree.get(group) or {}
