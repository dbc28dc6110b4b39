"""What must hold between the groups of a config. Knows keys and what builders declare, no option.

A key that is wrong by itself is told by its own rule, and not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ragloom.config.builder_keys import needs_of
from ragloom.core import metric_names
from ragloom.errors import ConfigError

if TYPE_CHECKING:
    from ragloom.config.config import Config

_QUESTION_TOKENS = 512  # kept free in an LLM's context window for instruction and question


def problems(config: Config) -> list[str]:
    """Lists what is wrong between groups, one line each."""
    found = [*_depth(config), *_window(config, "llm")]
    try:
        return [*found, *_writing(config), *_judging(config)]
    except (ConfigError, KeyError, TypeError):
        return found  # told already: such an option is not chosen or cannot be found


def _depth(config: Config) -> Iterator[str]:
    """The reranker is given what the retriever leaves."""
    top_k, top_n = _keys(config, "retriever").get("top_k"), _keys(config, "reranker").get("top_n")
    if isinstance(top_k, int) and isinstance(top_n, int) and top_n > top_k > 0:
        yield (
            f"reranker: reranker.top_n={top_n} must be at most retriever.top_k={top_k}; "
            f"set reranker.top_n={top_k}, or retriever.top_k={top_n}"
        )


def _window(config: Config, group: str) -> Iterator[str]:
    """An LLM's window holds the passages of a prompt beside everything else."""
    window, context = _keys(config, group).get("context_window"), _keys(config, "prompt").get("max_context_tokens")
    reply = _keys(config, group).get("max_tokens") or 0
    if isinstance(window, int) and isinstance(context, int) and isinstance(reply, int):
        most = window - reply - _QUESTION_TOKENS
        if context > most:
            yield (
                f"prompt: prompt.max_context_tokens={context} must be at most {most}, what "
                f"{group}.context_window={window} leaves beside {group}.max_tokens={reply} and {_QUESTION_TOKENS} for "
                "instruction and question; lower it"
            )


def _writing(config: Config) -> Iterator[str]:
    """A reranker that asks the LLM has one that writes text."""
    if "llm" in needs_of(config.builder("reranker")) and not getattr(config.builder("llm"), "writes_text", True):
        yield (
            f"reranker: reranker={config.choices.get('reranker')} must have an llm that writes text; "
            f"llm={config.choices.get('llm')} only extracts: set llm=openai or llm=openai_compatible"
        )


def _judging(config: Config) -> Iterator[str]:
    """The metrics that a judge is asked for have answers, and a judge."""
    names = metric_names.judged(config.tree["metrics"])
    if not names:
        if getattr(config.builder("judge"), "writes_text", True):
            yield (
                f"judge: judge={config.choices.get('judge')} would never be asked, since metrics.answers "
                f"names neither {' nor '.join(metric_names.JUDGED)}; set answers=true "
                f"'metrics.answers=[{','.join(metric_names.JUDGED)}]', or judge=none"
            )
        return
    shown = f"metrics: metrics.answers names {' and '.join(names)}, which must have"
    if not config.tree["answers"]:
        yield f"{shown} answers to judge; set answers=true, or leave {'it' if len(names) == 1 else 'them'} out"
    if not getattr(config.builder("judge"), "writes_text", True):
        yield (
            f"{shown} an LLM that judges, which judge={config.choices.get('judge')} is not; set judge=openai or "
            "judge=openai_compatible"
        )
    if (temperature := _keys(config, "judge").get("temperature")) not in (None, 0):
        yield (
            f"judge: judge.temperature={temperature} must be 0, so that a verdict is no matter of chance; set it to 0, "
            "or to null for a model that refuses it"
        )
    yield from _window(config, "judge")


def _keys(config: Config, group: str) -> dict[str, object]:
    return config.tree.get(group) or {}
