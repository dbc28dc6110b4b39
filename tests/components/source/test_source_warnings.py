"""Warnings of readers: they reach the summary, the JSON and the dry run, and shape no hash."""

import pickle
from array import array
from pathlib import Path
from typing import Any

import pytest

from ragloom.assembly import Assembly
from ragloom.cli.console import console
from ragloom.cli.ingest import print_summary, summary_json
from ragloom.cli.render_dry_run import print_estimate
from ragloom.components.source.base import new_document
from ragloom.components.source.readers import text_reader
from ragloom.config.config import load
from ragloom.core.records import document_hash
from ragloom.evaluation.chunk_cache import chunks_from, chunks_json
from ragloom.ingestion.read_stage import ChunkedDocument

PLAIN = text_reader.read


@pytest.fixture
def assembly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Assembly:
    """Assembly whose reader of text warns about each file; its folder has two."""

    def reader(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
        warnings += ["line 2 is lost", "its encoding\nis a guess"]
        return PLAIN(content, metadata, warnings)

    monkeypatch.setattr(text_reader, "read", reader)
    for name in ("a.txt", "b.txt"):
        (tmp_path / "docs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text(f"The text of {name}.")
    keys = ["source=folder", f"source.path={tmp_path / 'docs'}", f"vector_store.path={tmp_path / 'store'}"]
    (config,) = load([*keys, "workers.processes=0", "cache.enabled=false"])
    return Assembly(config)


def test_warning_reaches_summary_json_and_screen(assembly: Assembly, capsys: pytest.CaptureFixture[str]) -> None:
    summary = assembly.ingest()
    assert summary.complete
    assert summary.warnings_count == 4
    shown = summary_json(summary, assembly)["warnings"]
    assert [Path(item["location"]).name for item in shown] == ["a.txt", "a.txt", "b.txt", "b.txt"]
    assert [item["reason"] for item in shown[:2]] == ["line 2 is lost", r"its encoding\nis a guess"]
    print_summary(console(), summary, assembly)
    printed = " ".join(capsys.readouterr().out.split())
    assert "warnings 4" in printed
    assert "line 2 is lost" in printed


def test_warning_reaches_the_dry_run(assembly: Assembly, capsys: pytest.CaptureFixture[str]) -> None:
    estimate = assembly.rehearse()
    shown = estimate.as_json()
    assert shown["documents"]["warnings"] == 4
    assert shown["warnings"][0]["reason"] == "line 2 is lost"
    print_estimate(console(), estimate)
    assert "line 2 is lost" in " ".join(capsys.readouterr().out.split())


def test_warning_is_no_part_of_text_metadata_or_hash() -> None:
    warned, plain = (new_document("a", "text", {"title": "t"}, warnings) for warnings in (["doubtful"], []))
    assert warned.warnings == ["doubtful"]
    assert warned.hash == plain.hash
    assert document_hash(warned.text, warned.metadata) == document_hash(plain.text, plain.metadata)
    assert "doubtful" not in str(warned.to_dict())


def test_warning_stays_with_a_cut_document_that_is_sent_or_kept() -> None:
    cut = ChunkedDocument("a", "b", "c", "d", "e", {}, array("q", [0, 4]), [], False, 0, ["doubtful"], "text")
    sent, kept = pickle.loads(pickle.dumps(cut, protocol=5)), chunks_from(chunks_json(cut))
    assert (sent.warnings, sent.text, kept.warnings, kept.text) == (["doubtful"], "text", ["doubtful"], "text")
    older = chunks_json(cut)
    del older["warnings"]  # as kept by a version without warnings
    assert chunks_from(older).warnings == []
