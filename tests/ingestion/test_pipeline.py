"""Ingestion: the index is in sync with its source, nothing is paid twice, nothing unreadable stops the rest."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from llama_index.core.schema import MetadataMode

from messages import wording
from messages.cli import same_command_goes_on
from messages.source import is_full
from messages.vector_store import no_temporary_room
from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.components.embedding.hashing_embedding import HashingEmbedding
from ragloom.components.vector_store.lancedb_store.index_writer import LanceWriter
from ragloom.config.config import load
from ragloom.core import file_backed_text
from ragloom.core.records import Entry
from ragloom.core.sqlite_connections import SCRATCH_SETTINGS
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.chunk_cache import cache_chunks
from ragloom.ingestion import IngestState, IngestSummary, batches
from ragloom.ingestion.document_diff import DocumentDiff
from store_tools import contents

KO = "프레임의 보증 기간은 10년입니다. 소모품의 보증 기간은 6개월입니다."
EN = "The frame is covered for ten years. Wear parts are covered for six months."


class Corpus:
    """A folder of documents and the index of it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.store = root / "문서 docs", root / "store"
        self.folder.mkdir()
        self.write("en.md", f"# Warranty\n\n{EN}\n")
        self.write("sub/ko.txt", KO)

    def write(self, name: str, text: str, *, later: int = 0) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if later:
            self.set_time(name, path.stat().st_mtime_ns + later * 1_000_000_000)

    def set_time(self, name: str, nanoseconds: int) -> None:
        os.utime(self.folder / name, ns=(nanoseconds, nanoseconds))

    def assembly(self, *overrides: str) -> Assembly:
        (config,) = load(
            [
                "workers.processes=0",  # what is patched here is not in a worker
                "cache.enabled=false",  # what is not paid again is found in the index
                "source=folder",
                f'source.path="{self.folder}"',
                f'vector_store.path="{self.store}"',
                *overrides,
            ]
        )
        return Assembly(config)

    def ingest(self, *overrides: str) -> IngestSummary:
        return self.assembly(*overrides).ingest()

    def found(self, question: str, *overrides: str) -> list[str]:
        assembly = self.assembly("retriever=bm25", *overrides)
        engine = assembly.query_engine(assembly.open(), answering=False)
        return [str(node.node.ref_doc_id) for node in engine.search(question).nodes]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are worth looking up, as those of a paid model are."""
    monkeypatch.setattr(HashingEmbedding, "cheap", False)


def counts(summary: IngestSummary) -> tuple[int, int, int, int]:
    return summary.added, summary.changed, summary.unchanged, summary.deleted


def test_first_ingest_takes_in_every_document(corpus: Corpus) -> None:
    summary = corpus.ingest()
    assert counts(summary) == (2, 0, 0, 0)
    assert summary.complete
    assert (summary.documents, summary.chunks) == (2, 2)
    assert summary.embedded == 2
    assert summary.tokens > 0
    assert summary.index == corpus.assembly().index_name
    assert summary.index.startswith("문서 docs-")
    assert corpus.found("보증 기간") == ["sub/ko.txt"]
    assert corpus.found("wear parts") == ["en.md"]


def test_second_ingest_of_an_unchanged_source_costs_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.ingest()
    assembly = corpus.assembly()
    monkeypatch.setattr(assembly.source, "read", lambda entry: pytest.fail(f"{entry.id} was read"))
    summary = assembly.ingest()
    assert counts(summary) == (0, 0, 2, 0)
    assert summary.embedded == 0


def test_touched_file_is_read_but_neither_parsed_nor_embedded(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 35."""
    corpus.ingest()
    corpus.set_time("en.md", 1_700_000_000_000_000_000)
    assembly = corpus.assembly()
    monkeypatch.setattr(assembly.source, "parse", lambda *_: pytest.fail("parsed"))
    summary = assembly.ingest()
    assert counts(summary) == (0, 0, 2, 0)
    again = corpus.assembly()
    monkeypatch.setattr(again.source, "read", lambda entry: pytest.fail("the new time was not remembered"))
    again.ingest()


def test_document_of_many_blocks_has_each_stored_vector_read_once(
    corpus: Corpus, dear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read whole for each of its blocks, they took time by the square of a document, and memory without a bound."""
    text = "\n\n".join(f"Paragraph {number} of a long document." for number in range(60))
    small = ("chunking.chunk_size=16", "chunking.chunk_overlap=0")
    corpus.write("long.md", text)
    corpus.ingest(*small)
    monkeypatch.setattr(batches, "MOST_CHUNKS", 8)
    read: list[int] = []
    vectors_of = LanceWriter.vectors_of

    def counted(self: LanceWriter, *asked: Any) -> Any:
        found = vectors_of(self, *asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(LanceWriter, "vectors_of", counted)
    corpus.write("long.md", f"{text}\n\nOne paragraph more.", later=1)
    summary = corpus.ingest(*small)
    assert summary.changed == 1
    assert summary.chunks > 24, "it has several blocks"
    assert len(read) > 3
    assert max(read) <= 8


def test_full_folder_of_temporary_files_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCRATCH_SETTINGS, "max_page_count", 20)
    with (
        DocumentDiff() as ledger,
        pytest.raises(DataError, match=wording(no_temporary_room("what source and index list"), is_full())),
    ):
        ledger.enter(Entry(f"{number:0200}", "location", 1, 1) for number in range(10_000))


def test_verify_reads_what_has_an_equal_size_and_time(corpus: Corpus) -> None:
    corpus.ingest()
    before = (corpus.folder / "en.md").stat().st_mtime_ns
    corpus.write("en.md", f"# Warranty\n\n{EN}\n".replace("ten", "two"))
    corpus.set_time("en.md", before)
    assert counts(corpus.ingest()) == (0, 0, 2, 0)
    assert counts(corpus.ingest("source.verify=true")) == (0, 1, 1, 0)
    assert corpus.found("two years") == ["en.md"]


def test_changed_document_is_replaced_and_a_vanished_one_deleted(corpus: Corpus) -> None:
    corpus.ingest()
    corpus.write("en.md", "The saddle is covered for three weeks.", later=5)
    (corpus.folder / "sub" / "ko.txt").unlink()
    corpus.write("new.txt", "A brand new document about helmets.")
    summary = corpus.ingest()
    assert counts(summary) == (1, 1, 0, 1)
    assert (summary.documents, summary.chunks) == (2, 2)
    assert corpus.found("frame covered") == ["en.md"]  # "covered" is still there
    assert corpus.found("보증 기간") == []
    assert corpus.found("ten years") == []
    assert corpus.found("helmets") == ["new.txt"]


@pytest.mark.usefixtures("dear")
def test_only_new_texts_of_a_changed_document_are_embedded(corpus: Corpus) -> None:
    paragraphs = [f"Paragraph {n} speaks of topic {n} and of nothing else in this world." for n in range(6)]
    size = ("chunking=paragraph", "chunking.chunk_size=20", "chunking.chunk_overlap=0")
    corpus.write("en.md", "\n\n".join(paragraphs))
    first = corpus.ingest(*size)
    assert first.chunks == 8
    paragraphs[3] = "Paragraph 3 was written again and speaks of something different altogether."
    corpus.write("en.md", "\n\n".join(paragraphs), later=5)
    second = corpus.ingest(*size)
    assert second.changed == 1
    assert second.embedded == 1
    assert second.chunks == 8


def test_equal_text_in_several_documents_is_embedded_once_and_stored_for_each(corpus: Corpus) -> None:
    corpus.write("a.txt", "The very same words.")
    corpus.write("b.txt", "The very same words.")
    summary = corpus.ingest()
    assert summary.documents == 4
    assert summary.embedded == 3
    assert sorted(corpus.found("very same words")) == ["a.txt", "b.txt"]


@pytest.mark.usefixtures("dear")
def test_changed_metadata_is_stored_without_paying_for_the_text_again(tmp_path: Path) -> None:
    lines = tmp_path / "d.jsonl"

    def ingest(lang: str) -> tuple[IngestSummary, Assembly]:
        lines.write_text(f'{{"id": "a", "text": "Some words.", "metadata": {{"lang": "{lang}"}}}}\n', encoding="utf-8")
        place = [f"source.path={lines}", f"vector_store.path={tmp_path / 'store'}"]
        (config,) = load(["source=jsonl", "workers.processes=0", "cache.enabled=false", *place])
        assembly = Assembly(config)
        return assembly.ingest(), assembly

    ingest("en")
    summary, assembly = ingest("ko")
    assert summary.changed == 1
    assert summary.embedded == 0
    assert assembly.open().document("a").metadata["lang"] == "ko"


def test_unreadable_file_is_named_and_does_not_stop_the_rest(corpus: Corpus) -> None:
    (corpus.folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    summary = corpus.ingest()
    assert not summary.complete
    assert summary.documents == 2
    (item,) = summary.unreadable
    assert "broken.pdf" in item.location
    assert item.reason


def test_on_unreadable_stop_stops(corpus: Corpus) -> None:
    (corpus.folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(DataError, match=r"broken\.pdf"):
        corpus.ingest("source.on_unreadable=stop")


def test_document_that_became_unreadable_keeps_its_old_version(corpus: Corpus) -> None:
    corpus.ingest()
    (corpus.folder / "en.md").write_bytes(b"\x00\x01\x02\xff\xfe\x00binary" * 50)
    summary = corpus.ingest()
    assert not summary.complete
    assert summary.deleted == 0
    assert corpus.found("wear parts") == ["en.md"]


def test_document_that_grew_over_the_limit_keeps_its_old_version(corpus: Corpus) -> None:
    corpus.write("small.txt", "Small.")
    corpus.ingest()
    corpus.write("en.md", "The saddle is covered. " * 100, later=5)
    (corpus.folder / "sub" / "ko.txt").unlink()
    summary = corpus.ingest("source.max_file_mb=0.001")
    assert (summary.deleted, summary.skipped_count) == (1, 1)
    assert corpus.found("wear parts") == ["en.md"]


def test_nothing_is_deleted_when_the_source_is_empty(corpus: Corpus) -> None:
    corpus.ingest()
    for path in sorted(corpus.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    summary = corpus.ingest()
    assert summary.deleted == 0
    assert summary.kept
    assert "empty" in summary.kept
    assert not summary.complete
    assert corpus.found("wear parts") == ["en.md"]


def test_nothing_is_deleted_when_the_source_is_gone(corpus: Corpus) -> None:
    corpus.ingest()
    corpus.folder.rename(corpus.folder.with_name("moved away"))
    with pytest.raises(DataError, match="문서 docs"):
        corpus.ingest()
    corpus.folder.with_name("moved away").rename(corpus.folder)
    assert corpus.found("wear parts") == ["en.md"]


def test_nothing_is_deleted_when_a_part_could_not_be_listed(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragloom.core.records import Unreadable

    corpus.ingest()
    assembly = corpus.assembly()
    entries = list(assembly.source.entries())
    listed = [entries[0], Unreadable("sub/", "it may not be listed", hides=True)]
    monkeypatch.setattr(assembly.source, "entries", lambda: iter(listed))
    summary = assembly.ingest()
    assert summary.deleted == 0
    assert summary.kept
    assert "sub/ could not be read" in summary.kept
    assert corpus.found("보증 기간") == ["sub/ko.txt"]


def test_link_to_nowhere_keeps_its_document_and_lets_others_vanish(corpus: Corpus) -> None:
    corpus.write("third.txt", "Another document about bells.")
    corpus.ingest()
    (corpus.folder / "en.md").unlink()
    (corpus.folder / "en.md").symlink_to("nowhere")
    (corpus.folder / "third.txt").unlink()
    summary = corpus.ingest()
    assert len(summary.unreadable) == 1
    assert summary.deleted == 1
    assert corpus.found("wear parts") == ["en.md"]
    assert corpus.found("bells") == []


@pytest.mark.usefixtures("dear")
def test_moved_or_copied_document_is_not_paid_for_again(corpus: Corpus) -> None:
    """TRAPS 36: moving a file must not change what is embedded."""
    corpus.ingest()
    (corpus.folder / "en.md").rename(corpus.folder / "moved.md")
    (corpus.folder / "copy.txt").write_text(KO, encoding="utf-8")
    summary = corpus.ingest()
    assert counts(summary) == (1, 0, 1, 0)
    assert summary.moved == 1
    assert summary.embedded == 0
    assert corpus.found("wear parts") == ["moved.md"]
    assert sorted(corpus.found("보증 기간")) == ["copy.txt", "sub/ko.txt"]


def test_pieces_over_the_size_are_counted(corpus: Corpus) -> None:
    corpus.write("long.txt", "x" * 900 + " " + "y" * 700)
    recursive = (
        "chunking=recursive",
        "chunking.length=characters",
        "chunking.chunk_size=500",
        'chunking.separators=[" "]',
    )
    assert corpus.ingest(*recursive, "chunking.chunk_overlap=0").oversized == 2


def test_no_more_than_a_block_waits_beyond_what_may_be_in_flight(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_CHUNKS", 3)
    lines = corpus.folder.parent / "many.jsonl"
    lines.write_text("".join(f'{{"id": "{n}", "text": "text {n}"}}\n' for n in range(20)), encoding="utf-8")
    place = [f'source.path="{lines}"', f'vector_store.path="{corpus.store}"']
    (config,) = load(["source=jsonl", "workers.processes=0", "workers.in_flight_mb=0.001", *place])
    ahead: list[int] = []
    summary = Assembly(config).ingest(lambda state: ahead.append(state.chunks - state.written))
    assert summary.chunks == 20
    assert 3 <= max(ahead) <= 2 * 3 + 1  # one block in flight, one being filled, and the chunk that closes it


def test_changed_chunking_or_embedding_goes_to_another_index(corpus: Corpus) -> None:
    """TRAPS 12."""
    names = {
        corpus.ingest(*overrides).index
        for overrides in ([], ["chunking.chunk_size=100"], ["embedding.dimensions=64"], ["analyzer=english"])
    }
    assert len(names) == 4
    assert {info.name for info in corpus.assembly().database.indexes()} == names


def test_same_name_for_another_root_is_refused_and_says_what_to_set(corpus: Corpus, tmp_path: Path) -> None:
    corpus.ingest("source.name=mine")
    other = Corpus(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    assert other is not None
    other.store = corpus.store
    with pytest.raises(ConfigError, match=r"source\.name"):
        other.ingest("source.name=mine")
    assert other.ingest("source.name=theirs").documents == 2
    assert corpus.found("wear parts", "source.name=mine") == ["en.md"]


def test_two_sources_in_one_store_do_not_touch_each_other(corpus: Corpus, tmp_path: Path) -> None:
    corpus.ingest()
    (tmp_path / "other").mkdir()
    other = Corpus(tmp_path / "other")
    other.store = corpus.store
    other.ingest("source.name=other")
    (other.folder / "en.md").unlink()
    assert other.ingest("source.name=other").deleted == 1
    assert corpus.found("wear parts") == ["en.md"]
    assert other.found("wear parts", "source.name=other") == []


def test_open_index_answers_from_its_state_while_an_ingest_runs(corpus: Corpus) -> None:
    corpus.ingest()
    assembly = corpus.assembly("retriever=bm25")
    engine = assembly.query_engine(assembly.open(), answering=False)
    corpus.write("en.md", "All other words.", later=5)
    corpus.ingest()
    old = [node.node.get_content() for node in engine.search("wear parts").nodes]
    assert any("Wear parts" in text for text in old)
    assert corpus.found("wear parts") == []


def test_llama_index_pipeline_of_our_transformations_gives_the_same_nodes_and_vectors(corpus: Corpus) -> None:
    corpus.write(
        "long.md", "# One\n\n" + " ".join(f"Sentence {n} 한국어 문장 {n}." for n in range(300)) + "\n\n## Two\n\nEnd."
    )
    overrides = ("chunking=paragraph", "chunking.chunk_size=60", "chunking.chunk_overlap=10")
    corpus.ingest(*overrides)
    assembly = corpus.assembly(*overrides)
    nodes = assembly.ingestion_pipeline().run(documents=list(assembly.source.lazy_load_data()))
    index = assembly.open()
    stored = index.vectors([node.node_id for node in nodes])
    assert len(nodes) == index.info.chunks == len(stored) > 10
    for node in nodes:
        np.testing.assert_allclose(stored[node.node_id], node.embedding, atol=1e-6)
        document = index.document(str(node.ref_doc_id))
        assert document.text[node.start_char_idx : node.end_char_idx] == node.get_content(MetadataMode.NONE)


def test_text_over_the_embeddings_limit_names_the_document(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAPS 38."""
    assembly = corpus.assembly()
    assembly.embedding.max_tokens = 3
    with pytest.raises(DataError, match=r"en\.md"):
        assembly.ingest()


def test_failed_ingest_changes_no_answer_and_the_next_one_completes(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.ingest()
    corpus.write("new.txt", "A brand new document about helmets.")
    corpus.write("en.md", "The saddle is covered for three weeks.", later=5)
    assembly = corpus.assembly()

    def fail(self: Any, texts: list[str], counts: list[int] | None) -> Any:
        raise RuntimeError("the provider is gone")

    monkeypatch.setattr(type(assembly.embedding), "embed_batch", fail)
    with pytest.raises(RuntimeError, match="gone"):
        assembly.ingest()
    monkeypatch.undo()
    assert corpus.found("wear parts") == ["en.md"]
    assert corpus.found("helmets") == []
    summary = corpus.ingest()
    assert counts(summary) == (1, 1, 1, 0)
    assert corpus.found("helmets") == ["new.txt"]


def test_progress_is_told(corpus: Corpus) -> None:
    record: list[IngestState] = []
    corpus.assembly().ingest(lambda state: record.append(replace(state)))
    assert list(dict.fromkeys(state.stage for state in record)) == [
        "listing",
        "ingesting",
        "deleting",
        "maintaining",
        "done",
    ]
    last = record[-1]
    assert (last.listed, last.to_read, last.read, last.chunks, last.embedded, last.written) == (2, 2, 2, 2, 2, 2)
    assert last.bytes_read == last.bytes_to_read > 0
    for name in ("listed", "read", "bytes_read", "chunks", "embedded", "tokens", "written"):
        values = [getattr(state, name) for state in record]
        assert values == sorted(values), name


def test_asked_to_stop_it_commits_what_it_has_read_and_the_next_run_goes_on(corpus: Corpus) -> None:
    for number in range(300):
        corpus.write(f"many/{number}.txt", f"Document number {number}.")
    for path in corpus.folder.rglob("*.*"):
        os.utime(path, (1e9, 1e9))  # none is so young that it is read last
    read = [0]

    def stop() -> bool:
        read[0] += 1
        return read[0] > 100

    summary = corpus.assembly().ingest(stop=stop)
    assert summary.stopped is not None
    assert same_command_goes_on() in summary.stopped
    assert not summary.complete
    assert summary.added == summary.documents == 100
    again = corpus.ingest()
    assert again.complete
    assert counts(again) == (202, 0, 100, 0)


def test_stopped_run_deletes_nothing(corpus: Corpus) -> None:
    corpus.ingest()
    (corpus.folder / "en.md").unlink()
    corpus.write("new.txt", "New.")
    summary = corpus.assembly().ingest(stop=lambda: True)
    assert (summary.deleted, summary.documents) == (0, 2)
    assert counts(corpus.ingest()) == (1, 0, 1, 1)


def test_more_vanished_documents_than_allowed_stay_until_that_is_allowed(corpus: Corpus) -> None:
    for number in range(8):
        corpus.write(f"{number}.txt", f"Document number {number}.")
    corpus.ingest()
    for number in range(8):
        (corpus.folder / f"{number}.txt").unlink()
    refused = corpus.ingest()
    assert refused.deleted == 0
    assert refused.documents == 10
    assert not refused.complete
    assert refused.kept is not None
    assert "8 of 10" in refused.kept
    assert "allow_mass_delete=true" in refused.kept
    assert corpus.ingest("allow_mass_delete=true").deleted == 8


def test_moved_documents_do_not_count_as_deleted(corpus: Corpus) -> None:
    for number in range(8):
        corpus.write(f"{number}.txt", f"Document number {number}.")
    corpus.ingest()
    for number in range(8):
        (corpus.folder / f"{number}.txt").rename(corpus.folder / f"moved-{number}.txt")
    summary = corpus.ingest()
    assert (summary.moved, summary.added, summary.deleted, summary.documents) == (8, 0, 0, 10)
    assert summary.complete


@pytest.mark.slow
def test_workers_give_the_same_index_as_this_process(corpus: Corpus, tmp_path: Path) -> None:
    for number in range(40):
        corpus.write(f"{number}.txt", f"Document number {number}. {EN} {KO}" * (number % 5))
    here = corpus.ingest()
    there = corpus.ingest("workers.processes=2", f'vector_store.path="{tmp_path / "other"}"')
    assert counts(there) == counts(here)
    dumps = [
        contents(corpus.assembly(f'vector_store.path="{path}"').open()) for path in (corpus.store, tmp_path / "other")
    ]
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == here.chunks


def test_a_long_document_is_the_same_as_a_short_one_but_stands_in_a_file(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write("long.txt", f"{KO} {EN} " * 40)
    corpus.ingest()
    there = corpus.assembly()
    before = contents(there.open()), there.open().document("long.txt")
    there.database.delete(there.index_name)
    monkeypatch.setattr(file_backed_text, "LONG", 1000)
    assert counts(corpus.ingest()) == (3, 0, 0, 0)
    (kept,) = corpus.store.glob("*/texts/*")
    assert kept.read_text(encoding="utf-8") == before[1].text
    assert (contents(there.open()), there.open().document("long.txt")) == before
    corpus.write("long.txt", f"{EN} {KO} " * 40, later=1)
    assert counts(corpus.ingest("vector_store.retention_minutes=0")) == (0, 1, 2, 0)
    assert [path.name for path in corpus.store.glob("*/texts/*")] != [kept.name]
    assert there.open().document("long.txt").text.startswith(EN)


def test_a_long_text_is_kept_in_no_stage_and_is_cut_for_each_index_again(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write("long.txt", f"{KO} {EN} " * 40)
    monkeypatch.setattr(file_backed_text, "LONG", 1000)
    made = corpus.assembly()
    kept, unit = cache_chunks(made, StageCache(tmp_path / "stages"))
    assert unit.counts.computed == 2
    assert counts(made.ingest(cuts=kept)) == (3, 0, 0, 0)
    kept.close()
    assert made.open().document("long.txt").text.startswith(KO)
    assert len(list(corpus.store.glob("*/texts/*"))) == 1


def test_folder_that_a_killed_ingest_left_goes_with_the_next_one_but_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, young, at_work = (tmp_path / f"ragloom-ingest-{name}" for name in ("left", "young", "at_work"))
    for folder in (left, young, at_work):
        folder.mkdir()
        (folder / "text.txt").write_text("of a document")
        os.utime(folder, (1, 1))
    os.utime(young)
    with FileLock(at_work / "lock"):
        os.utime(at_work, (1, 1))
        with DocumentDiff() as ledger:
            assert not left.exists()
            assert young.exists()
            assert at_work.exists()
            os.utime(ledger.folder, (1, 1))
            with DocumentDiff():
                assert ledger.folder.exists()
    assert not ledger.folder.exists()
