"""Which runs may be compared, on which metric, and what of them is shown: old and new folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from messages import wording
from messages.comparison import below_reranker, costs_changed_stage_only, older_runs, other_number_searched
from places import CASES
from ragloom.comparison import compare
from ragloom.comparison.report import sections
from ragloom.comparison.run_loader import demand_comparable, load_run
from ragloom.config.config import load
from ragloom.errors import DataError
from ragloom.evaluation.runner import trial_digest
from run_folders import write

OLD = CASES / "runs_f425178"
SCORES = [0.0, 0.5, 1.0, 0.25] * 15


def settings(**changed: Any) -> Any:
    (config,) = load([])
    return {**config.tree["comparison"], "resamples": 1000, **changed}


def add_metric(folder: Path, name: str) -> None:
    """Adds a metric before all others, as `evaluate` at f425178 ordered those that spans have too."""
    lines = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    for line in lines:
        line["metrics"] = {name: 0.5, **line["metrics"]}
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    measured = json.loads((folder / "metrics.json").read_text())
    measured["metrics"] = {name: 0.5, **measured["metrics"]}
    (folder / "metrics.json").write_text(json.dumps(measured))


def test_first_requested_metric_that_the_gold_supports_decides(tmp_path: Path) -> None:
    """R@5 decided, since it is also a metric of passages, although nDCG@10 was asked for first."""
    own = "metrics.documents=[nDCG@10,R@5]"
    folders = [write(tmp_path / "a", SCORES, own), write(tmp_path / "b", SCORES[::-1], own, "chunking=paragraph")]
    for folder in folders:
        add_metric(folder, "R@5")
    assert compare(folders, settings()).table.metric == "nDCG@10"
    assert compare(folders, settings(metric="R@5")).table.metric == "R@5"


def test_metric_of_passages_decides_where_gold_is_passages(tmp_path: Path) -> None:
    own = ["metrics.documents=[nDCG@10]", "metrics.spans=[R@5,nDCG@10]"]
    places = list(range(len(SCORES)))
    folders = [
        write(tmp_path / name, SCORES, *own, chunking, positions=places)
        for name, chunking in (("a", "chunking=fixed"), ("b", "chunking=paragraph"))
    ]
    for folder in folders:
        add_metric(folder, "R@5")
    assert compare(folders, settings()).table.metric == "R@5"


@pytest.mark.parametrize("stage", ["ranking", "answers", "metrics"])
def test_runs_of_two_code_versions_are_refused_and_the_older_named(tmp_path: Path, stage: str) -> None:
    codes = {"ranking": 2, "answers": 3, "metrics": 2}
    older = write(tmp_path / "older", SCORES, code={**codes, stage: codes[stage] - 1})
    newer = write(tmp_path / "newer", SCORES, "chunking=paragraph", code=codes)
    with pytest.raises(DataError, match=wording(older_runs("older") + "; ", costs_changed_stage_only())):
        compare([newer, older], settings())
    again = write(tmp_path / "again", SCORES, code=codes)
    assert compare([newer, again], settings()).notes == []


def test_run_without_answers_goes_with_any_version_of_answers(tmp_path: Path) -> None:
    codes = {"ranking": 2, "answers": None, "metrics": 1}
    one = write(tmp_path / "one", SCORES, code=codes)
    other = write(tmp_path / "other", SCORES, "chunking=paragraph", code={**codes, "answers": 3})
    assert len(compare([one, other], settings()).runs) == 2


def deepen(folder: Path, chunks: int) -> Path:
    """Has the first question of a run that names no code look at so many chunks."""
    lines = (folder / "queries.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["chunks"] *= chunks
    (folder / "queries.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("own", "chunks", "same"),
    [
        (["retriever=hybrid"], 100, True),
        (["retriever=hybrid"], 101, False),
        (["retriever=hybrid", "reranker=mmr"], 10, True),
        (["retriever=hybrid", "reranker=mmr"], 11, False),
        (["retriever=dense"], 11, False),
    ],
)
def test_old_run_is_refused_only_where_its_numbers_may_differ(
    tmp_path: Path, own: list[str], chunks: int, same: bool
) -> None:
    old = deepen(write(tmp_path / "old", SCORES, *own), chunks)
    new = write(tmp_path / "new", SCORES, "chunking=paragraph", code={"ranking": 2, "answers": None, "metrics": 1})
    if same:
        assert len(compare([old, new], settings()).runs) == 2
    else:
        with pytest.raises(DataError, match=wording(older_runs("old"))):
            compare([old, new], settings())


def test_run_folders_of_f425178_are_read_and_compared(tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(path, tmp_path / path.name)) for path in sorted(OLD.iterdir())]
    runs = [load_run(folder) for folder in folders]
    demand_comparable(runs)
    assert [run.codes for run in runs] == [{"ranking": None, "answers": None, "metrics": 1}] * 2
    found = compare(folders, settings())
    assert found.table.metric == "nDCG@5"
    assert found.labels == ["bm25", "hybrid"]


def test_new_keys_at_their_default_rename_no_run_and_are_no_difference() -> None:
    """Digests are those that f425178 gave."""
    names = {
        "f988758e8435": [],
        "476f77e3dbea": ["dataset=squad", "dataset.path=x.json"],
        "4c5068aec2cb": ["retriever=bm25", "reranker=mmr"],
    }
    for digest, overrides in names.items():
        (config,) = load(overrides)
        assert trial_digest(config) == digest
    (config,) = load(["dataset.max_missing=0.5"])
    assert trial_digest(config) != "f988758e8435"


def test_run_of_now_and_one_of_before_a_key_was_added_are_runs_of_one_config(tmp_path: Path) -> None:
    now = write(tmp_path / "now", SCORES, "dataset.max_missing=0.1")
    before = write(tmp_path / "before", SCORES)
    record = json.loads((before / "run.json").read_text())
    assert "max_missing" not in record["config"]["dataset"]
    assert load_run(now).identity == load_run(before).identity
    assert load_run(write(tmp_path / "other", SCORES, "dataset.max_missing=0.5")).identity != load_run(now).identity


@pytest.mark.parametrize(("count", "refused"), [(5, False), (6, True)])
def test_old_run_of_another_number_of_documents_is_refused(tmp_path: Path, count: int, refused: bool) -> None:
    index = {"name": "i", "fingerprint": "f", "bytes": 1, "usd": 0.0}
    old = write(tmp_path / "old", SCORES, index={**index, "documents": 5})
    new = write(tmp_path / "new", SCORES, "chunking=paragraph", index={**index, "documents": count, "searched": "d"})
    if refused:
        with pytest.raises(DataError, match=wording(other_number_searched(6, 5))):
            compare([old, new], settings())
    else:
        assert len(compare([old, new], settings()).runs) == 2


def test_problems_of_runs_are_shown_once_where_all_have_them(tmp_path: Path) -> None:
    one = write(tmp_path / "one", SCORES, problems=["3 quotes (a, b, c) are not found and left out", "only here"])
    other = write(
        tmp_path / "other",
        SCORES,
        "chunking=paragraph",
        problems=["3 quotes (a, b, c) are not found and left out"],
    )
    assert compare([one, other], settings()).notes == [
        "3 quotes (a, b, c) are not found and left out",
        "fixed: only here",
    ]


def test_deciding_metric_that_looks_below_the_reranked_list_says_so(tmp_path: Path) -> None:
    folders = [write(tmp_path / "one", SCORES), write(tmp_path / "other", SCORES, "reranker=mmr")]
    measured = json.loads((folders[1] / "metrics.json").read_text())
    (folders[1] / "metrics.json").write_text(json.dumps({**measured, "below_reranker": {"nDCG@10": 7}}))
    (note,) = [note for note in compare(folders, settings()).notes if "below" in note]
    assert note == below_reranker("mmr", "nDCG@10", 7)


@pytest.mark.slow
def test_smallest_p_values_are_shown_where_all_adjusted_ones_are_one(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    ease = draw.random(80)
    folders = [
        write(tmp_path / f"r{at}", list(np.round(ease + draw.normal(0, 0.3, 80), 4)), f"chunking.chunk_size={200 + at}")
        for at in range(10)
    ]
    found = compare(folders, settings(plan="pairs"))
    (tests,) = [section for section in sections(found) if section.title.startswith("Tests")]
    assert len(found.verdict.findings) == 45
    assert len(tests.rows) == 40
    largest = sorted(finding.p for finding in found.verdict.findings)[40:]
    shown = [float(row[4]) for row in tests.rows if row[4] != "< .001"]
    assert shown == sorted(shown), "adjusted ones are in the order of p"
    assert max(shown) <= min(largest) + 0.0005
