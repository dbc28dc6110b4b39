"""SIGKILL of an ingest's whole process group at drawn moments: run again, it ends as if undisturbed.

`benchmarks/kills.py` kills a hundred times on each store and shows where.
"""

import random
from pathlib import Path

import pytest

from kills import Chain, documents, killed, undisturbed
from weaviate_servers import Address


@pytest.mark.slow
def test_killed_ingest_ends_as_if_undisturbed_when_it_is_run_again(tmp_path: Path) -> None:
    """TRAPS 8, 9, 14: first ingest, update, deletions, another chunk size; each is killed once (`benchmarks/kills.py`: 100 chains)."""
    draw = random.Random(20261127)
    whole = undisturbed(Chain(tmp_path / "whole", [f"vector_store.path={tmp_path / 'store'}"]), rankings=True)
    assert whole.entered["update"].keys() >= {"append", "manifest", "replace", "delete", "optimise"}
    chain, writing = Chain(tmp_path / "killed", [f"vector_store.path={tmp_path / 'store-killed'}"]), 0
    for kill, differs in killed(chain, whole, 0, draw, rankings=True):
        assert not differs, f"{kill} ended with other {differs}"
        writing += kill.writing
    assert writing >= 2


@pytest.mark.slow
@pytest.mark.weaviate
def test_killed_ingest_into_a_server_ends_as_if_undisturbed_when_it_is_run_again(
    tmp_path: Path, weaviate_server: Address, prefix: str
) -> None:
    def chain(name: str) -> Chain:
        keys = weaviate_server.overrides(collection_prefix=prefix + name)
        return Chain(tmp_path / name, [*keys, "vector_store.index.type=flat"])

    whole = undisturbed(chain("whole"), rankings=False)
    for kill, differs in killed(chain("killed"), whole, 1, random.Random(3), rankings=False):
        assert not differs, f"{kill} ended with other {differs}"


def test_steps_of_the_harness_add_change_move_and_delete() -> None:
    first, update, delete = (documents(step) for step in ("first", "update", "delete"))
    assert update.keys() - first.keys() >= {"moved.txt", "new/0.txt"}
    assert first.keys() - update.keys()
    assert any(update[name] != first[name] for name in first.keys() & update.keys())
    assert delete.keys() < update.keys()
    assert documents("rechunk") == delete
