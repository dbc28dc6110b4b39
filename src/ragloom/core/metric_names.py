"""Names of metrics, parsed: kind, cut-off and needed ranking depth.

A ranking metric is `nDCG@10`; a metric of characters is `recall@5` (chunks), `recall@1000tokens` (a token budget) or
`precision_omega` (all chunks, whatever is retrieved).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragloom.errors import nearest

RANKING = ("nDCG", "R", "P", "RR", "AP", "Success")
"""Of a ranking of documents, or of gold spans."""
SPANS = ("recall", "precision", "iou")
"""Of characters."""
OMEGA = "precision_omega"
"""Of the characters of all chunks: how well a chunking could do. It has no `@k`, since nothing is retrieved."""
ANSWERS = ("exact_match", "f1", "citation_precision", "citation_recall", "answered", "abstained")
"""Of answers in words."""
CITED = ("citation_precision", "citation_recall")
"""Those of them that need gold."""
JUDGED = ("faithfulness", "correctness")
"""Of answers, as the LLM of the group `judge` sees them."""

Kind = Literal["spans", "documents", "answers"]
_NAME = re.compile(r"([A-Za-z]+)@([1-9]\d*)(tokens)?")


@dataclass(frozen=True)
class Measure:
    """A metric of retrieval, by its name.

    Attributes:
        name: as it is asked for and shown.
        base: before the `@`.
        k: chunks, documents or tokens; 0 where it looks at no ranking.
        budget: whether `k` counts tokens.
    """

    name: str
    base: str
    k: int
    budget: bool

    @property
    def of_characters(self) -> bool:
        """Whether it counts characters instead of ranks."""
        return self.base in SPANS or self.base == OMEGA


@dataclass(frozen=True)
class Need:
    """Depth to which metrics read a ranking.

    Attributes:
        chunks: at least so many.
        documents: at least so many distinct ones.
        tokens: of all chunks together, at least so many.
    """

    chunks: int = 0
    documents: int = 0
    tokens: int = 0


def measure(name: str) -> Measure | None:
    """Read a name; None where it is none."""
    if name == OMEGA:
        return Measure(name, name, 0, budget=False)
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in (*RANKING, *SPANS) or (match[3] and match[1] not in SPANS):
        return None
    return Measure(name, match[1], int(match[2]), bool(match[3]))


def judged(settings: Mapping[str, Any]) -> list[str]:
    """List the metrics that a judge is asked for."""
    return [name for name in settings["answers"] if name in JUDGED]


def measures(names: Iterable[str]) -> list[Measure]:
    """Read names that `problems` has found right."""
    measures = [(name, measure(name)) for name in names]
    assert all(item is not None for _, item in measures), measures
    return [item for _, item in measures if item is not None]


def problems(settings: Mapping[str, Any]) -> list[str]:
    """List the errors in metric names, one line each."""
    errors = []
    for kind in ("spans", "documents", "answers"):
        names: Sequence[str] = settings[kind]
        if len(set(names)) < len(names):
            errors.append(f"metrics: metrics.{kind}={list(names)} must name each metric once")
        errors += [line for name in names if (line := _wrong(kind, name))]
    return errors


def need(settings: Mapping[str, Any], *, spans: bool, documents: bool) -> Need:
    """Return the ranking depth that metrics need.

    Args:
        settings: right ones.
        spans, documents: whether any question has such gold.
    """
    of_spans = measures(settings["spans"]) if spans else []
    of_documents = measures(settings["documents"]) if documents else []
    return Need(
        chunks=max((item.k for item in of_spans if not item.budget), default=0),
        documents=max((item.k for item in of_documents), default=0),
        tokens=max((item.k for item in of_spans if item.budget), default=0),
    )


def measurable(settings: Mapping[str, Any], *, answers: bool, spans: bool, documents: bool) -> bool:
    """Return whether any requested metric can be computed.

    Args:
        settings: right ones.
        answers: whether questions are answered.
        spans, documents: whether any question has such gold.
    """
    of_answers = [name for name in settings["answers"] if spans or documents or name not in CITED] if answers else []
    return bool((spans and settings["spans"]) or (documents and settings["documents"]) or of_answers)


def _wrong(kind: str, name: str) -> str | None:
    shown = f"metrics: metrics.{kind}={name}"
    if kind == "answers":
        known = (*ANSWERS, *JUDGED)
        return None if name in known else f"{shown} must be a metric of answers{nearest(name, known)}"
    bases = RANKING if kind == "documents" else (*RANKING, *SPANS, OMEGA)
    read = measure(name)
    if read is None:
        base = name.partition("@")[0]
        forms = [known if known == OMEGA else f"{known}@k" for known in bases]
        close = nearest(name if "@" not in name and nearest(name, [OMEGA]) else f"{base}@k", forms)
        return f"{shown} must be a metric with a number, such as nDCG@10 or recall@5{close}"
    if read.base not in bases:
        return f"{shown} counts characters and must be in metrics.spans; graded documents are scored as rankings"
    return None
