"""The stage cache: a whole key, damage is a miss, and each item is computed once."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages import wording
from messages.cache import cached_but_for, damaged_stage_file, first_stage, new_stage, stage_computed_elsewhere
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.errors import ConfigError, ServiceError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEY = {"code": 1, "retriever": {"builder": "bm25", "top_k": 5}}


def cached(stages: StageCache, key: dict[str, Any], name: str, value: Any) -> Any:
    """Return the cached value of an item; `value` is stored if it is missing."""
    with stages.open("rankings", key) as stage:
        return stage.get_or_compute(name, lambda: value)


def items_file(folder: Path) -> Path:
    (file,) = folder.glob("rankings/*/items.sqlite")
    return file


@settings(max_examples=25, deadline=None)
@given(value=PLAIN.filter(lambda value: value is not None), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_cached_value_equals_the_computed_one(tmp_path_factory: pytest.TempPathFactory, value: Any, name: str) -> None:
    stages = StageCache(tmp_path_factory.mktemp("stages"))
    first = cached(stages, KEY, name, value)
    with stages.open("rankings", KEY) as stage:
        assert stage.get_or_compute(name, lambda: pytest.fail("it is a hit")) == first
        assert stage.hit
    assert stages.count("rankings", KEY) == 1
    assert stages.values("rankings", KEY, [name, "another"]) == {name: first}


@pytest.mark.parametrize(
    "other",
    [
        {**KEY, "code": 2},
        {**KEY, "retriever": {"builder": "dense", "top_k": 5}},
        {**KEY, "more": None},
        {"code": 1},
        {**KEY, "code": "1"},
    ],
    ids=str,
)
def test_any_other_key_is_another_stage(tmp_path: Path, other: dict[str, Any]) -> None:
    stages = StageCache(tmp_path)
    cached(stages, KEY, "q", "of KEY")
    with stages.open("rankings", other) as stage:
        assert stage.get_or_compute("q", lambda: "of other") == "of other"
        assert not stage.existed
        assert stage.differences
    with stages.open("answers", KEY) as stage:
        assert stage.peek("q") is None


def test_damaged_item_is_counted_and_computed_again(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    cached(stages, KEY, "q", {"score": 1})
    with sqlite3.connect(items_file(tmp_path)) as tables:
        tables.execute("UPDATE items SET value = replace(value, '1', '2')")
    with stages.open("rankings", KEY) as stage:
        assert stage.get_or_compute("q", lambda: {"score": 3}) == {"score": 3}
        assert (stage.counts.damaged, stage.counts.hits, stage.counts.computed) == (1, 0, 1)
    assert cached(stages, KEY, "q", None) == {"score": 3}


def test_item_under_another_name_is_a_miss(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    cached(stages, KEY, "q", "of q")
    with sqlite3.connect(items_file(tmp_path)) as tables:
        tables.execute("UPDATE items SET name = 'p'")
    with stages.open("rankings", KEY) as stage:
        assert stage.peek("p") is None


def test_file_that_is_no_database_is_an_error_with_its_fix(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    cached(stages, KEY, "q", 1)
    items_file(tmp_path).write_bytes(b"garbage" * 1000)
    with pytest.raises(ServiceError, match=wording(damaged_stage_file("items.sqlite"))):
        stages.count("rankings", KEY)


def test_nothing_is_stored_after_an_error(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    with stages.open("rankings", KEY) as stage, pytest.raises(ZeroDivisionError):
        stage.get_or_compute("q", lambda: 1 // 0)
    assert stages.count("rankings", KEY) == 0


def test_one_process_computes_and_the_other_waits(tmp_path: Path) -> None:
    messages: list[str] = []
    values: list[Any] = []
    entered, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with StageCache(tmp_path).open("rankings", KEY) as stage:
            entered.set()
            go_on.wait(30)
            stage.get_or_compute("q", lambda: "first")

    def second() -> None:
        stages = StageCache(tmp_path, on_wait=lambda text: (messages.append(text), go_on.set()))
        with stages.open("rankings", KEY) as stage:
            values.append(stage.get_or_compute("q", lambda: "second"))

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert entered.wait(30)
    other.start()
    one.join(30)
    other.join(30)
    assert values == ["first"]
    assert stage_computed_elsewhere("rankings") in messages[0]


@pytest.mark.parametrize("folder", [False, True], ids=["in memory", "on disk"])
def test_threads_that_need_the_same_item_compute_it_once(tmp_path: Path, folder: bool) -> None:
    calls: list[int] = []

    def compute() -> str:
        calls.append(1)
        time.sleep(0.1)  # so that the others come meanwhile
        return "value"

    with StageCache(tmp_path if folder else None).open("answers", KEY) as stage, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: stage.get_or_compute("q", compute), range(4))) == ["value"] * 4
        assert (len(calls), stage.counts.computed, stage.counts.hits) == (1, 1, 3)


def test_thread_that_waits_for_a_failing_one_tries_itself() -> None:
    calls: list[int] = []

    def compute() -> str:
        calls.append(1)
        first = len(calls) == 1
        time.sleep(0.1)
        if first:
            raise ServiceError("llm: it is down")
        return "value"

    with StageCache(None).open("answers", KEY) as stage, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(stage.get_or_compute, "q", compute) for _ in range(4)]
        failed = [future for future in futures if future.exception() is not None]
        assert len(failed) == 1
        assert {future.result() for future in futures if future not in failed} == {"value"}
        assert (len(calls), stage.counts.computed, stage.counts.hits) == (2, 1, 2)


def test_memory_does_not_grow_with_the_items_on_disk(tmp_path: Path) -> None:
    with StageCache(tmp_path).open("answers", KEY) as stage:
        stage.get_or_compute("first", lambda: 1)
        tracemalloc.start()
        try:
            for number in range(500):
                stage.get_or_compute(str(number), lambda: 1)
                stage.get_or_compute(str(number), lambda: pytest.fail("it is a hit"))
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert grown < 500 * 50


def test_nearest_stage_differs_in_the_fewest_keys(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    cached(stages, {"a": 1, "b": {"c": 1, "d": 1}}, "q", 1)
    cached(stages, {"a": 2, "b": {"c": 2, "d": 2}}, "q", 1)
    with stages.open("rankings", {"a": 1, "b": {"c": 1, "d": 3}}) as stage:
        assert list(stage.differences) == ["b.d: 3 / 1"]
        assert stage.explanation == new_stage("rankings", "b.d: 3 / 1")
    with StageCache(tmp_path).open("chunks", {"a": 1}) as stage:
        assert stage.explanation == first_stage("chunks")


def test_nearest_is_looked_for_among_the_newest_256_stages(tmp_path: Path) -> None:
    others = [{"a": 1, "b": 9, "c": 3}, *[{"a": 1, "b": 1, "c": 2}] * 255, {"a": 1, "b": 1, "c": 1}]
    for at, other in enumerate(others):
        file = tmp_path / "rankings" / f"{at:03}" / "key.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(other))
        os.utime(file, (at, at))
    with StageCache(tmp_path).open("rankings", {"a": 9, "b": 9, "c": 1}) as stage:
        assert list(stage.differences) == ["a: 9 / 1", "b: 9 / 1"]  # to the newest; the oldest is not read


def test_explanation_of_a_hit_counts_items_that_were_added(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    cached(stages, KEY, "q", 1)
    with stages.open("rankings", KEY) as stage:
        assert stage.explanation == "rankings: cached"
        stage.get_or_compute("p", lambda: 2)
        assert stage.explanation == cached_but_for("rankings", 1)


def test_without_a_folder_values_are_cached_while_the_stage_is_open(tmp_path: Path) -> None:
    stages = StageCache(None)
    with stages.open("rankings", KEY) as stage:
        assert stage.get_or_compute("q", lambda: 1) == stage.get_or_compute("q", lambda: 2) == 1
    assert stages.count("rankings", KEY) == 0
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="stages="), StageCache(tmp_path / "file").open("rankings", KEY):
        pass
