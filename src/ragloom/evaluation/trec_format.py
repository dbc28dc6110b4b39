"""TREC format of rankings and gold.

    run.trec     query Q0 id rank score tag
    qrels.trec   query 0 id grade

Ids are percent-encoded, since a blank would break the line. Scores are strictly decreasing ranks: tools order
equal scores differently, which alone moved RR@10 by .4 (TRAPS 44). Raw scores are in queries.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

_TAG = "ragloom"


def run_lines(rankings: Iterable[tuple[str, Sequence[str]]]) -> Iterable[str]:
    """Yield the lines of run.trec; an empty ranking has none.

    Args:
        rankings: (query id, distinct ids, best first).
    """
    for query, ids in rankings:
        for rank, id in enumerate(ids, start=1):
            yield f"{encoded(query)} Q0 {encoded(id)} {rank} {len(ids) + 1 - rank} {_TAG}\n"


def qrels_lines(gold: Iterable[tuple[str, Mapping[str, int]]]) -> Iterable[str]:
    """Yield the lines of qrels.trec, ids in order."""
    for query, grades in gold:
        for id in sorted(grades):
            yield f"{encoded(query)} 0 {encoded(id)} {grades[id]}\n"


def encoded(id: str) -> str:
    """Percent-encode blanks and control characters of an id; distinct ids stay distinct."""
    return quote(id, safe="/:@!$&'()*+,;=~", errors="surrogatepass") or "%"
