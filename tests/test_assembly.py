"""What the assembly holds open is let go of: by itself, and by every program however it ends."""

from pathlib import Path
from typing import Any

import pytest

from programs import run
from ragloom.assembly import Assembly
from ragloom.components.vector_store.lancedb_store.database import LanceDatabase
from ragloom.config.config import load
from ragloom.errors import ServiceError


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the databases that were closed."""
    folders: list[Path] = []
    monkeypatch.setattr(LanceDatabase, "close", lambda self: folders.append(self.path))
    return folders


def test_close_lets_go_of_the_database_that_was_opened(tmp_path: Path, closed: list[Path]) -> None:
    (config,) = load([f"vector_store.path={tmp_path}"])
    with Assembly(config) as assembly:
        _ = assembly.analyzer
    assert closed == []  # nothing was opened, and closing opens nothing
    with Assembly(config) as assembly:
        first = assembly.database
        assembly.close()
        assert closed == [tmp_path]
        assert assembly.database is not first
    assert closed == [tmp_path] * 2


def test_failing_to_close_does_not_hide_what_went_wrong_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise ServiceError("the server does not end")

    monkeypatch.setattr(LanceDatabase, "close", fail)
    (config,) = load([f"vector_store.path={tmp_path}"])
    with pytest.raises(ValueError, match="the news"), Assembly(config) as assembly:
        _ = assembly.database
        raise ValueError("the news")
    with pytest.raises(ServiceError, match="does not end"), Assembly(config) as assembly:
        _ = assembly.database


@pytest.mark.parametrize(
    ("script", "arguments", "status"),
    [
        ("ingest", [], 0),
        ("ingest", ["-m", "chunking=fixed,paragraph"], 0),
        ("run_query", ["frame?", "--ingest"], 0),
        ("run_query", ["frame?", "chunking=paragraph"], 1),  # no such index
        ("run_query", ["frame?", "vector_store.alias=none"], 1),
        ("indexes", ["list"], 0),
        ("indexes", ["show", "none"], 1),
    ],
)
@pytest.mark.slow
def test_every_program_closes_its_store(
    tmp_path: Path, closed: list[Path], script: str, arguments: list[str], status: int
) -> None:
    assert run(script, *arguments, cwd=tmp_path).returncode == status
    assert closed == [tmp_path / ".ragloom" / "lancedb"] * (2 if "-m" in arguments else 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ServiceError("the disk is full"), ZeroDivisionError()])
@pytest.mark.parametrize(("script", "arguments"), [("ingest", []), ("run_query", ["q"]), ("indexes", ["list"])])
def test_every_program_closes_its_store_when_it_is_interrupted_or_fails(
    tmp_path: Path,
    closed: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    arguments: list[str],
    error: BaseException,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    for method in ("writer", "open", "indexes"):
        monkeypatch.setattr(LanceDatabase, method, fail)
    if isinstance(error, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            run(script, *arguments, cwd=tmp_path)
    else:
        done = run(script, *arguments, cwd=tmp_path)
        assert done.returncode == (130 if isinstance(error, KeyboardInterrupt) else 1), done.stderr
    assert len(closed) == 1
