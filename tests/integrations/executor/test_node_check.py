"""The check of a node names what it lacks, with the fix, and reads the same documents as the driver."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from made import make
from ragloom.components.source.base import Source
from ragloom.components.vector_store.weaviate_store.shared_writer import WriterShare
from ragloom.config.config import load
from ragloom.core.records import Entry
from ragloom.errors import ConfigError, ServiceError
from ragloom.integrations.executor.ray_cluster.node_check import NodeDemands, demands, problems_of


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("a.md", "b.md"):
        (folder / name).write_text(f"Document {name}.", encoding="utf-8")
    built: Source = make("source", "folder", path=str(folder))
    return built


@pytest.fixture
def wanted(source: Source, monkeypatch: pytest.MonkeyPatch) -> NodeDemands:
    monkeypatch.setenv("A_KEY", "secret-value")
    entries = [entry for entry in source.entries() if isinstance(entry, Entry)]
    return demands([source, None], ["A_KEY", "UNSET"], source, entries, None)


def test_node_that_has_everything_has_no_problem(wanted: NodeDemands) -> None:
    assert problems_of(wanted) == []
    assert wanted.variables == ["A_KEY"], "what the driver lacks is not asked of a node"
    assert len(wanted.digests) == 2


def test_each_missing_thing_is_named_with_its_fix(wanted: NodeDemands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY")
    lacking = replace(
        wanted,
        python="2.7",
        versions={"ragloom": "99.0", "no-such-package": "1.0"},
        modules=["no_such_extension"],
    )
    problems = problems_of(lacking)
    assert [problem.split(";")[-1].strip() for problem in problems] == [
        "install it there",
        "install it there",
        "install it there",
        "install its package there",
        "set it before `ray start` there",
    ]
    assert "must have Python 2.7" in problems[0]
    assert "must have ragloom 99.0" in problems[1]
    assert "has none" in problems[2]
    assert "no_such_extension" in problems[3]
    assert "secret-value" not in str(problems)


def test_node_that_cannot_read_the_source_is_told_to_mount_it(wanted: NodeDemands, source: Source) -> None:
    (Path(source.root) / "a.md").unlink()
    (problem,) = problems_of(wanted)
    assert "cannot read" in problem
    assert "a.md" in problem
    assert "mount the source at the same path" in problem


def test_node_with_another_content_is_named(wanted: NodeDemands, source: Source) -> None:
    path = Path(source.root) / "a.md"
    before = path.stat()
    path.write_text("Document A.md.", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (problem,) = problems_of(wanted)
    assert "another content" in problem


def test_node_that_cannot_reach_the_store_is_named(wanted: NodeDemands, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise ServiceError("vector_store: http://10.0.0.9:8080: nothing listens there; start it")

    monkeypatch.setattr(WriterShare, "probe", refuse)
    share = object.__new__(WriterShare)
    (problem,) = problems_of(replace(wanted, writer=share))
    assert "cannot reach the store" in problem
    assert "nothing listens there" in problem


@pytest.mark.parametrize("address", ["localhost", "ray://host", "http://host:1", "host:0", "host:70000", "a b:1"])
def test_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="must be auto, HOST:PORT or ray://HOST:PORT"):
        load(["executor=ray", f"executor.address='{address}'"])


@pytest.mark.parametrize("address", ["null", "auto", "10.0.0.1:6379", "ray://head.example:10001", "'[::1]:6379'"])
def test_address_of_a_cluster_is_taken(address: str) -> None:
    (config,) = load(["executor=ray", f"executor.address={address}"])
    assert config.choices["executor"] == "ray"


@pytest.mark.extra
def test_address_at_which_nothing_answers_is_an_error_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from ragloom.integrations.executor.ray_cluster.cluster import joined

    with (
        pytest.raises(ServiceError, match=r"nothing answers at executor\.address=127\.0\.0\.1:1 "),
        joined("127.0.0.1:1"),
    ):
        pass
