"""The sources that datasets bring: what `squad` and `beir` list, read and refuse; `spans` is a folder."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from made import make
from messages import NUMBER, wording
from messages.config import unreadable_file
from messages.source import changed_after_listing, field_not_text, raise_max_file, squad_too_large
from ragloom.assembly import Assembly
from ragloom.components.source.base import CannotRead, Source
from ragloom.config.config import load
from ragloom.core.records import Entry, Unreadable
from ragloom.errors import DataError
from source_tools import documents


def squad(folder: Path, contexts: list[str], document: Any = "context", **changed: Any) -> Source:
    path = folder / "made.json"
    paragraphs = [{"context": context, "qas": []} for context in contexts]
    path.write_text(json.dumps({"data": [{"title": "Title", "paragraphs": paragraphs}]}), encoding="utf-8")
    return make("source", "squad", path=str(path), document=document, **{"max_file_mb": 1.0, **changed})


def beir(folder: Path, *lines: dict[str, Any]) -> Source:
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return make("source", "beir", path=str(folder))


def test_squad_lists_paragraphs_or_articles_with_stable_ids(tmp_path: Path) -> None:
    assert list(documents(squad(tmp_path, ["one", "two", "one"]))) == ["Title/1", "Title/2"]
    (text, metadata) = documents(squad(tmp_path, ["one", "two"], "article"))["Title"]
    assert text == "one\n\ntwo"
    assert metadata["title"] == "Title"


def test_squad_lists_an_empty_paragraph_as_an_empty_document(tmp_path: Path) -> None:
    corpus = squad(tmp_path, ["one", "  "])
    (first, second) = corpus.entries()
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert second.id == "Title/2"
    assert corpus.parse(second, corpus.read(second)).text.strip() == ""


def test_squad_travels_to_a_worker_without_its_texts(tmp_path: Path) -> None:
    corpus = squad(tmp_path, ["one " * 10_000])
    (entry,) = corpus.entries()
    assert isinstance(entry, Entry)
    sent = pickle.dumps(corpus)
    assert len(sent) < 2_000
    assert pickle.loads(sent).read(entry) == corpus.read(entry)


def test_squad_that_changed_after_listing_is_not_read_as_another_document(tmp_path: Path) -> None:
    (_, second) = squad(tmp_path, ["one", "two"]).entries()
    assert isinstance(second, Entry)
    with pytest.raises(CannotRead, match=wording(changed_after_listing())):
        squad(tmp_path, ["one"]).read(second)


def test_squad_refuses_a_missing_and_a_large_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=wording(squad_too_large(f"0.00{NUMBER} MB "), raise_max_file())):
        list(squad(tmp_path, ["one " * 2_000], max_file_mb=0.001).entries())
    corpus = squad(tmp_path, ["one"])
    (tmp_path / "made.json").unlink()
    with pytest.raises(DataError, match=wording(unreadable_file())):
        list(corpus.entries())


def test_beir_title_is_metadata_and_stands_before_the_text(tmp_path: Path) -> None:
    corpus = beir(
        tmp_path, {"_id": "1", "title": "T", "text": "x", "metadata": {"url": "u"}}, {"_id": "2", "text": "y"}
    )
    assert documents(corpus) == {"1": ("T x", {"url": "u", "title": "T"}), "2": ("y", {})}


def test_beir_names_a_line_that_is_wrong(tmp_path: Path) -> None:
    corpus = beir(
        tmp_path, {"_id": "1", "title": 5, "text": "x"}, {"_id": "2", "title": "T"}, {"_id": "3", "text": "z"}
    )
    first, second, third = corpus.entries()
    assert isinstance(first, Unreadable)
    assert field_not_text("title", "a number") in first.reason
    assert isinstance(second, Unreadable)
    assert "no field 'text'" in second.reason
    assert isinstance(third, Entry)


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.slow
def test_squad_is_ingested_and_asked_by_naming_the_dataset_alone(tmp_path: Path, processes: int) -> None:
    path = tmp_path / "made.json"
    qas = [{"id": "q", "question": "Which word is second?", "answers": [{"text": "beta", "answer_start": 6}]}]
    paragraphs = [{"context": "alpha beta gamma", "qas": qas}, {"context": "delta epsilon", "qas": []}]
    path.write_text(json.dumps({"data": [{"title": "Greek letters", "paragraphs": paragraphs}]}), encoding="utf-8")
    overrides = ["dataset=squad", f'dataset.path="{path}"', "dataset.document=article"]
    places = [f'vector_store.path="{tmp_path / "store"}"', f"workers.processes={processes}"]
    with Assembly(load([*overrides, *places])[0]) as assembly:
        assert assembly.ingest().unreadable == []
        index = assembly.open()
        checked = assembly.dataset.check(lambda name: index.document(name).text)
        assert checked.problems == []
        assert checked.queries[0].spans[0].places == ((6, 10),)
        (node,) = assembly.query_engine(index, answering=False).search("beta").nodes
        assert node.node.ref_doc_id == "Greek letters"
