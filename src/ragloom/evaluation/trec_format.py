"""Rankings and gold in the form that every tool of the field reads. Knows no metric.

    run.trec     query Q0 id rank score tag
    qrels.trec   query 0 id grade

Ids are percent-encoded, since a blank would break the line. Scores are made of ranks, strictly decreasing: tools order
equal scores each in its own way, which alone moved RR@10 by .4 (TRAPS 44). Raw scores are in queries.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

_TAG = "ragloom"


def run_lines(rankings: Iterable[tuple[str, Sequence[str]]]) -> Iterable[str]:
    """Yields the lines of a run; a query that found nothing has none.

    Args:
        rankings: query id and ids, best first, none twice.
    """
    for query, ids in rankings:
        for rank, id in enumerate(ids, start=1):
            yield f"{encoded(query)} Q0 {encoded(id)} {rank} {len(ids) + 1 - rank} {_TAG}\n"


def qrels_lines(gold: Iterable[tuple[str, Mapping[str, int]]]) -> Iterable[str]:
    """Yields the lines of the gold, ids in order."""
    for query, grades in gold:
        for id in sorted(grades):
            yield f"{encoded(query)} 0 {encoded(id)} {grades[id]}\n"


def encoded(id: str) -> str:
    """Writes an id without blanks and controls, and so that no two ids become one."""
    return quote(id, safe="/:@!$&'()*+,;=~", errors="surrogatepass") or "%"
