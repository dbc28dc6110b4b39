"""Short names for configs: what they differ in. Knows config trees, no option."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ragloom.comparison.run_loader import Run
from ragloom.config.builder_keys import TARGET
from ragloom.errors import ConfigError, nearest

_ORDER = ("dataset", "source", "chunking", "analyzer", "embedding", "vector_store", "retriever", "reranker", "llm")
"""In which groups are named: as the pipeline runs; others follow in the order of the config."""


def labels(runs: Sequence[Run]) -> list[str]:
    """Names each run by the options and keys in which the runs differ: `fixed chunk_size=200 + mmr`.

    A key counts where two runs that chose the same option differ in it. Where that tells two runs not apart, their
    own names do.
    """
    parts = axes(runs).values()
    made = [" + ".join(text for text in texts if text) for texts in zip(*parts, strict=True)]
    made = [text or run.name for text, run in zip(made or [""] * len(runs), runs, strict=True)]
    for further in ("name", "folder"):
        counts = Counter(made)
        made = [str(getattr(run, further)) if counts[text] > 1 else text for run, text in zip(runs, made, strict=True)]
    return made


def axes(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return group -> what each run chose in it, for the groups in which runs differ; `[k]` texts each."""
    groups = dict.fromkeys((*_ORDER, *(group for run in runs for group in run.config)))
    parts = {group: _parts(runs, group) for group in groups if any(_is_option(run, group) for run in runs)}
    return {group: texts for group, texts in parts.items() if any(texts)}


def _parts(runs: Sequence[Run], group: str) -> list[str]:
    """Says what each run chose in a group, as far as the runs differ in it."""
    options = [str(run.choices.get(group, "-")) for run in runs]
    differs = len(set(options)) > 1
    texts = []
    for run, option in zip(runs, options, strict=True):
        same = [_values(other, group) for other, chosen in zip(runs, options, strict=True) if chosen == option]
        own = _values(run, group)
        keys = [key for key in own if len({repr(values.get(key)) for values in same}) > 1]
        words = [f"{key}={own[key]}" for key in keys]
        texts.append(" ".join([option, *words]) if differs or words else "")
    return texts


def row_of(given: str, runs: Sequence[Run], named: Sequence[str]) -> int:
    """Finds the run that a person means: by its name, folder or label.

    Raises:
        ConfigError: there is none, or several.
    """
    found = [
        at
        for at, (run, label) in enumerate(zip(runs, named, strict=True))
        if given in (run.name, run.folder.name, str(run.folder), label) or run.folder.resolve() == _resolved(given)
    ]
    if len(found) != 1:
        known = nearest(given, [*(run.name for run in runs), *named])
        raise ConfigError(f"config: comparison.baseline={given} must name one of the runs{known if not found else ''}")
    return found[0]


def _resolved(given: str) -> Any:
    from pathlib import Path

    return Path(given).resolve()


def _is_option(run: Run, group: str) -> bool:
    return isinstance(run.config.get(group), dict) and TARGET in run.config[group]


def _values(run: Run, group: str) -> dict[str, Any]:
    node = run.config.get(group)
    return {key: value for key, value in node.items() if key != TARGET} if isinstance(node, dict) else {}
