"""Figures of a latency pass."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ragloom.evaluation import latency as module
from ragloom.evaluation.latency import latency, quantiles


def test_questions_per_second_are_timed_questions_over_elapsed_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter([100.0, 104.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    asked: list[str] = []

    def run(question: str) -> dict[str, float]:
        asked.append(question)
        if len(asked) == 8:
            raise ValueError("a failed query")
        return {"total": float(len(asked))}

    measured = latency(run, ["a", "b", "c"], concurrency=1, total=20)
    assert measured["questions_per_second"] == pytest.approx(5)
    assert (measured["n"], measured["warm"], measured["errors"]) == (20, 5, 1)
    assert len(asked) == 25
    assert measured["stages"]["total"] == quantiles([6, 7, *range(9, 26)])  # neither warm-up queries nor failed ones
    assert "".join(asked) == "abcab" + ("abc" * 7)[:20]
