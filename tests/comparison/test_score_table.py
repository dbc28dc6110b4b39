"""The table of scores: which questions count, as what, and what is resampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragloom.comparison.run_loader import EvaluatedRun, QueryRow
from ragloom.comparison.score_table import build_table, default_metric, same_scores
from ragloom.errors import DataError


def row(
    id: str, metrics: dict[str, float | None], *, failed: bool = False, judged: bool = True, **more: str
) -> QueryRow:
    values = {"group": id, "position": None, "by_spans": True, **more}
    return QueryRow(id=id, text=id, tags={}, judged=judged, metrics=metrics, failed=failed, **values)  # type: ignore[arg-type]


def run(*rows: QueryRow, config: dict[str, dict[str, list[str]]] | None = None) -> EvaluatedRun:
    means = {name: 0.0 for item in rows for name in item.metrics}
    parts: dict[str, Any] = {"dataset": {}, "index": {}, "choices": {}, "config": config or {}}
    return EvaluatedRun(name="run", folder=Path("run"), means=means, rows=rows, **parts)


def test_failed_and_unjudged_questions_are_zero_in_every_run_and_counted_by_their_cause() -> None:
    first = run(
        row("a", {"faithfulness": 0.5}),
        row("b", {"faithfulness": None}),  # the judge gave no verdict
        row("c", {}),  # not answered
        row("d", {}, failed=True),
    )
    second = run(*(row(id, {"faithfulness": 1.0}) for id in "abcd"))
    table = build_table([first, second], "faithfulness")
    assert table.scores.tolist() == [[0.5, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    assert (table.failed, table.not_judged, table.not_answered) == ([1, 0], [1, 0], [1, 0])
    assert table.means.tolist() == [0.125, 1.0]


def test_questions_that_a_metric_does_not_suit_are_left_out() -> None:
    first = run(
        row("a", {"recall@5": 1.0}), row("b", {"recall@5": 0.0}), row("c", {"f1": 1.0}), row("d", {}, failed=True)
    )
    second = run(
        row("a", {"recall@5": 0.0}), row("b", {}, failed=True), row("c", {"f1": 1.0}), row("d", {}, failed=True)
    )
    table = build_table([first, second], "recall@5")
    assert [item.id for item in table.rows] == [
        "a",
        "b",
        "d",
    ]  # d failed in every run, so that none can have the metric
    assert table.scores.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert table.failed == [1, 2]
    no_gold = run(row("a", {"recall@5": 1.0}), row("b", {}, failed=True, judged=False))
    assert [item.id for item in build_table([no_gold], "recall@5").rows] == ["a"]


def test_a_run_without_the_metric_of_a_question_that_did_not_fail_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"run must have recall@5 of query 'b', which did not fail"):
        build_table(
            [
                run(row("a", {"recall@5": 1.0}), row("b", {"recall@5": 1.0})),
                run(row("a", {"recall@5": 1.0}), row("b", {})),
            ],
            "recall@5",
        )
    with pytest.raises(DataError, match=r"comparison\.metric=recall@6 must be a metric that the runs have.*recall@5"):
        build_table([run(row("a", {"recall@5": 1.0}))], "recall@6")
    with pytest.raises(DataError, match="must be a metric that the runs have"):
        build_table([run(row("a", {}, failed=True))], "recall@5")


@pytest.mark.parametrize(
    ("groups", "windowed", "count"), [(40, False, 40), (20, False, 20), (19, True, 19), (4, True, 8)]
)
def test_few_groups_are_split_into_windows_of_neighbours(groups: int, windowed: bool, count: int) -> None:
    rows = [row(str(at), {"recall@5": 0.0}, group=str(at % groups), position=at) for at in range(80)]  # type: ignore[arg-type]
    table = build_table([run(*rows)], "recall@5")
    assert (table.named_groups, table.windowed, table.count) == (groups, windowed, count)
    assert table.count == len(set(table.groups.tolist()))


def test_windows_follow_the_positions_of_the_gold_where_they_are_known() -> None:
    places = [at * 17 % 40 for at in range(40)]  # each once
    rows = [row(str(at), {"recall@5": 0.0}, group="one", position=place) for at, place in enumerate(places)]  # type: ignore[arg-type]
    groups = build_table([run(*rows)], "recall@5").groups
    by_place = [int(groups[places.index(place)]) for place in range(40)]
    assert by_place in (sorted(by_place), sorted(by_place, reverse=True))
    assert len(set(by_place)) == 4
    unplaced = [row(str(at), {"recall@5": 0.0}, group="one") for at in range(40)]
    groups = build_table([run(*unplaced)], "recall@5").groups
    assert groups.tolist() in (sorted(groups.tolist()), sorted(groups.tolist(), reverse=True))


def test_equal_scores_are_found_whatever_the_sign_of_their_zeros() -> None:
    assert same_scores(np.array([[0.0, 1.0], [0.5, 1.0], [-0.0, 1.0], [0.5, 1.0]])) == [0, 1, 0, 1]


def test_default_metric_is_the_first_requested_that_the_gold_supports() -> None:
    asked = {"metrics": {"spans": ["recall@5"], "documents": ["ndcg@10"], "answers": ["f1"]}}
    every = {"recall@5": 1.0, "ndcg@10": 1.0, "f1": 1.0}
    assert default_metric(run(row("a", dict(every)), config=asked)) == "recall@5"
    graded = row("a", dict(every), by_spans=False)  # type: ignore[arg-type]
    assert default_metric(run(graded, config=asked)) == "ndcg@10"
    answered = row("a", dict(every), by_spans=False, judged=False)  # type: ignore[arg-type]
    assert default_metric(run(answered, config=asked)) == "f1"
    assert default_metric(run(row("a", {"map": 1.0}), config=asked)) == "map"
    assert default_metric(run(row("a", {}))) == "a metric"
