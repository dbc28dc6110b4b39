"""What was computed before: found by its whole key, never believed when damaged, made once."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.cache.stages import Stages
from ragloom.errors import ConfigError, ServiceError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEY = {"code": 1, "retriever": {"builder": "bm25", "top_k": 5}}


def made(stages: Stages, key: dict[str, Any], name: str, value: Any) -> Any:
    with stages.unit("rankings", key) as unit:
        return unit.item(name, lambda: value)


@settings(max_examples=25, deadline=None)
@given(value=PLAIN.filter(lambda value: value is not None), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_value_is_found_as_it_was_made(tmp_path_factory: pytest.TempPathFactory, value: Any, name: str) -> None:
    stages = Stages(tmp_path_factory.mktemp("stages"))
    first = made(stages, KEY, name, value)
    with stages.unit("rankings", KEY) as unit:
        assert unit.item(name, lambda: pytest.fail("it is there")) == first
        assert unit.hit
    assert stages.count("rankings", KEY) == 1


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
def test_any_other_key_is_another_unit(tmp_path: Path, other: dict[str, Any]) -> None:
    stages = Stages(tmp_path)
    made(stages, KEY, "q", "mine")
    with stages.unit("rankings", other) as unit:
        assert unit.item("q", lambda: "its own") == "its own"
        assert not unit.known
        assert unit.differs
    with stages.unit("answers", KEY) as unit:
        assert unit.there("q") is None


def test_damaged_item_is_counted_and_made_anew(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    made(stages, KEY, "q", {"score": 1})
    (file,) = tmp_path.glob("rankings/*/items.sqlite")
    with sqlite3.connect(file) as tables:
        tables.execute("UPDATE items SET value = replace(value, '1', '2')")
    with stages.unit("rankings", KEY) as unit:
        assert unit.item("q", lambda: {"score": 3}) == {"score": 3}
        assert (unit.counts.damaged, unit.counts.hits, unit.counts.made) == (1, 0, 1)
    assert made(stages, KEY, "q", None) == {"score": 3}


def test_item_of_another_name_is_not_believed(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    made(stages, KEY, "q", "mine")
    (file,) = tmp_path.glob("rankings/*/items.sqlite")
    with sqlite3.connect(file) as tables:
        tables.execute("UPDATE items SET name = 'p'")
    with stages.unit("rankings", KEY) as unit:
        assert unit.there("p") is None


def test_what_raises_is_not_kept(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    with stages.unit("rankings", KEY) as unit, pytest.raises(ZeroDivisionError):
        unit.item("q", lambda: 1 // 0)
    assert stages.count("rankings", KEY) == 0


def test_one_makes_and_the_other_waits_for_it(tmp_path: Path) -> None:
    told: list[str] = []
    entered, go_on = threading.Event(), threading.Event()
    found: list[Any] = []

    def first() -> None:
        with Stages(tmp_path).unit("rankings", KEY) as unit:
            entered.set()
            go_on.wait(30)
            unit.item("q", lambda: "first")

    def second() -> None:
        stages = Stages(tmp_path, waiting=lambda text: (told.append(text), go_on.set()))
        with stages.unit("rankings", KEY) as unit:
            found.append(unit.item("q", lambda: "second"))

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert entered.wait(30)
    other.start()
    one.join(30)
    other.join(30)
    assert found == ["first"]
    assert "another process is making the same rankings" in told[0]


@pytest.mark.parametrize("folder", [False, True], ids=["in memory", "on disk"])
def test_threads_that_ask_for_the_same_item_make_it_once(tmp_path: Path, folder: bool) -> None:
    calls: list[int] = []

    def make() -> str:
        calls.append(1)
        time.sleep(0.1)  # so that the others come meanwhile
        return "made"

    with Stages(tmp_path if folder else None).unit("answers", KEY) as unit, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: unit.item("q", make), range(4))) == ["made"] * 4
        assert (len(calls), unit.counts.made, unit.counts.hits) == (1, 1, 3)
        assert not unit._making, "nothing is held any more"


def test_thread_that_waits_for_one_that_fails_tries_itself() -> None:
    calls: list[int] = []

    def make() -> str:
        calls.append(1)
        first = len(calls) == 1
        time.sleep(0.1)
        if first:
            raise ServiceError("llm: it is down")
        return "made"

    with Stages(None).unit("answers", KEY) as unit, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(unit.item, "q", make) for _ in range(4)]
        failed = [future for future in asked if future.exception() is not None]
        assert len(failed) == 1
        assert {future.result() for future in asked if future not in failed} == {"made"}
        assert (len(calls), unit.counts.made, unit.counts.hits) == (2, 1, 2)
        assert not unit._making


def test_nearest_unit_is_the_one_that_differs_in_the_fewest_keys(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    made(stages, {"a": 1, "b": {"c": 1, "d": 1}}, "q", 1)
    made(stages, {"a": 2, "b": {"c": 2, "d": 2}}, "q", 1)
    with stages.unit("rankings", {"a": 1, "b": {"c": 1, "d": 3}}) as unit:
        assert list(unit.differs) == ["b.d: 3 / 1"]
        assert unit.explained == "rankings: new; the nearest differs in b.d: 3 / 1"
    with Stages(tmp_path).unit("chunks", {"a": 1}) as unit:
        assert unit.explained == "chunks: new, and the first of its kind"


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    stages = Stages(None)
    with stages.unit("rankings", KEY) as unit:
        assert unit.item("q", lambda: 1) == unit.item("q", lambda: 2) == 1
    assert stages.count("rankings", KEY) == 0
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="stages="), Stages(tmp_path / "file").unit("rankings", KEY):
        pass
